"""PostgreSQL: READ COMMITTED, the workspace's head row as the write lock, commits that wait for the disk."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import SQLAlchemyError

from guardhouse.errors import SettingsFault
from guardhouse.model.instants import Clock
from guardhouse.storage.store import Opened, Transaction, Writing

_log = logging.getLogger("guardhouse.storage")
_CONNECT_SECONDS = 5
_LOCK_MILLISECONDS = 20_000
_TRANSACTION_MILLISECONDS = 30_000
"""When the server ends a transaction whose process or network is gone: its lock outlives them, and all others wait for it.

Longer than waiting for the lock and a train's work together. PostgreSQL 17 and later; `idle_in_transaction_session_timeout`
would not do, as the server's clock for it stands still behind a pipeline, which is where COMMIT comes.
"""
_TRANSACTION_TIMEOUT_SINCE = 170_000
_KEEPALIVE = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=2"
"""By these the server notices a vanished machine, of whatever version it is."""
_DURABLE_LEVELS = ("on", "remote_apply")
_FIRST_PLANS = 16
_READERS = {
    "connect_timeout": _CONNECT_SECONDS,
    "options": "-c default_transaction_read_only=on -c timezone=UTC -c default_transaction_isolation=repeatable\\ read",
}
_TIMEOUT = "statement_timeout"


def _hasty(level: str, fsync: str) -> str:
    return (
        "GUARDHOUSE_DATABASE_URL: the server answers before it syncs "
        f"(synchronous_commit={level}, fsync={fsync}); "
        "Guardhouse needs both on, since no answer may leave before its entry is durable"
    )


class PostgresStore(Writing):
    """A PostgreSQL database: a bounded pool of writers, and a pool of read-only connections.

    `clock` only serves until the train has read the database's own `clock_timestamp()`.
    """

    dialect = "postgresql"
    embedded = False

    def __init__(self, url: str, clock: Clock, pool: int = 8) -> None:
        self.url = url
        self._clock = clock
        address = make_url(url).set(drivername="postgresql+psycopg")
        shared: dict[str, Any] = {"pool_pre_ping": False, "pool_recycle": 1800, "max_overflow": 2}
        self._writers = create_engine(
            address,
            hide_parameters=True,
            pool_size=pool,
            connect_args={
                "connect_timeout": _CONNECT_SECONDS,
                "options": f"-c synchronous_commit=on -c lock_timeout={_LOCK_MILLISECONDS} -c timezone=UTC "
                f"{_KEEPALIVE} "
                "-c default_transaction_isolation=read\\ committed",
            },
            **shared,
        )
        self._readers = create_engine(
            address,
            hide_parameters=True,
            pool_size=4,
            connect_args=_READERS,
            **shared,
        )

        @event.listens_for(self._writers, "connect")
        def _check(connection: Any, _record: object) -> None:
            with connection.cursor() as cursor:
                cursor.execute("SHOW synchronous_commit")
                level = cursor.fetchone()[0]
                cursor.execute("SHOW fsync")
                fsync = cursor.fetchone()[0]
                if connection.info.server_version >= _TRANSACTION_TIMEOUT_SINCE:
                    cursor.execute(f"SET transaction_timeout = {_TRANSACTION_MILLISECONDS}")
            connection.commit()
            if level not in _DURABLE_LEVELS or fsync != "on":
                connection.close()
                raise SettingsFault(_hasty(level, fsync))

    def begin(self, *, wait: bool = True) -> Opened | None:
        """Open a write transaction for whoever is to carry and end it. Every statement waits for the network."""
        if not wait:
            return None
        connection = self._writers.connect()
        try:
            self._plan_anew(connection)
            transaction = connection.begin()
        except BaseException:
            self._end(connection)
            raise

        tx = Transaction(connection, self._clock())

        def commit() -> None:
            try:
                tx.catch_up()
                transaction.commit()
            except BaseException:
                self._end(connection)
                raise
            connection.close()

        def rollback() -> None:
            with contextlib.suppress(SQLAlchemyError):  # a connection that is gone lets go of its locks by itself
                transaction.rollback()
            self._end(connection)

        return Opened(tx, commit, rollback)

    def _end(self, connection: Connection) -> None:
        """Close a connection for good. Where the server was lost with it, no reader's is kept either."""
        lost = connection.invalidated or connection.connection.driver_connection.closed  # type: ignore[union-attr]
        connection.invalidate()
        connection.close()
        if lost:
            self._readers.dispose()

    @staticmethod
    def _plan_anew(connection: Connection) -> None:
        """Drop a connection's plans at each power of two of its transactions.

        The server keeps the plan of a prepared statement; one made over empty tables reads the whole of
        them when they have grown. So plans are made again ever more rarely as growth matters less.
        """
        count = connection.info["transactions"] = connection.info.get("transactions", 0) + 1
        if count >= _FIRST_PLANS and count & (count - 1) == 0:
            connection.exec_driver_sql("DISCARD PLANS")
            connection.rollback()

    @contextmanager
    def reading(self, timeout_seconds: float = 30.0) -> Iterator[Connection]:
        """A read-only snapshot; a statement past the timeout ends with an OperationalError."""
        with self._readers.connect() as connection:
            milliseconds = max(1, int(timeout_seconds * 1000))  # 0 would mean no timeout at all
            try:
                with connection.begin():
                    # It stays with the connection, so that most readers need not say it again.
                    if connection.info.get(_TIMEOUT) != milliseconds:
                        connection.exec_driver_sql(f"SET statement_timeout = {milliseconds}")
                        connection.info[_TIMEOUT] = milliseconds
                    yield connection
            except BaseException:
                with contextlib.suppress(SQLAlchemyError):  # a connection that is gone remembers nothing
                    connection.info.pop(_TIMEOUT, None)
                raise

    def for_readers(self) -> Mapping[str, Any]:
        """How another process of ours connects to read. It may hold a password: it belongs on a line and nowhere else."""
        engine = self._readers
        _none, arguments = engine.dialect.create_connect_args(engine.url)
        plain = {
            name: value for name, value in arguments.items() if isinstance(value, str | int)
        }  # not SQLAlchemy's own
        return {"postgresql": plain | _READERS}

    def tidy(self) -> None:
        """The server keeps its own log. What is looked after is that it still syncs: it may be told otherwise while it runs."""
        with self.reading(5.0) as connection:
            fsync = str(connection.exec_driver_sql("SHOW fsync").scalar())
        if fsync != "on":
            _log.error("%s", _hasty("on", fsync))
            self._writers.dispose()  # each connection made from now on is refused

    def durability(self) -> dict[str, str]:
        """What the server really promises, for `readyz`."""
        with self._writers.connect() as connection:
            read = connection.exec_driver_sql
            return {
                "synchronous_commit": str(read("SHOW synchronous_commit").scalar()),
                "fsync": str(read("SHOW fsync").scalar()),
            }

    def close(self) -> None:
        """Close every connection."""
        self._writers.dispose()
        self._readers.dispose()
