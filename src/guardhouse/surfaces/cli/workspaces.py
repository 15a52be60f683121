"""`guardhouse workspaces`: rooms apart from each other, each with its own people, law and ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from guardhouse.surfaces.cli import render, spans
from guardhouse.surfaces.cli.output import After, Json, Limit, Reason, RequiredReason, call, finish, more

workspaces = typer.Typer(help="Create workspaces and change their settings.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the noun."""
    app.add_typer(workspaces, name="workspaces")


@workspaces.command("list")
def list_(context: typer.Context, limit: Limit = 100, after: After = "", json: Json = False) -> None:
    """List this workspace and those that its people created.

    Example: guardhouse workspaces list
    """
    finish(call(context, "list_workspaces", {"limit": limit, "after": after}), json, _show_list)


@workspaces.command("create")
def create(
    context: typer.Context,
    slug: Annotated[str, typer.Argument(help="Its short name: lower case letters, digits and dashes.")],
    person: Annotated[str, typer.Option(help="The first person there, who gets all three roles.", show_default=False)],
    json: Json = False,
) -> None:
    """Create a workspace under the law in force here, and print its first person's token, once.

    Example: guardhouse workspaces create payments --person ada
    """
    finish(call(context, "create_workspace", {"slug": slug, "person_name": person}), json, _show_created)


@workspaces.command("set")
def set_(
    context: typer.Context,
    single_person: Annotated[
        bool | None,
        typer.Option(
            "--single-person/--two-persons", help="Whether people may decide their own questions.", show_default=False
        ),
    ] = None,
    pending: Annotated[
        str, typer.Option(help="How long a question waits for an answer, such as 24h.", show_default=False)
    ] = "",
    grant: Annotated[str, typer.Option(help="How long a grant can be used, such as 1h.", show_default=False)] = "",
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Change this workspace's settings; what is left out stays, and all are shown.

    Example: guardhouse workspaces set --pending 12h --grant 30m
    """
    body = {
        "single_person": single_person,
        "approval_pending_seconds": spans.seconds(pending) if pending else None,
        "approval_grant_seconds": spans.seconds(grant) if grant else None,
        "reason": reason,
    }
    finish(call(context, "set_workspace", body), json)


@workspaces.command("pause")
def pause(
    context: typer.Context,
    for_: Annotated[str, typer.Option("--for", help="How long, at most 7d; it ends by itself.")] = "1h",
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Pause every agent of the workspace for a while; people go on governing.

    Example: guardhouse workspaces pause --for 30m --reason "release freeze"
    """
    finish(call(context, "pause_workspace", {"seconds": spans.seconds(for_), "reason": reason}), json)


@workspaces.command("resume")
def resume(context: typer.Context, reason: Reason = "", json: Json = False) -> None:
    """End the workspace's pause or stop.

    Example: guardhouse workspaces resume
    """
    finish(call(context, "resume_workspace", {"reason": reason}), json)


@workspaces.command("stop")
def stop(context: typer.Context, reason: RequiredReason, json: Json = False) -> None:
    """Stop every agent of the workspace until an operator resumes it.

    Example: guardhouse workspaces stop --reason "credentials leaked"
    """
    finish(call(context, "stop_workspace", {"reason": reason}), json)


def _show_list(result: Mapping[str, Any]) -> None:
    rows = [
        {**item, "pending": f"{item['approval_pending_seconds']} s", "grant": f"{item['approval_grant_seconds']} s"}
        for item in result["workspaces"]
    ]
    columns = ("slug", "workspace_id", "single_person", "pending", "grant")
    render.table("Workspaces", columns, rows, "there are no workspaces")
    more(result)


def _show_created(result: Mapping[str, Any]) -> None:
    render.record("The workspace is ready. Its first person's token is shown this once:", result, skip=("decision_id",))
