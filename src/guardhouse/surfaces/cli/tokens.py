"""`guardhouse tokens`: issue, list, rotate and revoke."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from guardhouse.storage import private
from guardhouse.surfaces.cli import naming, operator, render, spans
from guardhouse.surfaces.cli.door import open_door
from guardhouse.surfaces.cli.output import After, Json, Limit, Reason, call, composition_of, finish, more

tokens = typer.Typer(help="Issue, rotate and revoke bearer tokens.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the noun."""
    app.add_typer(tokens, name="tokens")


@tokens.command("issue")
def issue(
    context: typer.Context,
    who: Annotated[str, typer.Argument(help="An agent's handle, a person's name, or either's id.")],
    session: Annotated[bool, typer.Option("--session", help="A short one: 12 hours, kept alive by renewal.")] = False,
    repository: Annotated[str, typer.Option(help="The repository that its bare paths lie in.")] = "",
    label: Annotated[str, typer.Option(help="A note that tells it from others.")] = "",
    json: Json = False,
) -> None:
    """Issue another token and print it, once. An agent's lasts 90 days, a person's 30.

    Example: guardhouse tokens issue builder --label "build machine"
    """
    with open_door(composition_of(context)) as door:
        named = naming.principal_id(door, who, json)
        body = {"principal_id": named, "session": session, "repository": repository, "label": label}
        finish(door.call("issue_token", body), json, _show_issued)


@tokens.command("list")
def list_(
    context: typer.Context,
    who: Annotated[str, typer.Argument(help="Only those of this agent or person.", show_default=False)] = "",
    limit: Limit = 100,
    after: After = "",
    json: Json = False,
) -> None:
    """List tokens, live and ended: whose and until when, never their text.

    Example: guardhouse tokens list builder
    """
    with open_door(composition_of(context)) as door:
        body: dict[str, Any] = {"limit": limit, "after": after}
        if who:
            body["principal_id"] = naming.principal_id(door, who, json)
        reply = door.call("list_tokens", body)
        known = naming.names(door) if reply.performed and not json else {}
        finish(reply, json, lambda result: _show_list(result, known))


@tokens.command("rotate")
def rotate(
    context: typer.Context,
    token_id: Annotated[
        str, typer.Argument(help="The token's id; your own token when left out.", show_default=False)
    ] = "",
    json: Json = False,
) -> None:
    """Exchange a token for a new one; the old one works ten minutes more.

    Without an id it is the token that this command sends. Where that is the operator's, the new one is
    kept in its place in `operator.token`.

    Example: guardhouse tokens rotate
    """
    with open_door(composition_of(context)) as door:
        reply = door.call("rotate_token", {"token_id": token_id} if token_id else {})
    kept = reply.performed and not token_id and not os.environ.get("GUARDHOUSE_TOKEN")
    if kept:
        private.replaced(operator.token_file(operator.home()), f"{reply.result['token']}\n")
    finish(reply, json, _show_kept if kept else _show_rotated)


@tokens.command("revoke")
def revoke(
    context: typer.Context,
    token_id: Annotated[str, typer.Argument(help="The token's id, as `tokens list` shows it.")],
    reason: Reason = "",
    json: Json = False,
) -> None:
    """End a token at once.

    Example: guardhouse tokens revoke tok_01j9 --reason leaked
    """
    finish(call(context, "revoke_token", {"token_id": token_id, "reason": reason}), json, _show_revoked)


def _show_issued(result: Mapping[str, Any]) -> None:
    render.record("The token is shown this once:", result, skip=("decision_id",))


def _show_rotated(result: Mapping[str, Any]) -> None:
    render.record("The new token is shown this once:", result, skip=("decision_id",))


def _show_kept(result: Mapping[str, Any]) -> None:
    render.record("The new token is in `operator.token`.", result, skip=("decision_id", "token"))


def _show_list(result: Mapping[str, Any], known: Mapping[str, str]) -> None:
    rows = [
        {
            **item,
            "whose": known.get(item["principal_id"], item["principal_id"]),
            "expires": item["expires_at"][:10],
            "ended": spans.shown(item["revoked_at"]),
        }
        for item in result["tokens"]
    ]
    columns = ("token_id", "kind", "whose", "label", "live", "expires", "ended")
    render.table("Tokens", columns, rows, "there are no tokens")
    more(result)


def _show_revoked(result: Mapping[str, Any]) -> None:
    render.say(f"{result['token_id']} of {result['principal_id']} is revoked")
