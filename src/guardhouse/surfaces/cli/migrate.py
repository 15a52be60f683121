"""`guardhouse migrate`: bring the database to this version."""

from __future__ import annotations

from typing import Annotated

import typer

from guardhouse.surfaces.cli import render
from guardhouse.surfaces.cli.output import Json, composition_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("migrate")(migrate)


def migrate(
    context: typer.Context,
    grant: Annotated[
        str, typer.Option(help="PostgreSQL: give this role what serving needs, and on the ledger no more than that.")
    ] = "",
    json: Json = False,
) -> None:
    """Apply the migrations that are missing. On PostgreSQL the owner's role does this (GUARDHOUSE_MIGRATION_URL).

    Example: guardhouse migrate --grant guardhouse_service
    """
    composition = composition_of(context)
    with render.working("migrating the database", shown=not json):
        revision = composition.migrate(composition.settings(), grant)
    if json:
        render.print_json({"revision": revision, "granted": grant})
    else:
        render.say(f"the database is at revision {revision}")
