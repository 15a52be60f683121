"""The Merkle tree of RFC 6962 / RFC 9162: pure arithmetic over hashes, no storage.

Leaves are hashed with prefix 0x00, nodes with 0x01 (RFC 9162, section 2.1.1). A tree of `n` leaves
splits at the largest power of two smaller than `n`. Hashes are 32-byte SHA-256 values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of the tree without leaves (RFC 9162, section 2.1.1)."""

SubtreeHash = Callable[[int, int], bytes]
"""The root of the complete subtree of `2**level` leaves at `position`: (level, position) -> hash."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf's bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The roots of the complete subtrees that a tree of `size` leaves consists of, largest first.

    One hash for every bit set in `size`: all that appending needs to know of the past.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    @classmethod
    def decode(cls, size: int, data: bytes) -> Frontier:
        """Read the stored form; ValueError when it cannot belong to a tree of this size."""
        if len(data) != HASH_SIZE * size.bit_count():
            raise ValueError(f"a frontier of {len(data)} bytes cannot belong to a tree of {size} leaves")
        return cls(size, tuple(data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)))

    def encode(self) -> bytes:
        """The stored form: the hashes one after another."""
        return b"".join(self.hashes)

    def extended(self, leaves: Iterable[bytes], completed: Callable[[int, int, bytes], None] | None = None) -> Frontier:
        """The frontier after appending leaf hashes.

        `completed(level, position, hash)` is told of every complete subtree of `2**level` leaves, level
        at least 1, in the moment its last leaf is appended.
        """
        size, stack = self.size, list(self.hashes)
        for leaf in leaves:
            current, level, rest = leaf, 0, size
            while rest & 1:
                current = node_hash(stack.pop(), current)
                level += 1
                rest >>= 1
                if completed is not None:
                    completed(level, size >> level, current)
            stack.append(current)
            size += 1
        return Frontier(size, tuple(stack))

    def joined(self, level: int, root: bytes, completed: Callable[[int, int, bytes], None] | None = None) -> Frontier:
        """The frontier after a complete subtree of `2**level` leaves whose root alone is known.

        ValueError where such a subtree cannot begin at this size.
        """
        if self.size % (1 << level) or len(root) != HASH_SIZE:
            raise ValueError(f"no subtree of level {level} begins after {self.size} leaves")
        current, stack, rest, at = root, list(self.hashes), self.size >> level, level
        if completed is not None and level:
            completed(level, self.size >> level, current)
        while rest & 1:
            current = node_hash(stack.pop(), current)
            at += 1
            rest >>= 1
            if completed is not None:
                completed(at, self.size >> at, current)
        return Frontier(self.size + (1 << level), (*stack, current))

    @property
    def root(self) -> bytes:
        """The tree's root hash."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes."""
    return Frontier().extended(leaves).root


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def range_root(start: int, end: int, subtree: SubtreeHash) -> bytes:
    """The root over leaves `start` (aligned as the tree splits) to `end`, exclusive, from complete subtrees."""
    size = end - start
    if size < 1:
        raise ValueError("a range needs at least one leaf")
    if size & (size - 1) == 0 and start % size == 0:
        level = size.bit_length() - 1
        return subtree(level, start >> level)
    middle = start + _split(size)
    return node_hash(range_root(start, middle, subtree), range_root(middle, end, subtree))


def inclusion_proof(index: int, size: int, subtree: SubtreeHash) -> list[bytes]:
    """The audit path of leaf `index` in the tree of `size` leaves, nearest first (RFC 9162, 2.1.3.1)."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size} leaves")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(range_root(middle, end, subtree))
            end = middle
        else:
            path.append(range_root(start, middle, subtree))
            start = middle
    path.reverse()
    return path


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` proves that `leaf` is number `index` in the tree of `size` with `root` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, current = index, size - 1, leaf
    for step in path:
        if last == 0:
            return False
        if position & 1 or position == last:
            current = node_hash(step, current)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            current = node_hash(current, step)
        position >>= 1
        last >>= 1
    return last == 0 and current == root


def consistency_proof(old: int, new: int, subtree: SubtreeHash) -> list[bytes]:
    """The proof that the tree of `new` leaves extends the tree of `old` (RFC 9162, 2.1.4.1). Empty when they are equal."""
    if not 0 < old <= new:
        raise ValueError(f"no consistency proof from {old} to {new} leaves")
    if old == new:
        return []
    path: list[bytes] = []
    start, end, whole = 0, new, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(range_root(middle, end, subtree))
            end = middle
        else:
            path.append(range_root(start, middle, subtree))
            start, whole = middle, False
    if not whole:
        path.append(range_root(start, end, subtree))
    path.reverse()
    return path


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether `path` proves that the newer tree begins with the older one (RFC 9162, 2.1.4.2)."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not path and old_root == new_root
    steps = list(path)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        return False
    position, last = old - 1, new - 1
    while position & 1:
        position >>= 1
        last >>= 1
    first = second = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            first, second = node_hash(step, first), node_hash(step, second)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            second = node_hash(second, step)
        position >>= 1
        last >>= 1
    return last == 0 and first == old_root and second == new_root
