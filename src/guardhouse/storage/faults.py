"""What a driver's error says of the ground, read from its code: its words quote rows, and differ by language and version."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError

_SQLITE = frozenset(
    {
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
"""Primary result codes; several of them make SQLite undo the whole transaction by itself. https://sqlite.org/rescode.html"""
_POSTGRESQL = ("08", "53", "57", "58", "XX", "25006")
"""SQLSTATE classes, and a server that became read-only (25006), as a standby does. PostgreSQL's manual, appendix A."""


def of_the_ground(error: DBAPIError) -> bool:
    """Whether the database itself failed (disk full, read-only, gone, damaged), which no savepoint can make good.

    False for what is wrong with one statement, whatever its message says.
    """
    if error.connection_invalidated:
        return True
    code = getattr(error.orig, "sqlite_errorcode", None)
    if isinstance(code, int):
        return code & 0xFF in _SQLITE  # an extended code has its primary one in the low byte
    state = getattr(error.orig, "sqlstate", None)
    return isinstance(state, str) and state.startswith(_POSTGRESQL)


def named(error: DBAPIError) -> str:
    """A driver's error by its kind and code, such as `OperationalError SQLITE_FULL`, without any of its words."""
    code = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None) or "without a code"
    return f"{type(error.orig).__name__} {code}"
