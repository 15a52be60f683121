"""Quotas: exact counters a principal, a limit and a fixed hour window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from guardhouse.governance.tables import QUOTA
from guardhouse.model.instants import HOUR, Micros
from guardhouse.storage.store import Transaction

_READ = select(QUOTA.c.principal_id, QUOTA.c.name, QUOTA.c.used).where(
    QUOTA.c.workspace_id == bindparam("workspace"),
    QUOTA.c.principal_id.in_(bindparam("principals", expanding=True)),
    QUOTA.c.window_start == bindparam("window"),
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
    rows = [
        {
            "workspace_id": workspace_id,
            "principal_id": principal_id,
            "name": name,
            "window_start": window_of(now),
            "used": count,
        }
        for principal_id, counters in sorted(used.items())
        for name, count in sorted(counters.items())
    ]
    if not rows:
        return
    keys = ("workspace_id", "principal_id", "name")
    if tx.dialect == "postgresql":
        kept = postgresql.insert(QUOTA).values(rows)
        tx.execute(
            kept.on_conflict_do_update(
                index_elements=keys, set_={"window_start": kept.excluded.window_start, "used": kept.excluded.used}
            )
        )
    else:
        held = sqlite.insert(QUOTA).values(rows)
        tx.execute(
            held.on_conflict_do_update(
                index_elements=keys, set_={"window_start": held.excluded.window_start, "used": held.excluded.used}
            )
        )
