"""Erase: delete payloads for good, with the permission that makes each deletion lawful."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, insert

from guardhouse.ledger.tables import ERASURE, PAYLOAD
from guardhouse.storage.store import Transaction


def erase(tx: Transaction, workspace_id: str, sequences: Sequence[int], by_sequence: int) -> None:
    """Delete the payloads and salts at `sequences`.

    `by_sequence` is where the erasing call's own entry will stand, in this very transaction. A trigger
    lets a payload go only where such a row exists; `verify` demands that the entry there is an
    `erase_payload` that names the decision.
    """
    if not sequences:
        return
    rows = [
        {"workspace_id": workspace_id, "sequence": sequence, "by_sequence": by_sequence, "at": tx.now}
        for sequence in sequences
    ]
    tx.execute(insert(ERASURE), rows)
    tx.execute(delete(PAYLOAD).where(PAYLOAD.c.workspace_id == workspace_id, PAYLOAD.c.sequence.in_(tuple(sequences))))
