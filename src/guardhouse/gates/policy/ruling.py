"""What both engines are asked and what they answer: one form, so that they can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from guardhouse.model.call import Call
from guardhouse.model.facts import Facts, Finding
from guardhouse.model.instants import HOUR, SECOND

OVERRIDE = "override_guardrail"
RESOURCE_TYPES = (
    "Lock", "File", "Task", "Command", "Domain", "Document", "Memory", "Message",
    "Agent", "Policy", "Ledger", "Workspace", "Feature",
)  # fmt: skip
_RISK = {"log": 0, "warn": 1, "approval_required": 2, "block": 3}


class Answer(StrEnum):
    """An engine's answer; anything that is not `allow` or `hold` is no."""

    ALLOW = "allow"
    DENY = "deny"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Ruling:
    """An answer, the sorted ids of the rules that made it, evaluation errors, the authors' advice, and the shadow's answer where it differs."""

    answer: Answer
    rules: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    divergence: str = ""
    shadow_rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entity:
    """One Cedar entity: type, id, attributes and parents (type, id). `known` is false where its attributes are not."""

    type: str
    id: str
    attributes: dict[str, Any]
    parents: tuple[tuple[str, str], ...] = ()
    known: bool = True


class Engine(Protocol):
    """Answers whether a principal may do an action. MUST deny on any error and never raise for one.

    `looks_further`: whether a permit of this action for this type of principal depends on the resource
    or the context, so that the answer for one of them tells nothing about another.
    `tells_apart`: whether a rule may name this very resource, so that its answer is no other's of the same type
    and attributes; what errs, errs towards yes.
    """

    def authorize(self, principal: Entity, action: str, resource: Entity, context: dict[str, Any]) -> Ruling: ...

    def looks_further(self, principal: str, action: str) -> bool: ...

    def tells_apart(self, resource: Entity) -> bool: ...


def principal_of(facts: Facts, ceilings: Mapping[str, int]) -> Entity:
    """Who asks, from facts alone. `ceilings` caps trust by profile."""
    who = facts.principal
    if who.kind == "person":
        roles = sorted(who.roles)
        return Entity("Person", who.id, {"roles": roles}, tuple(("Role", role) for role in roles))
    attributes = {
        "trust_level": min(who.effective_trust, ceilings.get(who.profile or "default", 4)),
        "role": who.role,
        "owner": who.owner,
        "profile": who.profile or "default",
        "delegated_by": list(who.delegation),
        "delegation_depth": len(who.delegation),
        "session_grants": sorted(who.grants),
    }
    return Entity("Agent", who.id, attributes, (("Role", who.role),) if who.role else ())


def resource_of(call: Call, facts: Facts) -> Entity:
    """What is touched. A repository counts only when a person registered it; another agent's standing is not known here."""
    if call.resource.type == "Agent":
        return Entity("Agent", call.resource.id, {}, known=False)
    return Entity(call.resource.type, call.resource.id, {"repository": facts.registered_repository})


def rule_of(finding: Finding, facts: Facts) -> Entity:
    """A guardrail rule as the resource of `override_guardrail`."""
    attributes = {
        "severity": finding.severity,
        "min_trust": finding.min_trust,
        "repository": facts.registered_repository,
        "path_classes": sorted(finding.path_classes),
    }
    return Entity("Rule", finding.rule, attributes, (("Category", finding.category),))


def context_of(call: Call, facts: Facts) -> dict[str, Any]:
    """The context, filled by the gateway alone. `at` is in seconds since the epoch, `hour` in UTC, `risk` 0-3."""
    return {
        "surface": call.surface,
        "address": call.address,
        "at": facts.now // SECOND,
        "hour": facts.now // HOUR % 24,
        "risk": max((_RISK.get(finding.severity, 3) for finding in facts.findings), default=0),
        "labels": sorted(call.labels),
    }
