"""The walk: what one entry must satisfy by itself and after the one before it. Shared by databases and exports."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from guardhouse.ledger.checkpoint import Statement, parse, parse_text
from guardhouse.ledger.keys import SEPARATOR, Verifier
from guardhouse.ledger.report import Report
from guardhouse.ledger.tree import Frontier, leaf_hash

FORMATS = (1, 2)
"""The entry formats that this version can verify: every one that was ever released."""

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_ERASED = "erased:"


@dataclass(slots=True)
class Item:
    """One entry as found, wherever it was found."""

    sequence: int
    leaf: bytes
    body: bytes
    payload: bytes | None
    salt: bytes | None


def micros(stamp: str) -> int:
    """An entry's instant in microseconds since the epoch."""
    delta = datetime.fromisoformat(stamp) - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def erased_by(entry: dict[str, Any]) -> set[str]:
    """The decisions whose payloads an entry erased; empty for everything but a performed `erase_payload`."""
    if entry.get("operation") != "erase_payload" or entry.get("outcome") != "performed":
        return set()
    return {name.removeprefix(_ERASED) for name in entry.get("objects", ()) if name.startswith(_ERASED)}


class Walk:
    """Entries one after another, in memory that does not grow with the ledger.

    `tiles` collects complete subtrees of 256^n leaves until whoever compares them empties it.
    """

    def __init__(self, report: Report, wanted_roots: Iterable[int]) -> None:
        self.report = report
        self.frontier = Frontier()
        self.roots: dict[int, bytes] = {}
        self.tiles: list[tuple[int, int, bytes]] = []
        self.last_at = ""
        self._wanted = set(wanted_roots)
        self._keep_root()

    def _keep_root(self) -> None:
        if self.frontier.size in self._wanted:
            self.roots[self.frontier.size] = self.frontier.root

    def _completed(self, level: int, position: int, value: bytes) -> None:
        if level % 8 == 0:
            self.tiles.append((level // 8, position, value))

    def pass_over(self, level: int, root: bytes) -> None:
        """Take a complete subtree that is not here by its root; ValueError where it does not fit."""
        self.frontier = self.frontier.joined(level, root, self._completed)
        self._keep_root()

    def take(self, item: Item) -> dict[str, Any] | None:
        """Check one entry by itself and against the one before; its parsed body, None when it has none."""
        report, expected = self.report, self.frontier.size
        if item.sequence != expected:
            report.fault(item.sequence, f"stands where entry {expected} should")
        real = leaf_hash(item.body)
        if real != item.leaf:
            report.fault(item.sequence, "its bytes do not have the leaf hash that is recorded")
        self.frontier = self.frontier.extended([real], self._completed)
        self._keep_root()
        try:
            entry: dict[str, Any] = json.loads(item.body)
            self._read(item, entry)
        except (ValueError, KeyError, TypeError, AttributeError):
            report.fault(item.sequence, "its bytes are not an entry")
            return None
        return entry

    def _read(self, item: Item, entry: dict[str, Any]) -> None:
        report = self.report
        version = entry["v"]
        report.formats[version] = report.formats.get(version, 0) + 1
        if version not in FORMATS:
            report.fault(item.sequence, f"it is of format {version}, which this version does not know")
        if entry["sequence"] != item.sequence or entry["workspace"] != report.workspace_id:
            report.fault(item.sequence, "its bytes belong to another place")
        if entry["at"] < self.last_at:
            report.fault(item.sequence, "it is older than the entry before it")
        self.last_at = entry["at"]
        if item.payload is not None:
            digest = "sha256:" + hashlib.sha256((item.salt or b"") + item.payload).hexdigest()
            if digest != entry.get("payload_digest"):
                report.fault(item.sequence, "its payload was changed")


def sizes_in(notes: Iterable[str]) -> list[int]:
    """The tree sizes that notes speak of, signed or not."""
    lines = [note.split("\n", 2) for note in notes]
    return [int(parts[1]) for parts in lines if len(parts) > 2 and parts[1].isdigit() and len(parts[1]) < 19]


def compare_checkpoints(
    walk: Walk, notes: Iterable[str], verifiers: tuple[Verifier, ...], *, outside: bool, end: int
) -> None:
    """Every checkpoint is signed and has the root of this tree at its size. They may repeat and come in any order.

    One of more entries than there are means that the newest were cut off. A note without any signature was
    torn by a crash while it was written; it is told and proves nothing.
    """
    report = walk.report
    where = "outside checkpoint" if outside else "checkpoint"
    good = 0
    for statement in _statements(report, dict.fromkeys(notes), verifiers, where):
        if statement.origin != f"guardhouse/{report.workspace_id}":
            report.fault(-1, f"the {where} of {statement.size} entries belongs to `{statement.origin}`")
        elif statement.size > end:
            report.fault(-1, f"the {where} counts {statement.size} entries and there are {end}: the newest are gone")
        elif statement.size not in walk.roots:
            report.doubt(f"the {where} of {statement.size} entries falls inside a sealed segment and was not compared")
        elif walk.roots[statement.size] != statement.root:
            report.fault(
                good, f"it or one up to entry {statement.size - 1} is not what the {where} of that size signed"
            )
            return
        else:
            good = statement.size
            if outside:
                report.outside_checkpoints += 1
            else:
                report.checkpoints += 1
    if outside:
        report.newer_than_outside = max(0, report.tree_size - good)


def _statements(
    report: Report, notes: Iterable[str], verifiers: tuple[Verifier, ...], where: str
) -> Sequence[Statement]:
    found: dict[tuple[int, bytes, str], Statement] = {}
    for note in notes:
        if f"\n{SEPARATOR} " not in note:
            report.doubt(f"a torn {where} was passed over")
            continue
        try:
            statement = parse(note, verifiers) if verifiers else parse_text(note.rpartition("\n\n")[0] + "\n")
        except ValueError as error:
            report.fault(-1, f"the {where} `{note[:60].splitlines()[0]}` is not good: {error}")
            continue
        found[statement.size, statement.root, statement.origin] = statement
    return sorted(found.values(), key=lambda statement: statement.size)


def say_what_is_not_proved(report: Report, *, outside: bool, keys: bool) -> None:
    """What no check of these bytes can show, in sentences."""
    if not keys:
        report.doubt("no verifier key was given: no checkpoint's signature was checked")
    if not outside:
        report.doubt(
            "no checkpoint from outside the database was compared: neither a rewriting of the whole ledger "
            "nor newest entries that are missing would be seen"
        )
    elif report.newer_than_outside:
        report.doubt(f"the newest {report.newer_than_outside} entries are newer than the last outside checkpoint")
    for first, last, location in report.sealed:
        report.doubt(f"entries {first} to {last} were taken by their sealed root; they lie in `{location}`")
    if report.erased:
        report.doubt(f"what {report.erased} erased payloads said is gone; their entries stand")
    report.doubt("that each decision was right: replay shows that")
