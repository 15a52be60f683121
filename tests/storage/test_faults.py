"""The ground's own faults are told from those of one statement by the driver's code, whatever the message says."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from guardhouse.storage.faults import named, of_the_ground

FRIGHTENING = "disk full, malformed, read-only, i/o error: no space"


def _raised(act: Callable[[], Any]) -> DBAPIError:
    try:
        act()
    except (sqlite3.Error, psycopg.Error) as error:
        return DBAPIError("", None, error)
    raise AssertionError("nothing failed")


def _frightening(file: Path) -> Any:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute(f"CREATE TRIGGER odd BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, '{FRIGHTENING}'); END")
        connection.execute("INSERT INTO t VALUES (1)")


def _full(file: Path) -> Any:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("PRAGMA max_page_count=2")
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")


def _read_only(file: Path) -> Any:
    sqlite3.connect(file).close()
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA query_only=1")
        connection.execute("CREATE TABLE t (x)")


def _damaged(file: Path) -> Any:
    file.write_bytes(b"no database at all, but long enough to be read as one" * 40)
    with sqlite3.connect(file) as connection:
        connection.execute("SELECT * FROM sqlite_master")


def _away(file: Path) -> Any:
    sqlite3.connect(file.parent / "absent" / "file.db")


def _interrupted(file: Path) -> Any:
    with sqlite3.connect(file) as connection:
        connection.set_progress_handler(lambda: 1, 1)
        connection.execute("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n")


@pytest.mark.parametrize(
    ("act", "ground"),
    [(_frightening, False), (_full, True), (_read_only, True), (_damaged, True), (_away, True), (_interrupted, True)],
)
def test_sqlite_says_by_its_result_code_whose_fault_it_is(
    tmp_path: Path, act: Callable[[Path], Any], ground: bool
) -> None:
    error = _raised(lambda: act(tmp_path / "ground.db"))
    assert re.fullmatch(r"\w+Error SQLITE_\w+", named(error)), "what is logged holds a word of the driver's"
    assert of_the_ground(error) is ground, (error.orig, getattr(error.orig, "sqlite_errorname", ""))


@pytest.mark.parametrize(
    ("state", "ground"),
    [
        ("P0001", False),  # what a trigger raises
        ("23505", False),
        ("22P02", False),
        ("42883", False),
        ("40P01", False),
        ("25001", False),
        ("25006", True),
        ("53100", True),
        ("53200", True),
        ("57014", True),
        ("58030", True),
        ("XX001", True),
        ("08006", True),
    ],
)
def test_postgresql_says_by_its_state_whose_fault_it_is(postgres_server: str, state: str, ground: bool) -> None:
    """The server itself raises it, under words that would frighten whoever reads words."""
    raising = f"DO $$ BEGIN RAISE EXCEPTION '{FRIGHTENING}' USING ERRCODE = '{state}'; END $$"
    with psycopg.connect(postgres_server) as connection:
        error = _raised(lambda: connection.execute(raising))
    assert getattr(error.orig, "sqlstate", "") == state
    assert re.fullmatch(rf"\w+ {state}", named(error))
    assert of_the_ground(error) is ground


def test_a_lost_connection_is_the_grounds_fault_without_any_code() -> None:
    lost = DBAPIError("", None, psycopg.OperationalError("the connection is closed"), connection_invalidated=True)
    assert of_the_ground(lost)
    assert not of_the_ground(DBAPIError("", None, psycopg.OperationalError(FRIGHTENING)))
