"""Record: the one entry of a call, and what leaves in the answer."""

from __future__ import annotations

from typing import Any

from guardhouse.gateway.decide import DECIDER
from guardhouse.gateway.prepare import Prepared
from guardhouse.gateway.read import View
from guardhouse.ledger import entries
from guardhouse.model import canonical
from guardhouse.model.answer import Outcome
from guardhouse.model.decision import Decision, Effect
from guardhouse.model.facts import Facts
from guardhouse.model.instants import rfc3339

FORMAT = 1
"""The entry's format version. Every released version stays verifiable."""


def draft(
    view: View,
    prepared: Prepared,
    facts: Facts,
    decision: Decision,
    outcome: str,
    objects: list[str],
    sequence: int,
    salt: bytes,
) -> entries.Draft:
    """The entry of one call, complete but for its hash. Free text stands only in the payload beside it."""
    call = prepared.call
    principal = facts.principal
    principal_digest, principal_body = view.standing.recorded(prepared.token_hash)
    body: dict[str, Any] = {
        "v": FORMAT,
        "workspace": view.workspace_id,
        "sequence": sequence,
        "at": rfc3339(facts.now),
        "id": call.id,
        "principal": {"kind": principal.kind, "id": principal.id},
        "session": principal.session_id,
        "surface": call.surface,
        "operation": call.operation,
        "category": str(call.category),
        "resource": call.resource.to_json(),
        "call": call.to_json(),
        "facts": facts.to_json(principal_digest, view.standing.digest),
        "bundle": view.standing.bundle.digest,
        "decider": DECIDER,
        "mode": decision.mode,
        "steps": [step.to_json() for step in decision.steps],
        "effect": str(decision.effect),
        "enforced": decision.enforced,
        "outcome": outcome,
    }
    if prepared.request_id:
        body["request"] = prepared.request_id
    if principal.delegation:
        body["delegation"] = list(principal.delegation)
    if decision.would is not None:
        body["would"] = str(decision.would)
    if decision.verdict is not None:
        body["verdict"] = str(decision.verdict)
    if objects:
        body["objects"] = view.standing.bundle.packs.redact(objects)
    if facts.repeats:
        body["repeats"] = facts.repeats
    if prepared.raw.suppressed:
        body["suppressed"] = prepared.raw.suppressed
    payload = prepared.payload
    if payload is not None:
        body["payload_digest"] = entries.payload_digest(salt, payload)
    return entries.Draft(
        body=body,
        payload=payload,
        salt=salt,
        contents={principal_digest: principal_body, view.standing.digest: view.standing.body},
        rules=decision.rules,
    )


def refusal_details(prepared: Prepared, facts: Facts, decision: Decision) -> dict[str, Any]:
    """Machine-readable detail of a decision that did not let the call through."""
    details: dict[str, Any] = {}
    if decision.rules:
        details["rule_ids"] = list(decision.rules)
    advice = [text for step in decision.steps for text in step.advice]
    if advice:
        details["advice"] = advice
    if prepared.fields:
        details["fields"] = [{"field": fault.field, "problem": fault.problem} for fault in prepared.fields]
    retry = _retry_after(facts, decision)
    if retry is not None:
        details["retry_after_seconds"] = retry
    if decision.effect is Effect.DENY and facts.findings:
        details["hits"] = [
            {"rule_id": finding.rule, "field": finding.field, "start": finding.start, "end": finding.end}
            for finding in facts.findings
        ]
    return details


def _retry_after(facts: Facts, decision: Decision) -> int | None:
    if decision.code == "quota_exhausted":
        hour = 3_600_000_000
        return max(1, -(-(hour - facts.now % hour) // 1_000_000))
    if decision.code in ("agent_paused", "workspace_not_active"):
        ends = [control.until for control in facts.workspace.controls if control.until > facts.now]
        return max(1, -(-(min(ends) - facts.now) // 1_000_000)) if ends else 60
    return None


def answer(
    prepared: Prepared,
    facts: Facts,
    decision: Decision,
    code: str,
    sequence: int,
    *,
    message: str = "",
    result: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
) -> Outcome:
    """What leaves the gateway once the entry is durable."""
    return Outcome(
        code=code,
        message=message,
        request_id=prepared.request_id,
        decision_id=prepared.call.id,
        workspace_id=facts.workspace.id,
        sequence=sequence,
        decision=decision,
        result=result,
        error=error or {},
        repeated=facts.repeats if code == "performed" else "",
    )


def first_outcome_body(view: View, prepared: Prepared, result: dict[str, Any]) -> bytes:
    """The stored form of a performed outcome; what is given once is cut from it, and every caught secret."""
    secret = prepared.operation.secret_outputs if prepared.operation else ()
    kept = {key: value for key, value in result.items() if key not in secret}
    return canonical.encode(view.standing.bundle.packs.redact(kept))
