"""SQLite's promises: read back when a write connection opens, compared, and told without the write lock."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from guardhouse.errors import SettingsFault
from guardhouse.storage.sqlite import SqliteStore, read_back, require_durable
from tests.conftest import FakeClock

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
