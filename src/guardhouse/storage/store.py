"""What a store is: write transactions under the write lock, and read-only connections."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from sqlalchemy import Connection, CursorResult, Executable, Table, UpdateBase
from sqlalchemy.exc import DBAPIError

from guardhouse.model.instants import Micros

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


class Transaction:
    """One open write transaction. `now` is its only time: every lease and expiry is judged by it.

    `dialect` is `sqlite` or `postgresql`. `written` names the tables that statements run through `execute` have changed.
    Commit and rollback belong to whoever opened it; code that is handed a transaction MUST NOT end it.
    """

    def __init__(self, connection: Connection, now: Micros) -> None:
        self.connection = connection
        self.now = now
        self.written: set[str] = set()
        self.dialect: str = connection.dialect.name
        self.batching = False
        self._depth = 0
        self._lingering = False

    def execute(self, statement: Executable, parameters: Parameters = None) -> CursorResult[Any]:
        """Run one Core statement. Values are always bound, never written into the text."""
        if isinstance(statement, UpdateBase) and isinstance(statement.table, Table):
            self.written.add(statement.table.name)
        return self.connection.execute(statement, parameters)

    def rows(self, statement: Executable, parameters: Parameters = None) -> list[dict[str, Any]]:
        """All rows of a query as dictionaries."""
        return [dict(row) for row in self.execute(statement, parameters).mappings()]

    def row(self, statement: Executable, parameters: Parameters = None) -> dict[str, Any] | None:
        """The first row of a query as a dictionary, or None."""
        found = self.execute(statement, parameters).mappings().first()
        return dict(found) if found is not None else None

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Everything inside is undone, alone, when it raises. May be nested.

        Spoken to the driver directly: both databases know the words, and a write call needs them twice.
        """
        self._depth += 1
        name = f"call_{self._depth}"
        if self._lingering and self._depth == 1:
            self._speak(f"RELEASE SAVEPOINT {name}; SAVEPOINT {name}")
        else:
            self._speak(f"SAVEPOINT {name}")
        self._lingering = False
        try:
            yield
        except BaseException:
            self._speak(f"ROLLBACK TO SAVEPOINT {name}")
            self._speak(f"RELEASE SAVEPOINT {name}")
            raise
        else:
            if self._depth == 1 and self.dialect == "postgresql":
                self._lingering = True  # released with the next one's words, or by COMMIT: a round trip less a call
            else:
                self._speak(f"RELEASE SAVEPOINT {name}")
        finally:
            self._depth -= 1

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Statements spoken inside give no rows and go out together; a fault in any of them is raised by the end of the block.

        On PostgreSQL they cost one round trip in all; in SQLite, which makes none, each runs as ever.
        """
        if self.dialect != "postgresql":
            yield
            return
        driver: Any = self.connection.connection.driver_connection
        dialect = self.connection.dialect
        self.batching = True
        try:
            with driver.pipeline():
                yield
        except dialect.loaded_dbapi.Error as error:
            gone = dialect.is_disconnect(error, self.connection.connection, None)
            raise DBAPIError("a batch", None, error, hide_parameters=True, connection_invalidated=gone) from error
        finally:
            self.batching = False

    def _speak(self, words: str) -> None:
        cursor = self.connection.connection.cursor()
        try:
            cursor.execute(words)
        finally:
            cursor.close()


class Opened:
    """An open write transaction that one thread may begin, another carry in and a third end.

    Whoever has it ends it exactly once, by `commit` or `rollback`; both give the write lock back, and
    after a commit that raises nothing is known of the transaction.
    """

    def __init__(self, tx: Transaction, commit: Callable[[], None], rollback: Callable[[], None]) -> None:
        self.tx = tx
        self.commit = commit
        self.rollback = rollback


class Writing(ABC):
    """How every store writes: `begin`, the block, and the one end that the block earned."""

    @abstractmethod
    def begin(self, *, wait: bool = True) -> Opened | None:
        """Open a write transaction to be handed on; None where `wait` is False and somebody else has the turn."""

    @contextmanager
    def writing(self, lock: str) -> Iterator[Transaction]:
        """One write transaction; `lock` as `Store` says. On PostgreSQL the block itself locks the head it names."""
        del lock
        opened = self.begin()
        assert opened is not None
        try:
            yield opened.tx
        except BaseException:
            opened.rollback()
            raise
        opened.commit()


class Store(Protocol):
    """A database. `writing` serialises writers of one lock; `reading` never blocks them.

    `writing(lock)`: on SQLite the lock is the file, whatever `lock` says; on PostgreSQL it is the
    workspace's head row. The transaction commits when the block ends and rolls back when it raises.
    `begin` opens the same transaction to be handed on; with `wait=False` it gives None instead of
    waiting for anybody. `embedded`: statements run inside this process and wait for no network, so that
    an event loop may speak them; only beginning and committing may wait.
    `reading(timeout_seconds)`: a read-only snapshot whose statements end with an error after the timeout.
    """

    dialect: str
    url: str
    embedded: bool

    def begin(self, *, wait: bool = True) -> Opened | None: ...

    def writing(self, lock: str) -> AbstractContextManager[Transaction]: ...

    def reading(self, timeout_seconds: float = 30.0) -> AbstractContextManager[Connection]: ...

    def close(self) -> None: ...
