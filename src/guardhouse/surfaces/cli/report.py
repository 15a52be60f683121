"""`guardhouse report`: what would have been stopped while it was only observed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from guardhouse.surfaces.cli import naming, render, spans
from guardhouse.surfaces.cli.door import open_door
from guardhouse.surfaces.cli.output import Json, composition_of, finish

_MOST_SAMPLE = 160
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

    Each row ends with the line for `overrides.yaml` that would exempt it; put in the reason and who answers for it.

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
        render.say(f"{row['count']} x {row['rule']}: {row['agent']}{where}, would {row['would']}", "bold")
        render.say(f"  sample: {render.plain(row['sample'])}")
        render.say(f"  decision: {row['decision_id']}")
        # Not through Rich: a line that is to be pasted must not be wrapped.
        sys.stdout.write(f"  exempt: {row['exempt']}\n")


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
    """One row a rule, agent and repository, most frequent first. The sample is the newest that is still readable."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for entry in entries:
        who = str(entry["principal"]["id"])
        payload = entry.get("payload") or {}
        where = str(entry["resource"].get("repository") or payload.get("workspace_root") or payload.get("cwd") or "")
        for rule, law in _rules(entry):
            row = rows.setdefault(
                (rule, who, where),
                {
                    "rule": rule,
                    "agent": known.get(who, who),
                    "agent_id": who,
                    "repository": where,
                    "would": entry.get("would", "deny"),
                    "count": 0,
                    "sample": "",
                    "decision_id": entry["id"],
                    "exempt": _exempt(rule, who, law, str(entry["id"]), until),
                },
            )
            row["count"] += 1
            if not row["sample"]:
                row["sample"], row["decision_id"] = _sample(payload, entry), entry["id"]
    return sorted(rows.values(), key=lambda row: (-row["count"], row["rule"], row["agent_id"], row["repository"]))


def _rules(entry: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """(rule, whether a guardrail) of what would have stopped the call: its findings, else the gates' own rules."""
    stopping = ("block", "approval_required")
    found = [str(one["rule"]) for one in entry.get("facts", {}).get("findings", ()) if one["severity"] in stopping]
    made = [(rule, True) for rule in dict.fromkeys(found)]
    for step in entry.get("steps", ()):
        if step.get("effect") in ("deny", "hold"):
            made.extend((str(rule), False) for rule in step.get("rules") or (step["code"],))
    return made or [(str(entry["operation"]), False)]


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
