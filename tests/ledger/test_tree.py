"""The tree: vectors from the standard, and properties against the definition itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardhouse.ledger import tree

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())
LEAVES = [bytes.fromhex(leaf) for leaf in VECTORS["leaves"]]
HASHES = [tree.leaf_hash(leaf) for leaf in LEAVES]
ROOTS = [bytes.fromhex(root) for root in VECTORS["roots"]]


def over(hashes: list[bytes]) -> tree.SubtreeHash:
    return lambda level, position: tree.root_of(hashes[position << level : (position + 1) << level])


def defined(data: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, over leaf hashes, as it is written there."""
    if not data:
        return hashlib.sha256(b"").digest()
    if len(data) == 1:
        return data[0]
    split = 1
    while split * 2 < len(data):
        split *= 2
    return hashlib.sha256(b"\x01" + defined(data[:split]) + defined(data[split:])).digest()


def test_the_well_known_root_of_eight_leaves() -> None:
    assert ROOTS[8].hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_roots(size: int) -> None:
    assert tree.root_of(HASHES[:size]) == ROOTS[size]


@pytest.mark.parametrize("vector", VECTORS["inclusion"], ids=lambda v: f"{v['index']}-of-{v['size']}")
def test_inclusion(vector: dict[str, Any]) -> None:
    index, size = vector["index"], vector["size"]
    path = [bytes.fromhex(step) for step in vector["path"]]
    assert tree.inclusion_proof(index, size, over(HASHES)) == path
    assert tree.verify_inclusion(HASHES[index], index, size, path, ROOTS[size])


@pytest.mark.parametrize("vector", VECTORS["consistency"], ids=lambda v: f"{v['old']}-to-{v['new']}")
def test_consistency(vector: dict[str, Any]) -> None:
    old, new = vector["old"], vector["new"]
    path = [bytes.fromhex(step) for step in vector["path"]]
    assert tree.consistency_proof(old, new, over(HASHES)) == path
    assert tree.verify_consistency(old, new, ROOTS[old], ROOTS[new], path)


def test_trivially_false() -> None:
    assert not tree.verify_inclusion(b"", 0, 0, [], tree.EMPTY_ROOT)
    assert not tree.verify_consistency(0, 0, tree.EMPTY_ROOT, tree.EMPTY_ROOT, [])
    assert not tree.verify_consistency(0, 5, tree.EMPTY_ROOT, ROOTS[5], [])


sizes = st.integers(min_value=1, max_value=70)


def leaves(count: int) -> list[bytes]:
    return [tree.leaf_hash(number.to_bytes(4, "big")) for number in range(count)]


@given(sizes, st.data())
def test_a_proof_proves_one_leaf_at_one_place(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    hashes = leaves(size)
    root = defined(hashes)
    path = tree.inclusion_proof(index, size, over(hashes))
    assert tree.verify_inclusion(hashes[index], index, size, path, root)
    other = data.draw(st.integers(0, size + 2))
    if other != index:
        assert not tree.verify_inclusion(hashes[index], other, size, path, root)
    assert not tree.verify_inclusion(tree.leaf_hash(b"other"), index, size, path, root)
    assert not tree.verify_inclusion(hashes[index], index, size, [*path, hashes[0]], root)
    if path:
        assert not tree.verify_inclusion(hashes[index], index, size, path[:-1], root)


@given(sizes, st.data())
def test_a_consistency_proof_proves_one_pair(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    hashes = leaves(new)
    first, second = defined(hashes[:old]), defined(hashes)
    path = tree.consistency_proof(old, new, over(hashes))
    assert tree.verify_consistency(old, new, first, second, path)
    assert not tree.verify_consistency(old, new, hashlib.sha256(first).digest(), second, path)
    assert not tree.verify_consistency(old, new, first, hashlib.sha256(second).digest(), path)
    assert not tree.verify_consistency(old, new, first, second, [*path, first])


@given(st.lists(st.integers(0, 40), max_size=6))
def test_trains_of_any_length_make_the_same_tree(trains: list[int]) -> None:
    hashes = leaves(sum(trains))
    frontier = tree.Frontier()
    for count in trains:
        frontier = frontier.extended(hashes[frontier.size : frontier.size + count])
        assert tree.Frontier.decode(frontier.size, frontier.encode()) == frontier
    assert frontier.root == defined(hashes)


@given(st.integers(0, 6), st.integers(0, 5), st.integers(0, 20))
def test_a_subtree_joins_by_its_root(level: int, before: int, after: int) -> None:
    width = 1 << level
    hashes = leaves((before + 1) * width + after)
    start = before * width
    told: list[tuple[int, int, bytes]] = []
    frontier = tree.Frontier().extended(hashes[:start])
    joined = frontier.joined(level, defined(hashes[start : start + width]), lambda *node: told.append(node))
    assert joined == frontier.extended(hashes[start : start + width])
    assert joined.extended(hashes[start + width :]).root == defined(hashes)
    for depth, position, value in told:
        assert value == defined(hashes[position << depth : (position + 1) << depth])


def test_a_subtree_joins_only_where_it_fits() -> None:
    with pytest.raises(ValueError, match="begins after"):
        tree.Frontier().extended(leaves(3)).joined(1, b"r" * 32)
    with pytest.raises(ValueError, match="begins after"):
        tree.Frontier().joined(1, b"short")
