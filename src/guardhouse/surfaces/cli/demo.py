"""`guardhouse demo`: a fleet plays against a gateway of its own, and every step says whether it went as told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from guardhouse.surfaces.cli import exits


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("demo")(demo)


def demo(
    commands: Annotated[
        Path | None,
        typer.Option(
            "--commands",
            metavar="FILE",
            help="Commands to be judged: a shell history (plain, bash, zsh), or JSON lines with `command` and "
            "optionally `expected`. They are sent as text and never run.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON value for programs, at the end.")] = False,
) -> None:
    """Start a gateway of its own in a temporary home, play a fleet against it, and verify the ledger.

    Nothing outside that home is read or changed. The exit status is 1 when a step did not go as told.

    Example: guardhouse demo --commands ~/.bash_history
    """
    # Imported here: no other verb pays for it.
    from guardhouse.surfaces.demo import play

    if not play(commands, as_json=as_json):
        raise typer.Exit(exits.FAULT)
