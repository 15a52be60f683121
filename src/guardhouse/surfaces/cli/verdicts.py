"""`guardhouse why` and `guardhouse wrong`: the whole trace of a decision, and a verdict that was wrong."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from guardhouse.errors import InvalidInput
from guardhouse.surfaces.cli import naming, render, spans
from guardhouse.surfaces.cli.door import open_door
from guardhouse.surfaces.cli.output import Json, Reason, call, composition_of, finish


class Expected(StrEnum):
    """The verdict that it should have been."""

    ALLOW = "allow"
    WARN = "warn"
    ASK = "ask"
    BLOCK = "block"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("why")(why)
    app.command("wrong")(wrong)


def why(
    context: typer.Context,
    decision: Annotated[str, typer.Argument(help="The decision's id, such as dec_01j9.", show_default=False)],
    json: Json = False,
) -> None:
    """Show why a decision came out as it did: what was asked, every gate's answer, what was found, what people did since.

    Example: guardhouse why dec_01j9
    """
    with open_door(composition_of(context)) as door:
        reply = door.call("explain_decision", {"decision_id": decision})
        known = naming.names(door) if reply.performed and not json else {}
        finish(reply, json, lambda result: _show(result, known))


def _show(result: Mapping[str, Any], known: Mapping[str, str]) -> None:
    entry = result["entry"]
    who = entry["principal"]["id"]
    verdict = str(entry.get("verdict", ""))
    render.say(verdict or entry["effect"], render.VERDICT_STYLE.get(verdict or entry["effect"], "bold"))
    observed = "" if entry["enforced"] else f"; observed only, would be {entry.get('would', entry['effect'])}"
    summary = {
        "decision": entry["id"],
        "at": spans.shown(entry["at"]),
        "who": known.get(who, who),
        "operation": entry["operation"],
        "resource": f"{entry['resource']['type']} {entry['resource']['id']}",
        "outcome": entry["outcome"] + observed,
        "bundle": entry["bundle"],
    }
    render.record("", summary)
    render.say("asked" if result["payload"] is not None else "asked: erased")
    for name, value in (result["payload"] or {}).items():
        if value not in ("", [], None):
            render.say(f"  {render.plain(name)}: {render.plain(value)}")
    for step in entry["steps"]:
        rules = f" by {', '.join(step['rules'])}" if step.get("rules") else ""
        said = f": {step['message']}" if step.get("message") else ""
        render.say(
            f"{step['gate']}  {step.get('effect', 'allow')} ({step['code']}){render.plain(rules)}{render.plain(said)}"
        )
    for item in result["findings"]:
        place = f"{item['field']} {item['start']}-{item['end']}"
        render.say(f"found  {item['rule_id']} ({item['severity']}) in {render.plain(place)}", "yellow")
        for label, name in (("matched", "matched_text"), ("why", "reason"), ("allowed by", "allowed_by")):
            if item[name]:
                render.say(f"    {label}: {render.plain(item[name])}", "dim")
    for item in result["approvals"]:
        render.say(
            f"asked a person  {item['approval_id']}: {item['state']} {known.get(item['by'], item['by'])}".rstrip()
        )
    for item in result["grants"]:
        render.say(f"granted  {item['grant_id']}: {item['state']}, by {known.get(item['by'], item['by'])}")
    if result["wrong"]:
        render.say(f"a person says it should have been `{result['wrong']}`", "yellow")


def wrong(
    context: typer.Context,
    decision: Annotated[
        str, typer.Argument(help="The decision's id; without one, print every row kept.", show_default=False)
    ] = "",
    expected: Annotated[Expected, typer.Option(help="The verdict that it should have been.")] = Expected.ALLOW,
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Say that a verdict is wrong. The redacted command is kept as a row that `guardhouse guardrails score` reads.

    Without a decision, print all rows as JSON lines: `guardhouse wrong > wrong.jsonl`.

    Example: guardhouse wrong dec_01j9 --expected allow --reason "a branch of one's own"
    """
    if not decision:
        with open_door(composition_of(context)) as door:
            for row in naming.pages(door, "list_wrong", {}, "rows", json):
                sys.stdout.write(jsonlib.dumps(row, ensure_ascii=False) + "\n")
        return
    if not reason.strip():
        raise InvalidInput("say why with `--reason`: whoever mends the rule reads it")
    body = {"decision_id": decision, "expected": str(expected), "reason": reason}
    finish(call(context, "mark_wrong", body), json, _show_kept)


def _show_kept(result: Mapping[str, Any]) -> None:
    render.say(f"kept: `{render.plain(result['command'])}` should be `{result['expected']}`")
    render.say("  all rows: guardhouse wrong > wrong.jsonl; then guardhouse guardrails score wrong.jsonl", "dim")
