"""How a task ends: completed, cancelled, closed with its epic; and how it is reopened or erased."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import or_, select

from guardhouse.errors import Refusal
from guardhouse.model.canonical import encode
from guardhouse.services.queue import claims, graph
from guardhouse.services.queue.states import (
    ATTEMPTS_EXHAUSTED,
    BLOCKED,
    CANCELLED,
    CANCELLED_BY_ORCHESTRATOR,
    DOING,
    DONE,
    ENDED,
    FAILED,
    NO_RECORD,
    TODO,
    Row,
    as_of,
    back_to_todo,
    ended,
)
from guardhouse.services.queue.tables import TASK
from guardhouse.storage.store import Transaction


@dataclass(slots=True)
class Ending:
    """What an ending came to: the task, the children closed with it, the tasks that became ready, and
    whether it had ended so before."""

    task: Row
    closed: list[str] = field(default_factory=list)
    ready: list[str] = field(default_factory=list)
    repeated: bool = False


def complete(
    tx: Transaction,
    workspace_id: str,
    task_id: str,
    *,
    agent_id: str,
    session_id: str,
    success: bool,
    summary: str,
    fence: int | None = None,
    result: str = "",
    artifacts: Sequence[str] = (),
    next_step: str = "",
    error_code: str = "",
    retry: bool = False,
    sequence: int = -1,
    permitted: Callable[[Row], None] = lambda _row: None,
) -> Ending:
    """End a task that this session holds, with its compact record.

    Said again by the session that ended it, the first record is the answer. Completing an epic closes
    every open descendant, as done, and giving it up as cancelled; completing anything else with open children is
    refused with `open_children`.
    With `retry`, a failed task goes back to its lane while it has attempts left; the same said again is answered the
    same until somebody claims it. `permitted` is shown
    the task first, and raises when it may not end now. Refusals otherwise: `not_found`, `not_holder`, `lease_expired`, `stale_fence`, `already_ended`, `too_many_children`.
    """
    row = graph.find(tx, workspace_id, task_id)
    status = DONE if success else FAILED
    again = _ended_before(row, agent_id, session_id, status, fence)
    if again is not None:
        return again
    record: Row = {
        "summary": summary,
        "result": result,
        "artifacts_json": encode(list(artifacts)).decode(),
        "next_step": next_step,
    }
    if retry and _offered_again(row, agent_id, session_id, fence, record | {"error_code": error_code}):
        return Ending(row, repeated=True)
    permitted(row)
    row = claims.held_now(row, tx.now, agent_id, session_id, fence)
    record |= {"record_sequence": sequence}
    if not success:
        attempts = row["attempts"] + 1
        spent = record | {"attempts": attempts}
        if retry and attempts < row["max_attempts"]:
            told = {"error_code": error_code, "ended_by": agent_id, "ended_session": session_id}
            return Ending(graph.change(tx, row, spent | back_to_todo(row) | told))
        code = error_code or (ATTEMPTS_EXHAUSTED if retry else "failed")
        children = _children_to_close(tx, row) if row["type"] == "epic" else []
        row = graph.change(tx, row, spent | ended(FAILED, tx.now, agent_id, session_id, code))
        return Ending(row, _close(tx, workspace_id, children, CANCELLED, agent_id))
    has_children, waiting = graph.neighbours(tx, workspace_id, task_id)
    children = _children_to_close(tx, row) if has_children else []
    row = graph.change(tx, row, record | ended(DONE, tx.now, agent_id, session_id))
    closed = _close(tx, workspace_id, children, DONE, agent_id)
    if closed:
        waiting = graph.dependants(tx, workspace_id, [task_id, *closed])
    return Ending(row, closed, graph.settle_waiting(tx, workspace_id, waiting))


def _ended_before(row: Row, agent_id: str, session_id: str, status: str, fence: int | None) -> Ending | None:
    """The earlier ending when this is the same one said again; a refusal when it is another; None when it is open."""
    if row["status"] not in ENDED:
        return None
    if fence is not None and fence != row["fence"]:
        raise Refusal(
            "stale_fence",
            f"the claim with fence {fence} on task `{row['id']}` is over; stop working on it",
            current_fence=row["fence"],
        )
    if row["status"] == status and (row["ended_by"], row["ended_session"]) == (agent_id, session_id):
        return Ending(row, repeated=True)
    raise Refusal("already_ended", f"task `{row['id']}` is {row['status']}", error_code=row["error_code"])


def _offered_again(row: Row, agent_id: str, session_id: str, fence: int | None, record: Row) -> bool:
    """Whether this very failure put the task back into its lane, where nobody has claimed it since.

    A claim that ended otherwise leaves nobody in `ended_by` (`back_to_todo`).
    """
    mine = (row["ended_by"], row["ended_session"]) == (agent_id, session_id)
    same = all(row[name] == value for name, value in record.items())
    return row["status"] == TODO and mine and same and fence in (None, row["fence"])


def _children_to_close(tx: Transaction, row: Row) -> list[Row]:
    children = graph.open_descendants(tx, row["workspace_id"], row["id"])
    if children and row["type"] != "epic":
        raise Refusal(
            "open_children",
            f"task `{row['id']}` has open children; end them first",
            children=[child["id"] for child in children[: graph.MOST_NAMED]],
        )
    if len(children) > graph.MOST_CLOSED:
        raise Refusal(
            "too_many_children", f"one call closes at most {graph.MOST_CLOSED} children; end some of them first"
        )
    return children


def _close(tx: Transaction, workspace_id: str, children: Sequence[Row], status: str, by: str) -> list[str]:
    return [child["id"] for child in graph.close(tx, workspace_id, children, status, by)]


def cancel(
    tx: Transaction,
    workspace_id: str,
    task_id: str,
    *,
    by: str,
    reason: str = "",
    error_code: str = CANCELLED_BY_ORCHESTRATOR,
    sequence: int = -1,
) -> Ending:
    """Cancel a task, whoever holds it, and every open descendant. Its holder's fence is stale from now on.

    Cancelling what is already cancelled changes nothing. Refusals: `not_found`, `already_ended`,
    `too_many_children`. Whether the caller may cancel is the policy's question, not this one's.
    """
    row = as_of(graph.find(tx, workspace_id, task_id), tx.now)
    if row["status"] == CANCELLED:
        return Ending(row, repeated=True)
    if row["status"] in ENDED:
        raise Refusal("already_ended", f"task `{task_id}` is {row['status']}", error_code=row["error_code"])
    children = graph.open_descendants(tx, workspace_id, task_id)
    if len(children) > graph.MOST_CLOSED:
        raise Refusal(
            "too_many_children", f"one call closes at most {graph.MOST_CLOSED} children; cancel some of them first"
        )
    changes = ended(CANCELLED, tx.now, by, error_code=error_code)
    changes |= {**NO_RECORD, "fence": row["fence"] + 1, "summary": reason, "record_sequence": sequence}
    row = graph.change(tx, row, changes)
    closed = _close(tx, workspace_id, children, CANCELLED, by)
    return Ending(row, closed, graph.settle_dependants(tx, workspace_id, [task_id, *closed]))


def reopen(tx: Transaction, workspace_id: str, task_id: str) -> Row:
    """Put an ended or parked task back into its lane with fresh attempts and no record. Whoever needs it waits again.

    Refusals: `not_found`, `already_claimed` (somebody works on it), `already_open`, `deadline_passed`.
    """
    row = as_of(graph.find(tx, workspace_id, task_id), tx.now)
    if row["status"] == DOING:
        raise Refusal(
            "already_claimed",
            f"task `{task_id}` is being worked on",
            holder_agent_id=row["holder_id"],
            retry_after_seconds=claims.seconds_left(row["lease_until"], tx.now),
        )
    if row["status"] not in (*ENDED, BLOCKED):
        raise Refusal("already_open", f"task `{task_id}` is in its lane already")
    if row["deadline"] and row["deadline"] <= tx.now:
        raise Refusal("deadline_passed", f"the deadline of task `{task_id}` is past; submit it again with a later one")
    changes: Row = {**back_to_todo(row), **NO_RECORD, "attempts": 0, "ended_at": 0, "error_code": ""}
    graph.change(tx, row, changes)
    graph.recount(tx, workspace_id, [task_id])
    graph.settle_dependants(tx, workspace_id, [task_id])
    return graph.find(tx, workspace_id, task_id)


def erase(tx: Transaction, workspace_id: str, sequence: int) -> list[str]:
    """Blank the words that the entry at `sequence` brought into tasks; their ids. State and order stay."""
    rows = tx.rows(
        select(TASK.c.id, TASK.c.submit_sequence, TASK.c.record_sequence).where(
            TASK.c.workspace_id == workspace_id,
            or_(TASK.c.submit_sequence == sequence, TASK.c.record_sequence == sequence),
        )
    )
    for row in rows:
        blank: Row = {"erased_at": tx.now}
        if row["submit_sequence"] == sequence:
            blank |= {"title": "", "detail": "", "definition_of_done": "", "input_json": "{}", "labels_json": "[]"}
        if row["record_sequence"] == sequence:
            blank |= {"summary": "", "result": "", "artifacts_json": "[]", "next_step": "", "blocked_reason": ""}
        tx.execute(TASK.update().where(TASK.c.workspace_id == workspace_id, TASK.c.id == row["id"]).values(**blank))
    return [row["id"] for row in rows]
