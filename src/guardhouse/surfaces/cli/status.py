"""`guardhouse status`: is it running, and is it well?"""

from __future__ import annotations

import typer

from guardhouse.surfaces.cli import asking
from guardhouse.surfaces.cli.output import Json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(json: Json = False) -> None:
    """Show the home, whether its gateway runs, and what that says of itself. Exit 69 when none runs.

    Example: guardhouse status
    """
    raise typer.Exit(asking.status(json=json))
