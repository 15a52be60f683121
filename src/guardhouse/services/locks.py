"""Locks: exclusive, expiring, fenced claims on files and named resources."""

from __future__ import annotations

from sqlalchemy import Index
from sqlmodel import SQLModel

from guardhouse.storage.columns import counter, identifier, instant, json_text, table_of, text


class Lock(SQLModel, table=True):
    """One ownership period of one key. At most one row a key has `ended_at` 0 (a partial unique index holds it)."""

    __tablename__ = "lock"
    workspace_id: str = identifier(key=True)
    id: str = identifier(key=True)
    key: str = text()
    namespace: str = identifier()
    agent_id: str = identifier()
    session_id: str = identifier()
    fence: int = counter()
    acquired_at: int = instant()
    expires_at: int = instant()
    ended_at: int = instant(default=0)
    end_reason: str = identifier(default="")
    reason: str = text(default="")
    metadata_json: str = json_text(default="{}")
    sequence: int = counter(default=-1)
    __table_args__ = (Index("lock_by_holder", "workspace_id", "agent_id", "ended_at"),)


class Fence(SQLModel, table=True):
    """The last fencing token given for a key; it only ever rises."""

    __tablename__ = "fence"
    workspace_id: str = identifier(key=True)
    key: str = text(primary_key=True)
    value: int = counter()


LOCK = table_of(Lock)
FENCE = table_of(Fence)

Index(
    "lock_live",
    LOCK.c.workspace_id,
    LOCK.c.key,
    unique=True,
    sqlite_where=LOCK.c.ended_at == 0,
    postgresql_where=LOCK.c.ended_at == 0,
)
