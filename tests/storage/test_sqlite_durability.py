"""SQLite's promises: read back when a write connection opens, compared, and told without the write lock."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from guardhouse.errors import SettingsFault
from guardhouse.storage.sqlite import SqliteStore, read_back, require_durable
from tests.conftest import FakeClock
from tests.durability import unsyncing

NAMES = {"journal_mode": "wal", "synchronous": "2", "fullfsync": "1", "checkpoint_fullfsync": "1"}


def test_trivially_false() -> None:
    with pytest.raises(SettingsFault, match="GUARDHOUSE_DATABASE_URL"):
        require_durable({})


@pytest.mark.parametrize(
    "pragma", ["journal_mode=DELETE", "synchronous=NORMAL", "synchronous=OFF", "fullfsync=0", "checkpoint_fullfsync=0"]
)
def test_each_weaker_setting_is_read_back_and_refused(
    new_database: Callable[[str], str], clock: FakeClock, pragma: str
) -> None:
    store = SqliteStore(new_database("sqlite"), clock)
    with store.writing("") as tx:
        driver = tx.connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    require_durable(read_back(driver))
    driver.execute(f"PRAGMA {pragma}").fetchall()
    with pytest.raises(SettingsFault, match=pragma.partition("=")[0]) as told:
        require_durable(read_back(driver))
    assert "\n" not in told.value.message
    store.close()


def test_durability_is_told_while_another_holds_the_write_lock(
    new_database: Callable[[str], str], clock: FakeClock
) -> None:
    url = new_database("sqlite")
    store, other = SqliteStore(url, clock), SqliteStore(url, clock)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with other.writing(""):
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(10)
        started = time.monotonic()
        assert store.durability() == NAMES
        assert time.monotonic() - started < 5
    finally:
        done.set()
        thread.join(10)
        store.close()
        other.close()


def test_a_database_file_is_private_whatever_stood_there(tmp_path: Path, clock: FakeClock) -> None:
    store = SqliteStore(f"sqlite:///{tmp_path}/new/x.db", clock)
    with store.writing("") as tx:
        tx.connection.exec_driver_sql("CREATE TABLE t (a)")
        found = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()}
    store.close()
    assert {"x.db", "x.db-wal", "x.db-shm"} <= found.keys()
    assert set(found.values()) == {0o600}


_UNSYNCED = """
import os, signal, sys, threading
from sqlalchemy.exc import OperationalError
from guardhouse.storage.sqlite import SqliteStore
from tests.durability.unsyncing import fail_syncs

store = SqliteStore(sys.argv[1], lambda: 0)
with store.writing("") as tx:  # a log that has begun: the sync of its head comes before any frame
    tx.connection.exec_driver_sql("INSERT INTO probe VALUES (0)")
with store.reading() as connection:  # another connection, with which the index outlives the writer's
    assert connection.exec_driver_sql("SELECT sum(n) FROM probe").scalar() == 0

def write():
    fail_syncs(everywhere=False)
    for _ in range(int(sys.argv[2])):
        try:
            with store.writing("") as tx:
                tx.connection.exec_driver_sql("INSERT INTO probe VALUES (1)")
        except OperationalError as error:
            print(error.orig.sqlite_errorname, flush=True)

thread = threading.Thread(target=write)
thread.start()
thread.join()
if sys.argv[3] == "asked":
    opened = store.begin()
    print(opened.tx.connection.exec_driver_sql("SELECT sum(n) FROM probe").scalar(), flush=True)
    opened.rollback()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not unsyncing.may_unsync(), reason="no process may have its syncs fail here")
@pytest.mark.parametrize(
    ("attempts", "asked", "rows"),
    [
        pytest.param(1, False, 1, id="what-the-others-rely-on"),
        pytest.param(1, True, 0, id="asked-after"),
        pytest.param(2, False, 0, id="tried-again"),
    ],
)
def test_a_commit_whose_sync_failed_does_not_come_back_once_a_later_transaction_has_begun(
    new_database: Callable[[str], str], attempts: int, asked: bool, rows: int
) -> None:
    """Recovery after a kill finds it in the log, unless something was written over it; whoever begins next does so."""
    url = new_database("sqlite")
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("CREATE TABLE probe (n)")
    connection.close()
    command = [sys.executable, "-c", _UNSYNCED, url, str(attempts), "asked" if asked else "not"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    # A second attempt gets no further than what it writes first, over the first one's, which is not synced either.
    assert done.stdout.split() == ["SQLITE_IOERR_FSYNC"] * attempts + ["0"] * asked
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        assert connection.execute("SELECT sum(n) FROM probe").fetchall() == [(rows,)]
    connection.close()
