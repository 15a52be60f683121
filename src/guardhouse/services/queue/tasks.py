"""Submitting a task, reading one, and the views of the queue: ready, active, blocked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, select, tuple_

from guardhouse.errors import Refusal
from guardhouse.model.canonical import encode
from guardhouse.model.ids import Ids
from guardhouse.model.instants import Micros
from guardhouse.services.queue import graph
from guardhouse.services.queue.states import BLOCKED, DEADLINE_PASSED, DOING, ENDED, TODO, Row, as_of, priority_of
from guardhouse.services.queue.tables import TASK
from guardhouse.storage.store import Transaction

VIEWS = ("ready", "active", "blocked")
_ORDER = (TASK.c.priority, TASK.c.created_at, TASK.c.id)
_MOST_LAPSED = 256
"""How many lapsed leases a reader looks at; writers take them off long before there are so many."""


def submit(
    tx: Transaction,
    ids: Ids,
    workspace_id: str,
    *,
    title: str,
    by: str,
    type: str = "task",
    detail: str = "",
    definition_of_done: str = "",
    input: Any = None,
    labels: Sequence[str] = (),
    priority: int = 2,
    raw_priority: int = 0,
    parent_id: str = "",
    needs: Sequence[str] = (),
    feature: str = "",
    repository: str = "",
    assignee_id: str = "",
    max_attempts: int = 3,
    deadline: Micros = 0,
    lease_seconds: int = 900,
    sequence: int = -1,
) -> Row:
    """Add a task and give its row.

    `raw_priority` 1-10, where given, decides `priority` 0-4 and is kept beside it. Refusals:
    `not_found` (parent or need), `already_ended` (parent), `deadline_passed`, `cycle`, `too_many_needs`.
    """
    if deadline and deadline <= tx.now:
        raise Refusal(DEADLINE_PASSED, "the deadline is already past")
    wanted = list(dict.fromkeys(needs))
    if len(wanted) > graph.MOST_NEEDS:
        raise Refusal("too_many_needs", f"a task needs at most {graph.MOST_NEEDS} others")
    for needed in wanted:
        graph.find(tx, workspace_id, needed)
    if parent_id and as_of(graph.find(tx, workspace_id, parent_id), tx.now)["status"] in ENDED:
        raise Refusal("already_ended", f"task `{parent_id}` has ended and takes no more children")
    task_id = ids.new("task")
    tx.execute(
        TASK.insert().values(
            workspace_id=workspace_id,
            id=task_id,
            type=type,
            title=title,
            detail=detail,
            definition_of_done=definition_of_done,
            input_json=encode({} if input is None else input).decode(),
            labels_json=encode(list(labels)).decode(),
            priority=priority_of(raw_priority) if raw_priority else priority,
            raw_priority=raw_priority,
            parent_id=parent_id,
            feature=feature,
            repository=repository,
            assignee_id=assignee_id,
            status=TODO,
            max_attempts=max_attempts,
            deadline=deadline,
            lease_seconds=lease_seconds,
            due_at=deadline,
            created_by=by,
            created_at=tx.now,
            submit_sequence=sequence,
        )
    )
    if parent_id:
        graph.link(tx, workspace_id, parent_id, task_id, graph.CHILD)
    for needed in wanted:
        graph.link(tx, workspace_id, task_id, needed, graph.NEED)
    if wanted:
        graph.recount(tx, workspace_id, [task_id])
    return graph.find(tx, workspace_id, task_id)


def get(tx: Transaction, workspace_id: str, task_id: str) -> Row:
    """A task as it stands now; Refusal `not_found`."""
    return as_of(graph.find(tx, workspace_id, task_id), tx.now)


def listed(
    tx: Transaction,
    workspace_id: str,
    view: str,
    limit: int,
    *,
    after: str = "",
    types: Sequence[str] = (),
    repository: str = "",
    assignee_id: str = "",
    parent_id: str = "",
) -> tuple[list[Row], bool]:
    """One page of a view as it stands now, and whether there is more.

    `ready`: unclaimed, nothing to wait for, most urgent first. `active`: claimed under a live lease,
    the oldest claim first. `blocked`: waiting for others or parked, most urgent first. `after` is the
    id of the last task of the page before; Refusal `not_found` when there is no such task.
    """
    narrowed: list[ColumnElement[bool]] = [TASK.c.workspace_id == workspace_id]
    if types:
        narrowed.append(TASK.c.type.in_(tuple(types)))
    if repository:
        narrowed.append(TASK.c.repository == repository)
    if assignee_id:
        narrowed.append(TASK.c.assignee_id == assignee_id)
    if parent_id:
        narrowed.append(TASK.c.parent_id == parent_id)
    order = (TASK.c.claimed_at, TASK.c.id) if view == "active" else _ORDER
    if after:
        last = graph.find(tx, workspace_id, after)
        narrowed.append(tuple_(*order) > tuple_(*(last[column.name] for column in order)))
    undue = (TASK.c.due_at == 0) | (TASK.c.due_at > tx.now)
    query = select(TASK).where(*narrowed, undue).order_by(*order).limit(limit + 1)
    if view == "active":
        rows = tx.rows(query.where(TASK.c.status == DOING))
    elif view == "ready":
        rows = tx.rows(query.where(TASK.c.status == TODO, TASK.c.waiting_on == 0))
        rows += _lapsed(tx, select(TASK).where(*narrowed), waiting=False)
        rows.sort(key=_urgency)
    else:
        rows = tx.rows(query.where(TASK.c.status == TODO, TASK.c.waiting_on > 0))
        rows += tx.rows(query.where(TASK.c.status == BLOCKED))
        rows += _lapsed(tx, select(TASK).where(*narrowed), waiting=True)
        rows.sort(key=_urgency)
    return rows[:limit], len(rows) > limit


def _urgency(row: Row) -> tuple[int, int, str]:
    return row["priority"], row["created_at"], row["id"]


def _lapsed(tx: Transaction, query: Select[Any], *, waiting: bool) -> list[Row]:
    """Tasks whose lease has lapsed with nobody having written it down: back in their lane already."""
    due = tx.rows(
        query.where(TASK.c.due_at > 0, TASK.c.due_at <= tx.now, TASK.c.status == DOING)
        .order_by(*_ORDER)
        .limit(_MOST_LAPSED)
    )
    standing = (as_of(row, tx.now) for row in due)
    return [row for row in standing if row["status"] == TODO and bool(row["waiting_on"]) is waiting]
