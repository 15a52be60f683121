"""Must a person say yes first, and has one?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from guardhouse.model.call import Call
from guardhouse.model.decision import Effect, Step, allow, deny, hold
from guardhouse.model.facts import ApprovalFact, Facts
from guardhouse.model.instants import DAY

NAME = "approval"

MOST_PENDING = 20
REFUSAL_STANDS = DAY


@dataclass(frozen=True, slots=True)
class Rules:
    """Approval has no rules of its own: other gates hold, this one knows whether a person answered."""


def parse(files: Mapping[str, bytes]) -> Rules:
    """Nothing of `policies/` speaks of approvals alone."""
    del files
    return Rules()


def usable(approval: ApprovalFact, facts: Facts) -> bool:
    """Whether a grant may be spent on this very call now."""
    return (
        approval.state == "granted"
        and approval.bound
        and approval.law == facts.law
        and facts.now < approval.grant_until
    )


def check(call: Call, facts: Facts, rules: Rules, so_far: tuple[Step, ...]) -> Step:
    """Where a gate held the call: the approval presented or found for it. `approved` lifts the holds."""
    del rules
    held = [step for step in so_far if step.effect is Effect.HOLD]
    if not held:
        return allow(NAME, "not_needed")
    approval = facts.approval
    if approval is None and call.approval_id:
        return deny(NAME, "approval_mismatch", "no approval with this id belongs to this call")
    if approval is not None:
        if approval.presented and not approval.bound:
            return deny(NAME, "approval_mismatch", "this approval was given for another call")
        if usable(approval, facts):
            return allow(NAME, "approved", "a person approved this call")
        answer = _answered(approval, facts)
        if answer is not None:
            return answer
        if approval.state == "pending" and facts.now < approval.pending_until and approval.law == facts.law:
            return hold(NAME, "approval_pending", "a person was asked and has not answered yet")
    if facts.pending_approvals >= MOST_PENDING:
        return deny(NAME, "too_many_pending", f"{MOST_PENDING} questions of yours wait for a person already")
    return hold(NAME, "approval_pending", "a person must approve this call first")


def _answered(approval: ApprovalFact, facts: Facts) -> Step | None:
    """What an approval that cannot be spent answers; None when a new question may be asked or an old one waits."""
    if approval.state == "refused" and (approval.presented or facts.now < approval.decided_at + REFUSAL_STANDS):
        return deny(
            NAME, "approval_refused", "a person refused this call; the same question is not reopened for 24 hours"
        )
    if not approval.presented:
        return None
    if approval.state == "spent":
        return deny(NAME, "approval_spent", "this approval was used already; an approval is good for one call")
    if approval.state == "replaced" or approval.law != facts.law:
        return deny(
            NAME,
            "approval_stale",
            "the policy changed since this approval was asked for; send the call without it to ask again",
        )
    if approval.state == "pending" and facts.now >= approval.pending_until:
        return deny(NAME, "approval_expired", "nobody answered in time; send the call without it to ask again")
    if approval.state == "granted" and facts.now >= approval.grant_until:
        return deny(
            NAME, "approval_expired", "the approval was not used in time; send the call without it to ask again"
        )
    return None
