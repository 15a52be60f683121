"""A statement on the path of every call: compiled once a dialect, then spoken to the driver directly.

SQLAlchemy's execution costs more than these statements themselves. What is given up is result
conversion, so only columns whose driver values are already ours (text, numbers) may be read this way.
Driver errors come out as SQLAlchemy's, with no parameters in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Executable, Table, UpdateBase

from guardhouse.storage.store import Transaction


class Statement:
    """One Core statement. `built` gives it for a dialect's name, so that dialects may differ."""

    def __init__(self, **built: Executable) -> None:
        self._built = built
        one = next(iter(built.values()))
        self._changes = one.table.name if isinstance(one, UpdateBase) and isinstance(one.table, Table) else ""
        self._ready: dict[str, tuple[str, Callable[[Mapping[str, Any]], Any] | None, dict[str, Any]]] = {}
        self._names: dict[str, list[str]] = {}

    def _compiled(self, tx: Transaction) -> tuple[str, Callable[[Mapping[str, Any]], Any] | None, dict[str, Any]]:
        name = tx.dialect
        ready = self._ready.get(name)
        if ready is None:
            statement = self._built[name if name in self._built else "any"]
            compiled: Any = statement.compile(dialect=tx.sql_dialect)  # type: ignore[attr-defined]  # every Core statement compiles
            order = _in_order(compiled.positiontup) if compiled.positional else None
            ready = self._ready[name] = (compiled.string, order, dict(compiled.params))
        return ready

    def _bound(self, tx: Transaction, values: Mapping[str, Any]) -> tuple[str, Any]:
        sql, order, constants = self._compiled(tx)
        known = {**constants, **values}
        return sql, order(known) if order is not None else known

    def later(self, tx: Transaction, **values: Any) -> None:
        """Put off this change of exactly one row; see `Transaction`. Its table's reader ahead, if any, stays valid."""
        tx.put_off(*self._bound(tx, values))

    def row(self, tx: Transaction, **values: Any) -> dict[str, Any] | None:
        """Run it; the first row as a dictionary, or None where it gives none."""
        found = self.rows(tx, **values)
        return found[0] if found else None

    def rows(self, tx: Transaction, **values: Any) -> list[dict[str, Any]]:
        """Run it; every row as a dictionary."""
        if self._changes:
            tx.forget(self._changes)
        names, found = _spoken(tx, *self._bound(tx, values), self._names.get(tx.dialect))
        if not tx.batching:
            self._names[tx.dialect] = names
        return [dict(zip(names, row, strict=True)) for row in found]


def _in_order(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Any]:
    """What gives the values of these names as a tuple."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda known: tuple(known[name] for name in names)


def speak(tx: Transaction, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
    """Run a text of our own with bound values, in the driver's own style; its rows as tuples."""
    return _spoken(tx, sql, values)[1]


def _spoken(
    tx: Transaction, sql: str, values: Sequence[Any] | Mapping[str, Any], names: list[str] | None = None
) -> tuple[list[str], list[Any]]:
    """The columns' names, none where it gives no rows, and the rows. `names` where they are known already: psycopg
    makes a description anew each time it is asked, an object for each column."""
    cursor = tx.speak(sql, values)
    try:
        if tx.batching:
            return [], []
        if names is None:
            names = [column[0] for column in cursor.description or ()]
        return names, list(cursor.fetchall()) if names else []
    except tx.driver_error as error:
        raise tx.fault(sql, error) from error
    finally:
        cursor.close()
