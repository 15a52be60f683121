"""Presence: which sessions are there, what they can do, and which have fallen silent.

Presence is no standing: it changes with ordinary calls, so it lies in a table of its own that no cached
fact depends on.

A session is *silent* when nothing was heard of it for `PRESENCE_TTL`. From then on ordinary calls do not
bring it back: it must send a heartbeat (or register again) before it acquires anything, so that an agent
which slept through its leases looks around first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Index, Select, bindparam, select
from sqlmodel import SQLModel

from guardhouse.errors import Refusal
from guardhouse.model.canonical import decode, encode
from guardhouse.model.instants import SECOND, Micros
from guardhouse.model.repositories import kept_under
from guardhouse.storage.columns import identifier, instant, json_text, table_of, text
from guardhouse.storage.store import Transaction

PRESENCE_TTL: Micros = 900 * SECOND
"""How long a session counts as there after it was last heard of."""
COARSE: Micros = 15 * SECOND
"""How much older the last sign of life must be before another one is written: most calls write nothing."""
ACTIVE, SILENT, GONE = "active", "silent", "gone"

Row = dict[str, Any]


class Presence(SQLModel, table=True):
    """One session as it was last heard of. `freed_at`: when what it held was given back because of its silence."""

    __tablename__ = "presence"
    workspace_id: str = identifier(key=True)
    session_id: str = identifier(key=True)
    agent_id: str = identifier()
    agent_type: str = identifier(default="")
    capabilities_json: str = json_text(default="[]")
    repository: str = text(default="")
    branch: str = text(default="")
    task_id: str = identifier(default="")
    activity: str = identifier(default="")
    registered_at: int = instant(default=0)
    last_seen_at: int = instant()
    freed_at: int = instant(default=0)
    __table_args__ = (
        Index("presence_by_agent", "workspace_id", "agent_id"),
        Index("presence_by_time", "workspace_id", "last_seen_at"),
    )


class PresenceCapability(SQLModel, table=True):
    """What a session says it can do."""

    __tablename__ = "presence_capability"
    workspace_id: str = identifier(key=True)
    capability: str = identifier(key=True)
    session_id: str = identifier(key=True)


PRESENCE = table_of(Presence)
PRESENCE_CAPABILITY = table_of(PresenceCapability)


def _which(workspace_id: str | BindParameter[str], session_id: str | BindParameter[str]) -> tuple[Any, Any]:
    return PRESENCE.c.workspace_id == workspace_id, PRESENCE.c.session_id == session_id


_ONE = select(PRESENCE).where(*_which(bindparam("workspace"), bindparam("session")))
"""Built once: every call of an agent asks it."""


def _find(tx: Transaction, workspace_id: str, session_id: str) -> Row | None:
    return tx.row(_ONE, {"workspace": workspace_id, "session": session_id})


def status_of(row: Mapping[str, Any], now: Micros, ttl: Micros = PRESENCE_TTL) -> str:
    """`active`, `silent` (not heard of within the TTL), or `gone` (silent, and what it held was given back)."""
    if now - row["last_seen_at"] < ttl:
        return ACTIVE
    return GONE if row["freed_at"] > row["last_seen_at"] else SILENT


def register(
    tx: Transaction,
    workspace_id: str,
    *,
    agent_id: str,
    session_id: str,
    capabilities: Sequence[str] = (),
    agent_type: str = "",
    repository: str = "",
    branch: str = "",
    task_id: str = "",
    activity: str = "",
) -> Row:
    """Say what this session is and can do; said again, the new words replace the old. Counts as a heartbeat."""
    able = sorted(set(capabilities))
    said = {
        "agent_id": agent_id,
        "agent_type": agent_type,
        "capabilities_json": encode(able).decode(),
        "repository": repository,
        "branch": branch,
        "task_id": task_id,
        "activity": activity,
        "registered_at": tx.now,
        "last_seen_at": tx.now,
        "freed_at": 0,
    }
    _put(tx, workspace_id, session_id, said)
    tx.execute(
        PRESENCE_CAPABILITY.delete().where(
            PRESENCE_CAPABILITY.c.workspace_id == workspace_id, PRESENCE_CAPABILITY.c.session_id == session_id
        )
    )
    if able:
        tx.execute(
            PRESENCE_CAPABILITY.insert(),
            [{"workspace_id": workspace_id, "capability": item, "session_id": session_id} for item in able],
        )
    return {"workspace_id": workspace_id, "session_id": session_id, **said}


def erase(tx: Transaction, workspace_id: str, session_id: str, said: Mapping[str, Any]) -> None:
    """Blank what a session said of itself in these words, where it still stands; what it said since stays."""
    row = _find(tx, workspace_id, session_id)
    if row is None:
        return
    blank: dict[str, Any] = {
        name: "" for name in ("agent_type", "branch", "activity") if row[name] and said.get(name) == row[name]
    }
    if row["capabilities_json"] != "[]" and sorted(set(said.get("capabilities", ()))) == list(capabilities_of(row)):
        blank["capabilities_json"] = "[]"
        tx.execute(
            PRESENCE_CAPABILITY.delete().where(
                PRESENCE_CAPABILITY.c.workspace_id == workspace_id, PRESENCE_CAPABILITY.c.session_id == session_id
            )
        )
    if blank:
        _put(tx, workspace_id, session_id, blank)


def _put(tx: Transaction, workspace_id: str, session_id: str, values: Mapping[str, Any], repository: str = "") -> None:
    """Change a session's row, or make it; one that is heard of for the first time lies in `repository`."""
    changed = tx.execute(PRESENCE.update().where(*_which(workspace_id, session_id)).values(**values))
    if not changed.rowcount:
        row = {"repository": repository, "workspace_id": workspace_id, "session_id": session_id, **values}
        tx.execute(PRESENCE.insert().values(**row))


def heartbeat(
    tx: Transaction,
    workspace_id: str,
    *,
    agent_id: str,
    session_id: str,
    activity: str | None = None,
    branch: str | None = None,
    task_id: str | None = None,
    repository: str = "",
) -> tuple[Row, str]:
    """A sign of life, with what changed; one that was never heard of lies in `repository`. (the row, what the session was until now: `active`, `silent`, `gone` or `new`)."""
    known = _find(tx, workspace_id, session_id)
    news: dict[str, Any] = {"agent_id": agent_id, "last_seen_at": tx.now, "freed_at": 0}
    news |= {
        name: value
        for name, value in (("activity", activity), ("branch", branch), ("task_id", task_id))
        if value is not None
    }
    _put(tx, workspace_id, session_id, news, repository)
    row = _find(tx, workspace_id, session_id)
    assert row is not None
    return row, status_of(known, tx.now) if known is not None else "new"


def note_seen(
    tx: Transaction, workspace_id: str, agent_id: str, session_id: str, *, repository: str = "", appears: bool = True
) -> bool:
    """Let an ordinary call count as a sign of life, coarsely; whether the session is there.

    It does not bring a silent session back: then the answer is False, and nothing is written. The same of a session
    that was never heard of, unless it `appears` with this call, in its `repository`.
    """
    known = _find(tx, workspace_id, session_id)
    if known is None and not appears:
        return False
    if known is None:
        _put(tx, workspace_id, session_id, {"agent_id": agent_id, "last_seen_at": tx.now}, repository)
        return True
    quiet = tx.now - known["last_seen_at"]
    if COARSE <= quiet < PRESENCE_TTL:
        _put(tx, workspace_id, session_id, {"last_seen_at": tx.now})
    return bool(quiet < PRESENCE_TTL)


def require_present(
    tx: Transaction, workspace_id: str, agent_id: str, session_id: str, *, repository: str = ""
) -> None:
    """Refuse with `heartbeat_required` when this session fell silent; otherwise note that it was seen.

    Every operation that acquires something for an agent asks this first.
    """
    if not note_seen(tx, workspace_id, agent_id, session_id, repository=repository):
        raise Refusal(
            "heartbeat_required",
            "nothing was heard of this session for too long, and what it held may be another's by now: "
            "send a heartbeat, look at what you still hold, then ask again",
            retry_after_seconds=1,
        )


def is_silent(tx: Transaction, workspace_id: str, session_id: str) -> bool:
    """Whether nothing was heard of this session for too long. One that was never heard of is not silent."""
    known = _find(tx, workspace_id, session_id)
    return known is not None and status_of(known, tx.now) != ACTIVE


def silent_sessions(workspace_id: str, now: Micros) -> Select[tuple[str]]:
    """A query for the ids of the silent sessions, to be set into others."""
    return select(PRESENCE.c.session_id).where(
        PRESENCE.c.workspace_id == workspace_id, PRESENCE.c.last_seen_at <= now - PRESENCE_TTL
    )


def discover(
    tx: Transaction,
    workspace_id: str,
    limit: int,
    *,
    capabilities: Collection[str] = (),
    status: str = ACTIVE,
    agent_type: str = "",
    repository: str = "",
    agent_id: str = "",
    after: str = "",
) -> tuple[list[Row], bool]:
    """Sessions by what they can do (all of `capabilities`) and status (`active`, `silent`, `gone`, or "" for any).

    In order of their ids, from behind `after`; and whether there are more.
    """
    wanted = [PRESENCE.c.workspace_id == workspace_id, PRESENCE.c.session_id > after]
    alive_since = tx.now - PRESENCE_TTL
    if status == ACTIVE:
        wanted.append(PRESENCE.c.last_seen_at > alive_since)
    elif status:
        wanted.append(PRESENCE.c.last_seen_at <= alive_since)
        freed = PRESENCE.c.freed_at > PRESENCE.c.last_seen_at
        wanted.append(freed if status == GONE else ~freed)
    for column, value in (
        (PRESENCE.c.agent_type, agent_type),
        (PRESENCE.c.agent_id, agent_id),
    ):
        if value:
            wanted.append(column == value)
    if repository:
        wanted.append(PRESENCE.c.repository.in_(kept_under(repository)))
    for capability in sorted(set(capabilities)):
        able = select(PRESENCE_CAPABILITY.c.session_id).where(
            PRESENCE_CAPABILITY.c.workspace_id == workspace_id, PRESENCE_CAPABILITY.c.capability == capability
        )
        wanted.append(PRESENCE.c.session_id.in_(able))
    rows = tx.rows(select(PRESENCE).where(*wanted).order_by(PRESENCE.c.session_id).limit(limit + 1))
    return rows[:limit], len(rows) > limit


def silent(tx: Transaction, workspace_id: str, limit: int, *, agent_id: str = "") -> list[Row]:
    """Sessions that fell silent and whose holdings nobody has freed yet, the longest silent first."""
    wanted = [
        PRESENCE.c.workspace_id == workspace_id,
        PRESENCE.c.last_seen_at <= tx.now - PRESENCE_TTL,
        PRESENCE.c.freed_at <= PRESENCE.c.last_seen_at,
    ]
    if agent_id:
        wanted.append(PRESENCE.c.agent_id == agent_id)
    return tx.rows(
        select(PRESENCE).where(*wanted).order_by(PRESENCE.c.last_seen_at, PRESENCE.c.session_id).limit(limit)
    )


def mark_freed(tx: Transaction, workspace_id: str, sessions: Collection[str]) -> None:
    """Note that what these sessions held was given back."""
    tx.execute(
        PRESENCE.update()
        .where(PRESENCE.c.workspace_id == workspace_id, PRESENCE.c.session_id.in_(tuple(sessions)))
        .values(freed_at=tx.now)
    )


def capabilities_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What a session says it can do."""
    return tuple(decode(row["capabilities_json"]))
