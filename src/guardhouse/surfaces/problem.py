"""The one table: an outcome's code, and what it becomes at each door.

HTTP statuses follow RFC 9110; exit codes follow sysexits where it has a word for the case. A code that
is not listed is answered as an unexpected refusal (403), never as a success; a test holds that every
code in the source is listed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from guardhouse.errors import GuardhouseError
from guardhouse.model.answer import Outcome

EXIT_OK = 0
EXIT_USAGE = 64
EXIT_UNAVAILABLE = 69
EXIT_INTERNAL = 70
EXIT_LATER = 75
EXIT_REFUSED = 77


class Row(NamedTuple):
    """What one code becomes. `retry_after` is the wait in seconds told when the outcome names none."""

    status: int
    exit: int
    retryable: bool = False
    retry_after: int = 0


_FORBIDDEN = Row(403, EXIT_REFUSED)
_CONFLICT = Row(409, EXIT_REFUSED)
_BUSY = Row(409, EXIT_LATER, retryable=True, retry_after=15)
_IDENTITY = Row(401, EXIT_REFUSED)
_USAGE = Row(422, EXIT_USAGE)
_QUOTA = Row(429, EXIT_LATER, retryable=True, retry_after=60)
_DOWN = Row(503, EXIT_UNAVAILABLE, retryable=True, retry_after=1)
_INTERNAL = Row(500, EXIT_INTERNAL)

TABLE: Mapping[str, Row] = {
    "performed": Row(200, EXIT_OK),
    "approval_pending": Row(202, EXIT_LATER, retryable=True, retry_after=15),
} | {
    code: row
    for row, codes in (
        (
            _IDENTITY,
            "unauthenticated revoked token_revoked token_expired token_not_live session_expired session_revoked",
        ),
        (
            _FORBIDDEN,
            "forbidden_policy forbidden_scope no_grant trust_too_low sender_mismatch self_verification people_only "
            "suspended stopped disabled agent_disabled person_disabled agent_suspended agent_stopped agent_retired "
            "workspace_suspended guardrail_blocked network_denied operation_blocked operation_not_allowed wrong_role "
            "own_question approval_refused policy_denied policy_error role_too_low profile_missing unknown_profile "
            "always_binds delegation_too_deep delegation_expired operation_not_in_profile "
            "approval_mismatch approval_required policy_forbidden policy_not_permitted gate_error not_pauser not_author "
            "origin_refused open_ended",
        ),
        (
            _CONFLICT,
            "not_ready consent_pending not_holder lease_expired stale_fence version_conflict idempotency_conflict "
            "approval_expired approval_stale approval_spent approval_not_bound already_decided already_disabled "
            "handle_taken name_taken slug_taken last_operator not_observed not_paused not_suspended "
            "too_many_pending already_exists already_registered payload_erased limit_reached "
            "nothing_to_roll_back heartbeat_required already_ended open_children too_many_children already_open "
            "deadline_passed assigned_to_other too_many_needs not_silent nothing_to_allow nothing_to_score grant_spent "
            "grant_over ledger_too_large",
        ),
        (_BUSY, "held already_claimed agent_paused workspace_paused workspace_not_active keys_paused locks_paused"),
        (_USAGE, "validation cycle mode_too_long grant_too_long invalid_bundle invalid_policy prefix_required"),
        (_QUOTA, "quota_exhausted rate_limited"),
        (_DOWN, "not_performed outcome_unknown answer_unavailable"),
        (_INTERNAL, "internal_error ledger_fault settings_fault"),
        (Row(404, EXIT_USAGE), "not_found unknown_operation"),
        (Row(405, EXIT_USAGE), "method_not_allowed"),
        (Row(408, EXIT_LATER, retryable=True, retry_after=1), "request_timeout"),
        (Row(413, EXIT_USAGE), "payload_too_large"),
        (Row(415, EXIT_USAGE), "unsupported_media_type"),
    )
    for code in codes.split()
}
"""Every code there is. What is retryable always carries `retry_after_seconds`."""


BUCKETS: Mapping[str, str] = {"quota_exhausted": "calls_per_hour", "rate_limited": "refusals_per_minute"}
"""What is used up, under the codes that say so, whichever door or memory answers."""


def row(code: str) -> Row:
    """The table's row; an unlisted code is a refusal."""
    return TABLE.get(code, _FORBIDDEN)


def status(code: str) -> int:
    """The HTTP status of a code."""
    return row(code).status


def exit_code(code: str) -> int:
    """The exit status of a command that got this code."""
    return row(code).exit


def retry_after(code: str, extra: Mapping[str, Any]) -> int | None:
    """The seconds to wait before the same call makes sense again; None when it never does by waiting."""
    told = extra.get("retry_after_seconds")
    if isinstance(told, int) and told > 0:
        return told
    listed = row(code)
    return listed.retry_after if listed.retryable else None


def envelope(
    code: str,
    message: str,
    *,
    request_id: str = "",
    decision_id: str = "",
    fields: Sequence[Mapping[str, str]] = (),
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The one error body. `extra` never overrides what the envelope itself says."""
    more = dict(extra or {})
    told = more.pop("fields", None)
    wait = retry_after(code, more)
    listed = row(code)
    if code in BUCKETS:
        more = {"bucket": BUCKETS[code]} | more
    error: dict[str, Any] = more | {
        "code": code,
        "status": listed.status,
        "message": message,
        "request_id": request_id,
        "decision_id": decision_id,
        "fields": list(fields) or list(told or ()),
        "retryable": listed.retryable,
    }
    if wait is not None:
        error["retry_after_seconds"] = wait
    body: dict[str, Any] = {"error": error, "detail": message}
    if code == "approval_pending":
        body |= {
            "status": code,
            "approval_id": error.get("approval_id", ""),
            "decision_id": decision_id,
            "retry_after_seconds": wait,
        }
    return body


def of_outcome(outcome: Outcome, request_id: str) -> dict[str, Any]:
    """The envelope of an outcome that was not performed."""
    return envelope(
        outcome.code,
        outcome.message or outcome.code.replace("_", " "),
        request_id=outcome.request_id or request_id,
        decision_id=outcome.decision_id,
        extra=outcome.error,
    )


def of_error(error: GuardhouseError, request_id: str) -> dict[str, Any]:
    """The envelope of a call that could not be answered."""
    extra = dict(error.extra)
    decision_id = str(extra.pop("decision_id", ""))
    return envelope(error.code, error.message, request_id=request_id, decision_id=decision_id, extra=extra)
