"""Claiming: one winner, a lease that lapses, a fence that refuses the late writer.

A claim binds a session, not only an agent: two instances of one agent never do the same job.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, bindparam, select, text, union_all

from guardhouse.errors import Refusal
from guardhouse.model.instants import SECOND, Micros
from guardhouse.model.repositories import kept_under
from guardhouse.services.queue import ahead, elapsing, graph
from guardhouse.services.queue.states import (
    BLOCKED,
    CANCELLED,
    CLOSED_WITH_PARENT,
    DOING,
    ENDED,
    NO_RECORD,
    NOBODY,
    TODO,
    TYPES,
    Row,
    as_of,
    back_to_todo,
    changes_due,
    lapsed,
)
from guardhouse.services.queue.tables import TASK
from guardhouse.storage.statement import Statement
from guardhouse.storage.store import Transaction

_SETTLED_AT_ONCE = 64
"""How many due tasks one writer settles; the rest waits for the next."""
_CLAIMABLE_UNASKED = tuple(kind for kind in TYPES if kind != "epic")
"""What `claim_next` hands out: an epic is claimed only by name, since its work is its children."""


_LANE = (TASK.c.priority, TASK.c.created_at, TASK.c.id)
_DUE = (
    select(TASK)
    .where(TASK.c.workspace_id == bindparam("workspace"), TASK.c.due_at > 0, TASK.c.due_at <= bindparam("now"))
    .order_by(TASK.c.due_at, TASK.c.id)
    .limit(_SETTLED_AT_ONCE)
)
_ALL_DUE = Statement(any=_DUE)
_TAKEN = ("status", "holder_id", "holder_session", "claimed_at", "lease_until", "due_at", "fence", "blocked_reason")
_TAKING = (
    TASK.update()
    .where(
        TASK.c.workspace_id == bindparam("workspace"),
        TASK.c.id == bindparam("task"),
        TASK.c.status == TODO,
        TASK.c.fence == bindparam("before"),
    )
    .values({name: bindparam(f"new_{name}") for name in _TAKEN})
)
_TAKE, _TAKE_LATER = Statement(any=_TAKING.returning(TASK.c.id)), Statement(any=_TAKING)


@dataclass(frozen=True, eq=False)
class Withheld:
    """Which tasks are not handed out now, as a condition on their features. It may bind `workspace`, `now`, `agent`
    and `session`. One is made once and kept, since statements are kept by it."""

    those: ColumnElement[bool]


def _fitting(types: int, withheld: Withheld | None, *, repository: bool, agents: int = 1) -> list[ColumnElement[bool]]:
    """What a task must be beside ready: unassigned or one of the agents' own, of a wanted type, in the repository, not withheld."""
    fits: list[ColumnElement[bool]] = [
        TASK.c.workspace_id == bindparam("workspace"),
        TASK.c.waiting_on == 0,
        TASK.c.assignee_id.in_(("", *(bindparam(f"agent_{number}") for number in range(agents)))),
        TASK.c.type.in_([bindparam(f"type_{number}") for number in range(types)]),
    ]
    if repository:
        fits.append(TASK.c.repository.in_((bindparam("repository"), bindparam("or_kept_under"))))
    if withheld is not None:
        fits.append((TASK.c.feature == "") | ~withheld.those)
    return fits


@lru_cache(maxsize=64)
def _look(types: int, withheld: Withheld | None, *, repository: bool, agents: int = 1, most: int = 1) -> Statement:
    """What is due, and the most urgent ready tasks that fit: one question, since each costs a round trip.

    By how many types are wanted, what is withheld, whether it must be in one repository, for how many agents, and how
    many tasks.
    """
    wanted = [
        *_fitting(types, withheld, repository=repository, agents=agents),
        TASK.c.status == TODO,
        (TASK.c.due_at == 0) | (TASK.c.due_at > bindparam("now")),
    ]
    due, ready = _DUE.subquery(), select(TASK).where(*wanted).order_by(*_LANE).limit(most).subquery()
    # Not every column by name: psycopg prepares no text beyond 4,096 characters.
    return Statement(any=union_all(*(select(text("*")).select_from(part) for part in (due, ready))))


@lru_cache(maxsize=64)
def _behind(types: int, withheld: Withheld | None, *, repository: bool) -> Statement:
    """The most urgent task that fits once its lapsed claim is written down; by the same three."""
    wanted = _fitting(types, withheld, repository=repository)
    return Statement(any=select(TASK).where(*wanted, *reopening(bindparam("now"))).order_by(*_LANE).limit(1))


def reopening(now: Any) -> tuple[ColumnElement[bool], ...]:
    """For queries: a claim that lapsed by `now` and leaves its task open to others, as `states.lapsed` says of one."""
    return (
        TASK.c.status == DOING,
        TASK.c.due_at > 0,
        TASK.c.due_at <= now,
        TASK.c.attempts + 1 < TASK.c.max_attempts,
        (TASK.c.deadline == 0) | (TASK.c.deadline > now),
    )


def lapse(tx: Transaction, workspace_id: str, task_id: str, *, silent: bool = False) -> tuple[Row, list[Row]]:
    """Write down what the clock has changed about one task; (it as it is now, the children that it took along).

    A claim whose holder fell `silent` ends as well. An epic with too many children for one call is still as it was.
    """
    row = graph.find(tx, workspace_id, task_id)
    due = changes_due(row, tx.now) or (lapsed(row, tx.now) if silent and row["status"] == DOING else {})
    changed = elapsing.write_down(tx, row, due)
    itself = next((one for one in changed if one["id"] == task_id), row)
    return itself, [one for one in changed if one["id"] != task_id]


def claim_next(
    tx: Transaction,
    workspace_id: str,
    *,
    agent_id: str,
    session_id: str,
    types: Sequence[str] = (),
    repository: str = "",
    lease_seconds: int = 0,
    withheld: Withheld | None = None,
    settled: list[Row] | None = None,
) -> Row | None:
    """Claim the most urgent ready task that this agent may take, or None.

    `withheld` says which tasks are not handed out now (somebody holds their feature's pause-lock); it is asked
    only when a task of a feature is next. `settled` is given the tasks that the
    clock had changed and this call wrote down, as they are now: its entry MUST name them.
    """
    kinds, known = _kinds(types), ahead.of(tx, workspace_id)
    asked = {"workspace": workspace_id, "now": tx.now, "agent": agent_id, "agent_0": agent_id, "session": session_id}
    asked |= _lane_of(repository) | {f"type_{number}": kind for number, kind in enumerate(kinds)}

    def look(without: Withheld | None = None) -> tuple[list[Row], Row | None]:
        found = _look(len(kinds), without, repository=bool(repository)).rows(tx, **asked)
        due = [row for row in found if row["due_at"] and row["due_at"] <= tx.now]
        return due, found[-1] if len(found) > len(due) else None

    changed = settled if settled is not None else []

    def settle_these(due: list[Row]) -> bool:
        """Whether all that the clock has changed is written down now; an epic of many children takes several calls."""
        for one in due:
            if len(changed) >= _SETTLED_AT_ONCE:
                return False
            if one["id"] not in {other["id"] for other in changed}:
                changed.extend(elapsing.write_down(tx, one, changes_due(one, tx.now), _SETTLED_AT_ONCE))
        return len(due) < _SETTLED_AT_ONCE and {one["id"] for one in due} <= {one["id"] for one in changed}

    seen, row = known.first((kinds, repository), agent_id) if known is not None else (False, None)
    due: list[Row] = []
    all_settled = True
    if not seen:
        due, row = look()
    if due:
        all_settled = settle_these(due)
        if not all_settled:
            # More are due than one call writes down, and the one to be handed out may be among the rest.
            for one in _behind(len(kinds), withheld, repository=bool(repository)).rows(tx, **asked):
                changed += elapsing.write_down(tx, one, changes_due(one, tx.now))
        row = look()[1]
    if row is not None and row["feature"] and withheld is not None:
        row = look(withheld)[1]
    doomed = 0
    while row is not None and not all_settled and elapsing.ended_above(tx, row) is not None:
        changed += graph.close(tx, workspace_id, [row], CANCELLED, "")
        doomed += 1
        row = look(withheld)[1] if doomed < _SETTLED_AT_ONCE else None
    return _take(tx, row, agent_id, session_id, lease_seconds) if row is not None else None


def _kinds(types: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(types)) or _CLAIMABLE_UNASKED


def _lane_of(repository: str) -> dict[str, str]:
    name, other = kept_under(repository)
    return {"repository": name, "or_kept_under": other}


def read_ahead(tx: Transaction, workspace_id: str, wanted: Sequence[tuple[str, Sequence[str], str]]) -> None:
    """Read what `claim_next` will ask for: (agent, types, repository) of each call that comes.

    A lane in which the clock has something to settle is left to the first call, whose entry must name what it settled.
    """
    lanes: dict[ahead.Lane, list[str]] = {}
    for agent_id, types, repository in wanted[: ahead.MOST]:
        lanes.setdefault((_kinds(types), repository), []).append(agent_id)
    found: dict[ahead.Lane, ahead.Ready] = {}
    for (kinds, repository), calls in lanes.items():
        agents = sorted(set(calls))
        # Few sizes, so that the drivers keep what they prepared; a name asked for twice changes nothing.
        places, most = (next(size for size in (1, 4, 8, 16, ahead.MOST) if size >= len(one)) for one in (agents, calls))
        named: dict[str, str] = {f"type_{number}": kind for number, kind in enumerate(kinds)}
        named |= {f"agent_{number}": agents[min(number, len(agents) - 1)] for number in range(places)}
        looking = _look(len(kinds), None, repository=bool(repository), agents=places, most=most)
        rows = looking.rows(tx, workspace=workspace_id, now=tx.now, **_lane_of(repository), **named)
        if not any(row["due_at"] and row["due_at"] <= tx.now for row in rows):
            found[kinds, repository] = ahead.Ready(frozenset(agents), rows, len(rows) < most)
    ahead.claiming(tx, workspace_id, found)


def claim(
    tx: Transaction,
    workspace_id: str,
    task_id: str,
    *,
    agent_id: str,
    session_id: str,
    lease_seconds: int = 0,
    settled: list[Row] | None = None,
) -> Row:
    """Claim one task by id. A session that already holds it gets its live claim again, unchanged.

    `settled` is given the task where a lapsed claim on it had to be ended first: the call's entry MUST name it.

    Refusals: `not_found`, `already_claimed`, `not_ready`, `already_ended`, `assigned_to_other`.
    """
    row = graph.find(tx, workspace_id, task_id)
    due = changes_due(row, tx.now)
    row = graph.change(tx, row, due)
    if due and settled is not None:
        settled.append(row)
    if row["status"] == DOING:
        if (row["holder_id"], row["holder_session"]) == (agent_id, session_id):
            return row
        raise Refusal(
            "already_claimed",
            f"task `{task_id}` is claimed by another; take different work",
            holder_agent_id=row["holder_id"],
            retry_after_seconds=seconds_left(row["lease_until"], tx.now),
        )
    if row["status"] in ENDED:
        raise Refusal("already_ended", f"task `{task_id}` is {row['status']}", error_code=row["error_code"])
    if row["status"] == BLOCKED:
        raise Refusal("not_ready", f"task `{task_id}` is parked as blocked; it must be reopened first", blockers=[])
    if row["waiting_on"]:
        blockers = graph.blockers_of(tx, workspace_id, task_id)
        raise Refusal(
            "not_ready",
            f"task `{task_id}` waits for {len(blockers)} other tasks",
            blockers=[{"task_id": item["id"], "status": item["status"]} for item in blockers[: graph.MOST_NAMED]],
        )
    if elapsing.ended_above(tx, row) is not None:
        raise Refusal("already_ended", f"the epic of task `{task_id}` has ended", error_code=CLOSED_WITH_PARENT)
    if row["assignee_id"] not in ("", agent_id):
        raise Refusal("assigned_to_other", f"task `{task_id}` lies in another's lane", assignee_id=row["assignee_id"])
    return _take(tx, row, agent_id, session_id, lease_seconds)


def _take(tx: Transaction, row: Row, agent_id: str, session_id: str, lease_seconds: int) -> Row:
    """Make the claim; the condition on state and fence holds even against a writer outside the lock."""
    until = _lease_end(row, tx.now, lease_seconds)
    taken = {
        "status": DOING,
        "holder_id": agent_id,
        "holder_session": session_id,
        "claimed_at": tx.now,
        "lease_until": until,
        "due_at": until,
        "fence": row["fence"] + 1,
        "blocked_reason": "",
    }
    new = {f"new_{name}": value for name, value in taken.items()}
    which = {"workspace": row["workspace_id"], "task": row["id"], "before": row["fence"]}
    if ahead.of(tx, row["workspace_id"]) is not None:
        graph.put(tx, _TAKE_LATER, {**row, **taken}, **new, **which)
    elif _TAKE.row(tx, **new, **which) is None:
        raise Refusal("already_claimed", f"task `{row['id']}` was claimed by another just now", retry_after_seconds=1)
    return {**row, **taken}


def _lease_end(row: Row, now: Micros, lease_seconds: int) -> Micros:
    """When a lease taken or renewed now ends: never after the deadline."""
    until: Micros = now + (lease_seconds or row["lease_seconds"]) * SECOND
    return min(until, row["deadline"]) if row["deadline"] else until


def seconds_left(until: Micros, now: Micros) -> int:
    """Whole seconds until an instant, rounded up, at least 1."""
    return max(1, -(-(until - now) // SECOND))


def held(tx: Transaction, workspace_id: str, task_id: str, agent_id: str, session_id: str, fence: int | None) -> Row:
    """The task that this session holds now; otherwise the refusal that says why it may not write.

    `stale_fence`: the claim that `fence` belongs to is over. `lease_expired`: the lease lapsed and the
    task is open to others. `not_holder`: another holds it, or nobody.
    """
    return held_now(graph.find(tx, workspace_id, task_id), tx.now, agent_id, session_id, fence)


def held_now(stored: Row, now: Micros, agent_id: str, session_id: str, fence: int | None) -> Row:
    """The same of a row that was just read."""
    task_id = stored["id"]
    row = as_of(stored, now)
    mine = (agent_id, session_id)
    if fence is not None and fence != row["fence"]:
        raise Refusal(
            "stale_fence",
            f"the claim with fence {fence} on task `{task_id}` is over; stop working on it",
            current_fence=row["fence"],
        )
    if row["status"] == DOING and (row["holder_id"], row["holder_session"]) == mine:
        return row
    if stored["status"] == DOING and (stored["holder_id"], stored["holder_session"]) == mine:
        raise Refusal(
            "lease_expired",
            f"your lease on task `{task_id}` lapsed; claim it again before you go on",
            current_fence=row["fence"],
        )
    raise Refusal(
        "not_holder",
        f"you do not hold task `{task_id}`",
        holder_agent_id=row["holder_id"],
        current_fence=row["fence"],
    )


def renew(
    tx: Transaction,
    workspace_id: str,
    task_id: str,
    *,
    agent_id: str,
    session_id: str,
    fence: int | None = None,
    lease_seconds: int = 0,
) -> Row:
    """Move the end of a live lease. Refusals as `held`."""
    row = held(tx, workspace_id, task_id, agent_id, session_id, fence)
    until = _lease_end(row, tx.now, lease_seconds)
    return graph.change(tx, row, {"lease_until": until, "due_at": until})


def release(
    tx: Transaction,
    workspace_id: str,
    task_id: str,
    *,
    agent_id: str,
    session_id: str,
    fence: int | None = None,
    blocked_reason: str = "",
    sequence: int = -1,
) -> Row:
    """Give a task back to its lane, or park it as blocked with a reason. No attempt is spent. Refusals as `held`."""
    row = held(tx, workspace_id, task_id, agent_id, session_id, fence)
    changes = back_to_todo(row)
    if blocked_reason:
        changes |= {**NO_RECORD, "status": BLOCKED, "blocked_reason": blocked_reason, "record_sequence": sequence}
    return graph.change(tx, row, changes)


def held_by(tx: Transaction, workspace_id: str, agent_id: str, sessions: Collection[str], limit: int) -> list[Row]:
    """The tasks that sessions of one agent hold now, oldest claim first."""
    return tx.rows(
        select(TASK)
        .where(
            TASK.c.workspace_id == workspace_id,
            TASK.c.holder_id == agent_id,
            TASK.c.status == DOING,
            TASK.c.holder_session.in_(tuple(sessions)),
            TASK.c.due_at > tx.now,
        )
        .order_by(TASK.c.claimed_at, TASK.c.id)
        .limit(limit)
    )


def free(tx: Transaction, workspace_id: str, agent_id: str, sessions: Collection[str], limit: int = 1000) -> list[Row]:
    """End every claim of sessions that fell silent, as if their leases had lapsed. The tasks as they are now, and what
    went with them."""
    rows = held_by(tx, workspace_id, agent_id, sessions, limit)
    return [changed for row in rows for changed in elapsing.write_down(tx, row, lapsed(row, tx.now))]


def give_back(tx: Transaction, workspace_id: str, agent_id: str) -> list[str]:
    """Put all that an agent holds back into its lane, for no fault of the tasks: no attempt is spent. Their ids.

    Their fences rise, so that whatever still writes for it is late.
    """
    given = tx.execute(
        TASK.update()
        .where(
            TASK.c.workspace_id == workspace_id,
            TASK.c.holder_id == agent_id,
            TASK.c.status == DOING,
            TASK.c.due_at > tx.now,
        )
        .values(**NOBODY, status=TODO, due_at=TASK.c.deadline, fence=TASK.c.fence + 1)
        .returning(TASK.c.id)
    )
    return sorted(given.scalars())
