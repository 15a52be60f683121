"""`guardhouse init`: the first workspace, the first person, and the law they begin with."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from guardhouse.surfaces.cli import operator, render
from guardhouse.surfaces.cli.output import Json, composition_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    context: typer.Context,
    workspace: Annotated[str, typer.Option(help="The workspace's short name.")] = "default",
    person: Annotated[str, typer.Option(help="The first person's name; your user name by default.")] = "",
    json: Json = False,
) -> None:
    """Prepare this home: database, signing key, workspace, first person, policies.

    Safe to run again: what stands is left as it is. The operator token is printed once and kept in
    `operator.token` in the home, readable by you alone.

    Example: guardhouse init --json
    """
    composition = composition_of(context)
    settings = composition.settings()
    composition.migrate(settings)
    founded = composition.found(settings, workspace, person or getpass.getuser())
    if founded.operator_token:
        operator.write_private(operator.token_file(settings.home), founded.operator_token)
    told = {
        "home": str(settings.home),
        "database": settings.resolved_database_url.split("@")[-1],
        "workspace_id": founded.workspace_id,
        "workspace": founded.slug,
        "person": founded.person_name,
        "person_id": founded.person_id,
        "policies": str(founded.policies),
        "new": founded.new,
    }
    if founded.operator_token:
        told["operator_token"] = founded.operator_token
    if json:
        render.print_json(told)
        return
    render.record("A new workspace is ready." if founded.new else "This home was prepared already.", told)
    if founded.new:
        render.say("\nNext: guardhouse serve", "bold")
