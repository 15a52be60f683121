"""Replay: decide every recorded call again, from its entry alone, and compare.

`decide(call, facts, bundle)` MUST equal the record under the same decider. Under another decider a
difference is told as `decider_changed` and is no fault: the engine was upgraded, not the ledger edited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, select

from guardhouse.bundle import versions
from guardhouse.gateway.decide import DECIDER, decide
from guardhouse.ledger.tables import CONTENT, ENTRY
from guardhouse.model.call import Call
from guardhouse.model.canonical import decode
from guardhouse.model.decision import written_out
from guardhouse.model.facts import Facts, Principal, WorkspaceFacts
from guardhouse.model.instants import from_rfc3339

_PAGE = 500
_ENTRIES = (
    select(ENTRY.c.sequence, ENTRY.c.body)
    .where(ENTRY.c.workspace_id == bindparam("workspace"), ENTRY.c.sequence >= bindparam("first"))
    .order_by(ENTRY.c.sequence)
    .limit(_PAGE)
)
_CONTENT = select(CONTENT.c.body).where(
    CONTENT.c.workspace_id == bindparam("workspace"), CONTENT.c.digest == bindparam("digest")
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One entry whose decision is not what deciding again gives. `changed` when the decider is another."""

    sequence: int
    decision_id: str
    changed: bool
    parts: tuple[str, ...]


@dataclass(slots=True)
class Replayed:
    """What replaying came to."""

    entries: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def faults(self) -> list[Difference]:
        """Differences that no change of the decider explains."""
        return [difference for difference in self.differences if not difference.changed]


_DECIDED = ("mode", "steps", "effect", "enforced", "would", "verdict")


def recorded_form(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of an entry that deciding determines, written out: entries of every format compare."""
    whole = written_out(entry)
    return {part: whole[part] for part in _DECIDED if part in whole}


def decided_again(
    entry: Mapping[str, Any], contents: Callable[[str], Any], bundle_of: Callable[[str], Any]
) -> dict[str, Any]:
    """What deciding gives for one entry's body, in recorded form. Pure but for the two look-ups by digest."""
    facts = Facts.from_json(
        entry["facts"],
        now=from_rfc3339(entry["at"]),
        principal=Principal.from_json(contents(entry["facts"]["principal"])),
        workspace=WorkspaceFacts.from_json(contents(entry["facts"]["workspace"])),
    )
    return recorded_form(decide(Call.from_entry(dict(entry)), facts, bundle_of(entry["bundle"])).to_json())


def replay(
    connection: Connection,
    workspace_id: str,
    bundles: versions.BundleCache,
    *,
    first: int = 0,
    progress: Callable[[int], None] = lambda _done: None,
) -> Replayed:
    """Decide every entry from `first` on again, in bounded memory."""
    result = Replayed()
    kept: dict[str, Any] = {}

    def contents(digest: str) -> Any:
        if digest not in kept:
            found = connection.execute(_CONTENT, {"workspace": workspace_id, "digest": digest}).scalar_one()
            kept[digest] = decode(bytes(found))
        return kept[digest]

    def bundle_of(digest: str) -> Any:
        return bundles.load(connection, workspace_id, digest)

    for sequence, body in _bodies(connection, workspace_id, first):
        entry = decode(body)
        again = decided_again(entry, contents, bundle_of)
        recorded = recorded_form(entry)
        if again != recorded:
            parts = tuple(sorted(key for key in again.keys() | recorded.keys() if again.get(key) != recorded.get(key)))
            result.differences.append(Difference(sequence, entry["id"], entry["decider"] != DECIDER, parts))
        result.entries += 1
        if result.entries % _PAGE == 0:
            progress(result.entries)
    return result


def _bodies(connection: Connection, workspace_id: str, first: int) -> Iterator[tuple[int, bytes]]:
    while True:
        rows = connection.execute(_ENTRIES, {"workspace": workspace_id, "first": first}).all()
        for row in rows:
            yield row.sequence, bytes(row.body)
        if len(rows) < _PAGE:
            return
        first = rows[-1].sequence + 1
