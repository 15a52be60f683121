"""Is this who it says it is, and may it still speak?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from guardhouse.model.call import HOUSE, Call
from guardhouse.model.decision import Step, allow, deny
from guardhouse.model.facts import Facts

NAME = "identity"


@dataclass(frozen=True, slots=True)
class Rules:
    """Nothing to configure: identity is not a matter of policy."""


def parse(files: Mapping[str, bytes]) -> Rules:
    """The gate reads no file."""
    del files
    return Rules()


def check(call: Call, facts: Facts, rules: Rules, so_far: tuple[Step, ...]) -> Step:
    """Deny what is revoked, expired, disabled, suspended, or claims to be someone else."""
    del rules, so_far
    who, now = facts.principal, facts.now
    if (who.kind == "system") is not (call.surface == HOUSE):
        return deny(NAME, "sender_mismatch", "only the gateway's own housekeeping speaks for the house")
    if who.token_revoked_at and who.token_revoked_at <= now:
        return deny(NAME, "token_revoked", "this token was revoked; ask an operator for another")
    if who.token_expires_at and who.token_expires_at <= now:
        return deny(NAME, "token_expired", "this token has expired; ask an operator for another")
    if who.session_revoked_at and who.session_revoked_at <= now:
        return deny(NAME, "session_revoked", "this session was revoked; begin another")
    if who.session_expires_at and who.session_expires_at <= now:
        return deny(NAME, "session_expired", "this session has expired; begin another")
    if who.disabled:
        return deny(NAME, "disabled", "this principal is disabled; ask an operator")
    if facts.claim == "other":
        return deny(NAME, "sender_mismatch", "the body claims another identity than the token's; leave it out")
    if who.kind == "agent":
        if who.effective_trust <= 0:
            return deny(NAME, "suspended", "trust 0 is suspended: everything is denied until a person raises it")
        if call.governs:
            return deny(NAME, "people_only", "only people may ask for this; ask an operator")
    return allow(NAME, "known")
