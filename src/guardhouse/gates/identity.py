"""Is the caller who the token says, is the token still good, and may such a caller ask for this at all?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from guardhouse.model.call import Call
from guardhouse.model.decision import Step, allow, deny
from guardhouse.model.facts import Facts

NAME = "identity"


@dataclass(frozen=True, slots=True)
class Rules:
    """Identity has no rules of a site's own: it binds everywhere, in every mode."""


def parse(files: Mapping[str, bytes]) -> Rules:
    """Nothing of `policies/` speaks of identity."""
    del files
    return Rules()


def check(call: Call, facts: Facts, rules: Rules, so_far: tuple[Step, ...]) -> Step:
    """The token and session at `facts.now`, the claimed identity, trust 0, and the people-only rule."""
    del rules, so_far
    principal, now = facts.principal, facts.now
    if principal.disabled:
        return deny(NAME, "disabled", "this principal was disabled or retired")
    if principal.token_revoked_at and now >= principal.token_revoked_at:
        return deny(NAME, "token_revoked", "this token was revoked")
    if principal.session_revoked_at and now >= principal.session_revoked_at:
        return deny(NAME, "session_revoked", "this session was ended")
    if principal.token_expires_at and now >= principal.token_expires_at:
        return deny(NAME, "token_expired", "this token has expired; ask an operator for a new one")
    if principal.session_expires_at and now >= principal.session_expires_at:
        return deny(NAME, "session_expired", "this session has expired; start a new one")
    if facts.claim == "other":
        return deny(NAME, "sender_mismatch", "the body claims an identity that is not the token's")
    if call.governs and principal.kind != "person":
        return deny(NAME, "people_only", "only people may ask for this operation")
    if principal.kind == "agent" and principal.trust <= 0:
        return deny(NAME, "suspended", "trust 0: this agent is suspended and may do nothing")
    if principal.kind == "agent" and principal.effective_trust <= 0:
        return deny(NAME, "suspended", "nobody of trust stands behind this agent's delegation")
    return allow(NAME, "known")
