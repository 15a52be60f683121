"""What a store is: write transactions under the write lock, and read-only connections."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, cast

from sqlalchemy import Connection, CursorResult, Executable, Table, UpdateBase
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from guardhouse.model.instants import Micros

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


Spoken = tuple[str, Any]
"""A text in the driver's own style, and its values; None for words that take none and change no row."""


class PutOffFailed(SQLAlchemyError):
    """A write that was put off failed, or did not find its row: nothing of its transaction may be kept."""


@dataclass(slots=True)
class _Savepoint:
    """`begun`: the database knows of it. Until then `behind` says how many of the writes put off came before it."""

    behind: int
    changes: int
    begun: bool = False


class Transaction:
    """One open write transaction. `now` is its only time: every lease and expiry is judged by it.

    `dialect` is `sqlite` or `postgresql`. `written` names the tables that statements run through `execute` have changed.
    Commit and rollback belong to whoever opened it; code that is handed a transaction MUST NOT end it.

    A write that nobody needs to see at once may be put off (`put_off`): it is made before any other statement, at the
    latest before the commit, in the order given. A savepoint begins with the first statement inside it. So a call that
    was read ahead for, and whose writes are put off, asks the database nothing of its own.

    `ahead` holds what was read for several calls at once, by the table that it was read of. A write to that table makes
    it void unless its keeper made it, and so does undoing what the keeper wrote.
    """

    def __init__(self, connection: Connection, now: Micros) -> None:
        self._connection = connection
        self.now = now
        self.written: set[str] = set()
        self.ahead: dict[str, Any] = {}
        self.dialect: str = connection.dialect.name
        self.sql_dialect: Any = connection.dialect
        self.driver_error: Any = self.sql_dialect.loaded_dbapi.Error
        self.batching = False
        self._savepoints: list[_Savepoint] = []
        self._lingering = False
        self._later: list[Spoken] = []
        self._changes = 0
        self._to_find: list[Any] = []
        self._failed = False
        self._driver: Any = connection.connection.driver_connection

    @property
    def connection(self) -> Connection:
        """The connection, for statements of one's own: what was put off is made first."""
        if self._later or self._savepoints or self._failed:
            self.catch_up()
        return self._connection

    def execute(self, statement: Executable, parameters: Parameters = None) -> CursorResult[Any]:
        """Run one Core statement. Values are always bound, never written into the text."""
        if isinstance(statement, UpdateBase) and isinstance(statement.table, Table):
            self.written.add(statement.table.name)
            self.forget(statement.table.name)
        return self.connection.execute(statement, parameters)

    def rows(self, statement: Executable, parameters: Parameters = None) -> list[dict[str, Any]]:
        """All rows of a query as dictionaries."""
        return [dict(row) for row in self.execute(statement, parameters).mappings()]

    def row(self, statement: Executable, parameters: Parameters = None) -> dict[str, Any] | None:
        """The first row of a query as a dictionary, or None."""
        found = self.execute(statement, parameters).mappings().first()
        return dict(found) if found is not None else None

    def speak(self, sql: str, values: Any) -> Any:
        """Run a text in the driver's own style, behind what was put off; the cursor that has its rows.

        In a batch it has none. Raises SQLAlchemy's errors, with no parameters in them.
        """
        return self._spoken(self._owed(), (sql, values))

    def put_off(self, sql: str, values: Any) -> None:
        """Change exactly one row, later. Whoever keeps what was read ahead of its table notes the change there."""
        self._later.append((sql, values))
        self._changes += 1

    def forget(self, table: str) -> None:
        """Somebody writes to a table: what was read ahead of it is void."""
        if self.ahead.pop(table, None) is not None:
            self._changes += 1

    def catch_up(self) -> None:
        """Make what was put off, and begin the savepoints that stand around the next statement."""
        owed = self._owed()
        if owed:
            self._spoken(owed)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Everything inside is undone, alone, when it raises. May be nested.

        Spoken to the driver directly: both databases know the words, and a write call needs them twice.
        """
        one = _Savepoint(len(self._later), self._changes)
        self._savepoints.append(one)
        name = _name(len(self._savepoints))
        try:
            yield
        except BaseException:
            del self._later[0 if one.begun else one.behind :]
            if self._changes != one.changes:
                self.ahead.clear()
            if one.begun and not self._failed:
                self._say(f"ROLLBACK TO SAVEPOINT {name}")
                self._say(f"RELEASE SAVEPOINT {name}")
            raise
        else:
            if not one.begun:
                return
            if len(self._savepoints) == 1 and self.dialect == "postgresql":
                self._lingering = True  # released with the next one's words, or by COMMIT: a round trip less a call
            else:
                self._say(f"RELEASE SAVEPOINT {name}")
        finally:
            self._savepoints.pop()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Statements spoken inside give no rows and go out together; a fault in any of them is raised by the end of the block.

        On PostgreSQL they cost one round trip in all; in SQLite, which makes none, each runs as ever.
        """
        if self.dialect != "postgresql":
            yield
            return
        self.batching = True
        try:
            with self._driver.pipeline():
                yield
        except self.driver_error as error:
            raise self.fault("a batch", error) from error
        finally:
            self.batching = False
        self._found()

    def _owed(self) -> list[Spoken]:
        """What must be spoken before the next statement, in order; from now on it counts as spoken."""
        if self._failed:
            raise PutOffFailed("a write of this transaction has failed")
        owed: list[Spoken] = []
        done = 0
        for depth, one in enumerate(self._savepoints, 1):
            if one.begun:
                continue
            owed += self._later[done : one.behind]
            done = one.behind
            if depth == 1 and self._lingering:
                owed.append((f"RELEASE SAVEPOINT {_name(depth)}", None))
            if depth == 1:
                self._lingering = False
            owed.append((f"SAVEPOINT {_name(depth)}", None))
            one.begun = True
        if self._later:
            owed += self._later[done:]
            self._later.clear()
        return owed

    def _spoken(self, owed: list[Spoken], then: Spoken | None = None) -> Any:
        """Speak what is owed, then one text more; the cursor of that. Writes go out with it, in one round trip."""
        writes = any(values is not None for _sql, values in owed)
        alone = self.dialect == "postgresql" and not self.batching
        together = writes and alone
        if len(owed) > 1 and alone and not writes:  # words alone fit into one text, which is cheaper than a pipeline
            owed = [("; ".join(words for words, _none in owed), None)]
        done = 0
        try:
            with self._driver.pipeline() if together else nullcontext():
                for sql, values in owed:
                    cursor = self._run(sql, values)
                    if values is not None:
                        self._to_find.append(cursor)
                    else:
                        cursor.close()
                    done += 1
                cursor = self._run(*then) if then is not None else None
        except self.driver_error as error:
            # In a pipeline nobody knows yet which of them it was.
            self._failed = self._failed or (writes and (together or done < len(owed)))
            while self._to_find:
                self._to_find.pop().close()
            raise self.fault(then[0] if then is not None else "what was put off", error) from error
        if self._to_find and not self.batching:
            try:
                self._found()
            except PutOffFailed:
                if cursor is not None:
                    cursor.close()
                raise
        return cursor

    def _say(self, words: str) -> None:
        self._spoken([], (words, None)).close()

    def _run(self, sql: str, values: Any) -> Any:
        """The cursor, open; a cursor left open keeps a closed SQLite connection, and its lock, alive."""
        cursor = self._driver.cursor()
        try:
            if values is None:
                cursor.execute(sql)
                return cursor
            for hear in self._connection.dispatch.before_cursor_execute:  # who traces the engine hears these too
                hear(self._connection, cursor, sql, values, None, False)
            cursor.execute(sql, values)
        except BaseException:
            cursor.close()
            raise
        return cursor

    def _found(self) -> None:
        """Whether each write that was put off has found its row, now that all have been answered."""
        cursors, self._to_find = self._to_find, []
        missed = False
        for cursor in cursors:
            missed = missed or cursor.rowcount != 1
            cursor.close()
        if missed:
            self._failed = True
            raise PutOffFailed("a row was changed by somebody outside the write lock")

    def fault(self, sql: str, error: Any) -> SQLAlchemyError:
        """A driver's error as SQLAlchemy's."""
        if self._failed:
            return PutOffFailed(f"a write that was put off failed ({type(error).__name__})")
        gone = self.sql_dialect.is_disconnect(error, self._connection.connection, None)
        made: Any = DBAPIError.instance(
            sql, None, error, self.driver_error, hide_parameters=True, connection_invalidated=gone
        )
        return cast(SQLAlchemyError, made)


def _name(depth: int) -> str:
    return f"call_{depth}"


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
