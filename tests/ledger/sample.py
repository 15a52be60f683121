"""Sample ledgers: entries of the shape that the gateway records, appended without one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import insert

from guardhouse.ledger import entries
from guardhouse.ledger.tables import HEAD
from guardhouse.model import canonical
from guardhouse.model.instants import Micros, rfc3339

WORKSPACE = "ws_00000000000000000000000001"
START: Micros = 1_790_000_000_000_000
STANDING = canonical.encode({"kind": "agent", "trust": 2, "role": "developer", "profile": "default"})
PLACE = canonical.encode({"mode": "enforce", "controls": []})
LAW = canonical.encode({"gateway.yaml": "ZW5naW5lOiBjZWRhcgo="})


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def law_digest() -> str:
    files = {"gateway.yaml": digest(b"engine: cedar\n")}
    return digest(canonical.encode(files))


def body(sequence: int, workspace: str = WORKSPACE, at: Micros | None = None, **changes: Any) -> dict[str, Any]:
    """One entry's body: a typical check."""
    made: dict[str, Any] = {
        "v": 1,
        "workspace": workspace,
        "sequence": sequence,
        "at": rfc3339(START + sequence * 1000 if at is None else at),
        "id": f"dec_{sequence:026d}",
        "request": f"req_{sequence:026d}",
        "principal": {"kind": "agent", "id": "agt_00000000000000000000000007"},
        "session": "ses_00000000000000000000000008",
        "surface": "http",
        "operation": "check_guardrails",
        "category": "read",
        "resource": {"type": "Command", "id": "declared", "repository": "default"},
        "call": {"digest": "hmac-sha256:" + "ab" * 32, "texts": [{"field": "operation_text", "length": 120}]},
        "facts": {"principal": digest(STANDING), "workspace": digest(PLACE), "findings": []},
        "bundle": law_digest(),
        "decider": "sha256:" + "cd" * 32,
        "mode": "enforce",
        "steps": [
            {"gate": gate, "effect": "allow", "code": "allowed"}
            for gate in ("identity", "control", "profile", "network", "approval")
        ]
        + [
            {"gate": "policy", "effect": "allow", "code": "permitted", "rules": ["reads-for-trust-1"]},
            {"gate": "guardrails", "effect": "warn", "code": "warned", "rules": ["git.push.force", "git.reset.hard"]},
        ],
        "effect": "allow",
        "verdict": "warn",
        "enforced": True,
        "outcome": "performed",
    }
    made.update(changes)
    return made


def draft(
    sequence: int,
    workspace: str = WORKSPACE,
    payload: bytes | None = b'{"operation_text":"git push"}',
    **changes: Any,
) -> entries.Draft:
    """One draft with its payload digest, ready to append."""
    salt = hashlib.sha256(sequence.to_bytes(8, "big")).digest()[:16]
    made = body(sequence, workspace, **changes)
    if payload is not None:
        made["payload_digest"] = entries.payload_digest(salt, payload)
    rules = tuple(dict.fromkeys(rule for step in made["steps"] for rule in step.get("rules", ())))
    contents = {digest(STANDING): STANDING, digest(PLACE): PLACE}
    return entries.encoded(entries.Draft(made, payload, salt, contents, rules))


def found(store: Any, workspace: str = WORKSPACE) -> None:
    """Begin an empty ledger, and keep and activate the law that its entries name."""
    from guardhouse.bundle.tables import ACTIVATION, BUNDLE_VERSION

    with store.writing(workspace) as tx:
        tx.execute(
            insert(HEAD).values(
                workspace_id=workspace, tree_size=0, frontier=b"", last_at=START, standing_version=1, schema_version=1
            )
        )
        tx.execute(
            insert(BUNDLE_VERSION).values(workspace_id=workspace, digest=law_digest(), body=LAW, stored_at=START)
        )
        tx.execute(insert(ACTIVATION).values(workspace_id=workspace, number=1, digest=law_digest(), law="", at=START))


def append(store: Any, drafts: list[entries.Draft], workspace: str = WORKSPACE) -> entries.Head:
    """One train: the head read under its lock, everything appended, committed."""
    with store.writing(workspace) as tx:
        head = entries.read_heads(tx, [workspace])[workspace].head
        return entries.append(tx, head, drafts, entries.KnownContents())


def fill(store: Any, count: int, workspace: str = WORKSPACE, train: int = 64) -> None:
    """Append `count` entries after what is there, by trains."""
    with store.reading() as connection:
        head = entries.read_head(connection, workspace)
    assert head is not None
    for group in _trains(head.tree_size, count, train):
        append(store, [draft(sequence, workspace) for sequence in group], workspace)


def _trains(first: int, count: int, train: int) -> Iterator[range]:
    for start in range(first, first + count, train):
        yield range(start, min(start + train, first + count))
