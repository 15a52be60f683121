"""Quotas: exact counters a principal, a limit and a fixed hour window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from sqlalchemy import TextClause, bindparam, select, text

from guardhouse.governance.tables import QUOTA
from guardhouse.model.instants import HOUR, Micros
from guardhouse.storage.store import Transaction

_READ = select(QUOTA.c.principal_id, QUOTA.c.name, QUOTA.c.used).where(
    QUOTA.c.workspace_id == bindparam("workspace"),
    QUOTA.c.principal_id.in_(bindparam("principals", expanding=True)),
    QUOTA.c.window_start == bindparam("window"),
)

_INSERT = "INSERT INTO quota (workspace_id, principal_id, name, window_start, used) VALUES"
_ON_CONFLICT = (
    "ON CONFLICT (workspace_id, principal_id, name) "
    "DO UPDATE SET window_start = excluded.window_start, used = excluded.used"
)


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
    parameters = {"workspace": workspace_id, "principals": principals, "window": window_of(now)}
    for row in tx.rows(_READ, parameters):
        used.setdefault(row["principal_id"], {})[row["name"]] = row["used"]
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
    parameters: dict[str, str | int] = {"workspace": workspace_id, "window": window_of(now)}
    for row, (principal_id, name, count) in enumerate(flat):
        parameters |= {f"principal_{row}": principal_id, f"name_{row}": name, f"used_{row}": count}
    tx.execute(_upsert(len(flat)), parameters)


@cache
def _upsert(rows: int) -> TextClause:
    """The upsert of so many rows, in the words that both databases share.

    Written out because a multi-row Core insert is compiled anew each time, which costs more than it runs.
    """
    values = (f"(:workspace, :principal_{row}, :name_{row}, :window, :used_{row})" for row in range(rows))
    return text(" ".join((_INSERT, ", ".join(values), _ON_CONFLICT)))
