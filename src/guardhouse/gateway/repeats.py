"""Kept answers of keyed calls, where something other than a repeat is about them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, insert, select

from guardhouse.gateway.tables import FIRST_OUTCOME
from guardhouse.storage.store import Transaction


def forget_answers(tx: Transaction, workspace_id: str, sequences: Sequence[int]) -> None:
    """Take the text of the answers that the entries at `sequences` gave; that they were given stays.

    The key goes on to stand for its call, so that a repeat has no second effect. A trigger lets a row go
    only where this transaction has noted the erasure of its entry.
    """
    which = (FIRST_OUTCOME.c.workspace_id == workspace_id, FIRST_OUTCOME.c.sequence.in_(tuple(sequences)))
    kept = tx.rows(select(FIRST_OUTCOME).where(*which))
    if kept:
        tx.execute(delete(FIRST_OUTCOME).where(*which))
        tx.execute(insert(FIRST_OUTCOME), [dict(row) | {"body": b""} for row in kept])
