"""`guardhouse people`: who governs, and in which roles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from guardhouse.surfaces.cli import naming, render, spans
from guardhouse.surfaces.cli.door import open_door
from guardhouse.surfaces.cli.output import After, Json, Limit, Reason, call, composition_of, finish, more

people = typer.Typer(help="Add and disable the people who govern.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the noun."""
    app.add_typer(people, name="people")


@people.command("add")
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The name the person is known by, such as their login name.")],
    role: Annotated[
        list[str], typer.Option(help="operator, security or auditor; give it once for each role.", show_default=False)
    ],
    json: Json = False,
) -> None:
    """Add a person and print their token, once.

    An operator runs agents, people, tokens and locks; security decides the law, trust and erasures; an
    auditor reads everything and changes nothing.

    Example: guardhouse people add ada --role operator --role security
    """
    finish(call(context, "add_person", {"name": name, "roles": role}), json, _show_added)


@people.command("list")
def list_(context: typer.Context, limit: Limit = 100, after: After = "", json: Json = False) -> None:
    """List the people of this workspace, also those disabled.

    Example: guardhouse people list
    """
    finish(call(context, "list_people", {"limit": limit, "after": after}), json, _show_list)


@people.command("disable")
def disable(
    context: typer.Context,
    person: Annotated[str, typer.Argument(help="The person's name or id.")],
    reason: Reason = "",
    json: Json = False,
) -> None:
    """End a person's access at once, with every token of theirs. The last operator stays.

    Example: guardhouse people disable ada --reason "left the team"
    """
    with open_door(composition_of(context)) as door:
        body = {"person_id": naming.person_id(door, person, json), "reason": reason}
        finish(door.call("disable_person", body), json, _show_disabled)


def _show_added(result: Mapping[str, Any]) -> None:
    render.record("The person is added. Their token is shown this once:", result, skip=("decision_id",))


def _show_list(result: Mapping[str, Any]) -> None:
    rows = [{**item, "disabled": spans.shown(item["disabled_at"])} for item in result["people"]]
    render.table("People", ("name", "roles", "person_id", "disabled"), rows, "there are no people")
    more(result)


def _show_disabled(result: Mapping[str, Any]) -> None:
    render.say(f"{result['person_id']} is disabled; {result['tokens_revoked']} of their tokens were revoked")
