"""SQLite: WAL, full sync, BEGIN IMMEDIATE behind the turnstile, checkpoints on their own connection."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, event
from sqlalchemy.engine.url import make_url

from guardhouse.errors import SettingsFault
from guardhouse.model.instants import Clock
from guardhouse.storage.store import Transaction
from guardhouse.storage.turnstile import Turnstile

_BUSY_MILLISECONDS = 15_000
_PROGRESS_STEPS = 4_000
_CHECKPOINT_PAGES = 1_000


def sqlite_path(url: str) -> Path:
    """The file that a `sqlite:///…` address names; SettingsFault when it names none."""
    database = make_url(url).database
    if not database or database == ":memory:":
        raise SettingsFault("GUARDHOUSE_DATABASE_URL must name a file: an audit ledger in memory proves nothing")
    return Path(database)


class SqliteStore:
    """One database file. One write connection, opened again after any failure; readers from a small pool."""

    dialect = "sqlite"

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self.path = sqlite_path(url)
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._clock = clock
        self._turnstile = Turnstile(self.path)
        self._write_lock = threading.RLock()
        self._writer = self._engine(NullPool, query_only=False)
        self._readers = self._engine(QueuePool, query_only=True)
        self._connection: Connection | None = None
        self._closed = False

    def _engine(self, pool: type[NullPool] | type[QueuePool], *, query_only: bool) -> Engine:
        options: dict[str, Any] = {"pool_size": 4, "max_overflow": 4} if pool is QueuePool else {}
        engine = create_engine(
            f"sqlite:///{self.path}",
            hide_parameters=True,
            poolclass=pool,
            connect_args={"check_same_thread": False, "timeout": _BUSY_MILLISECONDS / 1000, "cached_statements": 256},
            **options,
        )

        @event.listens_for(engine, "connect")
        def _prepare(connection: sqlite3.Connection, _record: object) -> None:
            connection.isolation_level = None
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                "fullfsync=1",
                "checkpoint_fullfsync=1",
                "wal_autocheckpoint=0",
                "recursive_triggers=1",
                "trusted_schema=0",
                "temp_store=MEMORY",
                "cache_size=-16384",
                f"busy_timeout={_BUSY_MILLISECONDS}",
            ):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            if query_only:
                connection.execute("PRAGMA query_only=1")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN" if query_only else "BEGIN IMMEDIATE")

        return engine

    @contextmanager
    def writing(self, lock: str) -> Iterator[Transaction]:
        """One write transaction on the file; `lock` names the workspace for PostgreSQL's sake."""
        del lock
        with self._write_lock, self._turnstile.turn():
            connection = self._connection
            if connection is None or connection.closed:
                connection = self._connection = self._writer.connect()
            try:
                with connection.begin():
                    yield Transaction(connection, self._clock())
            except BaseException:
                # A failed commit leaves a connection whose state nobody should guess at.
                self._connection = None
                connection.invalidate()
                connection.close()
                raise

    @contextmanager
    def reading(self, timeout_seconds: float = 30.0) -> Iterator[Connection]:
        """A snapshot that cannot write; a statement past the timeout ends with an OperationalError."""
        with self._readers.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            deadline = time.monotonic() + timeout_seconds
            driver.set_progress_handler(lambda: time.monotonic() > deadline, _PROGRESS_STEPS)
            try:
                with connection.begin():
                    yield connection
            finally:
                driver.set_progress_handler(None, 0)

    def tidy(self) -> None:
        """Move the write-ahead log into the database, as far as readers allow. Never called by a train."""
        with self._readers.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            pages = driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages and pages[1] > 8 * _CHECKPOINT_PAGES and not pages[0]:
                driver.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()

    def durability(self) -> dict[str, str]:
        """What the write connection really promises, for `readyz`: journal mode and sync level."""
        with self.writing("") as tx:
            read = tx.connection.exec_driver_sql
            return {
                "journal_mode": str(read("PRAGMA journal_mode").scalar()),
                "synchronous": str(read("PRAGMA synchronous").scalar()),
                "fullfsync": str(read("PRAGMA fullfsync").scalar()),
            }

    def close(self) -> None:
        """Close every connection; a second call does nothing."""
        with self._write_lock:
            if self._closed:
                return
            self._closed = True
            if self._connection is not None:
                self._connection.close()
            self._writer.dispose()
            self._readers.dispose()
            self._turnstile.close()
