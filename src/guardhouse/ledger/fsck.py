"""Verify a ledger from outside: from a database or from an export, sharing no code with append but the tree.

What is checked; the numbers come again in the code:
 1. every entry's leaf hash is that of its bytes, sequences run without a gap, time never runs back;
 2. every column repeats what the bytes say, and every named rule has its row and no other;
 3. every payload has the digest its entry names; one that is missing was erased by a performed `erase_payload`
    that names its decision, and every erasure noted is of that kind;
 4. every digest that an entry names (principal, workspace, bundle) resolves, and every value kept hashes to itself;
 5. tiles, frontier and head are those of the tree over these leaves, and no row stands outside it;
 6. every checkpoint, in the table and outside, is signed and has the root of this tree at its size;
 7. a sealed segment that is not here is taken by its stub: its root must lead to the signed ones;
 8. activations run without a gap, each is what its entry did, each entry that made one has it, and every entry
    was decided under the policy version that was in force where it stands.

Entries are read page by page; memory does not grow with their number.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

from guardhouse.ledger.checkpoint import split_log
from guardhouse.ledger.exported import verify_export
from guardhouse.ledger.keys import Verifier
from guardhouse.ledger.laws import ACTIVATING, Laws
from guardhouse.ledger.report import Fault, Report
from guardhouse.ledger.walk import (
    Item,
    Walk,
    compare_checkpoints,
    erased_by,
    micros,
    say_what_is_not_proved,
    sizes_in,
)

__all__ = ["Fault", "Report", "bundle_digest", "verify", "verify_export"]

_PAGE = 250
_MOST_KEPT = 10_000


def verify(
    connection: Connection,
    workspace_id: str,
    *,
    tree_size: int | None = None,
    verifiers: tuple[Verifier, ...] = (),
    outside: str | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Report:
    """Verify one workspace's ledger in a database, up to `tree_size` or to its head.

    `connection` must see one snapshot. `outside` is the text of a checkpoint file kept elsewhere; `verifiers`
    the keys that its signatures must be by. Without them the report says that nothing outside was compared.
    `progress` is told after every page how many entries are read, and of how many; what it raises ends the verification.
    """
    report = Report(workspace_id)
    head = connection.execute(
        text("SELECT tree_size, frontier, last_at FROM workspace_head WHERE workspace_id = :w"), {"w": workspace_id}
    ).first()
    if head is None:
        report.fault(-1, f"there is no ledger `{workspace_id}`")
        return report
    _Database(connection, report, head, tree_size, progress).verify(verifiers, outside)
    return report


class _Database:
    """One verification of one workspace in one database."""

    def __init__(
        self,
        connection: Connection,
        report: Report,
        head: Any,
        tree_size: int | None,
        progress: Callable[[int, int], None],
    ) -> None:
        self.connection = connection
        self.report = report
        self.workspace = report.workspace_id
        self.head = head
        self.end: int = head.tree_size if tree_size is None else tree_size
        self.whole = tree_size is None or tree_size == head.tree_size
        self.progress = progress
        self._resolved: set[tuple[str, str]] = set()
        self._erasers: dict[int, tuple[int, set[str]] | None] = {}
        self._laws = Laws(report)

    def _rows(self, query: str, **values: Any) -> Sequence[Any]:
        return self.connection.execute(text(query), {"w": self.workspace} | values).all()

    def _count(self, query: str, **values: Any) -> int:
        return int(self.connection.execute(text(query), {"w": self.workspace} | values).scalar_one())

    def verify(self, verifiers: tuple[Verifier, ...], outside: str | None) -> None:
        """All steps, in an order that reads the entries once."""
        report = self.report
        stubs = self._rows(
            "SELECT first_sequence, last_sequence, root, checkpoint, location FROM sealed_segment "
            "WHERE workspace_id = :w ORDER BY first_sequence"
        )
        kept = self._rows("SELECT tree_size, note FROM checkpoint WHERE workspace_id = :w ORDER BY tree_size")
        for row in kept:
            if sizes_in([row.note]) != [row.tree_size]:
                report.fault(-1, f"the checkpoint kept under {row.tree_size} entries speaks of another number")
            if row.tree_size > self.head.tree_size:
                report.fault(-1, f"a checkpoint counts {row.tree_size} entries and the head {self.head.tree_size}")
        inside = [row.note for row in kept if row.tree_size <= self.end]
        inside += [stub.checkpoint for stub in stubs if all(size <= self.end for size in sizes_in([stub.checkpoint]))]
        notes = split_log(outside) if outside is not None else []
        walk = Walk(report, sizes_in([*inside, *notes]))
        self._walk(walk, stubs)
        report.tree_size, report.root_hash = walk.frontier.size, walk.frontier.root.hex()
        self._finish(walk)
        self.progress(self.end, self.end)
        self._all_contents()
        self._activations()
        compare_checkpoints(walk, inside, verifiers, outside=False, end=report.tree_size)
        # A checkpoint that is newer than the size asked for says nothing of a smaller tree.
        limit = max(self.head.tree_size, report.tree_size)
        counted = notes if self.whole else [note for note in notes if not _between(note, self.end, limit)]
        compare_checkpoints(walk, counted, verifiers, outside=True, end=report.tree_size)
        say_what_is_not_proved(report, outside=outside is not None, keys=bool(verifiers))
        self.progress(self.end, self.end)

    def _walk(self, walk: Walk, stubs: Sequence[Any]) -> None:
        for stub in stubs:
            first, last = stub.first_sequence, stub.last_sequence
            if last >= self.end:
                if first < self.end:
                    self.report.fault(first, "the tree size asked for ends inside a segment that was sealed")
                break
            self._entries(walk, first)
            here = self._count(
                "SELECT count(*) FROM entry WHERE workspace_id = :w AND sequence >= :first AND sequence <= :last",
                first=first,
                last=last,
            )
            size = last - first + 1
            level = size.bit_length() - 1
            if size < 1 or size != 1 << level or first % size or walk.frontier.size != first:
                self.report.fault(first, "the stub of a sealed segment does not fit the tree")
                return
            if here:
                apart = Walk(Report(self.workspace), ())
                self._entries(walk, last + 1, also=apart)
                if apart.frontier.root != _stored(stub.root):
                    self.report.fault(first, "the segment that was sealed here has another root than its stub")
                continue
            self._laws.pass_over()
            try:
                walk.pass_over(level, _stored(stub.root))
            except ValueError:
                self.report.fault(first, "the stub of a sealed segment does not fit the tree")
                return
            self._tiles(walk)
            self.report.sealed.append((first, last, stub.location))
        self._entries(walk, self.end)

    def _entries(self, walk: Walk, end: int, also: Walk | None = None) -> None:
        """Steps 1 to 5 for the entries from where the walk stands up to `end`, page by page."""
        first = walk.frontier.size
        while first < end:
            page = self._page(first, end)
            if not page:
                return
            last = page[-1]["sequence"]
            rules = self._rules(first, last)
            erasures = {
                row.sequence: row
                for row in self._rows(
                    "SELECT sequence, by_sequence, at FROM erasure WHERE workspace_id = :w AND sequence >= :first "
                    "AND sequence <= :last",
                    first=first,
                    last=last,
                )
            }
            for row in page:
                item = _item(row)
                entry = walk.take(item)
                if also is not None:
                    also.frontier = also.frontier.extended(walk_leaf(item))
                if entry is not None:
                    self._one(row, item, entry, rules.get(item.sequence, set()), erasures.get(item.sequence))
            self._tiles(walk)
            first = last + 1
            self.progress(min(first, self.end), self.end)

    def _page(self, first: int, end: int) -> list[Mapping[str, Any]]:
        query = text(
            "SELECT e.*, p.body AS payload_body, p.salt AS payload_salt FROM entry e LEFT JOIN payload p "
            "ON p.workspace_id = e.workspace_id AND p.sequence = e.sequence "
            "WHERE e.workspace_id = :w AND e.sequence >= :first AND e.sequence < :end ORDER BY e.sequence LIMIT :most"
        )
        values = {"w": self.workspace, "first": first, "end": end, "most": _PAGE}
        return [dict(row) for row in self.connection.execute(query, values).mappings()]

    def _rules(self, first: int, last: int) -> dict[int, set[str]]:
        found: dict[int, set[str]] = {}
        for row in self._rows(
            "SELECT sequence, rule FROM entry_rule WHERE workspace_id = :w AND sequence >= :first AND sequence <= :last",
            first=first,
            last=last,
        ):
            found.setdefault(row.sequence, set()).add(row.rule)
        return found

    def _one(self, row: Mapping[str, Any], item: Item, entry: dict[str, Any], rules: set[str], erasure: Any) -> None:
        """Steps 2 to 4 for one entry whose bytes are an entry."""
        report, sequence = self.report, item.sequence
        try:
            column = _column_that_differs(row, entry)
            named = {rule for step in entry["steps"] for rule in step.get("rules", ())}
            digests = (entry["facts"]["principal"], entry["facts"]["workspace"])
        except (KeyError, TypeError, AttributeError, ValueError):
            report.fault(sequence, "its bytes are not an entry")
            return
        if column is not None:
            report.fault(sequence, f"its column `{column}` does not say what its bytes say")
        if named != rules:
            report.fault(sequence, "the rules noted for it are not those its bytes name")
        for table, digest in (("content", digests[0]), ("content", digests[1]), ("bundle_version", entry["bundle"])):
            self._resolve(sequence, table, digest)
        self._laws.take(sequence, entry)
        self._payload(item, entry, erasure)
        for decision in sorted(erased_by(entry)):
            self._was_erased(sequence, decision)

    def _resolve(self, sequence: int, table: str, digest: str) -> None:
        """Step 4: a digest that an entry names is kept. That what is kept hashes to itself is shown for all at the end."""
        if (table, digest) in self._resolved:
            return
        if len(self._resolved) >= _MOST_KEPT:
            self._resolved.clear()
        self._resolved.add((table, digest))
        if not self._rows(f"SELECT 1 FROM {table} WHERE workspace_id = :w AND digest = :d", d=digest):  # noqa: S608  # two names of ours
            self.report.fault(sequence, f"it names {digest[:20]}…, which is not in `{table}`")

    def _payload(self, item: Item, entry: dict[str, Any], erasure: Any) -> None:
        """Step 3 for one entry."""
        report, sequence = self.report, item.sequence
        missing = item.payload is None and "payload_digest" in entry
        if erasure is None:
            if missing:
                report.fault(sequence, "its payload is missing and no entry erased it")
            return
        if not missing:
            report.fault(
                sequence, f"entry {erasure.by_sequence} is said to have erased its payload, and none is missing"
            )
        eraser = self._eraser(erasure.by_sequence)
        if eraser is None and any(first <= erasure.by_sequence <= last for first, last, _ in report.sealed):
            report.doubt("an erasure was made by an entry in a sealed segment, which was not read")
        elif eraser is None or entry["id"] not in eraser[1] or erasure.by_sequence <= sequence:
            report.fault(sequence, "its payload is said to be erased by an entry that did not erase it")
            return
        elif eraser[0] != erasure.at:
            report.fault(sequence, "its erasure is noted at another time than that of the entry that erased it")
        report.erased += missing

    def _eraser(self, sequence: int) -> tuple[int, set[str]] | None:
        """When the entry at a position was made and what it erased; None where there is no such entry."""
        if sequence not in self._erasers:
            if len(self._erasers) > 64:
                self._erasers.clear()
            rows = self._rows(
                "SELECT body FROM entry WHERE workspace_id = :w AND sequence = :s AND sequence < :size",
                s=sequence,
                size=self.head.tree_size,
            )
            self._erasers[sequence] = None
            if rows:
                try:
                    entry = json.loads(_stored(rows[0].body))
                    self._erasers[sequence] = micros(entry["at"]), erased_by(entry)
                except (ValueError, KeyError, TypeError, AttributeError):
                    self.report.fault(sequence, "its bytes are not an entry")
        return self._erasers[sequence]

    def _was_erased(self, sequence: int, decision: str) -> None:
        """Step 3 from the other side: what an entry erased is gone, and noted as erased by it."""
        rows = self._rows(
            "SELECT e.sequence, x.by_sequence FROM entry e LEFT JOIN erasure x ON x.workspace_id = e.workspace_id "
            "AND x.sequence = e.sequence WHERE e.workspace_id = :w AND e.id = :d",
            d=decision,
        )
        if not rows and self.report.sealed:
            self.report.doubt("some erased payloads belonged to entries in a sealed segment")
        elif [row.by_sequence for row in rows] != [sequence]:
            self.report.fault(sequence, f"it erased the payload of `{decision}`, and that is not noted so")

    def _tiles(self, walk: Walk) -> None:
        """Step 5: the tiles completed since the last page."""
        for level, position, value in walk.tiles:
            rows = self._rows(
                "SELECT hash FROM tile WHERE workspace_id = :w AND level = :level AND position = :position",
                level=level,
                position=position,
            )
            if not rows or _stored(rows[0].hash) != value:
                self.report.fault(-1, f"tile {position} of level {level} is not that of these entries")
        walk.tiles.clear()

    def _finish(self, walk: Walk) -> None:
        """Step 5, where the whole tree is known."""
        report, head = self.report, self.head
        if walk.frontier.size != self.end:
            report.fault(-1, f"there should be {self.end} entries and there are {walk.frontier.size}")
        for table in ("entry", "payload", "entry_rule", "erasure"):
            outside = self._count(
                f"SELECT count(*) FROM {table} WHERE workspace_id = :w AND (sequence < 0 OR sequence >= :size)",  # noqa: S608  # a name of ours
                size=head.tree_size,
            )
            if outside:
                report.fault(-1, f"{outside} rows of `{table}` stand outside the ledger's {head.tree_size} entries")
        stray = self._count(
            "SELECT count(*) FROM payload p LEFT JOIN entry e ON e.workspace_id = p.workspace_id AND "
            "e.sequence = p.sequence WHERE p.workspace_id = :w AND e.sequence IS NULL"
        )
        if stray:
            report.fault(-1, f"{stray} payloads belong to no entry")
        tiles = self._count("SELECT count(*) FROM tile WHERE workspace_id = :w")
        if tiles != sum(head.tree_size >> 8 * level for level in range(1, 8)):
            report.fault(-1, f"there are {tiles} tiles, which is not the number for {head.tree_size} entries")
        if self.whole and walk.frontier.encode() != _stored(head.frontier):
            report.fault(-1, "the head's frontier is not that of these entries")
        try:
            late = self.whole and walk.last_at != "" and micros(walk.last_at) != head.last_at
        except ValueError:
            late = True
        if late:
            report.fault(-1, "the head's time is not that of the last entry")

    def _all_contents(self) -> None:
        """Step 4: every value kept under a digest hashes to it, named or not."""
        for table, digest_of in (("content", _digest), ("bundle_version", bundle_digest)):
            after = ""
            while rows := self._rows(
                f"SELECT digest, body FROM {table} WHERE workspace_id = :w AND digest > :after ORDER BY digest LIMIT 50",  # noqa: S608  # a name of ours
                after=after,
            ):
                for row in rows:
                    if digest_of(_stored(row.body)) != row.digest:
                        self.report.fault(-1, f"what `{table}` holds under {row.digest[:20]}… was changed")
                after = rows[-1].digest
                self.progress(self.end, self.end)

    def _activations(self) -> None:
        """Step 8. The first activation of a workspace is made with it, by an entry of another ledger."""
        report, laws = self.report, self._laws
        rows = self._rows(
            "SELECT a.number, a.digest, a.law, a.at, a.by_id, a.decision_id, e.sequence, e.operation, e.outcome, "
            "e.at AS entry_at, e.principal_id, b.digest AS kept FROM activation a "
            "LEFT JOIN entry e ON e.workspace_id = a.workspace_id AND e.id = a.decision_id "
            "LEFT JOIN bundle_version b ON b.workspace_id = a.workspace_id AND b.digest = a.digest "
            "WHERE a.workspace_id = :w ORDER BY a.number"
        )
        for expected, row in enumerate(rows, start=1):
            if row.number != expected:
                report.fault(-1, f"activation {row.number} stands where activation {expected} should")
            if row.kept is None:
                report.fault(-1, f"activation {row.number} is of a policy version that is not kept")
            if laws.judged.get(row.digest, row.law) != row.law:
                report.fault(-1, f"activation {row.number} names another law than the entries decided under it")
            if row.operation is None:
                if row.number > 1 and report.sealed:
                    report.doubt(f"who made activation {row.number}: its entry is in a sealed segment")
                elif row.number > 1:
                    report.fault(-1, f"no entry made activation {row.number}")
                elif laws.first not in (None, row.digest):
                    report.fault(-1, "activation 1 is not of the policy version that the first entry was decided under")
                continue
            _, digest = laws.made.pop(row.decision_id, (0, row.digest if row.sequence >= self.end else ""))
            if (row.outcome, row.entry_at, row.principal_id, digest) != (
                "performed",
                row.at,
                row.by_id,
                row.digest,
            ) or row.operation not in ACTIVATING:
                report.fault(-1, f"activation {row.number} is not what its entry did")
        for sequence, _digest_made in laws.made.values():
            report.fault(sequence, "it activated a policy version, and no activation is noted for it")
        if laws.first is not None and not rows:
            report.fault(0, "it was decided under a policy version that was never activated")


def walk_leaf(item: Item) -> list[bytes]:
    """The leaf of an item, for a second tree over a part of the ledger."""
    return [hashlib.sha256(b"\x00" + item.body).digest()]


def _between(note: str, low: int, high: int) -> bool:
    return any(low < size <= high for size in sizes_in([note]))


def _stored(value: Any) -> bytes:
    """The bytes of a column. SQLite keeps any type in any column, and whoever tampers may leave one of another."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return bytes(value) if isinstance(value, (bytes, memoryview)) else b""


def _item(row: Mapping[str, Any]) -> Item:
    payload = None if row["payload_body"] is None else _stored(row["payload_body"])
    salt = None if row["payload_salt"] is None else _stored(row["payload_salt"])
    return Item(row["sequence"], _stored(row["leaf_hash"]), _stored(row["body"]), payload, salt)


def _column_that_differs(columns: Mapping[str, Any], entry: dict[str, Any]) -> str | None:
    """Step 2: the first column that does not repeat the bytes, or None."""
    approval = next((name[9:] for name in entry.get("objects", ()) if name.startswith("approval:")), None)
    expected = {
        "id": entry["id"],
        "at": micros(entry["at"]),
        "principal_kind": entry["principal"]["kind"],
        "principal_id": entry["principal"]["id"],
        "session_id": entry["session"],
        "operation": entry["operation"],
        "effect": entry["effect"],
        "verdict": entry.get("verdict", ""),
        "enforced": entry["enforced"],
        "outcome": entry["outcome"],
        "resource_type": entry["resource"]["type"],
        "resource_id": entry["resource"]["id"],
        "repository": entry["resource"].get("repository", ""),
        "approval_id": approval if approval is not None else entry["call"].get("approval_id", ""),
        "bundle": entry["bundle"],
    }
    for name, value in expected.items():
        if (bool(columns[name]) if name == "enforced" else columns[name]) != value:
            return name
    return None


def _digest(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def bundle_digest(body: bytes) -> str:
    """The digest of a stored policy version: SHA-256 over the canonical map of its files' SHA-256 digests.

    "" for bytes that are no policy version, or not as one is written.
    """
    try:
        stored = json.loads(body)
        files = {name: _digest(base64.b64decode(data, validate=True)) for name, data in stored.items()}
    except (ValueError, TypeError, AttributeError):
        return ""
    return _digest(_canonical(files)) if _canonical(stored) == body else ""


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
