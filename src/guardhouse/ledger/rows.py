"""Rows: many rows of one table in one statement, for the path of every call.

An executemany would hand the interpreter's lock away once a row, and one statement a row would cost a
round trip each. SQLite gets a multi-row VALUES in one of few sizes, so that the driver keeps them
prepared. PostgreSQL gets one text for every size: the rows as JSON, and every byte string cut out of one
binary parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson
from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, Table

from guardhouse.storage.statement import speak
from guardhouse.storage.store import Transaction

Row = tuple[Any, ...]
"""One row's values, in the order of the table's columns."""

_SIZES = (256, 192, 128, 96, 64, 48, *range(32, 0, -1))


def insert(tx: Transaction, table: Table, rows: Sequence[Row], *, ignore_existing: bool = False) -> None:
    """Insert rows; on PostgreSQL with one statement, on SQLite with one for most numbers up to 256."""
    if not rows:
        return
    if tx.dialect == "postgresql":
        speak(tx, _from_json(table, ignore_existing), _packed(table, rows))
        return
    done = 0
    for size in _SIZES:
        while len(rows) - done >= size:
            values = tuple(value for row in rows[done : done + size] for value in row)
            speak(tx, _from_values(table, size, ignore_existing), values)
            done += size


def _ending(ignore_existing: bool) -> str:
    return " ON CONFLICT DO NOTHING" if ignore_existing else ""


@cache
def _from_values(table: Table, rows: int, ignore_existing: bool) -> str:
    names = ", ".join(column.name for column in table.columns)
    one = "(" + ", ".join("?" * len(table.columns)) + ")"
    return f"INSERT INTO {table.name} ({names}) VALUES {', '.join([one] * rows)}{_ending(ignore_existing)}"  # noqa: S608  # names are ours, values are bound


@cache
def _binary(table: Table) -> tuple[int, ...]:
    return tuple(index for index, column in enumerate(table.columns) if isinstance(column.type, LargeBinary))


def _packed(table: Table, rows: Sequence[Row]) -> tuple[str, bytes]:
    binary, parts, at, records = _binary(table), [], 1, []
    for row in rows:
        record = dict(enumerate(row))
        for index in binary:
            value = row[index]
            parts.append(value)
            record[index] = at
            record[-1 - index] = len(value)
            at += len(value)
        records.append(record)
    return orjson.dumps(records, option=orjson.OPT_NON_STR_KEYS).decode(), b"".join(parts)


@cache
def _from_json(table: Table, ignore_existing: bool) -> str:
    types, values = [], []
    for index, column in enumerate(table.columns):
        if isinstance(column.type, LargeBinary):
            types += [f'"{index}" integer', f'"{-1 - index}" integer']
            values.append(f'substring(given.bytes from r."{index}" for r."{-1 - index}")')
            continue
        types.append(f'"{index}" {_type(column.type)}')
        values.append(f'r."{index}"')
    names = ", ".join(column.name for column in table.columns)
    return (
        f"INSERT INTO {table.name} ({names}) SELECT {', '.join(values)} "  # noqa: S608  # names are ours, values are bound
        "FROM (SELECT %s::json AS records, %b::bytea AS bytes) AS given, "
        f"json_to_recordset(given.records) AS r({', '.join(types)}){_ending(ignore_existing)}"
    )


def _type(kind: Any) -> str:
    for form, name in ((BigInteger, "bigint"), (Integer, "integer"), (Boolean, "boolean")):
        if isinstance(kind, form):
            return name
    return "text"
