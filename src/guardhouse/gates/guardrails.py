"""Does a guardrail catch a text of this call, and may this principal do it anyway?"""

from __future__ import annotations

from dataclasses import dataclass, replace

from guardhouse.gates.policy import PolicyRules
from guardhouse.gates.policy.ruling import Answer, Ruling
from guardhouse.guardrails.overrides import apply
from guardhouse.guardrails.text import Packs
from guardhouse.model.call import Call
from guardhouse.model.decision import Effect, Step, Verdict, allow, deny, hold
from guardhouse.model.facts import Facts, Finding

NAME = "guardrails"
EXAMINES = frozenset({"check_guardrails", "check_tool"})
"""The operations whose texts are examined and never carried: their findings make a verdict."""
FINDS_GRANTS = frozenset({"check_tool"})
"""Of those, the ones whose callers cannot present a grant: the same question finds it by itself."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The packs that made the findings, and the policies that may let one be overridden."""

    packs: Packs
    policy: PolicyRules


@dataclass(frozen=True, slots=True)
class Judged:
    """What the findings come to: the verdict, those that bind, those this principal may override.

    `diverged`: the shadow engine's answers that differ, with the rules behind them. `loosened`: the rules of findings
    that the site's overrides took away or weakened.
    """

    verdict: Verdict
    binding: tuple[Finding, ...]
    overridden: tuple[Finding, ...]
    diverged: tuple[tuple[str, tuple[str, ...]], ...] = ()
    loosened: tuple[str, ...] = ()


def join(packs: Packs, policy: PolicyRules) -> Rules:
    """This gate's rules are made of two loaded parts instead of files."""
    return Rules(packs, policy)


_VERDICTS = {"block": Verdict.BLOCK, "approval_required": Verdict.ASK, "warn": Verdict.WARN, "log": Verdict.ALLOW}
_RANK = {Verdict.ALLOW: 0, Verdict.WARN: 1, Verdict.ASK: 2, Verdict.BLOCK: 3}


def in_force(facts: Facts, packs: Packs) -> tuple[Finding, ...]:
    """The findings as the bundle's `overrides.yaml` has them for this principal, at this time, in this repository."""
    if not packs.overrides or not facts.findings:
        return facts.findings
    who = facts.principal
    agent = who.kind == "agent"
    return apply(
        facts.findings,
        packs.overrides,
        now=facts.now,
        agent=who.id if agent else "",
        role=who.role if agent else "",
        delegation=who.delegation,
        repository=facts.registered_repository,
    )


def judge(call: Call, facts: Facts, rules: Rules) -> Judged:
    """Weigh every finding in force; one that would ask or block is put to the policy engine unless it protects Guardhouse."""
    found = in_force(facts, rules.packs)
    loosened = _loosened(facts.findings, found)
    facts = replace(facts, findings=found)
    binding: list[Finding] = []
    overridden: list[Finding] = []
    answers: dict[tuple[str, str, int, tuple[str, ...]], Ruling] = {}
    for finding in facts.findings:
        verdict = _VERDICTS.get(finding.severity, Verdict.BLOCK)
        if _RANK[verdict] < 2 or finding.protects:
            binding.append(finding)
            continue
        key = (finding.rule, finding.severity, finding.min_trust, finding.path_classes)
        if key not in answers:
            answers[key] = rules.policy.override(call, facts, finding)
        (overridden if answers[key].answer is Answer.ALLOW else binding).append(finding)
    worst = max(
        (_VERDICTS.get(finding.severity, Verdict.BLOCK) for finding in binding),
        key=_RANK.__getitem__,
        default=Verdict.ALLOW,
    )
    if overridden and worst is Verdict.ALLOW:
        worst = Verdict.WARN
    diverged = sorted({(item.divergence, item.shadow_rules) for item in answers.values() if item.divergence})
    return Judged(worst, tuple(binding), tuple(overridden), tuple(diverged), loosened)


def _loosened(before: tuple[Finding, ...], after: tuple[Finding, ...]) -> tuple[str, ...]:
    if before is after:
        return ()
    kept = {(item.rule, item.field, item.start, item.end): _weight(item) for item in after}
    return tuple(
        sorted(
            {
                item.rule
                for item in before
                if kept.get((item.rule, item.field, item.start, item.end), -1) < _weight(item)
            }
        )
    )


def _weight(finding: Finding) -> int:
    return _RANK[_VERDICTS.get(finding.severity, Verdict.BLOCK)]


def check(call: Call, facts: Facts, rules: Rules, so_far: tuple[Step, ...]) -> Step:
    """Block, hold or warn by what binds. A text that was given to be examined never denies its own call."""
    del so_far
    if not facts.findings:
        return allow(NAME, "nothing_found")
    return step_of(judge(call, facts, rules), examines=call.operation in EXAMINES)


def step_of(judged: Judged, *, examines: bool) -> Step:
    """The step that a judgement comes to; where the shadow engine disagrees, it says so and warns."""
    step = _step(judged, examines=examines)
    if not judged.diverged:
        return step
    answers = ", ".join(sorted({f"`{answer}`" for answer, _ in judged.diverged}))
    note = f"{step.message}; the native rules say {answers} to an override".removeprefix("; ")
    ids = tuple(sorted({*step.rules, *(rule for _, rules in judged.diverged for rule in rules)}))
    return replace(step, warn=True, rules=ids, message=note)


def _step(judged: Judged, *, examines: bool) -> Step:
    heavy = tuple(sorted({finding.rule for finding in judged.binding if finding.severity != "log"}))
    every = tuple(sorted({finding.rule for finding in (*judged.binding, *judged.overridden)} | {*judged.loosened}))
    if examines:
        return allow(
            NAME, "examined", f"the verdict is `{judged.verdict}`", every, warn=judged.verdict is not Verdict.ALLOW
        )
    if judged.verdict is Verdict.BLOCK:
        return deny(NAME, "guardrail_blocked", "a guardrail blocks what this call carries", heavy)
    if judged.verdict is Verdict.ASK:
        return hold(NAME, "approval_required", "a guardrail asks for a person's approval", heavy)
    if judged.overridden:
        return allow(NAME, "overridden", "a guardrail matched and this principal may override it", every, warn=True)
    if judged.loosened:
        return allow(NAME, "loosened", "a guardrail matched and the site's overrides loosen it here", every, warn=True)
    if judged.verdict is Verdict.WARN:
        return allow(NAME, "warned", "a guardrail warns of what this call carries", heavy, warn=True)
    return Step(NAME, Effect.ALLOW, "logged", rules=every)
