"""`guardhouse init`: the first workspace, the first person, and the law they begin with."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from guardhouse.errors import Unauthenticated
from guardhouse.surfaces.cli import operator, render
from guardhouse.surfaces.cli.output import Json, composition_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    context: typer.Context,
    workspace: Annotated[
        str, typer.Option(help="The workspace's short name; GUARDHOUSE_WORKSPACE or `default` when left out.")
    ] = "",
    person: Annotated[str, typer.Option(help="The first person's name; your user name by default.")] = "",
    json: Json = False,
) -> None:
    """Prepare this home: database, signing key, workspace, first person, policies.

    Safe to run again: what stands is left as it is. The operator token is printed once and kept in
    `operator.token` in the home, readable by you alone; that of a further workspace in `operator.NAME.token`.

    Example: guardhouse init --json
    """
    composition = composition_of(context)
    settings = composition.settings()
    slug = workspace or settings.workspace
    mark = operator.agent_variable(os.environ)
    with render.working("preparing the home", shown=not json):
        composition.migrate(settings)
        founded = composition.found(settings, slug, person or operator.user_name(), further=not mark)
    if not founded.workspace_id:
        raise Unauthenticated(
            f"`{mark}` says that this is an agent's shell, and another workspace is for people to found: "
            "run this in your own terminal"
        )
    told = {
        "home": str(settings.home),
        "database": settings.resolved_database_url.split("@")[-1].partition("?")[0],
        "workspace_id": founded.workspace_id,
        "workspace": founded.slug,
        "person": founded.person_name,
        "person_id": founded.person_id,
        "policies": str(founded.policies),
        "new": founded.new,
    }
    if not founded.new:
        del told["person"], told["person_id"]
    if founded.operator_token:
        told["operator_token"] = founded.operator_token
        kept = operator.keep(settings.home, slug, founded.operator_token)
        if kept != operator.token_file(settings.home):
            told["operator_token_file"] = str(kept)
    if json:
        render.print_json(told)
        return
    render.record("A new workspace is ready." if founded.new else "This home was prepared already.", told)
    if founded.new:
        render.say("\nNext: guardhouse serve", "bold")
