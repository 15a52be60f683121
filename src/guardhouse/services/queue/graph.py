"""What waits for what: needs without cycles, children, blockers, and who becomes ready.

Every function that adds an edge MUST run under the workspace's write lock (the head row, which every
train holds): the check and the insert are then one step, so that opposite edges cannot both pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, func, literal, select, union_all

from guardhouse.errors import Refusal
from guardhouse.services.queue import ahead
from guardhouse.services.queue.states import CLOSED_WITH_PARENT, DOING, DONE, ENDED, OPEN, TODO, Row, as_of, ended
from guardhouse.services.queue.tables import TASK, TASK_EDGE
from guardhouse.storage.statement import Statement
from guardhouse.storage.store import Transaction

NEED, CHILD = "need", "child"
MOST_NEEDS = 64
"""The most tasks that one task may need."""
MOST_CLOSED = 1000
"""The most descendants that one call closes."""
MOST_NAMED = 16
"""The most blockers that an answer names; beyond it says how many more there are."""


# Statements of the claim and completion path, built once: building one costs more than running it.
_HERE = (TASK.c.workspace_id == bindparam("workspace"), TASK.c.id == bindparam("task"))
_FIND = Statement(any=select(TASK).where(*_HERE))
_CHANGES: dict[tuple[str, ...], Statement] = {}
_A_CHILD = (
    select(literal(CHILD).label("kind"), TASK_EDGE.c.awaited_id.label("id"))
    .where(
        TASK_EDGE.c.workspace_id == bindparam("workspace"),
        TASK_EDGE.c.waiter_id == bindparam("task"),
        TASK_EDGE.c.kind == CHILD,
    )
    .limit(1)
    .subquery()
)
_WAITERS = select(literal(NEED).label("kind"), TASK_EDGE.c.waiter_id.label("id")).where(
    TASK_EDGE.c.workspace_id == bindparam("workspace"),
    TASK_EDGE.c.awaited_id == bindparam("task"),
    TASK_EDGE.c.kind == NEED,
)
_NEIGHBOURS = Statement(any=union_all(select(_A_CHILD.c.kind, _A_CHILD.c.id), _WAITERS))
_LINKED = Statement(
    any=select(TASK_EDGE.c.kind.label("edge"), TASK)
    .select_from(
        TASK_EDGE.join(TASK, (TASK.c.workspace_id == TASK_EDGE.c.workspace_id) & (TASK.c.id == TASK_EDGE.c.awaited_id))
    )
    .where(TASK_EDGE.c.workspace_id == bindparam("workspace"), TASK_EDGE.c.waiter_id == bindparam("task"))
    .order_by(TASK_EDGE.c.kind.desc(), TASK.c.created_at, TASK.c.id)
    .limit(bindparam("most"))
)
"""What a task needs, then its children: `need` sorts behind `child`."""


def find(tx: Transaction, workspace_id: str, task_id: str) -> Row:
    """The stored row of a task; Refusal `not_found`."""
    known = ahead.of(tx, workspace_id)
    row = known.rows.get(task_id) if known is not None else None
    row = row or _FIND.row(tx, workspace=workspace_id, task=task_id)
    if row is None:
        raise Refusal("not_found", f"there is no task `{task_id}`")
    return row


def change(tx: Transaction, row: Row, changes: Row) -> Row:
    """Write columns of one task and give the row as it is then."""
    if changes:
        names = tuple(sorted(changes))
        changing = _CHANGES.get(names)
        if changing is None:
            new: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
            changing = _CHANGES[names] = Statement(any=TASK.update().where(*_HERE).values(new))
        values = {f"new_{name}": value for name, value in changes.items()}
        put(tx, changing, row | changes, **values, workspace=row["workspace_id"], task=row["id"])
    return {**row, **changes}


def put(tx: Transaction, changing: Statement, row: Row, **values: Any) -> None:
    """Change one task: at once, or where this train has read ahead, noted there and written later. `row`: what it is then."""
    known = ahead.of(tx, row["workspace_id"])
    if known is None:
        changing.rows(tx, **values)
    else:
        changing.later(tx, **values)
        known.note(row)


def link(tx: Transaction, workspace_id: str, waiter_id: str, awaited_id: str, kind: str) -> None:
    """Add an edge, or refuse with `cycle` and the path that would close; an edge that exists stays."""
    path = _path(tx, workspace_id, awaited_id, waiter_id)
    if path:
        raise Refusal(
            "cycle",
            f"task `{waiter_id}` cannot wait for `{awaited_id}`, which already waits for it",
            path=[waiter_id, *path],
        )
    edge = {"workspace_id": workspace_id, "waiter_id": waiter_id, "awaited_id": awaited_id, "kind": kind}
    if not tx.row(select(TASK_EDGE.c.kind).filter_by(**edge)):
        tx.execute(TASK_EDGE.insert().values(**edge, added_at=tx.now))


def unlink(tx: Transaction, workspace_id: str, waiter_id: str, awaited_id: str) -> bool:
    """Remove a need; whether there was one."""
    found = tx.execute(
        TASK_EDGE.delete().where(
            TASK_EDGE.c.workspace_id == workspace_id,
            TASK_EDGE.c.waiter_id == waiter_id,
            TASK_EDGE.c.awaited_id == awaited_id,
            TASK_EDGE.c.kind == NEED,
        )
    )
    return found.rowcount > 0


def _path(tx: Transaction, workspace_id: str, start: str, goal: str) -> list[str]:
    """The tasks from `start` to `goal` along edges, both included; empty when there is no way."""
    if start == goal:
        return [start]
    reached = select(literal(start).label("id")).cte("reached", recursive=True)
    reached = reached.union(
        select(TASK_EDGE.c.awaited_id).where(
            TASK_EDGE.c.workspace_id == workspace_id, TASK_EDGE.c.waiter_id == reached.c.id
        )
    )
    if tx.execute(select(reached.c.id).where(reached.c.id == goal).limit(1)).first() is None:
        return []
    return _walk(tx, workspace_id, start, goal)


def _walk(tx: Transaction, workspace_id: str, start: str, goal: str) -> list[str]:
    """The shortest way that is known to exist, breadth first."""
    came_from: dict[str, str] = {start: ""}
    layer = [start]
    while layer and goal not in came_from:
        edges = tx.execute(
            select(TASK_EDGE.c.waiter_id, TASK_EDGE.c.awaited_id)
            .where(TASK_EDGE.c.workspace_id == workspace_id, TASK_EDGE.c.waiter_id.in_(layer))
            .order_by(TASK_EDGE.c.waiter_id, TASK_EDGE.c.awaited_id)
        ).all()
        layer = []
        for edge in edges:
            waiter, awaited = edge.waiter_id, edge.awaited_id
            if awaited not in came_from:
                came_from[awaited] = waiter
                layer.append(awaited)
    path = [goal]
    while came_from[path[-1]]:
        path.append(came_from[path[-1]])
    return path[::-1]


def recount(tx: Transaction, workspace_id: str, task_ids: Iterable[str]) -> None:
    """Count again what these tasks still wait for."""
    tasks = sorted(set(task_ids))
    if not tasks:
        return
    needed = TASK.alias("needed")
    waiting = (
        select(func.count())
        .select_from(
            TASK_EDGE.join(
                needed,
                (needed.c.workspace_id == TASK_EDGE.c.workspace_id) & (needed.c.id == TASK_EDGE.c.awaited_id),
            )
        )
        .where(
            TASK_EDGE.c.workspace_id == workspace_id,
            TASK_EDGE.c.waiter_id == TASK.c.id,
            TASK_EDGE.c.kind == NEED,
            needed.c.status != DONE,
        )
        .correlate(TASK)
        .scalar_subquery()
    )
    tx.execute(
        TASK.update().where(TASK.c.workspace_id == workspace_id, TASK.c.id.in_(tasks)).values(waiting_on=waiting)
    )


def neighbours(tx: Transaction, workspace_id: str, task_id: str) -> tuple[bool, list[str]]:
    """Whether a task has a child, ended or not; and the tasks that need it."""
    known = ahead.of(tx, workspace_id)
    if known is not None and task_id in known.neighbours:
        return known.neighbours[task_id]
    found = _NEIGHBOURS.rows(tx, workspace=workspace_id, task=task_id)
    return any(edge["kind"] == CHILD for edge in found), [edge["id"] for edge in found if edge["kind"] == NEED]


def dependants(tx: Transaction, workspace_id: str, task_ids: Sequence[str]) -> list[str]:
    """The tasks that need any of these."""
    rows = tx.execute(
        select(TASK_EDGE.c.waiter_id)
        .distinct()
        .where(
            TASK_EDGE.c.workspace_id == workspace_id,
            TASK_EDGE.c.awaited_id.in_(task_ids),
            TASK_EDGE.c.kind == NEED,
        )
    )
    return [waiter for (waiter,) in rows]


def settle_dependants(tx: Transaction, workspace_id: str, task_ids: Sequence[str]) -> list[str]:
    """Tell those who need these tasks that their states changed; the tasks that are ready now, sorted."""
    return settle_waiting(tx, workspace_id, dependants(tx, workspace_id, task_ids))


def settle_waiting(tx: Transaction, workspace_id: str, waiting: Sequence[str]) -> list[str]:
    """Tell these tasks that something they need changed; those that are ready now, sorted."""
    if not waiting:
        return []
    recount(tx, workspace_id, waiting)
    rows = tx.execute(
        select(TASK.c.id)
        .where(
            TASK.c.workspace_id == workspace_id,
            TASK.c.id.in_(waiting),
            TASK.c.status == TODO,
            TASK.c.waiting_on == 0,
        )
        .order_by(TASK.c.id)
    )
    return [ready for (ready,) in rows]


def open_descendants(tx: Transaction, workspace_id: str, task_id: str, limit: int = MOST_CLOSED) -> list[Row]:
    """Children, their children and so on that have not ended, at most `limit + 1` of them, by id."""
    if not neighbours(tx, workspace_id, task_id)[0]:
        return []
    reached = select(literal(task_id).label("id")).cte("family", recursive=True)
    reached = reached.union(
        select(TASK_EDGE.c.awaited_id).where(
            TASK_EDGE.c.workspace_id == workspace_id,
            TASK_EDGE.c.waiter_id == reached.c.id,
            TASK_EDGE.c.kind == CHILD,
        )
    )
    return tx.rows(
        select(TASK)
        .where(
            TASK.c.workspace_id == workspace_id,
            TASK.c.id.in_(select(reached.c.id)),
            TASK.c.id != task_id,
            TASK.c.status.in_(OPEN),
        )
        .order_by(TASK.c.id)
        .limit(limit + 1)
    )


def close(tx: Transaction, workspace_id: str, children: Sequence[Row], status: str, by: str) -> list[Row]:
    """End open tasks with their parent, in one statement; whoever holds one can no longer write to it. As they are now."""
    if not children:
        return []
    how = ended(status, tx.now, by, error_code=CLOSED_WITH_PARENT)
    tx.execute(
        TASK.update()
        .where(TASK.c.workspace_id == workspace_id, TASK.c.id.in_([child["id"] for child in children]))
        .values(**how, fence=TASK.c.fence + 1)
    )
    return [{**child, **how, "fence": child["fence"] + 1} for child in children]


def linked(tx: Transaction, workspace_id: str, task_id: str, most_children: int) -> tuple[list[Row], list[Row]]:
    """What a task needs, and at most so many of its own children, as they stand now, each oldest first."""
    needs: list[Row] = []
    children: list[Row] = []
    known = ahead.of(tx, workspace_id)
    if known is not None and task_id in known.alone:
        return needs, children
    for row in _LINKED.rows(tx, workspace=workspace_id, task=task_id, most=MOST_NEEDS + most_children):
        (needs if row.pop("edge") == NEED else children).append(as_of(row, tx.now))
    return needs, children[:most_children]


def needs_of(tx: Transaction, workspace_id: str, task_id: str) -> list[Row]:
    """Everything that a task needs, as it stands now."""
    return linked(tx, workspace_id, task_id, 0)[0]


def blockers_of(tx: Transaction, workspace_id: str, task_id: str) -> list[Row]:
    """What a task needs that is not done. A failed or cancelled need goes on blocking, visibly."""
    return [need for need in needs_of(tx, workspace_id, task_id) if need["status"] != DONE]


def add_need(tx: Transaction, workspace_id: str, task_id: str, needs_id: str) -> Row:
    """Make a task wait for another. Refusals: `not_found`, `cycle`, `already_ended`, `already_claimed`, `too_many_needs`."""
    row = as_of(find(tx, workspace_id, task_id), tx.now)
    find(tx, workspace_id, needs_id)
    if row["status"] in ENDED:
        raise Refusal("already_ended", f"task `{task_id}` is {row['status']}; what has ended waits for nothing")
    if row["status"] == DOING:
        raise Refusal(
            "already_claimed",
            f"task `{task_id}` is being worked on; it can be made to wait once it is released",
            holder_agent_id=row["holder_id"],
            retry_after_seconds=max(1, (row["lease_until"] - tx.now) // 1_000_000),
        )
    if len(needs_of(tx, workspace_id, task_id)) >= MOST_NEEDS:
        raise Refusal("too_many_needs", f"a task needs at most {MOST_NEEDS} others")
    link(tx, workspace_id, task_id, needs_id, NEED)
    recount(tx, workspace_id, [task_id])
    return as_of(find(tx, workspace_id, task_id), tx.now)


def remove_need(tx: Transaction, workspace_id: str, task_id: str, needs_id: str) -> tuple[Row, bool]:
    """Let a task no longer wait for another; (the task, whether it did). Refusal `not_found`."""
    find(tx, workspace_id, task_id)
    removed = unlink(tx, workspace_id, task_id, needs_id)
    recount(tx, workspace_id, [task_id])
    return as_of(find(tx, workspace_id, task_id), tx.now), removed
