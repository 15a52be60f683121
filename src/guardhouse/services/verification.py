"""Verification: what each gate said of a task's result, recorded by somebody other than its author.

Results are only ever added; of each gate the latest counts. A task is verified when all of `GATES` passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Index, select
from sqlmodel import SQLModel

from guardhouse.errors import Refusal
from guardhouse.model.ids import Ids
from guardhouse.storage.columns import counter, identifier, instant, small, table_of, text
from guardhouse.storage.store import Transaction

GATES = ("testing", "regression", "spec_audit", "doc_audit", "security_audit")
"""The five gates, in the order in which they are passed (reference row G47)."""

Row = dict[str, Any]


class Verification(SQLModel, table=True):
    """One result of one gate. `passed` is 1 or 0; `sequence` is the entry that the evidence came with."""

    __tablename__ = "verification"
    workspace_id: str = identifier(key=True)
    id: str = identifier(key=True)
    task_id: str = identifier()
    gate: str = identifier()
    passed: int = small()
    evidence: str = text(default="")
    by_id: str = identifier()
    at: int = instant()
    sequence: int = counter(default=-1)
    erased_at: int = instant(default=0)
    __table_args__ = (
        Index("verification_by_task", "workspace_id", "task_id", "gate", "sequence"),
        Index("verification_by_entry", "workspace_id", "sequence"),
    )


VERIFICATION = table_of(Verification)


def record(
    tx: Transaction,
    ids: Ids,
    workspace_id: str,
    *,
    task: Mapping[str, Any],
    gate: str,
    passed: bool,
    by: str,
    evidence: str = "",
    sequence: int = -1,
) -> Row:
    """Add a gate's result for a task. Refusal `self_verification` for whoever works or worked on it."""
    worked = {task["holder_id"], task["ended_by"]}
    if by in worked:
        raise Refusal(
            "self_verification",
            f"nobody verifies their own work; let another agent pass the gate `{gate}`",
            needed={"other_than": sorted(worked - {""})},
        )
    row: Row = {
        "workspace_id": workspace_id,
        "id": ids.new("verification"),
        "task_id": task["id"],
        "gate": gate,
        "passed": int(passed),
        "evidence": evidence,
        "by_id": by,
        "at": tx.now,
        "sequence": sequence,
        "erased_at": 0,
    }
    tx.execute(VERIFICATION.insert(), row)
    return row


def latest(tx: Transaction, workspace_id: str, task_id: str) -> dict[str, Row]:
    """The latest result of each gate that has one, by gate."""
    rows = tx.rows(
        select(VERIFICATION)
        .where(VERIFICATION.c.workspace_id == workspace_id, VERIFICATION.c.task_id == task_id)
        .order_by(VERIFICATION.c.sequence, VERIFICATION.c.at, VERIFICATION.c.id)
    )
    return {row["gate"]: row for row in rows}


def erase(tx: Transaction, workspace_id: str, sequence: int) -> list[str]:
    """Blank the evidence that the entry at `sequence` brought; the results it belonged to."""
    which = (VERIFICATION.c.workspace_id == workspace_id, VERIFICATION.c.sequence == sequence)
    found = list(tx.execute(select(VERIFICATION.c.id).where(*which)).scalars())
    if found:
        tx.execute(VERIFICATION.update().where(*which).values(evidence="", erased_at=tx.now))
    return found
