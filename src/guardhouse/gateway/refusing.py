"""Refusing: what leaves beside the code of a decision that did not let its call through. Nothing of it is recorded.

The envelope's own fields say for programs what the message says for people: who stands in the way, why and until when,
which rule, which destination, what would be needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from guardhouse.gates import control, network, profile
from guardhouse.gateway.prepare import Prepared
from guardhouse.gateway.read import View
from guardhouse.governance import standing
from guardhouse.governance.control import reason_of
from guardhouse.model.decision import Decision, Effect
from guardhouse.model.facts import Facts
from guardhouse.model.instants import HOUR, SECOND, Micros, rfc3339

_MOST_DOMAINS = 20
_BARRED = ("suspended", "stopped")
"""Orders that take all trust from whoever acts for their agent."""


class _Refused(NamedTuple):
    """One refused call, with the ground that it was refused on."""

    view: View
    prepared: Prepared
    facts: Facts


def message(prepared: Prepared, decision: Decision) -> str:
    """The words that leave with a refusal: those of the step that refused, and where they name no next step, that too."""
    fault = prepared.call.fault
    if fault is not None and decision.code == fault.code:
        return prepared.explanation
    if decision.code == "payload_too_large":
        return (
            f"{decision.message}, and this call has {prepared.call.size}: send less, or split it over several calls "
            "(`payload_bytes` of the profile is the security people's limit)"
        )
    return decision.message


def details(view: View, prepared: Prepared, facts: Facts, decision: Decision) -> dict[str, Any]:
    """Machine-readable detail of a decision that did not let the call through."""
    told: dict[str, Any] = {}
    if decision.rules:
        told["rule_ids"] = list(decision.rules)
    advice = [text for step in decision.steps for text in step.advice]
    if advice:
        told["advice"] = advice
    if prepared.fields:
        told["fields"] = [{"field": fault.field, "problem": fault.problem} for fault in prepared.fields]
    retry = _retry_after(prepared, facts, decision)
    if retry is not None:
        told["retry_after_seconds"] = retry
    if decision.effect is Effect.DENY and facts.findings:
        told["hits"] = [
            {"rule_id": finding.rule, "field": finding.field, "start": finding.start, "end": finding.end}
            for finding in facts.findings
        ]
    more = _MORE.get(decision.code)
    return told if more is None else told | more(_Refused(view, prepared, facts))


def _order(refused: _Refused) -> dict[str, Any]:
    """Who gave the order that binds, why, and until when. Read beside the decision: a reason is no fact to judge by."""
    order = control.binding(refused.prepared.call, refused.facts)
    if order is None:
        return {}
    tx, workspace = refused.view.tx, refused.view.workspace_id
    return {
        "state": order.state,
        "subject": order.subject_id,
        "subject_alias": standing.name_of(tx.connection, workspace, order.subject_id),
        "by": order.by,
        "by_alias": standing.name_of(tx.connection, workspace, order.by),
        "reason": reason_of(tx, workspace, order),
        "until": rfc3339(order.until) if order.until else "",
    }


def _suspended(refused: _Refused) -> dict[str, Any]:
    """Why nothing stands behind the agent: whose trust is 0, or which one that it acts for is suspended or stopped.

    An empty `subject` is a chain that nothing lifts, such as one with a retired agent in it.
    """
    who, tx, workspace = refused.facts.principal, refused.view.tx, refused.view.workspace_id
    barred = {one.subject_id: one.state for one in refused.facts.workspace.controls if one.state in _BARRED}
    for one in (who.id, *who.delegation):
        found = standing.read_agent(tx.connection, workspace, one)
        state = barred.get(one, "") if one != who.id else ""
        if state or (found is not None and found.trust <= 0):
            return {"subject": one, "subject_alias": standing.name_of(tx.connection, workspace, one), "state": state}
    return {"subject": ""}


def _domains(refused: _Refused) -> dict[str, Any]:
    """Which destinations the lists do not let it reach, as hosts, and the rule that names each; "" where none does."""
    redact = refused.view.standing.bundle.packs.redact
    found = [
        {
            "field": finding.field,
            "domain": redact(str(network.host_of(destination) or "")),
            "rule": finding.rule,
            "because": finding.code,
        }
        for (_field, destination), finding in zip(refused.prepared.destinations, refused.prepared.domains, strict=True)
        if finding.effect != "allow"
    ]
    first = found[0]
    return {"domain": first["domain"], "rule": first["rule"], "domains": found[:_MOST_DOMAINS]}


def _trust(refused: _Refused) -> dict[str, Any]:
    return {"needed": {"trust": profile.FLOOR[refused.prepared.call.category]}}


def _sender(refused: _Refused) -> dict[str, Any]:
    return {"needed": {"principal": refused.facts.principal.id}}


def _person(_refused: _Refused) -> dict[str, Any]:
    return {"needed": {"kind": "person"}}


_MORE: dict[str, Callable[[_Refused], dict[str, Any]]] = {
    "agent_paused": _order,
    "agent_suspended": _order,
    "agent_stopped": _order,
    "workspace_not_active": _order,
    "suspended": _suspended,
    "network_denied": _domains,
    "trust_too_low": _trust,
    "sender_mismatch": _sender,
    "people_only": _person,
}


def _retry_after(prepared: Prepared, facts: Facts, decision: Decision) -> int | None:
    if decision.code == "quota_exhausted":
        return _seconds(HOUR - facts.now % HOUR)
    if decision.code in ("agent_paused", "workspace_not_active"):
        order = control.binding(prepared.call, facts)
        return _seconds(order.until - facts.now) if order is not None and order.until else 60
    return None


def _seconds(micros: Micros) -> int:
    return max(1, -(-micros // SECOND))
