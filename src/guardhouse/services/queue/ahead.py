"""Ahead: what the calls of one train will ask of the queue, read for all of them at once.

It is kept true while they write: every change of a task by `graph.change` or a claim is noted here, and any
other write to the queue's tables makes all of it void (`Transaction.ahead`). What is not known here is asked
of the database as ever, so that it never changes what a call comes to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import text

from guardhouse.model.canonical import encode
from guardhouse.model.instants import Micros
from guardhouse.services.queue.states import TODO, Row
from guardhouse.services.queue.tables import TASK, TASK_EDGE
from guardhouse.storage.statement import Statement
from guardhouse.storage.store import Transaction

MOST = 32
"""For how many calls of a train is read ahead: rows may be long, and a train rarely carries more of a kind."""

Lane = tuple[tuple[str, ...], str]
"""What `claim_next` is asked for: types, in the order given, and a repository or ""."""


@dataclass(slots=True)
class Ready:
    """The first ready tasks of a lane in order, as far as these agents may take them; `all`: there are no more."""

    agents: frozenset[str]
    rows: list[Row]
    all: bool


@dataclass(slots=True)
class Ahead:
    """Stored rows by id; what is below and behind a task; tasks that wait for nothing at all; and lanes."""

    now: Micros
    rows: dict[str, Row] = field(default_factory=dict)
    neighbours: dict[str, tuple[bool, list[str]]] = field(default_factory=dict)
    alone: set[str] = field(default_factory=set)
    lanes: dict[Lane, Ready] = field(default_factory=dict)

    def note(self, row: Row) -> None:
        """A task was changed by a call of this train, and is like this now."""
        if row["id"] in self.rows:
            self.rows[row["id"]] = row
        if row["status"] == TODO or 0 < row["due_at"] <= self.now:
            self.lanes.clear()
            return
        for lane in self.lanes.values():
            for place, ready in enumerate(lane.rows):
                if ready["id"] == row["id"]:
                    del lane.rows[place]
                    break

    def first(self, lane: Lane, agent_id: str) -> tuple[bool, Row | None]:
        """Whether the most urgent task for an agent is known, and it, or None where there is none."""
        ready = self.lanes.get(lane)
        if ready is None or agent_id not in ready.agents:
            return False, None
        found = next((row for row in ready.rows if row["assignee_id"] in ("", agent_id)), None)
        return found is not None or ready.all, found


def of(tx: Transaction, workspace_id: str) -> Ahead | None:
    """What this train has read ahead of a workspace, where it is still true. A train may carry several workspaces."""
    if TASK_EDGE.name not in tx.ahead:
        return None
    found: dict[str, Ahead] = tx.ahead.get(TASK.name, {})
    return found.get(workspace_id)


_AMONG = {"sqlite": "IN (SELECT value FROM json_each(:ids))", "postgresql": "= ANY(CAST(:ids AS text[]))"}
_ROWS = Statement(
    **{
        name: text(f"SELECT * FROM task WHERE workspace_id = :workspace AND id {among}")  # noqa: S608  # words of ours
        for name, among in _AMONG.items()
    }
)
_EDGES = Statement(
    **{
        name: text(
            "SELECT DISTINCT 'child' AS kind, waiter_id AS task, '' AS other FROM task_edge "  # noqa: S608  # words of ours
            f"WHERE workspace_id = :workspace AND kind = 'child' AND waiter_id {among} "
            "UNION ALL SELECT 'need' AS kind, awaited_id AS task, waiter_id AS other FROM task_edge "
            f"WHERE workspace_id = :workspace AND kind = 'need' AND awaited_id {among}"
        )
        for name, among in _AMONG.items()
    }
)
_WAITING = Statement(
    **{
        name: text(
            f"SELECT DISTINCT waiter_id AS task FROM task_edge WHERE workspace_id = :workspace AND waiter_id {among}"  # noqa: S608  # words of ours
        )
        for name, among in _AMONG.items()
    }
)


def _begin(tx: Transaction, workspace_id: str) -> Ahead:
    """Keep what is read ahead of a workspace from here on."""
    if TASK.name not in tx.ahead or TASK_EDGE.name not in tx.ahead:
        tx.ahead[TASK.name] = tx.ahead[TASK_EDGE.name] = {}
    kept: dict[str, Ahead] = tx.ahead[TASK.name]
    return kept.setdefault(workspace_id, Ahead(tx.now))


def ending(tx: Transaction, workspace_id: str, task_ids: Collection[str]) -> None:
    """Read what completing these tasks will ask for."""
    known, wanted = _begin(tx, workspace_id), _given(tx, task_ids)
    for row in _ROWS.rows(tx, workspace=workspace_id, ids=wanted):
        known.rows[row["id"]] = row
    found: dict[str, tuple[bool, list[str]]] = dict.fromkeys(known.rows, (False, []))
    for edge in _EDGES.rows(tx, workspace=workspace_id, ids=wanted):
        children, waiting = found.get(edge["task"], (False, []))
        if edge["kind"] == "child":
            found[edge["task"]] = (True, waiting)
        else:
            found[edge["task"]] = (children, [*waiting, edge["other"]])
    known.neighbours.update(found)


def claiming(tx: Transaction, workspace_id: str, lanes: Mapping[Lane, Ready]) -> None:
    """Keep the first ready tasks of these lanes, and which of them wait for nothing and have no children."""
    known = _begin(tx, workspace_id)
    known.lanes.update(lanes)
    ids = [row["id"] for lane in lanes.values() for row in lane.rows]
    if ids:
        waiting = {edge["task"] for edge in _WAITING.rows(tx, workspace=workspace_id, ids=_given(tx, ids))}
        known.alone.update(set(ids) - waiting)


def _given(tx: Transaction, ids: Collection[str]) -> str | list[str]:
    return list(ids) if tx.dialect == "postgresql" else encode(list(ids)).decode()
