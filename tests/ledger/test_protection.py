"""Nobody changes what is written: the triggers against replacement, gaps, direct inserts and forged erasures."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from guardhouse.ledger import entries, rows
from guardhouse.ledger.tables import ENTRY
from guardhouse.storage.sqlite import sqlite_path
from tests.ledger import sample

COLUMNS = ", ".join(column.name for column in ENTRY.columns)
WIDE = ("entry", "payload", "content", "bundle_version", "first_outcome")
NARROW = ("activation", "checkpoint", "entry_rule", "erasure", "sealed_segment", "tile", "workspace_head")


@pytest.fixture
def filled(store: Any) -> Any:
    sample.found(store)
    sample.fill(store, 6)
    return store


def refused(store: Any, *statements: str, **values: Any) -> str:
    """Run statements as one transaction, which must be refused by a trigger of ours; the refusal."""
    with pytest.raises(DatabaseError) as caught, store.writing(sample.WORKSPACE) as tx:  # noqa: PT012  # any of them may be refused
        for statement in statements:
            tx.execute(text(statement), {"w": sample.WORKSPACE} | values if ":w" in statement else None)
    assert "guardhouse: " in str(caught.value)
    return str(caught.value)


def copied(sequence: str, *, table: str = "entry", verb: str = "INSERT", source: int = 0) -> str:
    """An INSERT of a copy of an entry under another sequence."""
    picked = COLUMNS.replace("sequence", sequence, 1)
    return f"{verb} INTO {table} ({COLUMNS}) SELECT {picked} FROM entry WHERE workspace_id = :w AND sequence = {source}"


@pytest.mark.parametrize("table", ["entry", "entry_rule", "payload", "content", "bundle_version", "tile"])
def test_no_row_is_changed_or_deleted(filled: Any, table: str) -> None:
    if table == "tile":
        sample.fill(filled, 256, train=256)
    refused(filled, f"UPDATE {table} SET workspace_id = 'ws_other' WHERE workspace_id = :w")
    refused(filled, f"DELETE FROM {table} WHERE workspace_id = :w")
    if filled.dialect == "postgresql":
        refused(filled, f"TRUNCATE {table} CASCADE")


@pytest.mark.parametrize("sequence", ["0", "5", "7", "100", "-1"])
def test_only_the_next_entry_is_taken(filled: Any, sequence: str) -> None:
    with pytest.raises(DatabaseError), filled.writing(sample.WORKSPACE) as tx:
        tx.execute(text(copied(sequence)), {"w": sample.WORKSPACE})


def test_a_statement_may_not_bring_a_gap(filled: Any) -> None:
    made = [
        entries._entry_row(sample.WORKSPACE, draft.body, draft.encoded, b"l" * 32)
        for draft in (sample.draft(6), sample.draft(8))
    ]
    with pytest.raises(DatabaseError, match="next of its ledger"), filled.writing(sample.WORKSPACE) as tx:
        rows.insert(tx, ENTRY, made)


def test_the_head_only_follows_entries(filled: Any) -> None:
    refused(filled, "UPDATE workspace_head SET tree_size = tree_size + 1 WHERE workspace_id = :w", copied("7"))
    refused(filled, "UPDATE workspace_head SET tree_size = tree_size - 1 WHERE workspace_id = :w")
    refused(filled, "UPDATE workspace_head SET last_at = last_at - 1 WHERE workspace_id = :w")
    refused(filled, "UPDATE workspace_head SET standing_version = standing_version - 1 WHERE workspace_id = :w")
    refused(filled, "UPDATE workspace_head SET frontier = leaf_hash FROM entry WHERE entry.sequence = 0")
    refused(filled, "DELETE FROM workspace_head WHERE workspace_id = :w")


def test_no_entry_without_a_head(filled: Any) -> None:
    statement = copied("0").replace("SELECT workspace_id", "SELECT 'ws_nobody'")
    refused(filled, statement)


@pytest.mark.parametrize("table", ["payload", "entry_rule"])
def test_nothing_is_put_beside_an_old_entry(filled: Any, table: str) -> None:
    sample.append(filled, [sample.draft(6, payload=None)])
    values = "'x', 6" if table == "entry_rule" else "6, '\\x00', '\\x00'"
    names = "rule, sequence" if table == "entry_rule" else "sequence, salt, body"
    statement = f"INSERT INTO {table} (workspace_id, {names}) VALUES (:w, {values})"
    assert "or never" in refused(filled, statement)
    assert "or never" in refused(filled, statement.replace(" 6", " 7"))


@pytest.mark.parametrize("ahead", [-1, 256, 10_000_000])
def test_an_erasure_stands_within_the_train(filled: Any, ahead: int) -> None:
    statement = "INSERT INTO erasure (workspace_id, sequence, by_sequence, at) VALUES (:w, 1, :by, 0)"
    assert "call that erases" in refused(filled, statement, by=6 + ahead)


def test_an_erasure_is_of_a_recorded_entry(filled: Any) -> None:
    refused(filled, "INSERT INTO erasure (workspace_id, sequence, by_sequence, at) VALUES (:w, 6, 7, 0)")


def test_an_old_erasure_permits_nothing_any_more(filled: Any) -> None:
    erased = sample.body(1)["id"]
    with filled.writing(sample.WORKSPACE) as tx:
        head = entries.read_heads(tx, [sample.WORKSPACE])[sample.WORKSPACE].head
        tx.execute(
            text("INSERT INTO erasure (workspace_id, sequence, by_sequence, at) VALUES (:w, 1, 6, 0)"),
            {"w": sample.WORKSPACE},
        )
        eraser = sample.draft(6, operation="erase_payload", objects=[f"erased:{erased}"])
        entries.append(tx, head, [eraser], entries.KnownContents())
    refused(filled, "DELETE FROM payload WHERE workspace_id = :w AND sequence = 1")


def test_postgres_takes_no_erasure_without_its_entry(new_database: Any, clock: Any) -> None:
    from guardhouse.storage.opening import open_store

    store = open_store(new_database("postgresql"), clock)
    sample.found(store)
    sample.fill(store, 3)
    insert = "INSERT INTO erasure (workspace_id, sequence, by_sequence, at) VALUES (:w, 1, 3, 0)"
    assert "call that erases" in refused(store, insert)
    with pytest.raises(DatabaseError, match="call that erases"), store.writing("") as tx:  # noqa: PT012  # the commit is what refuses
        head = entries.read_heads(tx, [sample.WORKSPACE])[sample.WORKSPACE].head
        tx.execute(text(insert), {"w": sample.WORKSPACE})
        other = sample.draft(3, operation="erase_payload", objects=["erased:dec_another"])
        entries.append(tx, head, [other], entries.KnownContents())
    store.close()


@pytest.mark.parametrize("segment", ["entry_0000", "entry_later", "payload_0000", "payload_later"])
def test_postgres_segments_take_nothing_directly(new_database: Any, clock: Any, segment: str) -> None:
    from guardhouse.storage.opening import open_store

    store = open_store(new_database("postgresql"), clock)
    sample.found(store)
    sample.fill(store, 3)
    parent = segment.partition("_")[0]
    statement = f"INSERT INTO {segment} SELECT * FROM {parent} WHERE workspace_id = :w AND sequence = 2"
    assert f"{parent} is append-only" in refused(store, statement)
    refused(store, f"TRUNCATE {segment}")
    if segment.endswith("0000"):
        refused(store, f"UPDATE {segment} SET workspace_id = 'ws_other'")
        refused(store, f"DELETE FROM {segment}")
    store.close()


def test_postgres_triggers_believe_no_planted_head(new_database: Any, clock: Any) -> None:
    """A temporary table comes before the schema in a caller's search path; trigger functions must not look there."""
    from guardhouse.storage.opening import open_store

    store = open_store(new_database("postgresql"), clock)
    sample.found(store)
    sample.fill(store, 3)
    refused(
        store,
        "CREATE TEMP TABLE workspace_head (workspace_id text, tree_size bigint)",
        "INSERT INTO pg_temp.workspace_head VALUES (:w, 9)",
        "CREATE TEMP TABLE planted AS SELECT * FROM entry WHERE sequence = 0",
        "UPDATE planted SET sequence = 9",
        "INSERT INTO entry SELECT * FROM planted",
    )
    store.close()


@pytest.fixture
def plain_sqlite(new_database: Any, clock: Any) -> Any:
    """A filled SQLite file through a connection that is not ours: recursive triggers are off."""
    from guardhouse.storage.opening import open_store

    url = new_database("sqlite")
    store = open_store(url, clock)
    sample.found(store)
    sample.fill(store, 260, train=256)
    store.close()
    connection = sqlite3.connect(sqlite_path(url), isolation_level=None)
    yield connection
    connection.close()


@pytest.mark.parametrize("verb", ["INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE", "INSERT"])
def test_sqlite_replaces_nothing_through_the_rowid(plain_sqlite: Any, verb: str) -> None:
    before = plain_sqlite.execute("SELECT rowid, * FROM entry ORDER BY sequence").fetchall()
    picked = COLUMNS.replace("sequence", "260", 1)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        plain_sqlite.execute(
            f"{verb} INTO entry (rowid, {COLUMNS}) SELECT (SELECT rowid FROM entry WHERE sequence = 3), {picked} "
            "FROM entry WHERE sequence = 4"
        )
    assert plain_sqlite.execute("SELECT rowid, * FROM entry ORDER BY sequence").fetchall() == before


def test_sqlite_replaces_no_content_through_the_rowid(plain_sqlite: Any) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        plain_sqlite.execute(
            "INSERT OR REPLACE INTO content (rowid, workspace_id, digest, body) "
            "SELECT rowid, workspace_id, 'sha256:other', body FROM content LIMIT 1"
        )


@pytest.mark.parametrize("number", [-1, 0])
def test_sqlite_counts_rows_from_one(plain_sqlite: Any, number: int) -> None:
    """Row -1 is what a trigger sees where a statement names no rowid: were there one, nothing could be added."""
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        plain_sqlite.execute(
            f"INSERT INTO content (rowid, workspace_id, digest, body) VALUES ({number}, 'w', 'sha256:x', x'00')"
        )


def test_sqlite_replaces_no_addressed_row(plain_sqlite: Any) -> None:
    before = plain_sqlite.execute("SELECT * FROM tile").fetchall()
    assert before
    plain_sqlite.execute("INSERT OR REPLACE INTO tile SELECT workspace_id, level, position, x'00' FROM tile")
    assert plain_sqlite.execute("SELECT * FROM tile").fetchall() == before


def test_sqlite_narrow_tables_have_no_rowid(plain_sqlite: Any) -> None:
    for table in NARROW:
        with pytest.raises(sqlite3.OperationalError, match="no such column: rowid"):
            plain_sqlite.execute(f"SELECT rowid FROM {table}")
    for table in WIDE:
        guards = plain_sqlite.execute(
            "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? AND name LIKE '%_rowid_%'",
            [table],
        )
        assert guards.fetchone() == (2,)
