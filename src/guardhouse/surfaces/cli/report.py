"""`guardhouse report`: what would have been stopped while it was only observed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from json import dumps as json_of
from typing import Annotated, Any

import typer

from guardhouse.surfaces.cli import naming, render, spans
from guardhouse.surfaces.cli.door import open_door
from guardhouse.surfaces.cli.output import Json, composition_of, finish

_MOST_SAMPLE = 160
_MOST_ID = 90
_TEXTS = ("command", "operation_text", "url", "file_paths", "content", "tool")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="How far back, such as `24h` or `7d`.")] = "7d",
    json: Json = False,
) -> None:
    """List what would have been stopped in observe mode: by rule, agent and repository, with a sample of each.

    Each row ends with the line for `overrides.yaml` that would exempt it, or for an address the one for the domain lists;
    put in the reason and who answers for it.

    Example: guardhouse report --since 24h
    """
    now = datetime.fromtimestamp(composition_of(context).now() / 1_000_000, UTC)
    moment = now - timedelta(seconds=spans.seconds(since))
    begun = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    with render.working("reading the ledger", shown=not json), open_door(composition_of(context)) as door:
        known = naming.names(door)
        entries = _entries(door, begun, json)
        rows = rows_of(entries, known, (now + timedelta(days=30)).date().isoformat())
    if json:
        render.print_json({"since": begun, "stopped": sum(row["count"] for row in rows), "rows": rows})
        return
    if not rows:
        render.say("nothing would have been stopped")
        return
    for row in rows:
        where = f" in {row['repository']}" if row["repository"] else ""
        what = f"{row['rule']} ({row['host']})" if row["host"] else row["rule"]
        render.say(f"{row['count']} x {what}: {row['agent']}{where}, would {row['would']}", "bold")
        render.say(f"  sample: {render.plain(row['sample'])}")
        render.say(f"  decision: {row['decision_id']}")
        # Not through Rich: a line that is to be pasted must not be wrapped.
        under = " under `allow:` in policies/network/default.yaml" if row["exempt"].startswith("- {id:") else ""
        sys.stdout.write(f"  exempt{under}: {row['exempt']}\n")


def _entries(door: Any, since: str, json: bool) -> Iterable[Mapping[str, Any]]:
    cursor = ""
    while True:
        reply = door.call("query_audit", {"enforced": False, "since": since, "limit": 500, "cursor": cursor})
        if not reply.performed:
            finish(reply, json)
        yield from reply.result["entries"]
        cursor = reply.result["next"]
        if not reply.result["more"]:
            return


def rows_of(entries: Iterable[Mapping[str, Any]], known: Mapping[str, str], until: str) -> list[dict[str, Any]]:
    """One row a rule, agent and repository, and for the domain lists a host, most frequent first.

    The sample is the newest that is still readable.
    """
    rows: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    for entry in entries:
        who = str(entry["principal"]["id"])
        payload = entry.get("payload") or {}
        where = str(entry["resource"].get("repository") or payload.get("workspace_root") or payload.get("cwd") or "")
        for rule, law, host in _rules(entry):
            row = rows.setdefault(
                (rule, host, who, where),
                {
                    "rule": rule,
                    "host": host,
                    "agent": known.get(who, who),
                    "agent_id": who,
                    "repository": where,
                    "would": entry.get("would", "deny"),
                    "count": 0,
                    "sample": "",
                    "decision_id": entry["id"],
                    "exempt": _listed(rule, host) if host else _exempt(rule, who, law, str(entry["id"]), until),
                },
            )
            row["count"] += 1
            if not row["sample"]:
                row["sample"], row["decision_id"] = _sample(payload, entry), entry["id"]
    return sorted(
        rows.values(), key=lambda row: (-row["count"], row["rule"], row["host"], row["agent_id"], row["repository"])
    )


def _rules(entry: Mapping[str, Any]) -> list[tuple[str, bool, str]]:
    """(rule, whether a guardrail, host or "") of what would have stopped the call: its findings, else the gates' own rules."""
    stopping = ("block", "approval_required")
    found = [str(one["rule"]) for one in entry.get("facts", {}).get("findings", ()) if one["severity"] in stopping]
    made = [(rule, True, "") for rule in dict.fromkeys(found)]
    for step in entry.get("steps", ()):
        if step.get("effect") in ("deny", "hold"):
            hosts = _hosts(entry) if step["code"] == "network_denied" else []
            made.extend(hosts or [(str(rule), False, "") for rule in step.get("rules") or (step["code"],)])
    return made or [(str(entry["operation"]), False, "")]


def _hosts(entry: Mapping[str, Any]) -> list[tuple[str, bool, str]]:
    """The same of each host that the domain lists would not let a tool reach; empty where the payload is erased.

    An entry's facts say what the lists found, in the order in which the payload names the destinations.
    """
    if entry["operation"] != "check_tool" or not entry.get("payload"):
        return []
    from guardhouse.gates.network import host_of
    from guardhouse.operations.tools import CheckToolAsk, check_tool

    try:
        ask = CheckToolAsk.model_validate_json(json_of(entry["payload"]))
    except ValueError:
        return []
    named = check_tool.destinations(ask) if check_tool.destinations else ()
    found = entry.get("facts", {}).get("domains", ())
    if len(named) != len(found):
        return []
    made = [
        (str(one.get("rule") or "network_denied"), False, str(host_of(destination) or ""))
        for (_, destination), one in zip(named, found, strict=True)
        if one["effect"] != "allow"
    ]
    return list(dict.fromkeys(made))


def _listed(rule: str, host: str) -> str:
    """What would let a host through: a rule to paste into a list, unless a list denies it by name, which always wins."""
    if rule != "network_denied":
        return f"take {host} out of `{rule}` in `policies/network/*.yaml`: what is denied there, no other line allows"
    return f'- {{id: "net.{host[:_MOST_ID]}", why: "…", domains: ["{host}"]}}'


def _exempt(rule: str, who: str, guardrail: bool, decision: str, until: str) -> str:
    if rule.startswith("guardhouse."):
        return "nothing exempts from the pack that protects Guardhouse"
    if not guardrail:
        return f"a policy, profile or domain list would stop it: `guardhouse call query_audit decision_id={decision}` names the rule"
    return f'- {{rule: {rule}, set: warn, agents: [{who}], reason: "…", owner: "…", expires: "{until}"}}'


def _sample(payload: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    for name in _TEXTS:
        value = payload.get(name)
        if value:
            text = value if isinstance(value, str) else " ".join(str(one) for one in value)
            return text if len(text) <= _MOST_SAMPLE else text[: _MOST_SAMPLE - 1] + "…"
    return f"{entry['resource'].get('type', '')} {entry['resource'].get('id', '')}".strip()
