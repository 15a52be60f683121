"""The ledger's tables. Triggers (migration 0002) refuse UPDATE, DELETE, TRUNCATE and out-of-order INSERT."""

from __future__ import annotations

from sqlalchemy import Index
from sqlmodel import SQLModel

from guardhouse.storage.columns import counter, identifier, instant, json_text, raw, small, table_of, text

NARROW = {"sqlite_with_rowid": False}
"""For protected tables of short rows: without a rowid, `INSERT OR REPLACE` through one cannot reach an old row."""


class WorkspaceHead(SQLModel, table=True):
    """The one row a train locks: where the tree stands, and which version of the standing binds.

    `frontier` holds the roots of the complete subtrees of the tree at `tree_size`, largest first, 32
    bytes each. `standing_version` is raised by database triggers on every governance table.
    """

    __tablename__ = "workspace_head"
    workspace_id: str = identifier(key=True)
    tree_size: int = counter(default=0)
    frontier: bytes = raw(default=b"")
    last_at: int = instant(default=0)
    standing_version: int = counter(default=0)
    schema_version: int = small(default=1)
    __table_args__ = NARROW


class Entry(SQLModel, table=True):
    """One decision. `body` is the canonical bytes as hashed; every other column repeats a part of it for queries."""

    __tablename__ = "entry"
    workspace_id: str = identifier(key=True)
    sequence: int = counter(key=True)
    id: str = identifier()
    at: int = instant()
    leaf_hash: bytes = raw()
    body: bytes = raw()
    principal_kind: str = identifier()
    principal_id: str = identifier()
    session_id: str = identifier(default="")
    operation: str = identifier()
    effect: str = identifier()
    verdict: str = identifier(default="")
    enforced: bool = True
    outcome: str = identifier()
    resource_type: str = identifier()
    resource_id: str = text()
    repository: str = text(default="")
    approval_id: str = identifier(default="")
    bundle: str = identifier(default="")
    __table_args__ = (
        Index("entry_by_id", "workspace_id", "id"),
        Index("entry_by_principal", "workspace_id", "principal_id", "sequence"),
        Index("entry_by_operation", "workspace_id", "operation", "sequence"),
        Index("entry_by_time", "workspace_id", "at", "sequence"),
    )


class EntryRule(SQLModel, table=True):
    """Which rules an entry names, for queries by rule id."""

    __tablename__ = "entry_rule"
    workspace_id: str = identifier(key=True)
    rule: str = identifier(key=True)
    sequence: int = counter(key=True)
    __table_args__ = NARROW


class Payload(SQLModel, table=True):
    """What can be erased: the redacted payload and its salt. `payload_digest` in the entry is SHA-256(salt || body)."""

    __tablename__ = "payload"
    workspace_id: str = identifier(key=True)
    sequence: int = counter(key=True)
    salt: bytes = raw()
    body: bytes = raw()


class Erasure(SQLModel, table=True):
    """Permission to delete one payload: written by the erasing call, whose own entry stands at `by_sequence`."""

    __tablename__ = "erasure"
    workspace_id: str = identifier(key=True)
    sequence: int = counter(key=True)
    by_sequence: int = counter()
    at: int = instant()
    __table_args__ = NARROW


class Content(SQLModel, table=True):
    """Content-addressed values that entries name by digest (a principal's standing, a workspace's)."""

    __tablename__ = "content"
    workspace_id: str = identifier(key=True)
    digest: str = identifier(key=True)
    body: bytes = raw()


class Tile(SQLModel, table=True):
    """Hashes of complete subtrees of 256^level leaves, written once, so that a proof reads few rows."""

    __tablename__ = "tile"
    workspace_id: str = identifier(key=True)
    level: int = counter(key=True)
    position: int = counter(key=True)
    hash: bytes = raw()
    __table_args__ = NARROW


class Checkpoint(SQLModel, table=True):
    """Signed statements of tree size and root, as written to the file outside the database."""

    __tablename__ = "checkpoint"
    workspace_id: str = identifier(key=True)
    tree_size: int = counter(key=True)
    at: int = instant()
    note: str = text()
    __table_args__ = NARROW


class SealedSegment(SQLModel, table=True):
    """What stays when a segment of entries was detached: its range, root, checkpoint, and where it went."""

    __tablename__ = "sealed_segment"
    workspace_id: str = identifier(key=True)
    first_sequence: int = counter(key=True)
    last_sequence: int = counter()
    root: bytes = raw()
    checkpoint: str = text()
    location: str = text()
    detail: str = json_text(default="{}")
    __table_args__ = NARROW


HEAD = table_of(WorkspaceHead)
ENTRY = table_of(Entry)
ENTRY_RULE = table_of(EntryRule)
PAYLOAD = table_of(Payload)
ERASURE = table_of(Erasure)
CONTENT = table_of(Content)
TILE = table_of(Tile)
CHECKPOINT = table_of(Checkpoint)
SEALED_SEGMENT = table_of(SealedSegment)
