"""`guardhouse check`: what the guardrails say of a command."""

from __future__ import annotations

from typing import Annotated

import typer

from guardhouse.surfaces.cli import asking
from guardhouse.surfaces.cli.output import Approval, Json, composition_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


def check(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="The command or statement to examine; it is not run.")],
    kind: Annotated[str, typer.Option(help="shell, sql, file or auto.")] = "auto",
    cwd: Annotated[str, typer.Option(help="The directory the command would run in; this one when left out.")] = "",
    explain: Annotated[bool, typer.Option("--explain", help="Draw what was found under the command.")] = False,
    approval: Approval = "",
    json: Json = False,
) -> None:
    """Ask what a command would be told. Exit 0 for allow or warn, 10 for ask, 20 for block, 64 for usage.

    Example: guardhouse check "git push --force"
    """
    if not text.strip():
        raise typer.BadParameter("there is nothing to examine")
    if kind not in asking.KINDS:
        raise typer.BadParameter("`--kind` is shell, sql, file or auto")
    raise typer.Exit(
        asking.check(composition_of(context), text, kind=kind, cwd=cwd, explain=explain, approval=approval, json=json)
    )
