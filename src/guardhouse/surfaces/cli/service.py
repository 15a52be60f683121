"""`guardhouse service`: the gateway started at login."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from guardhouse.errors import Unauthenticated
from guardhouse.surfaces.cli import operator, render
from guardhouse.surfaces.cli.output import Json

service = typer.Typer(help="Start the gateway at login: a systemd user unit, or a launchd agent.", no_args_is_help=True)

WriteOnly = Annotated[bool, typer.Option("--write-only", help="Write or remove the file, and only print the commands.")]


def register(app: typer.Typer) -> None:
    """Add the noun."""
    app.add_typer(service, name="service")


@service.command("install")
def install(write_only: WriteOnly = False, json: Json = False) -> None:
    """Write the service's file and start it. GUARDHOUSE_* settings of this shell go with it; tokens never.

    Example: guardhouse service install
    """
    from guardhouse.surfaces.install import placing, serving

    made = serving.service(placing.serve_command(), _home(), Path.home(), os.environ)
    serving.write(made)
    _tell("written", made.path, made.start, write_only, json)


@service.command("remove")
def remove(write_only: WriteOnly = False, json: Json = False) -> None:
    """Stop the service and remove its file.

    Example: guardhouse service remove
    """
    from guardhouse.surfaces.install import placing, serving

    made = serving.service(placing.serve_command(), _home(), Path.home(), os.environ)
    folders = serving.came_with(made)
    there = folders is not None
    told = [] if write_only or not there else serving.run(made.stop[:1])
    if folders is not None:
        serving.remove(made, folders)
    _tell("removed" if there else "not there", made.path, made.stop[1:] if told else made.stop, write_only, json)


def _home() -> Path:
    mark = operator.agent_variable(os.environ)
    if mark:
        raise Unauthenticated(f"`{mark}` says that this is an agent's shell: services are for people")
    return Path(os.path.realpath(operator.home()))


def _tell(done: str, path: Path, commands: tuple[tuple[str, ...], ...], write_only: bool, json: bool) -> None:
    from guardhouse.surfaces.install import serving

    lines = [" ".join(command) for command in commands]
    told = [] if write_only else serving.run(commands)
    left = lines if write_only else [line for line, why in told if why]
    if json:
        render.print_json({"file": str(path), "state": done, "to_run": left})
        return
    render.say(f"{path}: {done}")
    for line, why in told:
        render.say(f"  {line}: {why or 'done'}")
    for line in left:
        render.say(f"  run: {line}")
