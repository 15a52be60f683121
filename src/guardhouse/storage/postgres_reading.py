"""A PostgreSQL database read with nothing but its driver, by a process that reads and does nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg

_NAMED = re.compile(r"(?<![:\w]):(\w+)")


@lru_cache(maxsize=64)
def spoken(sql: str) -> str:
    """A question whose values stand in it as `:name`, in the driver's own style."""
    return _NAMED.sub(r"%(\1)s", sql.replace("%", "%%"))


class Server:
    """One connection, that can only read. `reading` as `searching.Source` says."""

    dialect = "postgresql"

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._connection: psycopg.Connection[Any] = psycopg.connect(**arguments)
        self._milliseconds = 0

    def one(self, sql: str, values: Mapping[str, Any]) -> Any:
        """The one value that a question gives."""
        row = self._connection.execute(spoken(sql), values).fetchone()
        assert row is not None
        return row[0]

    @contextmanager
    def reading(self, seconds: float) -> Iterator[Server]:
        """A snapshot that holds everything committed by now; each statement has so many seconds."""
        milliseconds = max(1, int(seconds * 1000))
        with self._connection.transaction(force_rollback=False):
            if milliseconds != self._milliseconds:
                self._milliseconds = 0
                self._connection.execute(f"SET statement_timeout = {milliseconds}")
            yield self
        self._milliseconds = milliseconds

    def late(self, error: Exception) -> bool:
        """Whether a statement ended because its time was over."""
        return isinstance(error, psycopg.errors.QueryCanceled)

    @property
    def lost(self) -> bool:
        """Whether nothing can be read any more."""
        return self._connection.closed

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
