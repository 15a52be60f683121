"""`guardhouse call`: any operation, by its one name."""

from __future__ import annotations

from typing import Annotated

import typer

from guardhouse.surfaces.cli import asking
from guardhouse.surfaces.cli.output import Approval, IdempotencyKey, Json, composition_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("call")(call)


def call(
    context: typer.Context,
    operation: Annotated[str, typer.Argument(help="The operation's name, such as acquire_lock.")],
    fields: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="Its input; KEY:=JSON for lists.")
    ] = None,
    approval: Approval = "",
    idempotency_key: IdempotencyKey = "",
    json: Json = False,
) -> None:
    """Carry one call, decided and recorded like any other.

    Example: guardhouse call acquire_lock key=src/app.py ttl_seconds=300
    """
    raise typer.Exit(
        asking.call(
            composition_of(context),
            operation,
            fields or (),
            approval=approval,
            idempotency_key=idempotency_key,
            json=json,
        )
    )
