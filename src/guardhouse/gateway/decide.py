"""Decide: a pure function of (call, facts, bundle). No IO, no clock, no randomness, so it can be replayed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from guardhouse.bundle import Bundle
from guardhouse.gates import GATES, approval, control, guardrails, identity, profile
from guardhouse.gateway.decider import DECIDER
from guardhouse.model.call import Call
from guardhouse.model.decision import Decision, Effect, Step, Verdict, allow, deny
from guardhouse.model.facts import Facts

__all__ = ["DECIDER", "decide"]

_ALWAYS = (identity, control)
_AFTER = GATES[len(_ALWAYS) :]
_PREPARE = "prepare"


def decide(call: Call, facts: Facts, bundle: Bundle) -> Decision:
    """Fold the gates: the first binding deny stops, a hold goes on, and a grant lifts every hold before it.

    An observed gate keeps its true effect in its step, but neither stops nor holds the call.
    """
    shown: list[Step] = []
    for gate in _ALWAYS:
        step = _ask(gate, call, facts, bundle, ())
        shown.append(step)
        if step.effect is not Effect.ALLOW:
            return _denied(shown, step)
    early = _early(call, facts)
    observed, packs = _observed(call, facts)
    if early is not None:
        # A call that cannot be understood, or is sent again, still costs: else it would flood the ledger.
        spent = None if observed else profile.hour_is_spent(facts, bundle.rules[profile.NAME])
        if spent is not None:
            return _denied([*shown, spent], spent)
        shown.append(early)
        if early.effect is Effect.DENY:
            return _denied(shown, early)
        return Decision(Effect.ALLOW, _rest(shown), early.code, early.message)
    binding = list(shown)
    for gate in _AFTER:
        step = _ask(gate, call, facts, bundle, tuple(shown))
        binds = step
        # A gate that raises has not decided, so no mode can set its answer aside.
        if step.code != "gate_error" and (observed or packs):
            binds = _binding(gate, step, call, facts, bundle, tuple(binding), observed, packs)
        if gate is approval and call.operation in guardrails.EXAMINES:
            step = binds = _presented(step, call, facts, bundle)
        shown.append(step)
        binding.append(binds)
        if binds.effect is Effect.DENY:
            return replace(_denied(shown, binds), mode="observe" if observed else "enforce")
    return _folded(call, facts, bundle, shown, binding, observed, packs)


def _ask(gate: Any, call: Call, facts: Facts, bundle: Bundle, so_far: tuple[Step, ...]) -> Step:
    try:
        step: Step = gate.check(call, facts, bundle.rules[gate.NAME], so_far)
    except Exception as error:  # noqa: BLE001  # whatever a gate raises, the answer is no
        return deny(gate.NAME, "gate_error", f"the gate `{gate.NAME}` failed ({type(error).__name__})")
    return step


def _early(call: Call, facts: Facts) -> Step | None:
    if call.fault is not None:
        return deny(_PREPARE, call.fault.code, call.fault.message)
    if facts.repeat_differs:
        return deny(_PREPARE, "idempotency_conflict", "this idempotency key already stands for another call")
    if facts.repeats:
        return allow(_PREPARE, "repeated")
    return None


def _observed(call: Call, facts: Facts) -> tuple[bool, frozenset[str]]:
    """Whether all observable gates are observed for this principal, and the packs that are observed alone.

    An agent's observing reaches those that act on its behalf. Governing operations are never observed: an
    observed workspace must not let an auditor make operators, or end the mode. That is part of how
    Guardhouse protects itself.
    """
    if call.governs:
        return False, frozenset()
    who = facts.principal
    active = [(mode.scope_kind, mode.scope_id) for mode in facts.workspace.observations if mode.until > facts.now]
    agent = who.kind == "agent"
    whole = any(
        kind == "workspace"
        or (agent and kind == "agent" and (name == who.id or name in who.delegation))
        or (agent and kind == "role" and name == who.role)
        for kind, name in active
    )
    return whole, frozenset(name for kind, name in active if kind == "pack")


def _enforced(facts: Facts, observed: bool, packs: frozenset[str]) -> Facts:
    kept = tuple(item for item in facts.findings if item.protects or not (observed or item.pack in packs))
    return replace(facts, findings=kept)


def _binding(
    gate: Any,
    step: Step,
    call: Call,
    facts: Facts,
    bundle: Bundle,
    so_far: tuple[Step, ...],
    observed: bool,
    packs: frozenset[str],
) -> Step:
    """What of a step binds: all of it, nothing, or what the findings that are not observed come to."""
    if gate is guardrails:
        return _ask(gate, call, _enforced(facts, observed, packs), bundle, so_far)
    if gate is approval:
        # Where nothing that binds is held, an approval that does not fit is only noted.
        if observed and not any(item.effect is Effect.HOLD for item in so_far):
            return allow(gate.NAME, "observed")
        return _ask(gate, call, facts, bundle, so_far)
    return allow(gate.NAME, "observed") if observed else step


def _presented(step: Step, call: Call, facts: Facts, bundle: Bundle) -> Step:
    """An examination asks nobody; it may only use up a grant: one whose id the caller presents, or which it finds."""
    if step.effect is Effect.DENY and step.code == "approval_mismatch":
        return allow(approval.NAME, step.code, step.message, warn=True)
    found = facts.approval
    if found is None or not (found.presented or call.operation in guardrails.FINDS_GRANTS):
        return step
    if guardrails.judge(call, facts, bundle.rules[guardrails.NAME]).verdict is not Verdict.ASK:
        return step
    judged = approval.judge(facts)
    return judged if judged.effect is Effect.ALLOW else allow(approval.NAME, judged.code, judged.message, warn=True)


def _folded(
    call: Call,
    facts: Facts,
    bundle: Bundle,
    shown: list[Step],
    binding: list[Step],
    observed: bool,
    packs: frozenset[str],
) -> Decision:
    effect, step = _outcome(binding)
    wanted, because = _outcome(shown)
    verdict: Verdict | None = None
    if call.operation in guardrails.EXAMINES:
        rules = bundle.rules[guardrails.NAME]
        verdict = guardrails.judge(call, facts, rules).verdict
        binds = verdict
        if observed or packs:
            binds = guardrails.judge(call, _enforced(facts, observed, packs), rules).verdict
        if verdict is Verdict.ASK and shown[-1].code == "approved":
            verdict = binds = Verdict.WARN
        if wanted is Effect.ALLOW and verdict in _WOULD and binds is not verdict:
            wanted = _WOULD[verdict]
    would = wanted if effect is Effect.ALLOW and wanted is not Effect.ALLOW else None
    if would is not None:
        step = because
    return Decision(
        effect,
        tuple(shown),
        step.code if step is not None else "allowed",
        step.message if step is not None else "",
        enforced=would is None,
        would=would,
        mode="observe" if observed or would is not None else "enforce",
        verdict=verdict,
    )


_WOULD = {Verdict.ASK: Effect.HOLD, Verdict.BLOCK: Effect.DENY}


def _outcome(steps: list[Step]) -> tuple[Effect, Step | None]:
    """The fold's effect and the step that made it."""
    denied = next((step for step in steps if step.effect is Effect.DENY), None)
    if denied is not None:
        return Effect.DENY, denied
    last = steps[-1]
    if last.effect is Effect.HOLD:
        first = next(step for step in steps if step.effect is Effect.HOLD)
        return Effect.HOLD, replace(last, message=first.message)
    return Effect.ALLOW, None


def _rest(steps: list[Step]) -> tuple[Step, ...]:
    reached = {step.gate for step in steps}
    later = (Step(gate.NAME, Effect.NOT_REACHED, "not_reached") for gate in GATES if gate.NAME not in reached)
    return (*steps, *later)


def _denied(steps: list[Step], step: Step) -> Decision:
    return Decision(Effect.DENY, _rest(steps), step.code, step.message)
