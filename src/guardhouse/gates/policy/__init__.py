"""Do the policies permit it? Cedar or native rules, behind one question."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from guardhouse.errors import LawFault, LawProblem
from guardhouse.gates.policy import cedar, native
from guardhouse.gates.policy.memo import Memo
from guardhouse.gates.policy.ruling import (
    OVERRIDE,
    Answer,
    Engine,
    Entity,
    Ruling,
    context_of,
    principal_of,
    resource_of,
    rule_of,
)
from guardhouse.model.call import Call
from guardhouse.model.canonical import encode
from guardhouse.model.decision import Effect, Step, allow, deny, hold
from guardhouse.model.facts import Facts, Finding

NAME = "policy"
ENGINES = ("cedar", "native", "both")
_NOT_KNOWN = (
    "the law in force was made for a version of Guardhouse that had no such operation; a person brings it up to date "
    "with `guardhouse policy activate`"
)


@dataclass(frozen=True, slots=True)
class PolicyRules:
    """The engine that decides, the one that shadows it (None unless `both`), and trust ceilings by profile.

    `actions`: those that the schema knows; None asks the engine about whatever comes.

    Rulings are remembered, which changes none: engines are pure, and a ruling is found again only for the
    very same principal, action, resource and context, its second included, under these very rules. A resource
    that no rule names is the same as any other that none names: most tasks are asked about once in their lives.
    """

    engine: Engine
    shadow: Engine | None
    ceilings: Mapping[str, int]
    actions: frozenset[str] | None = None
    memo: Memo = field(default_factory=Memo, init=False, repr=False, compare=False)

    def authorize(self, principal: Entity, action: str, resource: Entity, context: dict[str, Any]) -> Ruling:
        """The deciding engine's ruling; with a shadow, also whether that one disagrees."""
        try:
            apart = self.engine.tells_apart(resource) or (self.shadow is not None and self.shadow.tells_apart(resource))
            key = encode(
                [_said(principal, principal.id), action, _said(resource, resource.id if apart else None), context]
            )
        except TypeError:
            # What has no canonical form is no question that comes twice; the engines know what to say to it.
            return self._ruled(principal, action, resource, context)
        ruling = self.memo.get(key)
        if ruling is None:
            ruling = self._ruled(principal, action, resource, context)
            # An error may be the moment's, such as a lack of memory.
            if not ruling.errors:
                self.memo.put(key, ruling)
        return ruling

    def _ruled(self, principal: Entity, action: str, resource: Entity, context: dict[str, Any]) -> Ruling:
        ruling = self.engine.authorize(principal, action, resource, context)
        if self.shadow is None:
            return ruling
        other = self.shadow.authorize(principal, action, resource, context)
        if other.answer is ruling.answer:
            return ruling
        return replace(ruling, divergence=str(other.answer), shadow_rules=other.rules)

    def looks_further(self, kind: str, action: str) -> bool:
        """Whether a permit that no question was put to yet could still apply: one that looks at resource or context."""
        return self.engine.looks_further("Person" if kind == "person" else "Agent", action)

    def override(self, call: Call, facts: Facts, finding: Finding) -> Ruling:
        """Whether the policies let this principal do what a guardrail caught. Never asked for a protecting rule."""
        who = principal_of(facts, self.ceilings)
        return self.authorize(who, OVERRIDE, rule_of(finding, facts), context_of(call, facts))


def _said(entity: Entity, name: str | None) -> tuple[Any, ...]:
    return entity.type, name, entity.attributes, entity.parents, entity.known


Rules = PolicyRules


def parse(
    files: Mapping[str, bytes],
    engine: str = "cedar",
    groups: Mapping[str, frozenset[str]] | None = None,
    ceilings: Mapping[str, int] | None = None,
    known: Mapping[str, Collection[str]] | None = None,
) -> PolicyRules:
    """Compile both engines and choose the one that decides; a fault in either loads nothing, and both are told.

    `known`: the words that native conditions can meet, see `native.compile_rules`.
    """
    problems: list[LawProblem] = []
    try:
        decides: Engine = cedar.compile_policies(files, groups)
    except LawFault as fault:
        problems.extend(fault.problems)
    try:
        rules: Engine = native.compile_rules(files, groups or {}, known)
    except LawFault as fault:
        problems.extend(fault.problems)
    if problems:
        raise LawFault(problems)
    actions = None if groups is None else frozenset(groups)
    if engine == "native":
        return PolicyRules(rules, None, ceilings or {}, actions)
    return PolicyRules(decides, rules if engine == "both" else None, ceilings or {}, actions)


def check(call: Call, facts: Facts, rules: PolicyRules, so_far: tuple[Step, ...]) -> Step:
    """Permit only what a policy permits and none forbids; any evaluation error is a deny.

    The house's own calls put no question: what is lapsed is lapsed by the terms it was taken on.
    """
    del so_far
    if facts.principal.kind == "system":
        return allow(NAME, "housekeeping")
    if rules.actions is not None and call.operation not in rules.actions:
        return deny(NAME, "policy_error", _NOT_KNOWN)
    who, what = principal_of(facts, rules.ceilings), resource_of(call, facts)
    ruling = rules.authorize(who, call.operation, what, context_of(call, facts))
    step = _step(ruling)
    if not ruling.divergence:
        return step
    ids = tuple(sorted({*step.rules, *ruling.shadow_rules}))
    note = f"{step.message}; the native rules say `{ruling.divergence}`".removeprefix("; ")
    return replace(step, warn=True, rules=ids, message=note)


def _step(ruling: Ruling) -> Step:
    if ruling.errors:
        return deny(NAME, "policy_error", "a policy could not be evaluated, so the answer is no", ruling.rules)
    if ruling.answer is Answer.ALLOW:
        return Step(NAME, Effect.ALLOW, "permitted", rules=ruling.rules)
    message = " ".join(ruling.advice)
    if ruling.answer is Answer.HOLD:
        return hold(NAME, "approval_required", message or "a policy asks for approval", ruling.rules, ruling.advice)
    if ruling.rules:
        return deny(NAME, "policy_forbidden", message or "a policy forbids this", ruling.rules, ruling.advice)
    return deny(NAME, "policy_not_permitted", "no policy permits this to this principal")
