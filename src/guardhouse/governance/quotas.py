"""Quotas: exact counters a principal, a limit and a fixed hour window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from guardhouse.model.instants import HOUR, Micros
from guardhouse.storage.statement import speak
from guardhouse.storage.store import Transaction

_READ = (
    "SELECT principal_id, name, used FROM quota WHERE workspace_id = {mark} AND window_start = {mark} AND principal_id"
)
_WRITE = "INSERT INTO quota (workspace_id, principal_id, name, window_start, used) VALUES"
_ON_CONFLICT = (
    "ON CONFLICT (workspace_id, principal_id, name) "
    "DO UPDATE SET window_start = excluded.window_start, used = excluded.used"
)
"""Written out, in the words that both databases share, and spoken to the driver: this is on the path of every call."""


def window_of(now: Micros) -> Micros:
    """The start of the hour window that `now` lies in, in UTC."""
    return now - now % HOUR


def window_ends(now: Micros) -> Micros:
    """When the window that `now` lies in is over and every counter is 0 again."""
    return window_of(now) + HOUR


def read(tx: Transaction, workspace_id: str, principal_ids: Iterable[str], now: Micros) -> dict[str, dict[str, int]]:
    """What each principal has used of each limit in this window, in one statement; nothing used is left out."""
    used: dict[str, dict[str, int]] = {}
    principals = sorted(set(principal_ids))
    if not principals:
        return used
    for principal_id, name, count in speak(
        tx, _read_of(tx.dialect, len(principals)), (workspace_id, window_of(now), *principals)
    ):
        used.setdefault(principal_id, {})[name] = count
    return used


def write(tx: Transaction, workspace_id: str, used: Mapping[str, Mapping[str, int]], now: Micros) -> None:
    """Keep the whole counters (not differences) of this window, in one statement.

    The caller holds the workspace's write lock between `read` and `write`; that is what makes the
    counters exact.
    """
    flat = [
        (principal_id, name, count)
        for principal_id, counters in sorted(used.items())
        for name, count in sorted(counters.items())
    ]
    if not flat:
        return
    window = window_of(now)
    values = [part for row in flat for part in (workspace_id, row[0], row[1], window, row[2])]
    speak(tx, _write_of(tx.dialect, len(flat)), values)


@cache
def _read_of(dialect: str, principals: int) -> str:
    mark = _mark(dialect)
    return f"{_READ.format(mark=mark)} IN ({', '.join([mark] * principals)})"


@cache
def _write_of(dialect: str, rows: int) -> str:
    one = "(" + ", ".join([_mark(dialect)] * 5) + ")"
    return " ".join((_WRITE, ", ".join([one] * rows), _ON_CONFLICT))


def _mark(dialect: str) -> str:
    return "?" if dialect == "sqlite" else "%s"
