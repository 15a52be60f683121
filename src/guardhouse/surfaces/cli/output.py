"""Ending a command: print what came back, for people or programs, and leave with the right status."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NoReturn

import typer

from guardhouse.surfaces.cli import render, replies
from guardhouse.surfaces.cli.composition import Composition
from guardhouse.surfaces.cli.door import Reply, open_door

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables for people.")]
Approval = Annotated[str, typer.Option("--approval", help="The id of an approval that a person granted for this call.")]
IdempotencyKey = Annotated[
    str, typer.Option("--idempotency-key", help="The same key within 24 hours answers with the first outcome.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=500, help="The most to show.")]
After = Annotated[str, typer.Option("--after", help="Where the page before ended.", show_default=False)]
Reason = Annotated[str, typer.Option("--reason", help="Why, for those who read the ledger later.", show_default=False)]
RequiredReason = Annotated[str, typer.Option("--reason", help="Why, for those who read the ledger later.")]


def composition_of(context: typer.Context) -> Composition:
    """The composition that `main` put into the context."""
    found: Composition = context.find_root().obj
    return found


def call(
    context: typer.Context,
    operation: str,
    body: Mapping[str, Any],
    *,
    approval_id: str = "",
    idempotency_key: str = "",
) -> Reply:
    """Carry one call through the nearest gateway."""
    sent = {key: value for key, value in body.items() if value is not None}
    with open_door(composition_of(context)) as door:
        return door.call(operation, sent, approval_id=approval_id, idempotency_key=idempotency_key)


def finish(reply: Reply, json: bool, show: Callable[[Mapping[str, Any]], None] | None = None) -> NoReturn:
    """Print a reply and exit with its status."""
    raise typer.Exit(replies.tell(reply, json, show))


def more(result: Mapping[str, Any], option: str = "--after") -> None:
    """Say that a list goes on, and how to see the rest."""
    if result["more"]:
        render.say(f"there are more: go on with `{option} {result['next']}`", "dim", stderr=True)
