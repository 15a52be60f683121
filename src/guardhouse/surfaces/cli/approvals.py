"""`guardhouse approvals`: the questions that wait for a person, and their answers."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from guardhouse.surfaces.cli import following, naming, render, spans
from guardhouse.surfaces.cli.door import Door, open_door
from guardhouse.surfaces.cli.output import (
    After,
    Json,
    Limit,
    Reason,
    RequiredReason,
    call,
    composition_of,
    finish,
    more,
)

approvals = typer.Typer(help="See, grant and refuse what agents ask people.", no_args_is_help=True)

ApprovalId = Annotated[str, typer.Argument(help="The question's id, such as apr_01j9.", show_default=False)]


class State(StrEnum):
    """Which questions to list."""

    PENDING = "pending"
    GRANTED = "granted"
    REFUSED = "refused"
    SPENT = "spent"
    ALL = "all"


def register(app: typer.Typer) -> None:
    """Add the noun."""
    app.add_typer(approvals, name="approvals")


@approvals.command("list")
def list_(
    context: typer.Context,
    state: Annotated[State, typer.Option(help="Which questions.")] = State.PENDING,
    agent: Annotated[str, typer.Option(help="Only this agent's, by handle or id.", show_default=False)] = "",
    limit: Limit = 50,
    after: After = "",
    json: Json = False,
) -> None:
    """List questions, newest first; those that wait for an answer unless told otherwise.

    Example: guardhouse approvals list --state all
    """
    with open_door(composition_of(context)) as door:
        body: dict[str, Any] = {"state": str(state), "limit": limit, "after": after}
        if agent:
            body["agent_id"] = naming.agent_id(door, agent, json)
        reply = door.call("list_approvals", body)
        known = naming.names(door) if reply.performed and reply.result["approvals"] and not json else {}
        finish(reply, json, lambda result: _show_list(result, known))


@approvals.command("show")
def show(context: typer.Context, approval_id: ApprovalId, json: Json = False) -> None:
    """Show one question with the call that it is about, so that you know what a grant allows.

    Example: guardhouse approvals show apr_01j9
    """
    with open_door(composition_of(context)) as door:
        reply = door.call("get_approval", {"approval_id": approval_id})
        if not reply.performed:
            finish(reply, json)
        held, why = _held_call(door, str(reply.result["held_decision_id"]))
        if json:
            render.print_json(reply.body | {"call": held})
            return
        _show_one(reply.result, naming.names(door))
        if why:
            render.say(f"  what the call carries cannot be shown: {why}", "yellow")
        else:
            render.record("The call", held or {"carries": "nothing"})


@approvals.command("grant")
def grant(context: typer.Context, approval_id: ApprovalId, reason: Reason = "", json: Json = False) -> None:
    """Allow the one call that a question asks about, once. Look at it first with `approvals show`.

    Example: guardhouse approvals grant apr_01j9 --reason "release night"
    """
    finish(call(context, "grant_approval", {"approval_id": approval_id, "reason": reason}), json, _show_answered)


@approvals.command("refuse")
def refuse(context: typer.Context, approval_id: ApprovalId, reason: RequiredReason, json: Json = False) -> None:
    """Say no; the same question is not opened again for 24 hours.

    Example: guardhouse approvals refuse apr_01j9 --reason "use a branch"
    """
    finish(call(context, "refuse_approval", {"approval_id": approval_id, "reason": reason}), json, _show_answered)


@approvals.command("watch")
def watch(
    context: typer.Context,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks; each is a recorded call.")] = 5.0,
    count: Annotated[int, typer.Option(min=0, help="End after so many questions; 0 goes on for ever.")] = 0,
    json: Json = False,
) -> None:
    """Print each question that waits, and each new one as it comes, until Ctrl-C. With --json, a line a question.

    Example: guardhouse approvals watch --every 2
    """
    seen: set[str] = set()
    known: dict[str, str] = {}

    def look(door: Door) -> float | None:
        new = [item for item in reversed(_pending(door, json)) if item["approval_id"] not in seen]
        if not json and any(item["principal_id"] not in known for item in new):
            known.update(naming.names(door))
        for item in new:
            seen.add(item["approval_id"])
            if json:
                sys.stdout.write(jsonlib.dumps(item, ensure_ascii=False) + "\n")
            else:
                _show_new(item, known)
            if len(seen) == count:
                sys.stdout.flush()
                return None
        sys.stdout.flush()
        return every

    following.follow(composition_of(context), look)


def _pending(door: Door, json: bool) -> list[Mapping[str, Any]]:
    """Every question that waits, newest first."""
    found: list[Mapping[str, Any]] = []
    after = ""
    while True:
        asked = {"state": "pending", "limit": 500, "after": after}
        reply = following.answered(door.call("list_approvals", asked), json)
        found += reply.result["approvals"]
        if not reply.result["more"]:
            return found
        after = reply.result["next"]


def _held_call(door: Door, decision_id: str) -> tuple[dict[str, Any] | None, str]:
    """What a held call carried, as the ledger has it (secrets redacted), or why it cannot be told."""
    reply = door.call("query_audit", {"decision_id": decision_id})
    if not reply.performed:
        return None, reply.message
    entries = reply.result["entries"]
    if not entries:
        return None, "its entry was not found"
    if "payload" not in entries[0]:
        return None, "it was erased" if "payload_digest" in entries[0] else ""
    return dict(entries[0]["payload"]), ""


def _who(item: Mapping[str, Any], known: Mapping[str, str]) -> str:
    return known.get(item["principal_id"], item["principal_id"])


def _what(item: Mapping[str, Any]) -> str:
    return f"{item['operation']} {item['resource_type']} {item['resource_id']}"


def _show_list(result: Mapping[str, Any], known: Mapping[str, str]) -> None:
    rows = [
        {**item, "asked": spans.shown(item["asked_at"]), "who": _who(item, known), "what": _what(item)}
        for item in result["approvals"]
    ]
    columns = ("approval_id", "state", "asked", "who", "what", "rules")
    render.table("Questions", columns, rows, "nobody asks anything")
    more(result)


def _show_one(result: Mapping[str, Any], known: Mapping[str, str]) -> None:
    shown = {**result, "principal_id": _who(result, known)}
    skipped = ("decision_id", "law", "retry_after_seconds", "single_person")
    render.record("The question", {key: value for key, value in shown.items() if value != ""}, skip=skipped)
    if result["single_person"]:
        render.say("  the asker answered it, by the workspace's declared exception", "yellow")


def _show_new(item: Mapping[str, Any], known: Mapping[str, str]) -> None:
    render.say(f"{spans.shown(item['asked_at'])}  {_who(item, known)} asks for {render.plain(_what(item))}", "bold")
    if item["message"]:
        render.say(f"  {render.plain(item['message'])}")
    if item["rules"]:
        render.say(f"  rules: {render.plain(item['rules'])}")
    render.say(f"  guardhouse approvals show {item['approval_id']}", "dim")


def _show_answered(result: Mapping[str, Any]) -> None:
    style = "green" if result["state"] == "granted" else "yellow"
    until = f", usable until {spans.shown(result['grant_until'])}" if result["state"] == "granted" else ""
    render.say(f"{result['approval_id']}: {result['state']}{until}", style)
    if result["single_person"]:
        render.say("  you answered your own question; the ledger says so", "yellow")
