"""`guardhouse agents`: who may call, and how far they are trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from guardhouse.surfaces.cli import render
from guardhouse.surfaces.cli.output import Json, call, finish

agents = typer.Typer(help="Register agents and set how far they are trusted.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the noun."""
    app.add_typer(agents, name="agents")


@agents.command("add")
def add(
    context: typer.Context,
    handle: Annotated[str, typer.Argument(help="A short name: lower case letters, digits and dashes.")],
    trust: Annotated[int, typer.Option(min=0, max=4, help="0 suspended, 1 reads, 2 writes, 3 may override, 4 most.")],
    role: Annotated[str, typer.Option(help="Its role, such as developer or reviewer.")] = "agent",
    profile: Annotated[str | None, typer.Option(help="The profile that limits it.")] = None,
    delegated_by: Annotated[str | None, typer.Option(help="The agent on whose behalf it acts.")] = None,
    json: Json = False,
) -> None:
    """Register an agent and print its token, once.

    Example: guardhouse agents add builder --trust 2 --role developer
    """
    body = {"handle": handle, "trust": trust, "role": role, "profile": profile, "delegated_by": delegated_by}
    finish(call(context, "add_agent", body), json, _show_added)


def _show_added(result: Mapping[str, Any]) -> None:
    render.record("The agent is registered. Its token is shown this once:", result, skip=("decision_id",))
