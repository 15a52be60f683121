"""Refusals: how often a session was refused the same thing, counted where every process sees it."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, text

from guardhouse.governance.tables import REFUSED
from guardhouse.model.instants import DAY, Micros
from guardhouse.storage.store import Transaction

KEPT: Micros = 30 * DAY
"""How long a count is kept after the last refusal; no session asks the same again later."""

_COUNT = text(
    "INSERT INTO refused (workspace_id, session_id, question, times, last_at) "
    "VALUES (:workspace, :session, :question, 1, :now) "
    "ON CONFLICT (workspace_id, session_id, question) "
    "DO UPDATE SET times = refused.times + 1, last_at = excluded.last_at RETURNING times"
)
_FORGET = delete(REFUSED).where(
    REFUSED.c.workspace_id == bindparam("workspace"), REFUSED.c.last_at < bindparam("before")
)


def count(tx: Transaction, workspace_id: str, session_id: str, question: str) -> int:
    """Count one more refusal of a session; how many there are now, this one included.

    `question` is the digest of what was refused. The caller's savepoint undoes it with the rest of the call.
    """
    where = {"workspace": workspace_id, "session": session_id, "question": question, "now": tx.now}
    times = int(tx.execute(_COUNT, where).scalar_one())
    if times == 1:
        tx.execute(_FORGET, {"workspace": workspace_id, "before": tx.now - KEPT})
    return times
