"""SQLite: WAL, full sync, BEGIN IMMEDIATE behind the turnstile, checkpoints on their own connection."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, event
from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import OperationalError

from guardhouse.errors import SettingsFault
from guardhouse.model.instants import Clock
from guardhouse.storage import private
from guardhouse.storage.sqlite_file import BUSY_MILLISECONDS, bounded, prepare
from guardhouse.storage.store import Opened, Transaction, Writing
from guardhouse.storage.turnstile import Turnstile

_CHECKPOINT_PAGES = 1_000


def sqlite_path(url: str) -> Path:
    """The file that a `sqlite:///…` address names; SettingsFault when it names none."""
    database = make_url(url).database
    if not database or database == ":memory:":
        raise SettingsFault("GUARDHOUSE_DATABASE_URL must name a file: an audit ledger in memory proves nothing")
    return Path(database)


_DURABLE = {"journal_mode": "wal", "synchronous": "2", "fullfsync": "1", "checkpoint_fullfsync": "1"}
"""What a write connection must read back: a log that is synced, whole, at every commit and every checkpoint."""


def read_back(connection: sqlite3.Connection) -> dict[str, str]:
    """What a connection really does for durability, whatever it was asked to do."""
    return {name: str(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in _DURABLE}


def require_durable(found: Mapping[str, str]) -> None:
    """SettingsFault where a connection would answer before its commit is on the disk."""
    wrong = [f"{name} is {found.get(name, 'unknown')}, not {wanted}" for name, wanted in _DURABLE.items()]
    wrong = [text for text, (name, wanted) in zip(wrong, _DURABLE.items(), strict=True) if found.get(name) != wanted]
    if wrong:
        raise SettingsFault(
            f"GUARDHOUSE_DATABASE_URL: this SQLite file cannot be written durably ({', '.join(wrong)}); "
            "put it on a local disk that no other program has open in another journal mode"
        )


_TORN = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE"})
"""Faults of a COMMIT that did not write its last frame whole, without which recovery keeps nothing of it."""


def may_come_back(error: BaseException) -> bool:
    """Whether a failed COMMIT can be found done after a crash.

    Where its frames are in the log and only what came after failed (their sync, the log's index), SQLite takes the
    transaction back in the index alone. Recovery makes the index anew from the log, and finds it.
    """
    return getattr(getattr(error, "orig", error), "sqlite_errorname", "") not in _TORN


class SqliteStore(Writing):
    """One database file. One write connection, opened again after any failure; readers from a small pool."""

    dialect = "sqlite"
    embedded = True

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self.path = sqlite_path(url)
        # SQLite gives its log files the rights of the database file, so that one is made first.
        private.folder(self.path.parent)
        private.made(self.path)
        self._clock = clock
        self._turnstile = Turnstile(self.path)
        self._write_lock = threading.Lock()  # not an RLock: whoever ends a transaction may be another thread
        self._writer = self._engine(NullPool, query_only=False)
        self._readers = self._engine(QueuePool, query_only=True)
        self._connection: Connection | None = None
        self._patient = True
        self._promised: dict[str, str] = {}
        self._haunted = False
        self._closed = False

    def _engine(self, pool: type[NullPool] | type[QueuePool], *, query_only: bool) -> Engine:
        options: dict[str, Any] = {"pool_size": 4, "max_overflow": 4} if pool is QueuePool else {}
        engine = create_engine(
            f"sqlite:///{self.path}",
            hide_parameters=True,
            poolclass=pool,
            connect_args={"check_same_thread": False, "timeout": BUSY_MILLISECONDS / 1000, "cached_statements": 256},
            **options,
        )

        @event.listens_for(engine, "connect")
        def _prepare(connection: sqlite3.Connection, _record: object) -> None:
            prepare(connection, query_only=query_only)
            if not query_only:
                self._promised = read_back(connection)
                require_durable(self._promised)

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN" if query_only else "BEGIN IMMEDIATE")

        return engine

    def begin(self, *, wait: bool = True) -> Opened | None:
        """Open a write transaction for whoever is to carry and end it; None when that would need waiting."""
        if not self._write_lock.acquire(blocking=wait):
            return None
        try:
            opened = self._begun(wait) if self._turnstile.enter(wait=wait) else None
        except BaseException:
            self._write_lock.release()
            raise
        if opened is None:
            self._write_lock.release()
        return opened

    def _begun(self, wait: bool) -> Opened | None:
        """The transaction, for a caller who has the write lock; the turn is given back where there is none."""
        try:
            connection = self._connected(wait)
            if connection is not None and self._haunted:
                self._lay(connection)
            transaction = connection.begin() if connection is not None else None
        except BaseException as error:
            self._drop()
            self._turnstile.leave()
            if isinstance(error, OperationalError) and not wait:
                return (
                    None  # somebody who knows no turnstile holds SQLite's own lock, or the ground fails: wait and see
                )
            raise
        if connection is None or transaction is None:
            self._turnstile.leave()
            return None

        tx = Transaction(connection, self._clock())

        def commit() -> None:
            tx.catch_up()
            try:
                transaction.commit()
            except BaseException as error:
                self._haunted = self._haunted or may_come_back(error)
                raise

        def end(how: Callable[[], None]) -> None:
            try:
                how()
            except BaseException:
                # A failed commit leaves a connection whose state nobody should guess at.
                self._drop()
                raise
            finally:
                self._turnstile.leave()
                self._write_lock.release()

        return Opened(tx, lambda: end(commit), lambda: end(self._drop))

    def _lay(self, connection: Connection) -> None:
        """Write over what a failed COMMIT left in the log, so that no recovery brings it back.

        Until that is durable no transaction begins, so nobody can find a call undone that a crash would bring back.
        """
        with connection.begin():
            version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            connection.exec_driver_sql(f"PRAGMA user_version={int(version)}").close()
        self._haunted = False

    def _connected(self, wait: bool) -> Connection | None:
        """The write connection, as patient with SQLite's own lock as asked; None when it would have to be opened first."""
        connection = self._connection
        if connection is None or connection.closed:
            if not wait:
                return None
            connection = self._connection = self._writer.connect()
            self._patient = True
        if self._patient is not wait:
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS if wait else 0}").fetchall()
            self._patient = wait
        return connection

    def _drop(self) -> None:
        """Close the write connection, and with it whatever is open on it; the next transaction opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    @contextmanager
    def reading(self, timeout_seconds: float = 30.0) -> Iterator[Connection]:
        """A snapshot that cannot write; a statement past the timeout ends with an OperationalError."""
        with self._readers.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            with bounded(driver, timeout_seconds), connection.begin():
                yield connection

    def for_readers(self) -> Mapping[str, Any]:
        """How another process of ours opens this file to read it."""
        return {"sqlite": str(self.path.absolute())}

    def tidy(self) -> None:
        """Move the write-ahead log into the database, as far as readers allow. Never called by a train."""
        with self._readers.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            pages = driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages and pages[1] > 8 * _CHECKPOINT_PAGES and not pages[0]:
                driver.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()

    def durability(self) -> dict[str, str]:
        """What the last write connection read back of its settings when it opened. Takes no lock.

        Where none was opened yet, one is, and closed again; SettingsFault where it cannot be durable.
        """
        if not self._promised:
            self._writer.connect().close()
        return dict(self._promised)

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
