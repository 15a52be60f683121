"""Proofs: that an entry is in the tree, that one tree extends another, and receipts that carry all of it.

A receipt is a C2SP tlog-proof (c2sp.org/tlog-proof) whose `extra` line holds the entry's canonical
bytes, so that one small file proves one decision to somebody who has only the verifier key.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from sqlalchemy import Connection, select

from guardhouse.errors import Refusal
from guardhouse.ledger import checkpoint, entries
from guardhouse.ledger.keys import Verifier, unbase64
from guardhouse.ledger.tables import ENTRY, TILE
from guardhouse.ledger.tree import (
    SubtreeHash,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_inclusion,
)
from guardhouse.model.canonical import decode

HEADER = "c2sp.org/tlog-proof@v1"


def subtrees(connection: Connection, workspace_id: str) -> SubtreeHash:
    """Subtree hashes out of the database: at most 256 rows each, from the tiles or the leaves below."""

    def subtree(level: int, position: int) -> bytes:
        base = level // entries.TILE_HEIGHT
        count = 1 << (level - base * entries.TILE_HEIGHT)
        first, end = position * count, (position + 1) * count
        if base == 0:
            query = select(ENTRY.c.leaf_hash).where(
                ENTRY.c.workspace_id == workspace_id, ENTRY.c.sequence >= first, ENTRY.c.sequence < end
            )
            rows = connection.execute(query.order_by(ENTRY.c.sequence)).scalars()
        else:
            query = select(TILE.c.hash).where(
                TILE.c.workspace_id == workspace_id,
                TILE.c.level == base,
                TILE.c.position >= first,
                TILE.c.position < end,
            )
            rows = connection.execute(query.order_by(TILE.c.position)).scalars()
        hashes = [bytes(value) for value in rows]
        if len(hashes) != count:
            raise Refusal(
                "proof_unavailable", "this part of the tree is not in the database any more; its segment was detached"
            )
        return root_of(hashes)

    return subtree


def prove_inclusion(connection: Connection, workspace_id: str, sequence: int, size: int) -> list[bytes]:
    """The audit path of one entry in the tree of `size` entries."""
    return inclusion_proof(sequence, size, subtrees(connection, workspace_id))


def prove_consistency(connection: Connection, workspace_id: str, old: int, new: int) -> list[bytes]:
    """The proof that the tree of `new` entries extends that of `old`."""
    return consistency_proof(old, new, subtrees(connection, workspace_id))


def receipt(connection: Connection, workspace_id: str, decision_id: str) -> str:
    """The receipt of a decision, under the first checkpoint that covers it.

    Refusal `not_found` without such a decision, `not_yet_checkpointed` while no checkpoint covers it.
    """
    stored = entries.by_decision(connection, workspace_id, decision_id)
    if stored is None:
        raise Refusal("not_found", f"there is no decision `{decision_id}`")
    note = checkpoint.latest(connection, workspace_id, stored.sequence + 1)
    if note is None:
        raise Refusal("not_yet_checkpointed", "no checkpoint covers this decision yet", retry_after_seconds=1)
    size = checkpoint.parse_text(note.rpartition("\n\n")[0] + "\n").size
    path = prove_inclusion(connection, workspace_id, stored.sequence, size)
    lines = [HEADER, f"extra {base64.b64encode(stored.body).decode()}", f"index {stored.sequence}"]
    lines += [base64.b64encode(step).decode() for step in path]
    return "\n".join(lines) + "\n\n" + note


def _workspace(body: bytes) -> object:
    entry = decode(body)
    return entry.get("workspace") if isinstance(entry, dict) else None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1


@dataclass(frozen=True, slots=True)
class Verified:
    """What a receipt proves: these canonical bytes are entry `index` of this ledger at this size."""

    origin: str
    index: int
    size: int
    body: bytes


def verify_receipt(text: str, verifiers: tuple[Verifier, ...]) -> Verified:
    """Check a receipt with nothing but the verifier keys; ValueError says what does not hold."""
    proof, split, note = text.partition("\n\n")
    lines = proof.split("\n")
    if not split or len(lines) < 3 or lines[0] != HEADER or not lines[1].startswith("extra "):
        raise ValueError("not a receipt of ours")
    if not lines[2].startswith("index ") or lines[2][6:] != str(_number(lines[2][6:])):
        raise ValueError("the receipt names no index")
    body = unbase64(lines[1][6:])
    index = int(lines[2][6:])
    path = [unbase64(line) for line in lines[3:]]
    statement = checkpoint.parse(note, verifiers)
    if not verify_inclusion(leaf_hash(body), index, statement.size, path, statement.root):
        raise ValueError("the proof does not lead from this entry to the signed root")
    if checkpoint.origin_of(str(_workspace(body))) != statement.origin:
        raise ValueError("the entry belongs to another ledger than the checkpoint")
    return Verified(statement.origin, index, statement.size, body)
