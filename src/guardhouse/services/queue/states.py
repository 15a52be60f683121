"""The states of a task, and what the clock alone makes of one. Pure.

todo ──claim──> doing ──complete──> done | failed
  ^               │ release, lapse (an attempt less)
  └───────────────┤
todo, doing ──park──> blocked ──reopen──> todo
todo, doing, blocked ──cancel──> cancelled        todo, doing, blocked ──deadline──> failed
done, failed, cancelled ──reopen──> todo

That a task waits for others is never a state: it is `waiting_on`, computed from what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardhouse.model.instants import Micros

TYPES = ("task", "bug", "feature", "epic", "chore")
TODO, DOING, BLOCKED, DONE, FAILED, CANCELLED = "todo", "doing", "blocked", "done", "failed", "cancelled"
OPEN = (TODO, DOING, BLOCKED)
ENDED = (DONE, FAILED, CANCELLED)

DEADLINE_PASSED = "deadline_passed"
ATTEMPTS_EXHAUSTED = "attempts_exhausted"
CANCELLED_BY_ORCHESTRATOR = "cancelled_by_orchestrator"
CLOSED_WITH_PARENT = "closed_with_parent"
KEPT_CODES = frozenset({DEADLINE_PASSED, ATTEMPTS_EXHAUSTED, CANCELLED_BY_ORCHESTRATOR, CLOSED_WITH_PARENT})
"""The error codes that say what the queue itself did, so no worker may give them."""

Row = dict[str, Any]

NOBODY: Mapping[str, Any] = {"holder_id": "", "holder_session": "", "claimed_at": 0, "lease_until": 0}
"""The columns of a task that nobody holds."""
NO_RECORD: Mapping[str, Any] = {
    "summary": "",
    "result": "",
    "artifacts_json": "[]",
    "next_step": "",
    "blocked_reason": "",
    "record_sequence": -1,
}
"""The columns of a task of which nothing is told. Words of one entry at a time stand in them, the one that
`record_sequence` names: otherwise its erasure would leave a copy."""


def priority_of(raw: int) -> int:
    """The priority 0-4 that a raw priority 1-10 stands for."""
    return min(4, (raw - 1) // 2)


def back_to_todo(row: Mapping[str, Any]) -> Row:
    """The columns that put a task back into its lane, to be claimed again."""
    return {**NOBODY, "status": TODO, "due_at": row["deadline"], "ended_by": "", "ended_session": ""}


def ended(status: str, now: Micros, by: str = "", session: str = "", error_code: str = "") -> Row:
    """The columns that end a task."""
    return {
        **NOBODY,
        "status": status,
        "due_at": 0,
        "blocked_reason": "",
        "ended_at": now,
        "ended_by": by,
        "ended_session": session,
        "error_code": error_code,
    }


def lapsed(row: Mapping[str, Any], now: Micros) -> Row:
    """The columns of a claim that ended without its holder: an attempt is spent and the fence rises."""
    attempts = row["attempts"] + 1
    spent: Row = {"attempts": attempts, "fence": row["fence"] + 1}
    if row["deadline"] and row["deadline"] <= now:
        return spent | ended(FAILED, now, error_code=DEADLINE_PASSED)
    if attempts >= row["max_attempts"]:
        return spent | ended(FAILED, now, error_code=ATTEMPTS_EXHAUSTED)
    return spent | back_to_todo(row)


def changes_due(row: Mapping[str, Any], now: Micros) -> Row:
    """What the clock alone changes about a task by `now`; empty when nothing.

    Reading judges by it without writing, the next writer makes it so.
    """
    if not row["due_at"] or now < row["due_at"]:
        return {}
    if row["status"] == DOING:
        return lapsed(row, now)
    return ended(FAILED, now, error_code=DEADLINE_PASSED)


def as_of(row: Mapping[str, Any], now: Micros) -> Row:
    """The task as it stands at `now`, whether or not anybody has written it down yet."""
    return {**row, **changes_due(row, now)}
