"""Control: standing orders that pause, suspend or stop an agent or the whole workspace.

A pause is a lease: it has an end. Each pauser has a pause of their own, so nobody shortens another's:
the subject is paused while any of them runs. A suspension and a stop have no end and are lifted by
people only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import insert, or_, select, update

from guardhouse.errors import Refusal
from guardhouse.governance.tables import CONTROL_ORDER
from guardhouse.model.facts import Control, Principal
from guardhouse.model.ids import Ids
from guardhouse.model.instants import Micros, rfc3339
from guardhouse.storage.store import Transaction

PAUSED, SUSPENDED, STOPPED = "paused", "suspended", "stopped"

Subject = tuple[str, str]
"""(`agent`, agent id) or (`workspace`, workspace id)."""


def _live(workspace_id: str, subject: Subject, states: Iterable[str], now: Micros) -> tuple[Any, ...]:
    return (
        CONTROL_ORDER.c.workspace_id == workspace_id,
        CONTROL_ORDER.c.subject_kind == subject[0],
        CONTROL_ORDER.c.subject_id == subject[1],
        CONTROL_ORDER.c.state.in_(tuple(states)),
        CONTROL_ORDER.c.ended_at == 0,
        or_(CONTROL_ORDER.c.until == 0, CONTROL_ORDER.c.until > now),
    )


def order(
    tx: Transaction,
    ids: Ids,
    workspace_id: str,
    subject: Subject,
    state: str,
    by: Principal,
    reason: str,
    until: Micros = 0,
) -> dict[str, Any]:
    """Put an order on a subject; its row. The caller's own earlier order of the same state gives way to it."""
    tx.execute(
        update(CONTROL_ORDER)
        .where(
            CONTROL_ORDER.c.workspace_id == workspace_id,
            CONTROL_ORDER.c.subject_kind == subject[0],
            CONTROL_ORDER.c.subject_id == subject[1],
            CONTROL_ORDER.c.state == state,
            CONTROL_ORDER.c.by_id == by.id,
            CONTROL_ORDER.c.ended_at == 0,
        )
        .values(ended_at=tx.now)
    )
    row = {
        "workspace_id": workspace_id,
        "id": ids.new("control"),
        "subject_kind": subject[0],
        "subject_id": subject[1],
        "state": state,
        "by_kind": by.kind,
        "by_id": by.id,
        "reason": reason,
        "set_at": tx.now,
        "until": until,
        "ended_at": 0,
    }
    tx.execute(insert(CONTROL_ORDER).values(row))
    return row


def resume(tx: Transaction, workspace_id: str, subject: Subject, by: Principal) -> tuple[int, list[dict[str, Any]]]:
    """Lift pauses: an operator lifts every one, anybody else only their own; (lifted, those that still run).

    Refusals: `not_paused`, and `not_pauser` when only others' pauses run.
    """
    running = tx.rows(select(CONTROL_ORDER).where(*_live(workspace_id, subject, (PAUSED,), tx.now)))
    if not running:
        raise Refusal("not_paused", f"this {subject[0]} is not paused")
    above = by.kind == "person" and "operator" in by.roles
    liftable = [row["id"] for row in running if above or row["by_id"] == by.id]
    if not liftable:
        longest = max(running, key=lambda row: (row["until"], row["id"]))
        raise Refusal(
            "not_pauser",
            "only whoever paused it or an operator may resume it",
            state=PAUSED,
            by=longest["by_id"],
            reason=longest["reason"],
            until=rfc3339(longest["until"]),
        )
    _end(tx, workspace_id, liftable)
    return len(liftable), [row for row in running if row["id"] not in liftable]


def lift_pauses(tx: Transaction, workspace_id: str, subject: Subject) -> int:
    """Lift every pause of a subject, whoever put it; how many."""
    running = tx.rows(select(CONTROL_ORDER.c.id).where(*_live(workspace_id, subject, (PAUSED,), tx.now)))
    _end(tx, workspace_id, [row["id"] for row in running])
    return len(running)


def reinstate(tx: Transaction, workspace_id: str, subject: Subject) -> int:
    """Lift every suspension and stop of a subject; how many. Refusal `not_suspended` when there is none."""
    running = tx.rows(select(CONTROL_ORDER.c.id).where(*_live(workspace_id, subject, (SUSPENDED, STOPPED), tx.now)))
    if not running:
        raise Refusal("not_suspended", f"this {subject[0]} is neither suspended nor stopped")
    _end(tx, workspace_id, [row["id"] for row in running])
    return len(running)


def stopped(tx: Transaction, workspace_id: str, subject: Subject) -> bool:
    """Whether a stop stands on a subject."""
    return tx.row(select(CONTROL_ORDER.c.id).where(*_live(workspace_id, subject, (STOPPED,), tx.now))) is not None


def reason_of(tx: Transaction, workspace_id: str, order: Control) -> str:
    """Why an order in force was given, in the words of whoever gave it; empty where they gave none, or it was erased."""
    states = _live(workspace_id, (order.subject_kind, order.subject_id), (order.state,), tx.now)
    found = select(CONTROL_ORDER.c.reason).where(
        *states, CONTROL_ORDER.c.by_id == order.by, CONTROL_ORDER.c.until == order.until
    )
    row = tx.row(found.order_by(CONTROL_ORDER.c.id.desc()).limit(1))
    return str(row["reason"]) if row else ""


def _end(tx: Transaction, workspace_id: str, order_ids: list[str]) -> None:
    tx.execute(
        update(CONTROL_ORDER)
        .where(
            CONTROL_ORDER.c.workspace_id == workspace_id,
            CONTROL_ORDER.c.id.in_(order_ids),
            CONTROL_ORDER.c.ended_at == 0,
        )
        .values(ended_at=tx.now)
    )


def listed(tx: Transaction, workspace_id: str, limit: int, after: str, *, ended: bool) -> list[dict[str, Any]]:
    """At most `limit` orders after an id, oldest first; `ended` also those that are over."""
    found = select(CONTROL_ORDER).where(CONTROL_ORDER.c.workspace_id == workspace_id, CONTROL_ORDER.c.id > after)
    if not ended:
        found = found.where(
            CONTROL_ORDER.c.ended_at == 0, or_(CONTROL_ORDER.c.until == 0, CONTROL_ORDER.c.until > tx.now)
        )
    return tx.rows(found.order_by(CONTROL_ORDER.c.id).limit(limit))
