"""`guardhouse mode`: observe instead of enforce, for a scope and for a while."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from guardhouse.errors import InvalidInput
from guardhouse.surfaces.cli import naming, render, spans
from guardhouse.surfaces.cli.door import Door, open_door
from guardhouse.surfaces.cli.output import After, Json, Limit, Reason, composition_of, finish, more

mode = typer.Typer(help="Observe instead of enforce, for a while.", no_args_is_help=True)


_LEAST, _MOST = 60, 30 * 86_400
"""Seconds; the same bounds as those of `set_mode`."""


class Scope(StrEnum):
    """What a mode is set for."""

    WORKSPACE = "workspace"
    AGENT = "agent"
    ROLE = "role"
    PACK = "pack"


ScopeArgument = Annotated[Scope, typer.Argument(help="What it is set for.", show_default=False)]
Named = Annotated[
    str, typer.Argument(help="The agent's handle or id, the role, or the pack.", metavar="NAME", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the noun."""
    app.add_typer(mode, name="mode")


@mode.command("show")
def show(
    context: typer.Context,
    ended: Annotated[bool, typer.Option("--ended", help="Also those that are over.")] = False,
    limit: Limit = 100,
    after: After = "",
    json: Json = False,
) -> None:
    """Show what is observed instead of enforced: by whom, why and until when.

    Example: guardhouse mode show
    """
    with open_door(composition_of(context)) as door:
        reply = door.call("list_modes", {"ended": ended, "limit": limit, "after": after})
        known = naming.names(door) if reply.performed and reply.result["modes"] and not json else {}
        finish(reply, json, lambda result: _show_list(result, known))


@mode.command("observe")
def observe(
    context: typer.Context,
    scope: ScopeArgument,
    name: Named = "",
    for_: Annotated[str, typer.Option("--for", help="How long, 1m to 30d; it enforces again by itself.")] = "1h",
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Perform what would be denied or held, and record what would have been.

    Identity, control and the pack that protects Guardhouse itself bind all the same.

    Example: guardhouse mode observe pack git --for 2h --reason "trying the pack"
    """
    seconds = spans.seconds(for_)
    if not _LEAST <= seconds <= _MOST:
        raise InvalidInput(
            f"`--for {for_}` is {'too long' if seconds > _MOST else 'too short'}: observing lasts 1m to 30d"
        )
    with open_door(composition_of(context)) as door:
        body = _scoped(door, scope, name, json) | {"mode": "observe", "seconds": seconds, "reason": reason}
        finish(door.call("set_mode", body), json, _show_set)


@mode.command("enforce")
def enforce(
    context: typer.Context, scope: ScopeArgument, name: Named = "", reason: Reason = "", json: Json = False
) -> None:
    """Enforce a scope again at once.

    Example: guardhouse mode enforce pack git
    """
    with open_door(composition_of(context)) as door:
        finish(door.call("end_mode", _scoped(door, scope, name, json) | {"reason": reason}), json, _show_set)


def _scoped(door: Door, scope: Scope, name: str, json: bool) -> dict[str, Any]:
    if scope is Scope.WORKSPACE:
        return {"scope": str(scope), "id": name}
    if not name:
        raise InvalidInput(f"name the {scope}: `guardhouse mode observe {scope} NAME`")
    return {"scope": str(scope), "id": naming.agent_id(door, name, json) if scope is Scope.AGENT else name}


def _show_list(result: Mapping[str, Any], known: Mapping[str, str]) -> None:
    rows = [
        {**item, "until": spans.shown(item["until"]), "set": spans.shown(item["set_at"])}
        | {"ended": spans.shown(item["ended_at"]), "by": known.get(item["by_id"], item["by_id"])}
        | {"name": known.get(item["id"], item["id"])}
        for item in result["modes"]
    ]
    columns = ("scope", "name", "until", "by", "reason", "set", "ended")
    render.table("Observed", columns, rows, "everything is enforced")
    more(result)


def _show_set(result: Mapping[str, Any]) -> None:
    subject = result["scope"] if result["scope"] == "workspace" else f"{result['scope']} {result['id']}"
    ending = f" until {spans.shown(result['until'])}" if result["mode"] == "observe" else " again"
    render.say(f"{subject}: {result['mode']}{ending}")
