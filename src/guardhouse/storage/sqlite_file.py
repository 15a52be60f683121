"""One SQLite file: what every connection to it is told, and reading it with nothing but the standard library."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BUSY_MILLISECONDS = 15_000
PROGRESS_STEPS = 4_000
"""How many steps a statement takes between two looks at the time."""
TOLD = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "fullfsync=1",
    "checkpoint_fullfsync=1",
    "wal_autocheckpoint=0",
    "recursive_triggers=1",
    "trusted_schema=0",
    "temp_store=MEMORY",
    "cache_size=-16384",
    f"busy_timeout={BUSY_MILLISECONDS}",
)
READS = "query_only=1"
"""What a connection that only reads is told as well."""


def prepare(connection: sqlite3.Connection, *, query_only: bool) -> None:
    """Tell a new connection how this file is kept. Transactions are begun and ended by words alone."""
    connection.isolation_level = None
    for pragma in (*TOLD, *([READS] if query_only else ())):
        connection.execute(f"PRAGMA {pragma}").fetchall()


def opened(path: Path) -> sqlite3.Connection:
    """A connection that reads a file which is there; `sqlite3.Error` where it is not, or cannot be read."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_MILLISECONDS / 1000, cached_statements=256
    )
    prepare(connection, query_only=True)
    return connection


@contextmanager
def bounded(connection: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """End what runs on a connection with an error (`interrupted`) once so many seconds have passed."""
    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, PROGRESS_STEPS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


class File:
    """One connection, that can only read. `reading` as `searching.Source` says."""

    dialect = "sqlite"
    lost = False

    def __init__(self, path: Path) -> None:
        self._connection = opened(path)

    def one(self, sql: str, values: Mapping[str, Any]) -> Any:
        """The one value that a question gives."""
        return self._connection.execute(sql, values).fetchone()[0]

    @contextmanager
    def reading(self, seconds: float) -> Iterator[File]:
        """A snapshot that holds everything committed by now, for so many seconds."""
        with bounded(self._connection, seconds):
            self._connection.execute("BEGIN")
            try:
                yield self
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def late(self, error: Exception) -> bool:
        """Whether a statement ended because its time was over."""
        return getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT"

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
