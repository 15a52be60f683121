"""Refusing: what a call that was not performed tells the model that asked: what, why, what instead, what next.

The words are for a reader that will act on them at once, so each ends with one thing to do. Programs
read the structured content beside, which is the envelope of every other door.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardhouse.surfaces import problem
from guardhouse.surfaces.cli import meanings

_INSTEAD: Mapping[str, str] = {
    "guardrail_blocked": "say or do it another way; `check_guardrails` with the same text names what was matched and "
    "the safe alternative",
    "policy_forbidden": "do what the policy's advice says, or leave this to an agent or person who may",
    "policy_not_permitted": "leave this to an agent or person who may; `check_policy` shows every gate's reason",
    "operation_not_in_profile": "use the tools that you are offered; `get_my_profile` lists what you may do",
    "trust_too_low": "leave this to an agent of higher trust; `get_my_profile` says what yours is",
    "people_only": "ask a person to do it",
    "network_denied": "use a destination that `check_network` permits",
    "held": "work on something else meanwhile",
    "already_claimed": "take different work with `get_work`",
    "limit_reached": "give back something that you hold and no longer need",
    "sender_mismatch": "leave the claim of identity out: your token says who you are",
}

_NEXT: Mapping[str, str] = {
    "approval_pending": "call {operation} again with exactly the same arguments after {wait}; until then work on "
    "something else. A person sees the question `{approval_id}`",
    "approval_refused": "do not ask for this again today; go on without it and say so in your report",
    "approval_expired": "call {operation} again with the same arguments: that asks anew",
    "approval_stale": "call {operation} again with the same arguments: that asks anew",
    "approval_spent": "call {operation} again without the approval: that asks anew",
    "approval_mismatch": "leave the approval out, or present it with exactly the arguments it was granted for",
    "too_many_pending": "wait until a person has answered one of your questions",
    "validation": "mend the fields named below and call {operation} again",
    "unknown_operation": "use a tool of the list by its exact name",
    "payload_too_large": "send less: name files instead of pasting them, or split the text",
    "idempotency_conflict": "use a new idempotency key for a new call",
    "held": "call {operation} again after {wait}",
    "already_claimed": "call `get_work` for another task",
    "not_holder": "take it first, then call {operation} again",
    "lease_expired": "stop writing under it; take it again, and read what changed before you go on",
    "stale_fence": "stop at once: somebody else holds it since; read what changed before you do anything more",
    "heartbeat_required": "call `heartbeat`, then {operation} again",
    "limit_reached": "then call {operation} again",
    "quota_exhausted": "wait {wait}; calls before that are refused unread",
    "rate_limited": "wait {wait}",
    "agent_paused": "wait {wait}, then go on where you were",
    "workspace_not_active": "wait {wait}, then go on where you were",
    "agent_stopped": "end your work: write a handoff if you still may, and stop",
    "agent_suspended": "stop, and tell the person you work for",
    "suspended": "stop, and tell the person you work for",
    "guardrail_blocked": "do not look for a way around it",
    "token_expired": "stop, and ask the person you work for another token",
    "token_revoked": "stop, and tell the person you work for",
    "session_expired": "stop, and ask the person you work for another token",
    "session_revoked": "stop, and tell the person you work for",
    "unauthenticated": "stop, and ask the person you work for a token",
    "not_performed": "call {operation} again with the same arguments after {wait}",
    "outcome_unknown": "do not simply repeat it: look first whether it happened",
    "internal_error": "do not repeat it; tell the person you work for, with the request id",
    "policy_error": "do not repeat it; tell the person you work for",
    "gate_error": "do not repeat it; tell the person you work for",
}


def told(operation: str, envelope: Mapping[str, Any]) -> str:
    """The text of a refusal, from the envelope that programs read."""
    error = envelope["error"]
    code = str(error["code"])
    # What is no operation of ours may be anything, a secret too, and is not repeated.
    named = operation and code != "unknown_operation"
    subject = f"`{operation}`" if named else "the request"
    head = "waits for a person's approval" if code == "approval_pending" else "was not done"
    lines = [f"{subject[0].upper()}{subject[1:]} {head} ({code}).", f"Why: {_sentence(_why(error, code))}"]
    advice = [str(text) for text in error.get("advice", ())]
    instead = " ".join(_sentence(text) for text in advice) or _sentence(_INSTEAD.get(code, ""))
    if instead:
        lines.append(f"Instead: {instead}")
    lines.append(f"Next: {_sentence(_next(subject, error, code))}")
    lines += [f"Field `{fault['field']}`: {_sentence(str(fault['problem']))}" for fault in error.get("fields", ())]
    if error.get("rule_ids"):
        lines.append("Rules: " + ", ".join(f"`{rule}`" for rule in error["rule_ids"]))
    if error.get("decision_id"):
        lines.append(f"Decision: {error['decision_id']}")
    elif error.get("request_id"):
        lines.append(f"Request: {error['request_id']}")
    return "\n".join(lines)


def _why(error: Mapping[str, Any], code: str) -> str:
    message = str(error.get("message", ""))
    return meanings.CODES.get(code, message) if message in ("", code.replace("_", " ")) else message


def _next(operation: str, error: Mapping[str, Any], code: str) -> str:
    wait = problem.retry_after(code, error)
    known = _NEXT.get(code)
    if known is not None:
        return known.format(
            operation=operation,
            wait=f"{wait} seconds" if wait else "a while",
            approval_id=error.get("approval_id") or "it opened",
        )
    if wait:
        return f"call {operation} again after {wait} seconds"
    return "go on without it; the same call would get the same answer"


def _sentence(text: str) -> str:
    """With a capital and a full stop, unless it begins with a name."""
    text = " ".join(text.split())
    if not text:
        return ""
    begun = text[0].upper() + text[1:]
    return begun if begun[-1] in ".!?" else begun + "."
