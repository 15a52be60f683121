"""Must hold 7, by the schema itself: every column of every ledger table, edited with every right, is found by `verify`.

Tables and columns are read from the database, so a new one is in the matrix the day it is made. What `verify`
does not protect is listed in `UNPROTECTED` with its reason, and the list is held to be true: what it names must
really not be found. The edits are plain; the clever ones, which mend what they disturb, are in `test_tamper.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text
from sqlmodel import SQLModel

from guardhouse.ledger import fsck, keys
from guardhouse.ledger.checkpoint import Checkpointer
from tests.world import World, shipped_bundle, world

Row = dict[str, Any]

HINT = "rebuilt by every change of the standing, and judged by nobody: it only tells caches to read again"
COPY = "the checkpoint stands in the file outside, which is what is compared; the table is a copy for receipts"
FOREIGN = "the activation that founded the workspace was made by an entry of another ledger, or by `init`"
UNPROTECTED = {
    ("workspace_head", "standing_version"): HINT,
    ("workspace_head", "schema_version"): "how the tables are laid out, not what they say",
    ("checkpoint", "at"): "when a note was written is not signed; entries carry the times",
    ("checkpoint", "workspace_id"): COPY,
    ("checkpoint", "delete"): COPY,
    ("checkpoint", "truncate"): COPY,
    ("bundle_version", "stored_at"): "when a version was kept; when it came in force stands in the activation and its entry",
    ("activation", "note"): "a remark for people; what was said stands in the payload of the entry",
    ("activation", "first", "at"): FOREIGN,
    ("activation", "first", "by_id"): FOREIGN,
    ("activation", "first", "decision_id"): FOREIGN,
    ("sealed_segment", "workspace_id"): "a stub without which the entries are still here; where they are not, they are missed",
    ("sealed_segment", "delete"): "a stub without which the entries are still here; where they are not, they are missed",
    ("sealed_segment", "truncate"): "a stub without which the entries are still here; where they are not, they are missed",
    ("sealed_segment", "location"): "where an archive lies is told as not proved; what lies there is proved by the root",
    ("sealed_segment", "detail"): "figures for people",
}  # fmt: skip
NO_LEDGER = {"first_outcome": "what a repeated call is answered with; the entries it names are in the ledger"}
"""Tables that triggers protect and that are no part of the ledger."""


def ledger_tables() -> list[str]:
    """The tables that the ledger and the law declare."""
    declared = {
        mapper.class_.__tablename__
        for mapper in SQLModel._sa_registry.mappers
        if mapper.class_.__module__ in ("guardhouse.ledger.tables", "guardhouse.bundle.tables")
    }
    return sorted(declared)


class Day:
    """A ledger made by a real gateway, with a row in every table; its triggers dropped."""

    def __init__(self, home: World, folder: Path) -> None:
        self.home, self.workspace = home, home.workspace_id
        signer = keys.load(folder / "signing.key")
        self.verifiers = signer.verifiers
        checkpointer = Checkpointer(signer, folder)
        agent = home.agent("worker")
        home.gateway.bundles.put(shipped_bundle())
        texts = ("git push --force origin main", "ls")
        bodies = [{"operation_text": texts[number % 16 > 0]} for number in range(255)]
        with ThreadPoolExecutor(64) as pool:  # together, so that they share commits
            done = list(pool.map(lambda body: home.call(agent, "check_guardrails", body), bodies))[-1]
        home.done(home.operator, "erase_payload", {"decision_ids": [done.decision_id], "reason": "asked"})
        checkpointer.run(home.store, home.clock())
        files = {path: data.decode() for path, data in shipped_bundle().files.items()}
        body = {"files": files | {"gateway.yaml": files["gateway.yaml"] + "\n# a remark\n"}, "note": "a remark"}
        for operation, asked in (("activate_policy", body), ("rollback_policy", {"note": "back"})):
            home.done(home.operator, operation, asked)
            home.call(agent, "check_locks")
        home.done(home.operator, "erase_payload", {"decision_ids": [home.entries()[3]["id"]], "reason": "asked"})
        checkpointer.run(home.store, home.clock())
        self.outside = (folder / f"{self.workspace}.log").read_text()
        with home.store.writing(self.workspace) as tx:
            self._unprotect(tx)
            tx.execute(
                text(
                    "INSERT INTO sealed_segment (workspace_id, first_sequence, last_sequence, root, checkpoint, "
                    "location, detail) SELECT t.workspace_id, 0, 255, t.hash, c.note, 'archive/0', '{}' FROM tile t "
                    "JOIN checkpoint c ON c.workspace_id = t.workspace_id WHERE t.level = 1 AND t.position = 0 "
                    "AND c.tree_size = 256"
                )
            )

    def _unprotect(self, tx: Any) -> None:
        if tx.dialect == "sqlite":
            for name in tx.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all():
                tx.execute(text(f"DROP TRIGGER {name}"))
            return
        found = text(
            "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0 ORDER BY 1"
        )
        for name, table in tx.execute(found).all():
            tx.execute(text(f"DROP TRIGGER {name} ON {table}"))

    def found_in(self, tx: Any) -> bool:
        report = fsck.verify(tx.connection, self.workspace, verifiers=self.verifiers, outside=self.outside)
        return not report.ok


@pytest.fixture
def day(store: Any, clock: Any, ids: Any, tmp_path: Path) -> Iterator[Day]:
    with world(store, clock, ids) as home:
        yield Day(home, tmp_path)


def other(value: Any, key: bool) -> Any:
    """Another value of the same kind; for a key, one that no row has."""
    if isinstance(value, (bool, bytes, memoryview)):
        return not value if isinstance(value, bool) else bytes(value)[:-1] + bytes([(bytes(value) or b"\0")[-1] ^ 1])
    return value + (10_000 if key else 1) if isinstance(value, int) else f"{value}x"


class Table:
    """One table as the database describes it, and the edits of its rows."""

    def __init__(self, tx: Any, name: str) -> None:
        described = inspect(tx.connection)
        self.tx, self.name = tx, name
        self.columns = [column["name"] for column in described.get_columns(name)]
        self.booleans = {column["name"] for column in described.get_columns(name) if "BOOL" in str(column["type"])}
        self.key = described.get_pk_constraint(name)["constrained_columns"]
        ordered = f"SELECT * FROM {name} ORDER BY {', '.join(self.key)}"
        self.rows = [self._typed(dict(row)) for row in tx.execute(text(ordered)).mappings()]

    def _typed(self, row: Row) -> Row:
        return row | {column: bool(row[column]) for column in self.booleans}

    def _where(self, row: Row) -> tuple[str, Row]:
        return " AND ".join(f"{column} = :k_{column}" for column in self.key), {f"k_{c}": row[c] for c in self.key}

    def run(self, statement: str, values: Row) -> None:
        assert self.tx.execute(text(statement), values).rowcount, statement

    def edit(self, row: Row, changes: Row) -> None:
        where, values = self._where(row)
        named = ", ".join(f"{column} = :{column}" for column in changes)
        self.run(f"UPDATE {self.name} SET {named} WHERE {where}", values | changes)

    def delete(self, row: Row) -> None:
        where, values = self._where(row)
        self.run(f"DELETE FROM {self.name} WHERE {where}", values)

    def insert(self, row: Row) -> None:
        marks = ", ".join(f":{column}" for column in self.columns)
        self.run(f"INSERT INTO {self.name} ({', '.join(self.columns)}) VALUES ({marks})", row)

    def places(self) -> dict[str, Row]:
        """The rows to edit: the last, and where rows hang together also the first."""
        chained = self.name in ("activation", "erasure")
        return {"last": self.rows[-1]} | ({"first": self.rows[0]} if chained else {})

    def edits(self) -> Iterator[tuple[tuple[str, ...], Any]]:
        """Every edit: what it is (table, place, column or act), and how it is done."""
        for place, row in self.places().items():
            for column in self.columns:
                changes = {column: other(row[column], column in self.key)}
                yield (self.name, place, column), lambda row=row, changes=changes: self.edit(row, changes)
            yield (self.name, place, "delete"), lambda row=row: self.delete(row)
        free = [column for column in self.key if column != "workspace_id"]
        if free:
            last = self.rows[-1]
            copied = last | {column: other(last[column], True) for column in free}
            yield (self.name, "last", "insert"), lambda: self.insert(copied)
        yield (self.name, "all", "truncate"), lambda: self.run(f"DELETE FROM {self.name}", {})
        rest = [column for column in self.columns if column not in self.key]
        one, two = self.rows[0], self.rows[-1]
        swapped = [column for column in rest if one[column] != two[column]]
        if swapped:
            yield (self.name, "both", "reorder"), lambda: self._swap(one, two, swapped)

    def _swap(self, one: Row, two: Row, columns: list[str]) -> None:
        self.edit(one, {column: two[column] for column in columns})
        self.edit(two, {column: one[column] for column in columns})


class _UndoneError(Exception):
    pass


def test_every_column_of_every_ledger_table_is_protected_or_listed(day: Day) -> None:
    missed, needless, seen = [], [], set()
    with day.home.store.writing(day.workspace) as tx:
        assert not day.found_in(tx)
        edits = [edit for name in ledger_tables() for edit in Table(tx, name).edits()]
    for what, _ in edits:
        seen |= {what, (what[0], what[2])}
        with pytest.raises(_UndoneError), day.home.store.writing(day.workspace) as tx:  # noqa: PT012  # raising undoes
            again = dict(Table(tx, what[0]).edits())
            again[what]()
            listed = what in UNPROTECTED or (what[0], what[2]) in UNPROTECTED
            if day.found_in(tx) is listed:
                (needless if listed else missed).append(what)
            raise _UndoneError
    assert missed == [], "these edits of the ledger are not found"
    assert needless == [], "these are listed as unprotected and are found"
    assert UNPROTECTED.keys() <= seen, "listed, and no such table, column or act"


def test_every_protected_table_is_in_the_matrix(store: Any) -> None:
    with store.reading() as connection:
        if store.dialect == "sqlite":
            query = "SELECT DISTINCT tbl_name FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%no_update'"
        else:
            query = (
                "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0 "
                "AND tgname LIKE '%no_update'"
            )
        protected = set(connection.execute(text(query)).scalars())
    assert protected - NO_LEDGER.keys() <= set(ledger_tables())
    assert protected


def test_what_is_not_proved_is_told_to_auditors() -> None:
    page = (Path(__file__).parents[2] / "docs" / "auditing.md").read_text()
    told = page.partition("**What it does not prove**")[2].partition("\n## ")[0]
    rows = [line for line in told.splitlines() if line.startswith("| ")]
    stubs = {"checkpoint": "checkpoint", "sealed_segment": "stub"}
    for table, *_, what in UNPROTECTED:
        if what in ("delete", "truncate", "workspace_id"):
            word = "removed, or moved to another workspace"
            assert any(word in row and stubs[table] in row.partition(" | ")[0] for row in rows), (table, what)
        else:
            assert any(f"`{what}`" in row.partition(" | ")[0] for row in rows), (table, what)
    assert all(f"`{table}`" in told for table in NO_LEDGER)
