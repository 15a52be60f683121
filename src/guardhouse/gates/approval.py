"""Where an earlier gate holds the call: has a person already said yes to this very question?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from guardhouse.model.call import Call
from guardhouse.model.decision import Effect, Step, allow, deny, hold
from guardhouse.model.facts import Facts
from guardhouse.model.instants import DAY

NAME = "approval"
MAX_PENDING = 20
_MISMATCH = "the approval presented is for another call, resource or agent"


@dataclass(frozen=True, slots=True)
class Rules:
    """Nothing to configure: lifetimes are facts of the workspace."""


def parse(files: Mapping[str, bytes]) -> Rules:
    """The gate reads no file."""
    del files
    return Rules()


def check(call: Call, facts: Facts, rules: Rules, so_far: tuple[Step, ...]) -> Step:
    """Allow what a bound, fresh grant covers; hold what is asked; deny what was refused or does not fit."""
    del rules
    found = facts.approval
    if call.approval_id and (found is None or not found.bound):
        return deny(NAME, "approval_mismatch", _MISMATCH)
    if not any(step.effect is Effect.HOLD for step in so_far):
        return allow(NAME, "not_needed")
    return judge(facts)


def judge(facts: Facts) -> Step:
    """What the approval in the facts is worth for a question that has to be asked."""
    found, now = facts.approval, facts.now
    if found is None:
        return _ask(facts)
    if not found.bound:
        if found.presented:
            return deny(NAME, "approval_mismatch", _MISMATCH)
        return _ask(facts)
    if found.state == "refused":
        if now < found.decided_at + DAY:
            return deny(NAME, "approval_refused", "a person refused this; it can be asked again after 24 hours")
        return _ask(facts)
    if found.state == "spent":
        if found.presented:
            return deny(NAME, "approval_spent", "this approval was already used; each serves once")
        return _ask(facts)
    until = found.grant_until if found.state == "granted" else found.pending_until
    if found.state not in ("granted", "pending") or until <= now:
        return _or_new(facts, "approval_expired", "this approval is past its time; ask again without it")
    if found.law != facts.law:
        return _or_new(facts, "approval_stale", "the law changed since this was asked; ask again without it")
    if found.state == "granted":
        return allow(NAME, "approved")
    return hold(NAME, "approval_pending", "a person has been asked and has not answered yet")


def _or_new(facts: Facts, code: str, message: str) -> Step:
    """A deny for an approval the caller presented; a new question for one that was only found."""
    assert facts.approval is not None
    return deny(NAME, code, message) if facts.approval.presented else _ask(facts)


def _ask(facts: Facts) -> Step:
    # 20 open questions are allowed, so the 21st is the first refused.
    if facts.pending_approvals >= MAX_PENDING:
        return deny(
            NAME, "too_many_pending", f"{MAX_PENDING} questions of this agent wait for a person; await those first"
        )
    return hold(NAME, "approval_pending", "a person must say yes first")
