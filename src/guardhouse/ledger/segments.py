"""Segments on PostgreSQL: add them ahead, seal a full one, detach it. The owner's commands, never the service's.

A segment is the range of sequences of one partition of `entry` and of `payload`, for all workspaces; its size
is a power of two, so that a workspace's full segment is a complete subtree whose root alone leads on. Sealing
reads and rehashes every entry, and leaves a stub: range, root, checkpoint, where the segment goes. Detaching
takes both partitions out of their tables and leaves them standing, to be dumped and dropped by hand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import Connection, text

from guardhouse.errors import Refusal
from guardhouse.ledger.tree import Frontier, leaf_hash

SIZE = 1 << 20
"""How many sequences a segment holds unless told otherwise."""

_BOUNDS = re.compile(r"FROM \('?(\d+)'?\) TO \('?(\d+)'?\)")
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Segment:
    """A partition of `entry`, holding sequences `first` to `end`, exclusive."""

    name: str
    first: int
    end: int


def listed(connection: Connection) -> list[Segment]:
    """The segments that are attached, in order; what comes after them goes to `entry_later`."""
    rows = connection.execute(
        text(
            "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bounds FROM pg_inherits i "
            "JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass('entry')"
        )
    )
    found = []
    for row in rows:
        bounds = _BOUNDS.search(row.bounds)
        if bounds:
            found.append(Segment(row.relname, int(bounds[1]), int(bounds[2])))
    return sorted(found, key=lambda segment: segment.first)


def add(connection: Connection, count: int = 1, size: int = SIZE) -> list[Segment]:
    """Add segments behind the last one. Refusal `segment_in_use` where rows lie in `entry_later` already.

    They must be added ahead of need: PostgreSQL takes no partition whose range the default one holds rows of.
    """
    if size < 1 or size & (size - 1):
        raise Refusal("validation", "a segment's size is a power of two")
    added = []
    for _ in range(count):
        known = listed(connection)
        sealed = connection.execute(text("SELECT coalesce(max(last_sequence) + 1, 0) FROM sealed_segment")).scalar_one()
        first = max(known[-1].end if known else 0, sealed)
        first += -first % size
        end = first + size
        late = "SELECT count(*) FROM entry_later WHERE sequence >= :first AND sequence < :end"
        if connection.execute(text(late), {"first": first, "end": end}).scalar_one():
            raise Refusal("segment_in_use", f"entries from {first} on lie in `entry_later` already")
        number = f"{first:016d}" if size != SIZE else f"{first // size:04d}"
        _create(connection, number, first, end)
        added.append(Segment(f"entry_{number}", first, end))
    return added


def _create(connection: Connection, number: str, first: int, end: int) -> None:
    """The two partitions of a segment, closed to everybody who would write past their tables."""
    for table in ("entry", "payload"):
        name = f"{table}_{number}"
        connection.execute(text(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ({first}) TO ({end})"))
        connection.execute(
            text(
                f"CREATE TRIGGER {name}_no_direct BEFORE INSERT OR TRUNCATE ON {name} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()"
            )
        )


def seal(connection: Connection, segment: Segment, location: str) -> int:
    """Write the stub of a full segment for every workspace in it; how many were written.

    Every entry is read and rehashed. Refusals: `segment_not_full`, `segment_damaged`, and
    `not_yet_checkpointed` while no signed checkpoint covers the segment of some workspace.
    """
    if not location:
        raise Refusal("validation", "say where the segment goes")
    size = segment.end - segment.first
    if size & (size - 1) or segment.first % size:
        raise Refusal("validation", f"`{segment.name}` is not a complete subtree and cannot be sealed")
    workspaces = connection.execute(
        text("SELECT workspace_id, tree_size FROM workspace_head WHERE tree_size > :first ORDER BY workspace_id"),
        {"first": segment.first},
    ).all()
    written = 0
    for workspace, tree_size in workspaces:
        if tree_size < segment.end:
            raise Refusal("segment_not_full", f"workspace `{workspace}` still writes to `{segment.name}`")
        values = {"w": workspace, "first": segment.first, "last": segment.end - 1}
        known = text("SELECT 1 FROM sealed_segment WHERE workspace_id = :w AND first_sequence = :first")
        if connection.execute(known, values).first():
            continue
        note = connection.execute(
            text(
                "SELECT note FROM checkpoint WHERE workspace_id = :w AND tree_size > :last ORDER BY tree_size LIMIT 1"
            ),
            values,
        ).scalar()
        if note is None:
            raise Refusal("not_yet_checkpointed", f"no checkpoint of workspace `{workspace}` covers `{segment.name}`")
        connection.execute(
            text(
                "INSERT INTO sealed_segment (workspace_id, first_sequence, last_sequence, root, checkpoint, location, "
                "detail) VALUES (:w, :first, :last, :root, :note, :location, '{}')"
            ),
            values | {"root": _root(connection, workspace, segment), "note": note, "location": location},
        )
        written += 1
    return written


def _root(connection: Connection, workspace: str, segment: Segment) -> bytes:
    frontier, at = Frontier(), segment.first
    query = text(
        "SELECT sequence, body, leaf_hash FROM entry WHERE workspace_id = :w AND sequence >= :at AND sequence < :end "
        "ORDER BY sequence LIMIT :most"
    )
    while at < segment.end:
        rows = connection.execute(query, {"w": workspace, "at": at, "end": segment.end, "most": _PAGE}).all()
        leaves = [leaf_hash(bytes(row.body)) for row in rows]
        whole = [row.sequence for row in rows] == list(range(at, at + len(rows)))
        if not rows or not whole or leaves != [bytes(row.leaf_hash) for row in rows]:
            raise Refusal("segment_damaged", f"entries of workspace `{workspace}` from {at} on do not verify")
        frontier = frontier.extended(leaves)
        at += len(rows)
    return frontier.root


def detach(connection: Connection, segment: Segment) -> tuple[str, str]:
    """Take a sealed segment's two partitions out of their tables; their names.

    Refusal `segment_not_sealed` unless every workspace in it has its stub. What the stub says is proved later
    only by a checkpoint, so `verify` the ledger against an outside one before.
    """
    payload = segment.name.replace("entry_", "payload_", 1)
    unsealed = connection.execute(
        text(
            f"SELECT count(*) FROM (SELECT DISTINCT workspace_id FROM {segment.name}) e WHERE NOT EXISTS ("  # noqa: S608  # a name out of the catalogue
            "SELECT 1 FROM sealed_segment s WHERE s.workspace_id = e.workspace_id AND s.first_sequence = :first "
            "AND s.last_sequence = :last)"
        ),
        {"first": segment.first, "last": segment.end - 1},
    ).scalar_one()
    if unsealed:
        raise Refusal("segment_not_sealed", f"{unsealed} workspaces in `{segment.name}` have no stub")
    connection.execute(text(f"ALTER TABLE entry DETACH PARTITION {segment.name}"))
    connection.execute(text(f"ALTER TABLE payload DETACH PARTITION {payload}"))
    # A workspace founded later begins at sequence 0 again: its entries need a place that can be sealed in its turn.
    _create(connection, _unused(connection, segment.name).removeprefix("entry_"), segment.first, segment.end)
    return segment.name, payload


def _unused(connection: Connection, name: str) -> str:
    """The name of the next generation of a segment, whose own is taken by the one that was detached."""
    stem, _, generation = name.partition("_g")
    number = int(generation or 1) + 1
    while connection.execute(text("SELECT to_regclass(:name)"), {"name": f"{stem}_g{number}"}).scalar() is not None:
        number += 1
    return f"{stem}_g{number}"
