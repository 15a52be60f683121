"""Refusing: what a call that was not performed tells the model that asked: what, why, what instead, what next.

The words are for a reader that will act on them at once, so each ends with one thing to do. Programs
read the structured content beside, which is the envelope of every other door.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    "already_ended": "take different work with `get_work`",
    "assigned_to_other": "take different work with `get_work`",
    "not_ready": "take different work with `get_work`, or help to end what it waits for",
    "open_children": "work on the children first; `list_work` shows which are ready",
    "cycle": "leave one of these waits out, or put what both need into a task of its own",
    "not_author": "remember what is true now: a newer memory ranks above an older one",
    "forbidden_scope": "look at your own entries, which need no filter",
    "self_verification": "leave the gate to an agent who did not do the work",
    "limit_reached": "give back something that you hold and no longer need",
    "too_many_needs": "let it wait for one task that itself waits for the others",
    "sender_mismatch": "leave the claim of identity out: your token says who you are",
}

_PERSON = "go on without it; whether it is done is for a person, so name it in your report"
_AS_IT_IS = "go on: nothing needs to be changed"
_ANOTHER = "choose another, and call {operation} again"

_NEXT: Mapping[str, str] = {
    # a person's yes
    "approval_pending": "call {operation} again with exactly the same arguments after {wait}; until then work on "
    "something else. A person sees the question `{approval_id}`",
    "approval_refused": "do not ask for this again today; go on without it and say so in your report",
    "approval_expired": "call {operation} again with the same arguments: that asks anew",
    "approval_stale": "call {operation} again with the same arguments: that asks anew",
    "approval_spent": "call {operation} again without the approval: that asks anew",
    "approval_mismatch": "leave the approval out, or present it with exactly the arguments it was granted for",
    "approval_required": _PERSON,
    "too_many_pending": "wait until a person has answered one of your questions",
    "already_decided": "read the answer with `get_approval`, and act on it",
    "own_question": "leave the question to another person",
    "nothing_to_allow": "look the decision up with `explain_decision`; only a guardrail's refusal can be allowed",
    "open_ended": "write the command out without variables and substitutions, or have it granted each time",
    "payload_erased": "send the call itself again, so that there is something to decide",
    "grant_too_long": "call {operation} again with at most 24 hours",
    "grant_spent": "call the refused operation again: that asks anew",
    "grant_over": _AS_IT_IS,
    "nothing_to_score": "name the decision of a `check_guardrails` call, and the verdict that you expected of it",
    # what was sent
    "validation": "mend the fields named below and call {operation} again",
    "unknown_operation": "use a tool of the list by its exact name",
    "not_found": "do not guess: look the right id up (`list_work`, `check_locks`, `read_handoff`, `recall` and "
    "`discover_agents` show ids), then call {operation} again with it",
    "payload_too_large": "send less: name files instead of pasting them, or split the text",
    "idempotency_conflict": "use a new idempotency key for a new call",
    "invalid_bundle": "mend the faults that it names and call {operation} again",
    "prefix_required": "name the prefix that you mean and call {operation} again",
    "mode_too_long": "call {operation} again with an end within thirty days",
    "sender_mismatch": "call {operation} again without it",
    "unsupported_media_type": "send the body as `application/json`",
    "method_not_allowed": "send a POST",
    "request_timeout": "send the request again, whole",
    "origin_refused": "call from a program and not from a web page, or tell the operator which origin to list",
    # work
    "held": "call {operation} again after {wait}",
    "already_claimed": "call `get_work` for another task",
    "already_ended": "do not work on it any more; what came of it is in `get_task`",
    "already_open": "call `get_work` or `claim_task` to take it",
    "assigned_to_other": "leave it to that agent, or ask whoever submitted it to assign it to you",
    "not_ready": "call {operation} again once nothing holds it up; `get_task` shows when that is",
    "open_children": "end each of the children that are named, then call {operation} again",
    "too_many_children": "end some of the children, then call {operation} again",
    "too_many_needs": "name fewer, and call {operation} again",
    "cycle": "call {operation} again without the wait that closes the circle",
    "deadline_passed": "call `submit_work` with a later deadline, if the work is still wanted",
    "not_holder": "stop writing under it: it is not yours. If nobody holds it, take it first, read what changed, then "
    "call {operation} again",
    "lease_expired": "stop writing under it; take it again, and read what changed before you go on",
    "stale_fence": "stop at once: what you held under that fence is over; read what changed before you do anything more",
    "heartbeat_required": "call `heartbeat`, then {operation} again",
    "not_author": "leave it, and tell a person if it must be forgotten",
    "self_verification": "say in your handoff that the gate is open",
    "not_silent": _AS_IT_IS,
    # standing
    "limit_reached": "then call {operation} again",
    "quota_exhausted": "wait {wait}; calls before that are refused unread",
    "rate_limited": "wait {wait}",
    "agent_paused": "wait {wait}, then go on where you were",
    "workspace_not_active": "wait {wait}, then go on where you were",
    "agent_stopped": "end your work: write a handoff if you still may, and stop",
    "agent_suspended": "stop, and tell the person you work for",
    "agent_retired": "stop, and tell the person you work for",
    "suspended": "stop, and tell the person you work for",
    "disabled": "stop, and ask an operator",
    "token_expired": "stop, and ask the person you work for another token",
    "token_revoked": "stop, and tell the person you work for",
    "token_not_live": "ask an operator for another token",
    "session_expired": "stop, and ask the person you work for another token",
    "session_revoked": "stop, and tell the person you work for",
    "unauthenticated": "stop, and ask the person you work for a token",
    "unknown_profile": "stop, and tell an operator: no call is permitted until the profile is there",
    # law
    "guardrail_blocked": "do not look for a way around it",
    "forbidden_scope": "call {operation} again without the filter that asks for another's",
    "people_only": _PERSON,
    "trust_too_low": _PERSON,
    "operation_not_in_profile": _PERSON,
    "policy_not_permitted": _PERSON,
    "policy_forbidden": "do not look for a way around it; go on without it, and say so in your report",
    "network_denied": "do not look for a way around it; go on without it, and say so in your report",
    "wrong_role": "leave it to a person who has the role",
    "always_binds": "do not look for a way around it; go on without it",
    # governing
    "delegation_too_deep": "let one that stands higher delegate, and call {operation} again",
    "handle_taken": _ANOTHER,
    "name_taken": _ANOTHER,
    "slug_taken": _ANOTHER,
    "already_disabled": _AS_IT_IS,
    "last_operator": "add another operator first, then call {operation} again",
    "not_observed": _AS_IT_IS,
    "not_paused": _AS_IT_IS,
    "not_suspended": _AS_IT_IS,
    "not_pauser": "leave it to whoever gave the pause, or to an operator",
    "nothing_to_roll_back": _AS_IT_IS,
    # when the answer could not be given
    "not_performed": "call {operation} again with the same arguments after {wait}",
    "outcome_unknown": "do not simply repeat it: look first whether it happened",
    "answer_unavailable": "ask again for less: a shorter time, a narrower filter or a smaller `limit`",
    "ledger_too_large": "do not repeat it; tell the person you work for, who can verify it with the command line",
    "internal_error": "do not repeat it; tell the person you work for, with the request id",
    "policy_error": "do not repeat it; tell the person you work for",
    "gate_error": "do not repeat it; tell the person you work for",
    "ledger_fault": "do not repeat it; tell the person you work for",
    "settings_fault": "do not repeat it; tell the person you work for",
}
"""What to do, for every code that this version answers."""

_MOST_NAMED = 10


def told(operation: str, envelope: Mapping[str, Any]) -> str:
    """The text of a refusal, from the envelope that programs read."""
    error = envelope["error"]
    code = str(error["code"])
    # What is no operation of ours may be anything, a secret too, and is not repeated.
    named = operation and code != "unknown_operation"
    subject = f"`{operation}`" if named else "the request"
    head = "waits for a person's approval" if code == "approval_pending" else "was not done"
    why = " ".join(filter(None, (_sentence(_why(error, code)), *_particulars(error))))
    lines = [f"{subject[0].upper()}{subject[1:]} {head} ({code}).", f"Why: {why}"]
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


def _particulars(error: Mapping[str, Any]) -> Iterator[str]:
    """What the envelope names that the message does not: who, which, until when, under which fence.

    Only ids, handles, instants and numbers: what another agent wrote is left to the structured content.
    """
    holder = error.get("holder_agent_id")
    if holder:
        until = f" until {error['expires_at']}" if error.get("expires_at") else ""
        yield f"Its holder is {_called(error.get('holder_alias'), holder)}{until}."
    if error.get("assignee_id"):
        yield f"The lane is that of {_called(error.get('assignee_alias'), error['assignee_id'])}."
    blockers = [f"`{one['task_id']}` ({one['status']})" for one in error.get("blockers") or ()]
    if blockers:
        yield f"It waits for {_listed(blockers)}."
    children = [f"`{one}`" for one in error.get("children") or ()]
    if children:
        yield f"Open are {_listed(children)}."
    path = [f"`{one}`" for one in error.get("path") or ()]
    if path:
        yield f"The circle: {' waits for '.join(path)}."
    if error.get("domain"):
        yield f"The host is `{error['domain']}`."
    if error.get("error_code"):
        yield f"It ended as `{error['error_code']}`."
    if isinstance(error.get("current_fence"), int):
        yield f"The current fence is {error['current_fence']}."


def _called(alias: object, principal_id: object) -> str:
    return f"`{alias}` (`{principal_id}`)" if alias else f"`{principal_id}`"


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"


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
