"""What the house does by itself: it ends what lapsed and what the silent still hold, one recorded call each.

These operations stand in no catalog, so no door can name them, no policy speaks of them and no token
leads to them: the gateway makes these calls as the principal `system` on the surface `house`. They are
decided, recorded and replayed like all others. A call that finds nothing left to do, because another
process or the holder came first, is not made and leaves no entry.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Connection, and_, or_, select

from guardhouse.catalog import Answer, Ask, Catalog, Context, operation
from guardhouse.errors import NotPerformed, Refusal
from guardhouse.gateway import Gateway, Housework
from guardhouse.ledger.tables import HEAD
from guardhouse.model.call import Category, Resource
from guardhouse.model.instants import Micros
from guardhouse.operations.tasks import TaskId, named
from guardhouse.services import locks, presence, queue
from guardhouse.services.locks import LOCK
from guardhouse.services.queue.states import DOING, changes_due
from guardhouse.services.queue.tables import TASK
from guardhouse.storage.store import Transaction

_AT_ONCE = 200
"""How many tasks and how many locks of a workspace one round ends; the rest waits for the next."""

LockId = Annotated[str, Field(pattern=r"^[a-z]{2,4}_[0-9a-z]{1,60}$", description="an ownership period of a lock")]


class LapseTaskAsk(Ask):
    task_id: TaskId


class LapseTaskAnswer(Answer):
    task_id: str
    status: str = Field(description="`todo` again, or `failed`")
    attempts: int
    error_code: str
    holder_agent_id: str = Field(description="who held it until now; empty: nobody")
    because: str = Field(description="`lease`, `deadline` or `silence`")
    auto_closed: tuple[str, ...] = Field(description="the children that ended with it, where it is an epic")


def _stored(tx: Transaction, workspace_id: str, task_id: str) -> dict[str, Any] | None:
    return tx.row(select(TASK).where(TASK.c.workspace_id == workspace_id, TASK.c.id == task_id))


def _task_due(tx: Transaction, workspace_id: str, ask: LapseTaskAsk) -> bool:
    row = _stored(tx, workspace_id, ask.task_id)
    if row is None:
        return False
    if changes_due(row, tx.now):
        return True
    return row["status"] == DOING and presence.is_silent(tx, workspace_id, row["holder_session"])


@operation(
    "lapse_task", Category.WRITE, ask=LapseTaskAsk, answer=LapseTaskAnswer, resource=named, writes=True, due=_task_due
)
def lapse_task(ctx: Context, ask: LapseTaskAsk) -> LapseTaskAnswer:
    """End a claim whose lease ran out or whose session fell silent, or a task whose deadline passed.

    An epic that ends so closes its open children as cancelled. One call closes so many; the next ones go on.
    """
    before = _stored(ctx.tx, ctx.workspace_id, ask.task_id)
    if before is None:
        raise Refusal("not_found", f"there is no task `{ask.task_id}`")
    because = "silence"
    if changes_due(before, ctx.now):
        because = "deadline" if before["deadline"] and before["deadline"] <= ctx.now else "lease"
    row, closed = queue.lapse(ctx.tx, ctx.workspace_id, ask.task_id, silent=because == "silence")
    ctx.objects += [f"task:{one['id']}" for one in (row, *closed)]
    _close(ctx, before["holder_id"], before["holder_session"])
    return LapseTaskAnswer(
        task_id=row["id"],
        status=row["status"],
        attempts=row["attempts"],
        error_code=row["error_code"],
        holder_agent_id=before["holder_id"],
        because=because,
        auto_closed=tuple(one["id"] for one in closed),
    )


class LapseLockAsk(Ask):
    lock_id: LockId


class LapseLockAnswer(Answer):
    lock_id: str
    key: str
    holder_agent_id: str
    because: str = Field(description="`lease` or `silence`")


def _lock_due(tx: Transaction, workspace_id: str, ask: LapseLockAsk) -> bool:
    row = locks.find(tx, workspace_id, ask.lock_id)
    if row is None or row["ended_at"]:
        return False
    return row["expires_at"] <= tx.now or presence.is_silent(tx, workspace_id, row["session_id"])


@operation(
    "lapse_lock",
    Category.WRITE,
    ask=LapseLockAsk,
    answer=LapseLockAnswer,
    resource=lambda ask, _home: Resource("Lock", ask.lock_id),
    writes=True,
    due=_lock_due,
)
def lapse_lock(ctx: Context, ask: LapseLockAsk) -> LapseLockAnswer:
    """Give back a lock whose time ran out, or whose session fell silent before that."""
    row = locks.find(ctx.tx, ctx.workspace_id, ask.lock_id)
    if row is None:
        raise Refusal("not_found", f"there is no lock `{ask.lock_id}`")
    ended = locks.lapse(ctx.tx, ctx.workspace_id, row)
    ctx.objects.append(f"lock:{row['id']}")
    _close(ctx, row["agent_id"], row["session_id"])
    because = "lease" if ended["end_reason"] == "expired" else "silence"
    return LapseLockAnswer(lock_id=row["id"], key=row["key"], holder_agent_id=row["agent_id"], because=because)


def _close(ctx: Context, agent_id: str, session_id: str) -> None:
    """Note that a silent session holds nothing any more."""
    if not session_id or not presence.is_silent(ctx.tx, ctx.workspace_id, session_id):
        return
    holds = locks.count(ctx.tx, ctx.workspace_id, agent_id, ctx.now, session_id=session_id)
    if holds or queue.held_by(ctx.tx, ctx.workspace_id, agent_id, (session_id,), limit=1):
        return
    presence.mark_freed(ctx.tx, ctx.workspace_id, (session_id,))
    ctx.objects.append(f"session:{session_id}")


HOUSEWORK = Catalog((lapse_task, lapse_lock))


def due(connection: Connection, workspace_id: str, now: Micros) -> list[Housework]:
    """What lies to be done in a workspace at `now`, the oldest first. A look from outside: the train looks again."""
    silent = presence.silent_sessions(workspace_id, now)
    tasks = (
        select(TASK.c.id)
        .where(
            TASK.c.workspace_id == workspace_id,
            or_(
                and_(TASK.c.due_at > 0, TASK.c.due_at <= now),
                and_(TASK.c.status == DOING, TASK.c.holder_session.in_(silent)),
            ),
        )
        .order_by(TASK.c.due_at, TASK.c.id)
        .limit(_AT_ONCE)
    )
    held = (
        select(LOCK.c.id)
        .where(
            LOCK.c.workspace_id == workspace_id,
            LOCK.c.ended_at == 0,
            or_(LOCK.c.expires_at <= now, LOCK.c.session_id.in_(silent)),
        )
        .order_by(LOCK.c.expires_at, LOCK.c.id)
        .limit(_AT_ONCE)
    )
    return [
        *(Housework("lapse_task", {"task_id": task_id}) for task_id in connection.execute(tasks).scalars()),
        *(Housework("lapse_lock", {"lock_id": lock_id}) for lock_id in connection.execute(held).scalars()),
    ]


def sweep(gateway: Gateway) -> int:
    """One round over every workspace; how many calls were made and recorded."""
    with gateway.store.reading() as connection:
        workspaces = list(connection.execute(select(HEAD.c.workspace_id).order_by(HEAD.c.workspace_id)).scalars())
    done = 0
    for workspace_id in workspaces:
        with gateway.store.reading() as connection:
            work = due(connection, workspace_id, gateway.clock())
        for answer in gateway.keep_house(workspace_id, HOUSEWORK, work):
            if isinstance(answer, NotPerformed):
                continue
            if isinstance(answer, Exception):
                raise answer
            done += 1
    return done
