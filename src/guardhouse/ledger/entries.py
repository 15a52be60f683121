"""Entries: append a train's decisions inside its transaction, and read them back. Nothing here changes one.

Appending is on the path of every call: a train costs about one statement a table (`rows`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, bindparam, extract, func, select

from guardhouse.ledger import rows
from guardhouse.ledger.tables import CONTENT, ENTRY, ENTRY_RULE, HEAD, PAYLOAD, TILE
from guardhouse.ledger.tree import Frontier, leaf_hash
from guardhouse.model import canonical
from guardhouse.model.instants import Micros, from_rfc3339
from guardhouse.storage.statement import Statement
from guardhouse.storage.store import Transaction

TILE_HEIGHT = 8
"""A tile's hash stands for 256 leaves, the next level's for 256 of those."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a workspace's ledger stands."""

    workspace_id: str
    frontier: Frontier
    last_at: Micros
    standing_version: int
    schema_version: int

    @property
    def tree_size(self) -> int:
        """How many entries there are."""
        return self.frontier.size


@dataclass(frozen=True, slots=True)
class HeadRead:
    """A head read under the lock, and the database's own clock where it has one to be believed."""

    head: Head
    clock_micros: Micros | None


_HEADS = select(HEAD).where(HEAD.c.workspace_id.in_(bindparam("workspaces", expanding=True)))
_LOCKED: Any = select(
    *HEAD.c,
    func.floor(extract("epoch", func.clock_timestamp()) * 1_000_000).label("clock"),
).with_for_update()
_HEADS_LOCKED = _LOCKED.where(HEAD.c.workspace_id.in_(bindparam("workspaces", expanding=True))).order_by(
    HEAD.c.workspace_id
)
_HEAD_ONE = Statement(
    sqlite=select(HEAD).where(HEAD.c.workspace_id == bindparam("workspace")),
    postgresql=_LOCKED.where(HEAD.c.workspace_id == bindparam("workspace")),
)


def read_heads(tx: Transaction, workspace_ids: Iterable[str]) -> dict[str, HeadRead]:
    """The heads of several workspaces in one statement, locked until the transaction ends."""
    locked = tx.dialect == "postgresql"
    wanted = list(workspace_ids)
    if len(wanted) == 1:
        found = _HEAD_ONE.row(tx, workspace=wanted[0])
        rows: Iterable[Any] = [SimpleNamespace(**found)] if found is not None else []
    else:
        rows = tx.execute(_HEADS_LOCKED if locked else _HEADS, {"workspaces": wanted})
    return {row.workspace_id: HeadRead(_head(row), int(row.clock) if locked else None) for row in rows}


def read_head(connection: Connection, workspace_id: str) -> Head | None:
    """One head as a reader sees it, not locked; None when there is no such workspace."""
    row = connection.execute(_HEADS, {"workspaces": [workspace_id]}).first()
    return _head(row) if row is not None else None


def _head(row: Any) -> Head:
    return Head(
        row.workspace_id,
        Frontier.decode(row.tree_size, bytes(row.frontier)),
        row.last_at,
        row.standing_version,
        row.schema_version,
    )


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry to be appended. `body` is complete, its sequence included; `contents` are what it names by digest."""

    body: Mapping[str, Any]
    payload: bytes | None
    salt: bytes
    contents: Mapping[str, bytes]
    rules: tuple[str, ...] = ()
    encoded: bytes = b""


def encoded(draft: Draft) -> Draft:
    """The draft with its canonical bytes; raises, while the call's savepoint still stands, if it has none."""
    return Draft(draft.body, draft.payload, draft.salt, draft.contents, draft.rules, canonical.encode(draft.body))


def payload_digest(salt: bytes, payload: bytes) -> str:
    """What an entry says of its payload: SHA-256 over the salt and the payload's canonical bytes."""
    return "sha256:" + hashlib.sha256(salt + payload).hexdigest()


class KnownContents:
    """Which content-addressed values are known to be stored, so that they are not sent again."""

    def __init__(self, most: int = 50_000) -> None:
        self._most = most
        self._known: set[tuple[str, str]] = set()

    def fresh(self, workspace_id: str, digest: str) -> bool:
        """Whether a value must be sent; from now on it counts as known."""
        key = (workspace_id, digest)
        if key in self._known:
            return False
        if len(self._known) >= self._most:
            self._known.clear()
        self._known.add(key)
        return True

    def forget(self) -> None:
        """A transaction failed: nothing is known any more."""
        self._known.clear()


def append(tx: Transaction, head: Head, drafts: Sequence[Draft], known: KnownContents) -> Head:
    """Append entries in order and move the head; the new head.

    INVARIANT: `drafts[i].body["sequence"] == head.tree_size + i`.
    """
    workspace = head.workspace_id
    leaves: list[bytes] = []
    entries: list[rows.Row] = []
    payloads: list[rows.Row] = []
    rules: list[rows.Row] = []
    contents: list[rows.Row] = []
    tiles: list[rows.Row] = []
    for offset, draft in enumerate(drafts):
        sequence = head.tree_size + offset
        if draft.body["sequence"] != sequence:
            raise ValueError(f"entry {draft.body['sequence']} cannot stand at {sequence}")
        data = draft.encoded or canonical.encode(draft.body)
        leaf = leaf_hash(data)
        leaves.append(leaf)
        entries.append(_entry_row(workspace, draft.body, data, leaf))
        if draft.payload is not None:
            payloads.append((workspace, sequence, draft.salt, draft.payload))
        rules.extend((workspace, rule, sequence) for rule in draft.rules)
        contents.extend(
            (workspace, digest, value) for digest, value in draft.contents.items() if known.fresh(workspace, digest)
        )

    def completed(level: int, position: int, value: bytes) -> None:
        if level % TILE_HEIGHT == 0:
            tiles.append((workspace, level // TILE_HEIGHT, position, value))

    frontier = head.frontier.extended(leaves, completed)
    last_at = max(head.last_at, from_rfc3339(drafts[-1].body["at"])) if drafts else head.last_at
    rows.insert(tx, CONTENT, contents, ignore_existing=True)
    rows.insert(tx, ENTRY, entries)
    rows.insert(tx, PAYLOAD, payloads)
    rows.insert(tx, ENTRY_RULE, rules)
    rows.insert(tx, TILE, tiles)
    _MOVE_HEAD.rows(tx, workspace=workspace, size=frontier.size, hashes=frontier.encode(), at=last_at)
    return Head(workspace, frontier, last_at, head.standing_version, head.schema_version)


_MOVE_HEAD = Statement(
    any=HEAD.update()
    .where(HEAD.c.workspace_id == bindparam("workspace"))
    .values(tree_size=bindparam("size"), frontier=bindparam("hashes"), last_at=bindparam("at"))
)


def columns_of(workspace: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The query columns that repeat parts of an entry's body."""
    resource = body["resource"]
    return {
        "workspace_id": workspace,
        "sequence": body["sequence"],
        "id": body["id"],
        "at": from_rfc3339(body["at"]),
        "principal_kind": body["principal"]["kind"],
        "principal_id": body["principal"]["id"],
        "session_id": body["session"],
        "operation": body["operation"],
        "effect": body["effect"],
        "verdict": body.get("verdict", ""),
        "enforced": body["enforced"],
        "outcome": body["outcome"],
        "resource_type": resource["type"],
        "resource_id": resource["id"],
        "repository": resource.get("repository", ""),
        "approval_id": _approval_of(body),
        "bundle": body["bundle"],
    }


def _approval_of(body: Mapping[str, Any]) -> str:
    for named in body.get("objects", ()):
        if named.startswith("approval:"):
            return str(named.removeprefix("approval:"))
    return str(body["call"].get("approval_id", ""))


_COLUMNS = tuple(column.name for column in ENTRY.columns)


def _entry_row(workspace: str, body: Mapping[str, Any], data: bytes, leaf: bytes) -> tuple[Any, ...]:
    values = columns_of(workspace, body) | {"leaf_hash": leaf, "body": data}
    return tuple(values[name] for name in _COLUMNS)


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry as stored, with its payload where there is one."""

    sequence: int
    id: str
    leaf_hash: bytes
    body: bytes
    payload: bytes | None
    salt: bytes | None


_STORED = select(
    ENTRY.c.sequence, ENTRY.c.id, ENTRY.c.leaf_hash, ENTRY.c.body, PAYLOAD.c.body.label("payload"), PAYLOAD.c.salt
).select_from(
    ENTRY.outerjoin(
        PAYLOAD, (PAYLOAD.c.workspace_id == ENTRY.c.workspace_id) & (PAYLOAD.c.sequence == ENTRY.c.sequence)
    )
)


def _stored(row: Any) -> Stored:
    payload = None if row.payload is None else bytes(row.payload)
    salt = None if row.salt is None else bytes(row.salt)
    return Stored(row.sequence, row.id, bytes(row.leaf_hash), bytes(row.body), payload, salt)


def by_decision(connection: Connection, workspace_id: str, decision_id: str) -> Stored | None:
    """The entry of a decision, or None."""
    query = _STORED.where(ENTRY.c.workspace_id == workspace_id, ENTRY.c.id == decision_id)
    row = connection.execute(query).first()
    return _stored(row) if row is not None else None


def by_sequence(connection: Connection, workspace_id: str, sequence: int) -> Stored | None:
    """The entry at a position, or None."""
    query = _STORED.where(ENTRY.c.workspace_id == workspace_id, ENTRY.c.sequence == sequence)
    row = connection.execute(query).first()
    return _stored(row) if row is not None else None


def iterate(connection: Connection, workspace_id: str, first: int = 0, end: int | None = None) -> Iterator[Stored]:
    """Entries from `first` to `end` (exclusive), in order, read page by page in bounded memory."""
    page = 1000
    while True:
        query = _STORED.where(ENTRY.c.workspace_id == workspace_id, ENTRY.c.sequence >= first)
        if end is not None:
            query = query.where(ENTRY.c.sequence < end)
        rows = connection.execute(query.order_by(ENTRY.c.sequence).limit(page)).all()
        for row in rows:
            yield _stored(row)
        if len(rows) < page:
            return
        first = rows[-1].sequence + 1
