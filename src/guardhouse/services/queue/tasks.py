"""Submitting a task, reading one, and the views of the queue: ready, active, blocked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, false, select, tuple_

from guardhouse.errors import Refusal
from guardhouse.model.canonical import encode
from guardhouse.model.ids import Ids
from guardhouse.model.instants import Micros
from guardhouse.model.repositories import kept_under
from guardhouse.services.queue import claims, graph
from guardhouse.services.queue.states import BLOCKED, DEADLINE_PASSED, DOING, ENDED, TODO, Row, as_of, priority_of
from guardhouse.services.queue.tables import TASK
from guardhouse.storage.store import Transaction

VIEWS = ("ready", "active", "blocked")
Place = tuple[int | str, ...]
"""Where a task stands in a view: (priority, created, id), or among the active (claimed, id)."""
_ORDER = (TASK.c.priority, TASK.c.created_at, TASK.c.id)
_BY_CLAIM = (TASK.c.claimed_at, TASK.c.id)


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
    after: Place = (),
    types: Sequence[str] = (),
    repository: str = "",
    assignee_id: str = "",
    parent_id: str = "",
    withheld: ColumnElement[bool] | None = None,
) -> tuple[list[Row], bool]:
    """One page of a view as it stands now, and whether there is more.

    `ready`: unclaimed, nothing to wait for, not `withheld`, most urgent first. `active`: claimed under a live
    lease, the oldest claim first. `blocked`: waiting for others, parked or withheld, most urgent first. `after` is
    the `place` of the last task of the page before, so that a page follows it whatever became of that task.
    """
    narrowed: list[ColumnElement[bool]] = [TASK.c.workspace_id == workspace_id]
    rows: list[Row] = []
    if types:
        narrowed.append(TASK.c.type.in_(tuple(types)))
    if repository:
        narrowed.append(TASK.c.repository.in_(kept_under(repository)))
    if assignee_id:
        narrowed.append(TASK.c.assignee_id == assignee_id)
    if parent_id:
        narrowed.append(TASK.c.parent_id == parent_id)
    order = _BY_CLAIM if view == "active" else _ORDER
    if after:
        narrowed.append(tuple_(*order) > tuple_(*after))
    query = select(TASK).where(*narrowed).order_by(*order).limit(limit + 1)
    undue = (TASK.c.due_at == 0) | (TASK.c.due_at > tx.now)
    if view == "active":
        rows = tx.rows(query.where(TASK.c.status == DOING, undue))
    else:
        # A claim that lapsed with nobody having written it down is back in its lane already. The first of each
        # kind hold the first of all, so a page is whole however many there are.
        for standing in ((TASK.c.status == TODO, undue), claims.reopening(tx.now)):
            rows += [as_of(row, tx.now) for row in tx.rows(query.where(*standing, *_kind(view, withheld)))]
        if view == "blocked":
            rows += tx.rows(query.where(TASK.c.status == BLOCKED, undue))
        rows.sort(key=lambda row: place(view, row))
    return rows[:limit], len(rows) > limit


def place(view: str, row: Row) -> Place:
    """Where a task stands in a view: what `listed` takes as `after`."""
    return tuple(row[column.name] for column in (_BY_CLAIM if view == "active" else _ORDER))


def _kind(view: str, withheld: ColumnElement[bool] | None) -> tuple[ColumnElement[bool], ...]:
    """What parts the unclaimed tasks that are ready from those that are blocked."""
    free, kept = TASK.c.waiting_on == 0, false() if withheld is None else (TASK.c.feature != "") & withheld
    return (free, ~kept) if view == "ready" else (~free | kept,)
