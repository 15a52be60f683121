"""Verify a ledger from outside: from a database or from an export, sharing no code with append but the tree.

What is checked, in this order; the numbers come again in the code:
 1. every entry's leaf hash is that of its bytes, sequences run without a gap, time never runs back;
 2. every column repeats what the bytes say, and every named rule has its row and no other;
 3. every payload has the digest its entry names; one that is missing was lawfully erased;
 4. every digest that an entry names (principal, workspace, bundle) resolves and hashes to itself;
 5. tiles, frontier and head are those of the tree over these leaves;
 6. every checkpoint, in the table and outside, is signed and has the root of this tree at its size.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from guardhouse.ledger.checkpoint import parse as parse_checkpoint
from guardhouse.ledger.checkpoint import split_log
from guardhouse.ledger.keys import Verifier
from guardhouse.ledger.tree import Frontier, leaf_hash

_PAGE = 1000
_MOST_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that does not hold. `sequence` is -1 where it is not about one entry."""

    sequence: int
    problem: str

    def __str__(self) -> str:
        return f"entry {self.sequence}: {self.problem}" if self.sequence >= 0 else self.problem


@dataclass(slots=True)
class Report:
    """What verifying came to. `not_proved` is said also when everything holds."""

    workspace_id: str
    tree_size: int = 0
    root_hash: str = ""
    faults: list[Fault] = field(default_factory=list)
    erased: int = 0
    withheld: int = 0
    checkpoints: int = 0
    outside_checkpoints: int = 0
    newer_than_outside: int = 0
    not_proved: list[str] = field(default_factory=list)
    formats: dict[int, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.faults

    def fault(self, sequence: int, problem: str) -> None:
        """Note a fault; after twenty only their number would grow."""
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(Fault(sequence, problem))

    def to_json(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "ok": self.ok,
            "workspace_id": self.workspace_id,
            "tree_size": self.tree_size,
            "root_hash": self.root_hash,
            "faults": [{"sequence": fault.sequence, "problem": fault.problem} for fault in self.faults],
            "erased": self.erased,
            "checkpoints": self.checkpoints,
            "outside_checkpoints": self.outside_checkpoints,
            "newer_than_outside_checkpoint": self.newer_than_outside,
            "not_proved": list(self.not_proved),
            "formats": {str(version): count for version, count in self.formats.items()},
        }


@dataclass(slots=True)
class _Item:
    sequence: int
    leaf: bytes
    body: bytes
    payload: bytes | None
    salt: bytes | None
    columns: dict[str, Any] | None = None


def _micros(stamp: str) -> int:
    moment = datetime.fromisoformat(stamp)
    epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    delta = moment - epoch
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


class _Walk:
    """Steps 1 to 3, one entry after another, in memory that does not grow with the ledger."""

    def __init__(self, report: Report, wanted_roots: Iterable[int]) -> None:
        self.report = report
        self.frontier = Frontier()
        self.tiles: list[tuple[int, int, bytes]] = []
        self.digests: dict[str, int] = {}
        self.bundles: dict[str, int] = {}
        self.missing: dict[int, str] = {}
        self.erasers: dict[int, set[str]] = {}
        self.roots: dict[int, bytes] = {}
        self._wanted = set(wanted_roots)
        self._last_at = ""
        if 0 in self._wanted:
            self.roots[0] = self.frontier.root

    def take(self, item: _Item) -> dict[str, Any] | None:
        """Check one entry by itself and against the one before; its parsed body."""
        report, expected = self.report, self.frontier.size
        if item.sequence != expected:
            report.fault(item.sequence, f"stands where entry {expected} should")
        real = leaf_hash(item.body)
        if real != item.leaf:
            report.fault(item.sequence, "its bytes do not have the leaf hash that is recorded")
        self.frontier = self.frontier.extended([real], self._completed)
        if self.frontier.size in self._wanted:
            self.roots[self.frontier.size] = self.frontier.root
        try:
            entry: dict[str, Any] = json.loads(item.body)
            self._read(item, entry)
        except (ValueError, KeyError, TypeError, AttributeError):
            report.fault(item.sequence, "its bytes are not an entry")
            return None
        return entry

    def _completed(self, level: int, position: int, value: bytes) -> None:
        if level % 8 == 0:
            self.tiles.append((level // 8, position, value))

    def _read(self, item: _Item, entry: dict[str, Any]) -> None:
        report = self.report
        report.formats[entry["v"]] = report.formats.get(entry["v"], 0) + 1
        if entry["sequence"] != item.sequence or entry["workspace"] != report.workspace_id:
            report.fault(item.sequence, "its bytes belong to another place")
        if entry["at"] < self._last_at:
            report.fault(item.sequence, "it is older than the entry before it")
        self._last_at = entry["at"]
        named = entry.get("payload_digest")
        if item.payload is not None:
            if "sha256:" + hashlib.sha256((item.salt or b"") + item.payload).hexdigest() != named:
                report.fault(item.sequence, "its payload was changed")
        elif named is not None:
            self.missing[item.sequence] = entry["id"]
        for digest in (entry["facts"]["principal"], entry["facts"]["workspace"]):
            self.digests.setdefault(digest, item.sequence)
        self.bundles.setdefault(entry["bundle"], item.sequence)
        if entry["operation"] == "erase_payload" and entry["outcome"] == "performed":
            named_ids = {
                name.removeprefix("erased:") for name in entry.get("objects", ()) if name.startswith("erased:")
            }
            self.erasers[item.sequence] = named_ids


def _columns_hold(item: _Item, entry: dict[str, Any]) -> str | None:
    """Step 2: the first column that does not repeat the bytes, or None."""
    columns = item.columns
    if columns is None:
        return None
    approval = next((name[9:] for name in entry.get("objects", ()) if name.startswith("approval:")), None)
    expected = {
        "id": entry["id"],
        "at": _micros(entry["at"]),
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

    `outside` is the text of a checkpoint file kept elsewhere; `verifiers` the keys that its signatures
    must be by. Without them the report says that nothing outside was compared.
    """
    report = Report(workspace_id)
    head = connection.execute(
        text("SELECT tree_size, frontier, last_at FROM workspace_head WHERE workspace_id = :w"), {"w": workspace_id}
    ).first()
    if head is None:
        report.fault(-1, f"there is no ledger `{workspace_id}`")
        return report
    end = head.tree_size if tree_size is None else tree_size
    stored = _stored_checkpoints(connection, workspace_id, end)
    outside_notes = split_log(outside) if outside is not None else []
    walk = _Walk(report, _sizes(report, [*stored, *outside_notes], verifiers))
    rules = _rules(connection, workspace_id, end)
    following = next(rules, None)
    for item in _database_items(connection, workspace_id, end):
        entry = walk.take(item)
        if entry is not None:
            column = _columns_hold(item, entry)
            if column is not None:
                report.fault(item.sequence, f"its column `{column}` does not say what its bytes say")
            named = {rule for step in entry["steps"] for rule in step.get("rules", ())}
            found = set()
            while following is not None and following[0] <= item.sequence:
                found.add(following[1])
                following = next(rules, None)
            if named != found:
                report.fault(item.sequence, "the rules noted for it are not those its bytes name")
        if item.sequence % _PAGE == 0:
            progress(item.sequence, end)
    _finish(connection, report, walk, end, whole=tree_size is None, head=head)
    _compare_checkpoints(report, walk, stored, verifiers, outside=False)
    _compare_checkpoints(report, walk, outside_notes, verifiers, outside=True)
    _say_what_is_not_proved(report, outside is not None, bool(verifiers))
    progress(end, end)
    return report


def _database_items(connection: Connection, workspace_id: str, end: int) -> Iterator[_Item]:
    query = text(
        "SELECT e.*, p.body AS payload_body, p.salt AS payload_salt FROM entry e LEFT JOIN payload p "
        "ON p.workspace_id = e.workspace_id AND p.sequence = e.sequence "
        "WHERE e.workspace_id = :w AND e.sequence >= :first AND e.sequence < :end ORDER BY e.sequence LIMIT :most"
    )
    first = 0
    while True:
        rows = (
            connection.execute(query, {"w": workspace_id, "first": first, "end": end, "most": _PAGE}).mappings().all()
        )
        for row in rows:
            payload = None if row["payload_body"] is None else bytes(row["payload_body"])
            salt = None if row["payload_salt"] is None else bytes(row["payload_salt"])
            yield _Item(row["sequence"], bytes(row["leaf_hash"]), bytes(row["body"]), payload, salt, dict(row))
        if len(rows) < _PAGE:
            return
        first = rows[-1]["sequence"] + 1


def _rules(connection: Connection, workspace_id: str, end: int) -> Iterator[tuple[int, str]]:
    query = text(
        "SELECT sequence, rule FROM entry_rule WHERE workspace_id = :w AND sequence >= :first AND sequence < :end "
        "ORDER BY sequence, rule"
    )
    for first in range(0, max(end, 1), _PAGE):
        page = {"w": workspace_id, "first": first, "end": min(end, first + _PAGE)}
        for row in connection.execute(query, page):
            yield row.sequence, row.rule


def _finish(connection: Connection, report: Report, walk: _Walk, end: int, *, whole: bool, head: Any) -> None:
    """Steps 3 to 5, where the whole tree is known."""
    report.tree_size, report.root_hash = walk.frontier.size, walk.frontier.root.hex()
    if walk.frontier.size != end:
        report.fault(-1, f"the head speaks of {end} entries and there are {walk.frontier.size}")
    beyond = connection.execute(
        text("SELECT count(*) FROM entry WHERE workspace_id = :w AND sequence >= :end"),
        {"w": report.workspace_id, "end": head.tree_size},
    ).scalar_one()
    if beyond:
        report.fault(-1, f"{beyond} entries stand beyond the head")
    if whole and walk.frontier.encode() != bytes(head.frontier):
        report.fault(-1, "the head's frontier is not that of these entries")
    stray = connection.execute(
        text(
            "SELECT count(*) FROM payload p LEFT JOIN entry e ON e.workspace_id = p.workspace_id AND "
            "e.sequence = p.sequence WHERE p.workspace_id = :w AND e.sequence IS NULL"
        ),
        {"w": report.workspace_id},
    ).scalar_one()
    if stray:
        report.fault(-1, f"{stray} payloads belong to no entry")
    _erasures(connection, report, walk, end)
    _contents(connection, report, walk)
    kept = connection.execute(
        text("SELECT level, position, hash FROM tile WHERE workspace_id = :w ORDER BY level, position"),
        {"w": report.workspace_id},
    ).all()
    stored = {(row.level, row.position): bytes(row.hash) for row in kept}
    ours = {(level, position): value for level, position, value in walk.tiles}
    if any(stored.get(place) != value for place, value in ours.items()) or (whole and stored.keys() != ours.keys()):
        report.fault(-1, "the tiles are not those of these entries")


def _erasures(connection: Connection, report: Report, walk: _Walk, end: int) -> None:
    rows = connection.execute(
        text("SELECT sequence, by_sequence FROM erasure WHERE workspace_id = :w"), {"w": report.workspace_id}
    ).all()
    permitted = {row.sequence: row.by_sequence for row in rows if row.by_sequence < end}
    for sequence, decision in sorted(walk.missing.items()):
        eraser = permitted.get(sequence)
        if eraser is None and any(row.sequence == sequence for row in rows):
            continue  # erased after the tree size that is being verified
        if eraser is None or decision not in walk.erasers.get(eraser, set()):
            report.fault(sequence, "its payload is missing and no entry erased it")
        else:
            report.erased += 1
    for sequence, eraser in sorted(permitted.items()):
        if sequence not in walk.missing:
            report.fault(sequence, f"entry {eraser} erased its payload and one is there")


def _contents(connection: Connection, report: Report, walk: _Walk) -> None:
    for table, named in (("content", walk.digests), ("bundle_version", walk.bundles)):
        for digest, sequence in named.items():
            body = connection.execute(
                text(f"SELECT body FROM {table} WHERE workspace_id = :w AND digest = :d"),  # noqa: S608  # two names of ours
                {"w": report.workspace_id, "d": digest},
            ).scalar()
            if body is None:
                report.fault(sequence, f"it names {digest[:20]}…, which is not in `{table}`")
            elif table == "content" and "sha256:" + hashlib.sha256(bytes(body)).hexdigest() != digest:
                report.fault(sequence, f"what `{table}` holds under {digest[:20]}… was changed")
            elif table == "bundle_version" and bundle_digest(bytes(body)) != digest:
                report.fault(sequence, f"the policy version {digest[:20]}… was changed")


def bundle_digest(body: bytes) -> str:
    """The digest of a stored policy version: SHA-256 over the canonical map of its files' SHA-256 digests."""
    files = {
        name: "sha256:" + hashlib.sha256(base64.b64decode(data)).hexdigest() for name, data in json.loads(body).items()
    }
    canonical = json.dumps(files, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def _stored_checkpoints(connection: Connection, workspace_id: str, end: int) -> list[str]:
    rows = connection.execute(
        text("SELECT note FROM checkpoint WHERE workspace_id = :w AND tree_size <= :end ORDER BY tree_size"),
        {"w": workspace_id, "end": end},
    )
    return [row.note for row in rows]


def _sizes(report: Report, notes: list[str], verifiers: tuple[Verifier, ...]) -> list[int]:
    sizes = []
    for note in notes:
        lines = note.split("\n")
        if len(lines) > 2 and lines[1].isdigit():
            sizes.append(int(lines[1]))
    del report, verifiers
    return sizes


def _compare_checkpoints(
    report: Report, walk: _Walk, notes: list[str], verifiers: tuple[Verifier, ...], *, outside: bool
) -> None:
    """Step 6. A checkpoint of more entries than there are means that the newest were cut off."""
    where = "outside checkpoint" if outside else "checkpoint"
    newest = 0
    for note in notes if verifiers else []:
        try:
            statement = parse_checkpoint(note, verifiers)
        except ValueError as error:
            report.fault(-1, f"an {where} is not good: {error}" if outside else f"a {where} is not good: {error}")
            continue
        if statement.origin != f"guardhouse/{report.workspace_id}":
            report.fault(-1, f"the {where} of {statement.size} entries belongs to `{statement.origin}`")
        elif statement.size > report.tree_size:
            report.fault(
                -1, f"the {where} counts {statement.size} entries and there are {report.tree_size}: the newest are gone"
            )
        elif walk.roots.get(statement.size) != statement.root:
            report.fault(-1, f"the first {statement.size} entries are not those that the {where} signed")
        newest = max(newest, statement.size)
        if outside:
            report.outside_checkpoints += 1
        else:
            report.checkpoints += 1
    if outside and verifiers:
        report.newer_than_outside = max(0, report.tree_size - newest)


def _say_what_is_not_proved(report: Report, outside: bool, keys: bool) -> None:
    if not keys:
        report.not_proved.append("no verifier key was given: no checkpoint's signature was checked")
    if not outside:
        report.not_proved.append(
            "no checkpoint from outside the database was compared: a rewriting of the whole ledger would not be seen"
        )
    elif report.newer_than_outside:
        report.not_proved.append(
            f"the newest {report.newer_than_outside} entries are newer than the last outside checkpoint"
        )
    if report.erased:
        report.not_proved.append(f"what {report.erased} erased payloads said is gone; their entries stand")
    report.not_proved.append("that each decision was right: replay shows that")


def verify_export(path: Path, *, verifiers: tuple[Verifier, ...] = (), outside: str | None = None) -> Report:
    """Verify an export, a line an entry, from its first entry on. It holds no columns, contents or tiles to compare."""
    with path.open("rb") as file:
        lines = (line for line in file if line.strip())
        return _verify_lines(lines, verifiers, outside)


def _verify_lines(lines: Iterable[bytes], verifiers: tuple[Verifier, ...], outside: str | None) -> Report:
    report = Report("")
    notes = split_log(outside) if outside is not None else []
    walk = _Walk(report, _sizes(report, notes, verifiers))
    for number, data in enumerate(lines, start=1):
        try:
            line = json.loads(data)
            payload = base64.b64decode(line["payload"]) if "payload" in line else None
            salt = base64.b64decode(line["salt"]) if "salt" in line else None
            item = _Item(
                line["sequence"], bytes.fromhex(line["leaf_hash"]), base64.b64decode(line["body"]), payload, salt
            )
            if not report.workspace_id:
                report.workspace_id = json.loads(item.body)["workspace"]
        except (ValueError, KeyError, TypeError) as error:
            report.fault(-1, f"line {number} is not a line of an export: {type(error).__name__}")
            continue
        entry = walk.take(item)
        if entry is not None and "entry" in line and line["entry"] != entry:
            report.fault(item.sequence, "its readable form does not say what its bytes say")
    report.tree_size, report.root_hash = walk.frontier.size, walk.frontier.root.hex()
    erased_by = {decision for named in walk.erasers.values() for decision in named}
    for sequence, decision in sorted(walk.missing.items()):
        if decision in erased_by:
            report.erased += 1
        else:
            report.fault(sequence, "its payload is missing and no entry erased it")
    _compare_checkpoints(report, walk, notes, verifiers, outside=True)
    _say_what_is_not_proved(report, outside is not None, bool(verifiers))
    report.not_proved.append(
        "an export holds no policy versions and no standing: what entries name by digest was not resolved"
    )
    return report
