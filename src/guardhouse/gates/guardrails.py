"""Does a guardrail catch a text of this call, and may this principal do it anyway?"""

from __future__ import annotations

from dataclasses import dataclass, replace

from guardhouse.gates.policy import PolicyRules
from guardhouse.gates.policy.ruling import Answer, Ruling
from guardhouse.guardrails.overrides import applied
from guardhouse.guardrails.text import NOTHING_ALLOWS, Packs
from guardhouse.model.call import Call
from guardhouse.model.decision import Decision, Effect, Step, Verdict, allow, deny, hold
from guardhouse.model.facts import Facts, Finding, GrantFact

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
    """What the findings come to: the verdict, those that bind, and those that do not with the ids of what exempts them.

    What exempts is a policy (`guardrails.trusted`) or a person's grant (`grt_…`). `diverged`: the shadow engine's
    answers that differ, with the rules behind them. `loosened`: the rules of findings that the site's overrides took
    away or weakened, and `places` where those stand.
    """

    verdict: Verdict
    binding: tuple[Finding, ...]
    exempted: tuple[tuple[Finding, tuple[str, ...]], ...]
    diverged: tuple[tuple[str, tuple[str, ...]], ...] = ()
    loosened: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    @property
    def exempting(self) -> tuple[str, ...]:
        """The ids of everything that exempts a finding, sorted, once."""
        return tuple(sorted({name for _, names in self.exempted for name in names}))


_NOTHING = Judged(Verdict.ALLOW, (), ())


def join(packs: Packs, policy: PolicyRules) -> Rules:
    """This gate's rules are made of two loaded parts instead of files."""
    return Rules(packs, policy)


_VERDICTS = {"block": Verdict.BLOCK, "approval_required": Verdict.ASK, "warn": Verdict.WARN, "log": Verdict.ALLOW}
_RANK = {Verdict.ALLOW: 0, Verdict.WARN: 1, Verdict.ASK: 2, Verdict.BLOCK: 3}


def in_force(facts: Facts, packs: Packs) -> tuple[Finding, ...]:
    """The findings as the bundle's `overrides.yaml` has them for this principal, at this time, in this repository."""
    return _in_force(facts, packs)[0]


def _in_force(facts: Facts, packs: Packs) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    if not (packs.overrides or any(finding.floor for finding in facts.findings)):
        return facts.findings, ()
    who = facts.principal
    agent = who.kind == "agent"
    return applied(
        facts.findings,
        packs.overrides,
        now=facts.now,
        agent=who.id if agent else "",
        role=who.role if agent else "",
        delegation=who.delegation,
        repository=facts.registered_repository,
    )


def judge(call: Call, facts: Facts, rules: Rules) -> Judged:
    """Weigh every finding in force: one that would ask or block may be exempted by a policy, then by a person's grant.

    Never what protects Guardhouse: no policy is asked about it and no grant lifts it.
    """
    if not facts.findings:
        return _NOTHING
    found, places = _in_force(facts, rules.packs)
    loosened = _loosened(facts.findings, found)
    raw = {_key(finding): finding for finding in facts.findings}
    if found is not facts.findings:
        facts = replace(facts, findings=found)
    binding: list[Finding] = []
    exempted: list[tuple[Finding, tuple[str, ...]]] = []
    answers: dict[tuple[str, str, int, tuple[str, ...]], Ruling] = {}
    for finding in facts.findings:
        verdict = _VERDICTS.get(finding.severity, Verdict.BLOCK)
        if _RANK[verdict] < 2 or finding.protects:
            binding.append(finding)
            continue
        key = (finding.rule, finding.severity, finding.min_trust, finding.path_classes)
        if key not in answers:
            answers[key] = rules.policy.override(call, facts, finding)
        if answers[key].answer is Answer.ALLOW:
            exempted.append((finding, answers[key].rules))
        elif _granted(facts, raw[_key(finding)]):
            assert facts.grant is not None
            exempted.append((finding, (facts.grant.id,)))
        else:
            binding.append(finding)
    worst = max(
        (_VERDICTS.get(finding.severity, Verdict.BLOCK) for finding in binding),
        key=_RANK.__getitem__,
        default=Verdict.ALLOW,
    )
    if exempted and worst is Verdict.ALLOW:
        worst = Verdict.WARN
    diverged = sorted({(item.divergence, item.shadow_rules) for item in answers.values() if item.divergence})
    return Judged(worst, tuple(binding), tuple(exempted), tuple(diverged), loosened, places)


def _key(finding: Finding) -> tuple[str, str, int, int]:
    return finding.rule, finding.field, finding.start, finding.end


def _granted(facts: Facts, finding: Finding) -> bool:
    """Whether the grant in the facts is alive under this law and lifts a finding as it was found."""
    grant = facts.grant
    if grant is None or grant.law != facts.law or grant.expires_at <= facts.now:
        return False
    weight = max(_weight(finding), _RANK[_VERDICTS.get(finding.floor or "log", Verdict.BLOCK)])
    return any(
        rule == finding.rule and weight <= _RANK[_VERDICTS.get(severity, Verdict.ALLOW)]
        for rule, severity in grant.rules
    )


def _loosened(before: tuple[Finding, ...], after: tuple[Finding, ...]) -> tuple[str, ...]:
    if before is after:
        return ()
    kept = {_key(item): _weight(item) for item in after}
    return tuple(sorted({item.rule for item in before if kept.get(_key(item), -1) < _weight(item)}))


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
    found = {finding.rule for finding in (*judged.binding, *(finding for finding, _ in judged.exempted))}
    every = tuple(sorted(found | {*judged.loosened, *judged.exempting, *judged.places}))
    by = f", exempted by {_quoted(judged.exempting)}" if judged.exempted else ""
    by += f", loosened by {_quoted(judged.places)}" if judged.places else ""
    if examines:
        # Each trace of what does not bind is a remark: it is recorded with the step.
        marked = judged.verdict is not Verdict.ALLOW or bool(judged.loosened)
        return allow(NAME, "examined", f"the verdict is `{judged.verdict}`{by}", every, warn=marked)
    if judged.verdict is Verdict.BLOCK:
        return deny(NAME, "guardrail_blocked", "a guardrail blocks what this call carries", heavy)
    if judged.verdict is Verdict.ASK:
        return hold(NAME, "approval_required", "a guardrail asks for a person's approval", heavy)
    if judged.exempted:
        return allow(NAME, "overridden", f"a guardrail matched and does not bind here{by}", every, warn=True)
    if judged.loosened:
        return allow(NAME, "loosened", f"a guardrail matched and the site's overrides loosen it{by}", every, warn=True)
    if judged.verdict is Verdict.WARN:
        return allow(NAME, "warned", "a guardrail warns of what this call carries", heavy, warn=True)
    return Step(NAME, Effect.ALLOW, "logged", rules=every)


def allowed_by(finding: Finding) -> str:
    """What would allow what a finding catches, in words; empty when it stops nothing."""
    if _RANK[_VERDICTS.get(finding.severity, Verdict.BLOCK)] < 2:
        return ""
    if finding.protects:
        return NOTHING_ALLOWS
    trust = f"trust {finding.min_trust} or more, " if finding.min_trust <= 4 else ""
    person = "a person's approval or grant" if finding.severity == "approval_required" else "a person's grant"
    return f"{trust}or {person}" if trust else person


def refuses(decision: Decision) -> bool:
    """Whether this gate is what stops a call, or what tells an examined text no, and binds: then a grant could matter."""
    if decision.verdict is not None and decision.effect is Effect.ALLOW:
        return decision.enforced and decision.verdict in (Verdict.ASK, Verdict.BLOCK)
    step = decision.step(NAME)
    return step is not None and step.effect in (Effect.DENY, Effect.HOLD) and decision.effect is not Effect.ALLOW


def grant_used(decision: Decision, facts: Facts) -> GrantFact | None:
    """The grant that a decision rests on, or None: then it is used up where it serves once."""
    if facts.grant is None:
        return None
    step = decision.step(NAME)
    if step is None or facts.grant.id not in step.rules or refuses(decision):
        return None
    return facts.grant


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
