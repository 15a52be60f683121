"""The corridor's own table: first outcomes of keyed calls, for repeats."""

from __future__ import annotations

from sqlalchemy import Index
from sqlmodel import SQLModel

from guardhouse.storage.columns import counter, identifier, instant, raw, table_of


class FirstOutcome(SQLModel, table=True):
    """The answer to a keyed call, for 24 hours. `key` is an HMAC; secrets are cut from `body`, empty once erased."""

    __tablename__ = "first_outcome"
    workspace_id: str = identifier(key=True)
    session_id: str = identifier(key=True)
    key: str = identifier(key=True)
    call_digest: str = identifier()
    decision_id: str = identifier()
    sequence: int = counter()
    at: int = instant()
    body: bytes = raw()
    __table_args__ = (Index("first_outcome_by_time", "workspace_id", "at"),)


FIRST_OUTCOME = table_of(FirstOutcome)
