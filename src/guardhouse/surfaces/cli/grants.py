"""`guardhouse allow` and `guardhouse grants`: a person's leave for what one decision refused."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from guardhouse.errors import InvalidInput
from guardhouse.surfaces.cli import naming, render, spans
from guardhouse.surfaces.cli.door import Door, open_door
from guardhouse.surfaces.cli.output import After, Json, Limit, Reason, RequiredReason, composition_of, finish, more

grants = typer.Typer(help="See and take back what people allowed agents to do.", no_args_is_help=True)

_OVERRIDE_DAYS = 30
"""How long a proposed override holds; whoever pastes it may choose another end."""


def register(app: typer.Typer) -> None:
    """Add the command and the noun."""
    app.command("allow")(allow)
    app.add_typer(grants, name="grants")


def allow(
    context: typer.Context,
    decision: Annotated[
        str, typer.Argument(help="The decision that refused it, such as dec_01j9.", show_default=False)
    ],
    reason: RequiredReason,
    once: Annotated[bool, typer.Option("--once", help="For one time; this is so unless --for is given.")] = False,
    for_: Annotated[
        str, typer.Option("--for", help="Again and again for so long, 1m to 24h.", show_default=False)
    ] = "",
    override: Annotated[
        bool,
        typer.Option("--override", help="Grant nothing; print the override that would allow more, ready to paste."),
    ] = False,
    json: Json = False,
) -> None:
    """Let an agent do what one decision refused: that very thing, in that directory, and nothing wider.

    A harmless reformatting is the same thing; another argument, file or directory is not. What should hold for more is
    an override: --override prints it for policies/guardrails/overrides.yaml.

    Example: guardhouse allow dec_01j9 --for 2h --reason "release night"
    """
    if once and for_:
        raise InvalidInput("give either `--once` or `--for`, not both")
    body: dict[str, Any] = {"decision_id": decision, "reason": reason}
    if for_:
        body["seconds"] = spans.seconds(for_)
    with open_door(composition_of(context)) as door:
        if override:
            _print_override(door, decision, reason, json)
            return
        finish(door.call("allow_decision", body), json, _show_given)


@grants.command("list")
def list_(
    context: typer.Context,
    agent: Annotated[str, typer.Option(help="Only this agent's, by handle or id.", show_default=False)] = "",
    over: Annotated[bool, typer.Option("--over", help="Also those that are spent, revoked or expired.")] = False,
    limit: Limit = 100,
    after: After = "",
    json: Json = False,
) -> None:
    """List grants, newest first: for whom, for what, by whom and until when.

    Example: guardhouse grants list --over
    """
    with open_door(composition_of(context)) as door:
        body: dict[str, Any] = {"over": over, "limit": limit, "after": after}
        if agent:
            body["agent_id"] = naming.agent_id(door, agent, json)
        reply = door.call("list_grants", body)
        known = naming.names(door) if reply.performed and reply.result["grants"] and not json else {}
        finish(reply, json, lambda result: _show_list(result, known))


@grants.command("revoke")
def revoke(
    context: typer.Context,
    grant_id: Annotated[str, typer.Argument(help="The grant's id, such as grt_01j9.", show_default=False)],
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Take a grant back; it binds the very next call.

    Example: guardhouse grants revoke grt_01j9 --reason "done early"
    """
    with open_door(composition_of(context)) as door:
        finish(door.call("revoke_grant", {"grant_id": grant_id, "reason": reason}), json, _show_revoked)


def _show_given(result: Mapping[str, Any]) -> None:
    often = "once" if result["once"] else "again and again"
    render.say(f"{result['agent_id']} may do it {often}, until {spans.shown(result['expires_at'])}")
    render.say(f"  lifts: {render.plain(', '.join(result['rules']))}", "dim")
    render.say(f"  take it back: guardhouse grants revoke {result['grant_id']}", "dim")
    render.say(f"  for anything wider: guardhouse allow {result['refused_decision_id']} --override --reason WHY", "dim")


def _show_revoked(result: Mapping[str, Any]) -> None:
    render.say(f"{result['grant_id']} is {result['state']}")


def _show_list(result: Mapping[str, Any], known: Mapping[str, str]) -> None:
    rows = [
        {
            "grant": item["grant_id"],
            "agent": known.get(item["agent_id"], item["agent_id"]),
            "state": item["state"],
            "once": "once" if item["once"] else "",
            "until": spans.shown(item["expires_at"]),
            "rules": ", ".join(item["rules"]),
            "decision": item["refused_decision_id"],
            "by": known.get(item["granted_by"], item["granted_by"]),
            "reason": item["reason"],
        }
        for item in result["grants"]
    ]
    columns = ("grant", "agent", "state", "once", "until", "rules", "decision", "by", "reason")
    render.table("Grants", columns, rows, "nothing is granted")
    more(result)


def _print_override(door: Door, decision: str, reason: str, json: bool) -> None:
    reply = door.call("explain_decision", {"decision_id": decision})
    if not reply.performed:
        finish(reply, json)
    entry = reply.result["entry"]
    refused = ("approval_required", "block")
    rules = sorted({item["rule_id"] for item in reply.result["findings"] if item["severity"] in refused})
    if entry["principal"]["kind"] != "agent" or not rules:
        raise InvalidInput(f"`{decision}` is no guardrail's refusal of an agent")
    text = proposal(rules, entry["principal"]["id"], reason, _expiry(entry["at"]))
    if json:
        render.print_json({"override": text})
    else:
        sys.stdout.write(text)


def _expiry(at: str) -> str:
    """Some days after a decision, as a date: no clock is asked, and what is old proposes what is over."""
    from datetime import datetime, timedelta

    return (datetime.fromisoformat(at) + timedelta(days=_OVERRIDE_DAYS)).date().isoformat()


def proposal(rules: Sequence[str], agent_id: str, reason: str, expires: str) -> str:
    """An `overrides.yaml` that lets one agent pass these rules with a warning, ready to paste."""
    quoted = jsonlib.dumps(render.plain(reason), ensure_ascii=False)
    lines = ["overrides:"]
    for rule in rules:
        lines += [
            f"  - rule: {rule}",
            "    set: warn",
            f"    agents: [{agent_id}]",
            f"    reason: {quoted}",
            "    owner: WHO ANSWERS FOR IT",
            f'    expires: "{expires}"',
        ]
    return "\n".join(lines) + "\n"
