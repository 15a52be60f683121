"""What `check`, `call` and `status` do. Mostly one round trip, so nothing here loads what that does not need."""

from __future__ import annotations

import http.client
import json as jsonlib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from guardhouse.surfaces.cli import arguments, exits, operator, render, replies, tightening
from guardhouse.surfaces.cli.door import open_door, running

if TYPE_CHECKING:
    from guardhouse.surfaces.cli.composition import Composition

KINDS = ("shell", "sql", "file", "auto")

_PREVIEW = "preview, not recorded: no gateway is running; `guardhouse serve` starts one"


def call(
    composition: Composition,
    operation: str,
    fields: Sequence[str] = (),
    *,
    approval: str = "",
    idempotency_key: str = "",
    json: bool = False,
) -> int:
    """Carry one call and tell the reply; the exit status."""
    with open_door(composition) as door:
        body = arguments.body(fields, door.schema(operation)) if fields else {}
        reply = door.call(operation, body, approval_id=approval, idempotency_key=idempotency_key)
    return replies.tell(reply, json)


def status(*, json: bool = False) -> int:
    """Tell the home and the gateway that serves it; the exit status."""
    home = operator.home()
    found = running()
    told: dict[str, Any] = {"home": str(home), "running": found is not None}
    if found is not None:
        told |= {"address": found.address, "process": found.pid, "ready": _ready(found.address)}
    if json:
        render.print_json(told)
    else:
        render.record("", told, skip=("ready",))
        if found is None:
            render.say("  no gateway runs for this home: `guardhouse serve` starts one")
        else:
            render.record("ready", told["ready"])
    return exits.OK if found is not None else exits.UNAVAILABLE


def _ready(address: str) -> dict[str, Any]:
    parts = urlsplit(address)
    host = parts.hostname or ""
    line = http.client.HTTPConnection(host, parts.port, timeout=5)
    if parts.scheme == "https":
        import ssl

        # endpoint.json proved the server; its certificate need not name the loopback address.
        line = http.client.HTTPSConnection(host, parts.port, timeout=5, context=ssl._create_unverified_context())  # noqa: S323
    try:
        line.request("GET", "/readyz")
        value = jsonlib.loads(line.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return {"ready": False}
    finally:
        line.close()
    return value if isinstance(value, dict) else {"ready": False}


def check(
    composition: Composition,
    text: str,
    *,
    kind: str = "auto",
    cwd: str = "",
    explain: bool = False,
    approval: str = "",
    json: bool = False,
) -> int:
    """Examine a text, with the gateway or else as a preview, and tell what was found; the exit status.

    It is examined as run in `cwd`, or where this process stands: words such as `.` mean a place, and what a person allows
    is bound to it.
    """
    cwd = os.path.abspath(cwd or os.curdir)
    root, tighten = tightening.repository(cwd)
    given = {"cwd": cwd, "workspace_root": root, "tighten": tighten}
    if os.environ.get("GUARDHOUSE_URL") or running() is not None:
        body: dict[str, Any] = {"operation_text": text, "kind": kind}
        body |= {name: value for name, value in given.items() if value}
        with open_door(composition) as door:
            reply = door.call("check_guardrails", body, approval_id=approval)
        if not reply.performed:
            return replies.tell(reply, json)
        answer: Mapping[str, Any] = reply.result
    else:
        answer = _preview(composition, text, kind, cwd, root, tighten)
    if json:
        render.print_json(answer)
    elif explain:
        _draw(answer, text)
    else:
        _show(answer)
    return exits.of_verdict(str(answer["verdict"]))


def _preview(
    composition: Composition, text: str, kind: str, cwd: str, root: str, tightening_text: str
) -> dict[str, Any]:
    """What the shipped packs find, for nobody in particular: no trust lifts a rule here."""
    from guardhouse.guardrails import tighten
    from guardhouse.guardrails.overrides import apply
    from guardhouse.guardrails.text import Examined

    packs = composition.load_bundle(None).packs
    texts = (Examined("operation_text", text, kind, cwd, workspace_root=root),)
    findings = apply(tighten.tightened(packs.examine(texts), tightening_text, packs.rules), (), now=0)
    explained = (*packs.explain(texts, findings), *tighten.explain(findings, tightening_text, packs.rules))
    verdicts = {"block": "block", "approval_required": "ask", "warn": "warn"}
    found = [verdicts[one.severity] for one in explained if one.severity in verdicts]
    verdict = next((name for name in ("block", "ask", "warn") if name in found), "allow")
    return {
        "verdict": verdict,
        "safe": verdict in ("allow", "warn"),
        "recorded": False,
        "note": _PREVIEW,
        "violations": [
            {
                "rule_id": one.rule,
                "category": one.category,
                "severity": one.severity,
                "matched_text": one.matched_text,
                "start": one.start,
                "end": one.end,
                "reason": one.reason,
                "alternative": one.alternative,
                "min_trust": one.min_trust,
                "via": list(one.via),
            }
            for one in explained
        ],
    }


def _show(answer: Mapping[str, Any]) -> None:
    verdict = str(answer["verdict"])
    render.say(verdict, render.VERDICT_STYLE.get(verdict, "bold red"))
    for violation in answer["violations"]:
        render.say(f"  {violation['rule_id']} ({violation['severity']}): {render.plain(violation['reason'])}")
        render.say(f"    matched: {render.plain(violation['matched_text'])}", "dim")
        if violation.get("alternative"):
            render.say(f"    instead: {render.plain(violation['alternative'])}", "green")
    _close(answer)


def _close(answer: Mapping[str, Any]) -> None:
    times = int(answer.get("times_refused") or 0)
    if times > 1:
        render.say(f"  refused {times} times in this session", "yellow")
    if answer.get("approval_id"):
        render.say(f"  a person can allow it: guardhouse approvals grant {answer['approval_id']}")
    if answer.get("enforced") is False:
        render.say("  observed only: nothing is enforced here", "yellow")
    if answer.get("note"):
        render.say(str(answer["note"]), "yellow", stderr=True)
    elif answer.get("decision_id"):
        render.say(f"  decision: {answer['decision_id']}", "dim")


def _draw(answer: Mapping[str, Any], text: str) -> None:
    """The command with its findings under it. What is a secret stays out of sight here as well: terminals are kept."""
    from guardhouse.guardrails.explain import draw
    from guardhouse.guardrails.text import Explained

    verdict = str(answer["verdict"])
    render.say(verdict, render.VERDICT_STYLE.get(verdict, "bold red"))
    found = []
    for one in answer["violations"]:
        if str(one["matched_text"]).startswith("[redacted:"):
            text = text[: one["start"]] + "*" * (one["end"] - one["start"]) + text[one["end"] :]
        found.append(
            Explained(
                rule=str(one["rule_id"]),
                pack="",
                category=str(one["category"]),
                severity=str(one["severity"]),
                # A gateway of an earlier version tells neither this nor the last three.
                min_trust=int(one.get("min_trust", 5)),
                field="command" if one.get("field", "operation_text") == "operation_text" else str(one["field"]),
                start=int(one["start"]),
                end=int(one["end"]),
                matched_text=str(one["matched_text"]),
                reason=str(one["reason"]),
                alternative=str(one.get("alternative") or ""),
                via=tuple(map(str, one.get("via") or ())),
                exempted_by=tuple(map(str, one.get("exempted_by") or ())),
                allowed_by=str(one.get("allowed_by") or ""),
            )
        )
    for line in draw(found, text).rstrip("\n").split("\n"):
        render.say(line, _STYLE.get(line.partition("[")[0], ""))
    _close(answer)


_STYLE = {"blocked": "bold red", "needs approval": "bold yellow", "warning": "yellow"}
