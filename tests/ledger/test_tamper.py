"""Must hold: with triggers dropped and every right, no edit of the ledger's tables escapes `verify`.

Each edit is judged against a checkpoint that was kept outside beforehand; the edits of `CLEVER` also mend
everything inside the database that the edit disturbs, so that only that checkpoint can tell.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from guardhouse.ledger import entries, fsck, keys, query
from guardhouse.ledger.checkpoint import Checkpointer
from guardhouse.ledger.tree import Frontier, leaf_hash
from guardhouse.model import canonical
from tests.ledger import sample

ENTRIES = 270
ERASED = 5
W = sample.WORKSPACE
Run = Callable[..., Any]


class Ledger:
    """A ledger of 270 entries with one lawful erasure, its keys and its outside checkpoints, and all rights over it."""

    def __init__(self, store: Any, folder: Path) -> None:
        self.store = store
        self.folder = folder
        sample.found(store)
        sample.fill(store, 100, train=256)
        signer = keys.load(folder / "signing.key")
        self.verifiers = signer.verifiers
        checkpointer = Checkpointer(signer, folder / "checkpoints")
        checkpointer.run(store, sample.START)
        self._erase()
        sample.fill(store, ENTRIES - 101, train=256)
        checkpointer.run(store, sample.START)
        self.outside = (folder / "checkpoints" / f"{W}.log").read_text()

    def _erase(self) -> None:
        by = 100
        at = sample.START + by * 1000
        with self.store.writing(W) as tx:
            head = entries.read_heads(tx, [W])[W].head
            tx.execute(
                text("INSERT INTO erasure (workspace_id, sequence, by_sequence, at) VALUES (:w, :s, :by, :at)"),
                {"w": W, "s": ERASED, "by": by, "at": at},
            )
            tx.execute(text("DELETE FROM payload WHERE workspace_id = :w AND sequence = :s"), {"w": W, "s": ERASED})
            named = [f"erased:{sample.body(ERASED)['id']}"]
            entries.append(
                tx, head, [sample.draft(by, operation="erase_payload", objects=named)], entries.KnownContents()
            )

    def unprotect(self) -> None:
        """Drop every trigger."""
        with self.store.writing(W) as tx:
            if tx.dialect == "sqlite":
                names = tx.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
                for name in names:
                    tx.execute(text(f"DROP TRIGGER {name}"))
                return
            found = tx.execute(
                text(
                    "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0 "
                    "ORDER BY 1"
                )
            ).all()
            for name, table in found:
                tx.execute(text(f"DROP TRIGGER {name} ON {table}"))

    def run(self, statement: str, **values: Any) -> None:
        with self.store.writing(W) as tx:
            done = tx.execute(text(statement), {"w": W} | values if ":w" in statement else values)
            assert done.rowcount != 0, "the edit changed nothing"

    def value(self, statement: str, **values: Any) -> Any:
        with self.store.reading() as connection:
            return connection.execute(text(statement), {"w": W} | values).scalar_one()

    def verify(self, *, outside: bool = True) -> fsck.Report:
        with self.store.reading() as connection:
            return fsck.verify(connection, W, verifiers=self.verifiers, outside=self.outside if outside else None)

    def mend(self) -> None:
        """Make leaf hashes, tiles, frontier and head agree again with the bytes that stand there now."""
        tiles: list[tuple[int, int, bytes]] = []

        def completed(level: int, position: int, value: bytes) -> None:
            if level % 8 == 0:
                tiles.append((level // 8, position, value))

        with self.store.writing(W) as tx:
            rows = tx.rows(text("SELECT sequence, body FROM entry WHERE workspace_id = :w ORDER BY sequence"), {"w": W})
            leaves = [leaf_hash(bytes(row["body"])) for row in rows]
            for row, leaf in zip(rows, leaves, strict=True):
                values = {"w": W, "s": row["sequence"], "leaf": leaf}
                tx.execute(
                    text(
                        "UPDATE entry SET leaf_hash = :leaf WHERE workspace_id = :w AND sequence = :s AND leaf_hash <> :leaf"
                    ),
                    values,
                )
            frontier = Frontier().extended(leaves, completed)
            tx.execute(text("DELETE FROM tile WHERE workspace_id = :w"), {"w": W})
            for level, position, value in tiles:
                tx.execute(
                    text("INSERT INTO tile (workspace_id, level, position, hash) VALUES (:w, :l, :p, :h)"),
                    {"w": W, "l": level, "p": position, "h": value},
                )
            last = canonical.decode(bytes(rows[-1]["body"]))["at"]
            tx.execute(
                text("UPDATE workspace_head SET tree_size = :n, frontier = :f, last_at = :at WHERE workspace_id = :w"),
                {"w": W, "n": len(leaves), "f": frontier.encode(), "at": entries.from_rfc3339(last)},
            )
            tx.execute(text("DELETE FROM checkpoint WHERE workspace_id = :w"), {"w": W})


@pytest.fixture
def ledger(store: Any, tmp_path: Path) -> Ledger:
    made = Ledger(store, tmp_path)
    before = made.verify()
    assert before.ok, before.faults
    assert (before.tree_size, before.erased, before.outside_checkpoints, before.checkpoints) == (ENTRIES, 1, 2, 2)
    made.unprotect()
    return made


TEXTS = (
    "id", "principal_kind", "principal_id", "session_id", "operation", "effect", "verdict", "outcome",
    "resource_type", "resource_id", "repository", "approval_id", "bundle",
)  # fmt: skip
EDITS = [
    *(f"UPDATE entry SET {name} = 'other' WHERE workspace_id = :w AND sequence = 7" for name in TEXTS),
    "UPDATE entry SET at = at + 1 WHERE workspace_id = :w AND sequence = 7",
    "UPDATE entry SET enforced = NOT enforced WHERE workspace_id = :w AND sequence = 7",
    "UPDATE entry SET leaf_hash = body WHERE workspace_id = :w AND sequence = 7",
    "UPDATE entry SET workspace_id = 'ws_other' WHERE workspace_id = :w AND sequence = 7",
    "UPDATE entry SET sequence = 1000 WHERE workspace_id = :w AND sequence = 7",
    "UPDATE entry SET sequence = -1 WHERE workspace_id = :w AND sequence = 0",
    "DELETE FROM entry WHERE workspace_id = :w AND sequence = 0",
    "DELETE FROM entry WHERE workspace_id = :w AND sequence = 7",
    "DELETE FROM entry WHERE workspace_id = :w AND sequence = 269",
    "DELETE FROM entry WHERE workspace_id = :w AND sequence >= 100",
    "DELETE FROM entry",
    "UPDATE entry_rule SET rule = 'other' WHERE workspace_id = :w AND sequence = 7 AND rule = 'git.push.force'",
    "UPDATE entry_rule SET sequence = 999 WHERE workspace_id = :w AND sequence = 7 AND rule = 'git.push.force'",
    "DELETE FROM entry_rule WHERE workspace_id = :w AND sequence = 7 AND rule = 'git.push.force'",
    "INSERT INTO entry_rule (workspace_id, rule, sequence) VALUES (:w, 'planted', 7)",
    "UPDATE payload SET sequence = 5 WHERE workspace_id = :w AND sequence = 6",
    "UPDATE payload SET sequence = 900 WHERE workspace_id = :w AND sequence = 6",
    "DELETE FROM payload WHERE workspace_id = :w AND sequence = 6",
    "DELETE FROM payload WHERE workspace_id = :w",
    "DELETE FROM erasure WHERE workspace_id = :w",
    "UPDATE erasure SET by_sequence = 101 WHERE workspace_id = :w",
    "UPDATE erasure SET by_sequence = 1000 WHERE workspace_id = :w",
    "UPDATE erasure SET sequence = 6 WHERE workspace_id = :w",
    "UPDATE erasure SET at = at + 1 WHERE workspace_id = :w",
    "INSERT INTO erasure (workspace_id, sequence, by_sequence, at) VALUES (:w, 6, 1000000, 0)",
    "INSERT INTO erasure (workspace_id, sequence, by_sequence, at) VALUES (:w, 6, 100, 0)",
    "DELETE FROM content WHERE workspace_id = :w",
    "UPDATE content SET digest = digest || 'x' WHERE workspace_id = :w",
    "DELETE FROM bundle_version WHERE workspace_id = :w",
    "DELETE FROM tile WHERE workspace_id = :w",
    "UPDATE tile SET position = 1 WHERE workspace_id = :w",
    "UPDATE tile SET level = 2 WHERE workspace_id = :w",
    "UPDATE workspace_head SET tree_size = tree_size - 1 WHERE workspace_id = :w",
    "UPDATE workspace_head SET tree_size = tree_size + 1 WHERE workspace_id = :w",
    "UPDATE workspace_head SET last_at = last_at + 1 WHERE workspace_id = :w",
    "DELETE FROM workspace_head WHERE workspace_id = :w",
    "UPDATE checkpoint SET tree_size = tree_size + 1 WHERE workspace_id = :w AND tree_size = 100",
    "UPDATE checkpoint SET note = replace(note, 'guardhouse/', 'guardhouse/x') WHERE workspace_id = :w",
    "UPDATE checkpoint SET note = 'nothing' WHERE workspace_id = :w",
    "INSERT INTO activation (workspace_id, number, digest, law, at, by_id, decision_id, note) "
    "VALUES (:w, 2, 'sha256:none', '', 0, '', '', '')",
    "DELETE FROM activation WHERE workspace_id = :w",
    "INSERT INTO sealed_segment (workspace_id, first_sequence, last_sequence, root, checkpoint, location, detail) "
    "SELECT workspace_id, 0, 255, leaf_hash, '', '', '{}' FROM entry WHERE workspace_id = :w AND sequence = 0",
]  # fmt: skip


def test_every_plain_edit_is_found(ledger: Ledger) -> None:
    """One after another, each undone before the next."""
    missed = []
    for statement in EDITS:
        with pytest.raises(_UndoneError), ledger.store.writing(W) as tx:  # noqa: PT012  # raising is what undoes
            done = tx.execute(text(statement), {"w": W} if ":w" in statement else {})
            assert done.rowcount, statement
            report = fsck.verify(tx.connection, W, verifiers=ledger.verifiers, outside=ledger.outside)
            if report.ok:
                missed.append(statement)
            raise _UndoneError
    assert missed == []
    assert ledger.verify().ok


class _UndoneError(Exception):
    pass


BYTES = [
    ("entry", "body", "sequence = 7"),
    ("entry", "leaf_hash", "sequence = 7"),
    ("payload", "body", "sequence = 7"),
    ("payload", "salt", "sequence = 7"),
    ("content", "body", "1 = 1"),
    ("bundle_version", "body", "1 = 1"),
    ("tile", "hash", "1 = 1"),
    ("workspace_head", "frontier", "1 = 1"),
]


@pytest.mark.parametrize(("table", "column", "where"), BYTES)
def test_changed_bytes_are_found(ledger: Ledger, table: str, column: str, where: str) -> None:
    """Every third byte of a short value, every 37th of a long one, and wrong lengths."""
    with pytest.raises(_UndoneError), ledger.store.writing(W) as tx:  # noqa: PT012  # raising is what undoes
        whole = f"SELECT {column} FROM {table} WHERE workspace_id = :w AND {where}"
        update = text(f"UPDATE {table} SET {column} = :b WHERE workspace_id = :w AND {where}")
        original = bytes(tx.execute(text(whole), {"w": W}).scalars().first())
        size = {"tile": None, "workspace_head": None}.get(table, 8)
        step = 37 if len(original) > 100 else 3
        edits = [original[:at] + bytes([original[at] ^ 1]) + original[at + 1 :] for at in range(0, len(original), step)]
        edits += [original + b" ", original[:-1], b""]
        missed = []
        for made in edits:
            tx.execute(update, {"w": W, "b": made})
            # A shorter tree suffices for an entry: what is checked of it does not depend on what follows.
            report = fsck.verify(tx.connection, W, tree_size=size)
            if report.ok:
                missed.append(made)
        assert missed == []
        raise _UndoneError


def _edit_body(ledger: Ledger, sequence: int, **changes: Any) -> None:
    body = canonical.decode(
        bytes(ledger.value("SELECT body FROM entry WHERE workspace_id = :w AND sequence = :s", s=sequence))
    )
    body.update(changes)
    ledger.run(
        "UPDATE entry SET body = :b, outcome = :o WHERE workspace_id = :w AND sequence = :s",
        s=sequence, b=canonical.encode(body), o=body["outcome"],
    )  # fmt: skip


def _rewrite(ledger: Ledger) -> None:
    _edit_body(ledger, 7, outcome="forged")


def _swap(ledger: Ledger) -> None:
    one, two = (
        canonical.decode(bytes(ledger.value("SELECT body FROM entry WHERE workspace_id = :w AND sequence = :s", s=s)))
        for s in (7, 8)
    )
    for place, other in ((7, two), (8, one)):
        mine = one if place == 7 else two
        made = other | {"sequence": place, "at": mine["at"], "payload_digest": mine["payload_digest"]}
        ledger.run(
            "UPDATE entry SET body = :b, id = :id WHERE workspace_id = :w AND sequence = :s",
            s=place, b=canonical.encode(made), id=made["id"],
        )  # fmt: skip


def _truncate(ledger: Ledger) -> None:
    for table in ("entry", "payload", "entry_rule"):
        ledger.run(f"DELETE FROM {table} WHERE workspace_id = :w AND sequence >= 200")


def _repay(ledger: Ledger) -> None:
    salt, payload = b"s" * 16, b'{"operation_text":"ls"}'
    ledger.run(
        "UPDATE payload SET salt = :salt, body = :b WHERE workspace_id = :w AND sequence = 7", salt=salt, b=payload
    )
    _edit_body(ledger, 7, payload_digest=entries.payload_digest(salt, payload))


def _forge_erasure(ledger: Ledger) -> None:
    body = sample.body(150, operation="erase_payload", objects=[f"erased:{sample.body(9)['id']}"])
    del body["sequence"]
    _edit_body(ledger, 150, **body)
    ledger.run("UPDATE entry SET operation = 'erase_payload' WHERE workspace_id = :w AND sequence = 150")
    ledger.run("DELETE FROM payload WHERE workspace_id = :w AND sequence = 9")
    ledger.run(
        "INSERT INTO erasure (workspace_id, sequence, by_sequence, at) VALUES (:w, 9, 150, :at)",
        at=sample.START + 150_000,
    )


def _another_law(ledger: Ledger) -> None:
    law = canonical.encode({"gateway.yaml": "ZW5naW5lOiBub25lCg=="})
    digest = fsck.bundle_digest(law)
    ledger.run("UPDATE bundle_version SET body = :b, digest = :d WHERE workspace_id = :w", b=law, d=digest)
    ledger.run("UPDATE activation SET digest = :d WHERE workspace_id = :w", d=digest)
    for sequence in range(ENTRIES):
        _edit_body(ledger, sequence, bundle=digest)
    ledger.run("UPDATE entry SET bundle = :d WHERE workspace_id = :w", d=digest)


def _insert(ledger: Ledger) -> None:
    body = sample.body(ENTRIES)
    columns = entries.columns_of(W, body) | {"leaf_hash": b"", "body": canonical.encode(body)}
    names = ", ".join(columns)
    ledger.run(f"INSERT INTO entry ({names}) VALUES ({', '.join(f':{name}' for name in columns)})", **columns)
    for rule in {rule for step in body["steps"] for rule in step.get("rules", ())}:
        ledger.run("INSERT INTO entry_rule (workspace_id, rule, sequence) VALUES (:w, :r, :s)", r=rule, s=ENTRIES)
    _edit_body(ledger, 7, outcome="forged")


CLEVER = [_rewrite, _swap, _truncate, _repay, _forge_erasure, _another_law, _insert]


@pytest.mark.parametrize("edit", CLEVER, ids=lambda edit: edit.__name__)
def test_a_consistent_rewriting_is_found_by_the_outside_checkpoint(ledger: Ledger, edit: Run) -> None:
    edit(ledger)
    ledger.mend()
    inside = ledger.verify(outside=False)
    assert inside.ok, inside.faults
    assert any("rewriting" in doubt for doubt in inside.not_proved)
    assert not ledger.verify().ok


def _exported(ledger: Ledger, path: Path) -> list[dict[str, Any]]:
    with ledger.store.reading() as connection:
        lines = list(query.export_all(connection, W, ENTRIES))
    _write(path, lines)
    return lines


def _write(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _other(line: dict[str, Any], name: str) -> dict[str, Any]:
    value = line[name]
    if isinstance(value, int):
        return line | {name: value + 1}
    if isinstance(value, dict):
        return line | {name: value | {"outcome": "forged"}}
    flipped = ("A" if value[4] != "A" else "B") if name != "leaf_hash" else ("0" if value[4] != "0" else "1")
    return line | {name: value[:4] + flipped + value[5:]}


def test_every_edit_of_an_export_is_found(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    lines = _exported(ledger, path)
    good = fsck.verify_export(path, verifiers=ledger.verifiers, outside=ledger.outside)
    assert good.ok, good.faults
    assert (good.tree_size, good.erased) == (ENTRIES, 1)
    edits: dict[str, list[dict[str, Any]]] = {
        f"edit {name}": [*lines[:7], _other(lines[7], name), *lines[8:]] for name in lines[7]
    }
    for name in ("payload", "salt"):
        edits[f"drop {name}"] = [
            *lines[:7], {key: value for key, value in lines[7].items() if key != name}, *lines[8:]
        ]  # fmt: skip
    edits["delete"] = lines[:7] + lines[8:]
    edits["first"] = lines[1:]
    edits["truncate"] = lines[:200]
    edits["swap"] = [*lines[:7], lines[8], lines[7], *lines[9:]]
    edits["repeat"] = [*lines[:8], lines[7], *lines[8:]]
    edits["nothing"] = []
    forged = canonical.encode(sample.body(7, outcome="forged"))
    from base64 import b64encode

    edits["rewrite"] = [
        *lines[:7],
        {"sequence": 7, "leaf_hash": leaf_hash(forged).hex(), "body": b64encode(forged).decode()},
        *lines[8:],
    ]
    missed = []
    for name, made in edits.items():
        _write(path, made)
        if fsck.verify_export(path, verifiers=ledger.verifiers, outside=ledger.outside).ok:
            missed.append(name)
    assert missed == []


def test_the_first_bad_entry_is_named(ledger: Ledger) -> None:
    _edit_body(ledger, 42, outcome="forged")
    _edit_body(ledger, 77, outcome="forged")
    report = ledger.verify()
    assert report.faults[0].sequence == 42


def test_a_rewriting_is_narrowed_to_between_two_checkpoints(ledger: Ledger) -> None:
    _edit_body(ledger, 142, outcome="forged")
    ledger.mend()
    report = ledger.verify()
    assert [fault.sequence for fault in report.faults] == [100]


def test_checkpoints_may_repeat_and_come_in_any_order(ledger: Ledger) -> None:
    from guardhouse.ledger.checkpoint import split_log

    first, second = split_log(ledger.outside)
    torn = "guardhouse/ws\n12\nab"
    ledger.outside = f"{second}\n{first}\n{torn}\n\n\n{second}\n{first}\n"
    report = ledger.verify()
    assert report.ok, report.faults
    assert report.outside_checkpoints == 2
    assert any("torn" in doubt for doubt in report.not_proved)


def test_a_checkpoint_of_another_key_or_ledger_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    stranger = keys.load(tmp_path / "stranger.key")
    root = hashlib.sha256(b"").digest()
    from guardhouse.ledger.checkpoint import Statement

    outside = ledger.outside
    ledger.outside = outside + stranger.signed_note(Statement(f"guardhouse/{W}", 5, root).text) + "\n"
    assert not ledger.verify().ok
    signer = keys.load(ledger.folder / "signing.key")
    ledger.outside = outside + signer.signed_note(Statement("guardhouse/ws_other", 5, root).text) + "\n"
    assert not ledger.verify().ok


def test_nothing_is_proved_of_nothing(store: Any) -> None:
    with store.reading() as connection:
        assert not fsck.verify(connection, "ws_nowhere").ok
