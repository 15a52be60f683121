"""Thinning: an outside file of checkpoints is kept short, and never at the cost of a proof.

Of the notes that lie `d` entries behind the newest, one is kept for each step of about d/64 entries, so
there are at most some 65 for every doubling of the ledger's size. The first and the newest stay. A note
is dropped only where this database has its root at its size, and a kept note of more entries, whose root
this database has too, covers it: both are of one tree, so the later one commits to all the earlier did.
Where any does not agree, nothing is dropped: the file is the evidence.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from guardhouse.errors import Refusal
from guardhouse.ledger.tree import EMPTY_ROOT, SubtreeHash, range_root
from guardhouse.storage import private

_STEPS = 6
"""A doubling is kept in 2**6 steps."""


class Disagreement(Exception):
    """The database has another root than a kept note at its size, or fewer entries. Nothing may be dropped."""


def kept_sizes(sizes: Iterable[int]) -> set[int]:
    """The tree sizes whose notes stay. The same rule later keeps no size that it dropped before, and grows with log(size)."""
    ordered = sorted(set(sizes))
    if not ordered:
        return set()
    newest = ordered[-1]
    kept = {ordered[0], newest}
    for size, following in zip(ordered, [*ordered[1:], newest], strict=True):
        step = max(0, (newest - size).bit_length() - 1 - _STEPS)
        if size >> step != following >> step:  # the last of its step
            kept.add(size)
    return kept


def require_agreement(subtrees: SubtreeHash, statements: Iterable[tuple[int, bytes]]) -> set[tuple[int, bytes]]:
    """The statements (size, root) that the database has proved; Disagreement at the first that it contradicts.

    `subtrees` reads the database's tree. What it has not, since a segment was detached or entries are gone, is left out.
    """
    subtree = cache(subtrees)
    proved = set()
    for size, root in statements:
        try:
            ours = range_root(0, size, subtree) if size else EMPTY_ROOT
        except Refusal:
            continue
        if ours != root:
            raise Disagreement(f"the database has another tree of {size} entries than was signed")
        proved.add((size, root))
    return proved


def replace(path: Path, notes: Sequence[str]) -> None:
    """Put these notes in the file's place, whole or not at all. The caller holds the file's lock.

    A crash at any point leaves the old file or the new one; what lies beside it is written over next time.
    """
    beside = path.with_name(f"{path.name}.thinned")
    beside.unlink(missing_ok=True)
    handle = private.opened(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with os.fdopen(handle, "wb") as file:
        file.write("".join(f"{note}\n" for note in notes).encode())
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
