"""Locks: exclusive, expiring, fenced claims on files and named resources.

A lock belongs to one running instance, an agent with its session. It is live while `ended_at` is 0
and `expires_at` lies after the transaction's `now`; the next acquirer ends what lapsed.
Keys handed in are canonical (services/keys.py).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Index, Text, and_, bindparam, func, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Field, SQLModel

from guardhouse.errors import Refusal
from guardhouse.model.ids import Ids
from guardhouse.model.instants import SECOND, Micros, rfc3339
from guardhouse.services import keys
from guardhouse.services.keys import Key
from guardhouse.storage.columns import counter, identifier, instant, json_text, table_of, text
from guardhouse.storage.statement import Statement
from guardhouse.storage.store import Transaction

_BYTEWISE = Text().with_variant(Text(collation="C"), "postgresql")
"""Compared byte by byte on both databases, so that a prefix is a range of the index."""

MAX_TTL_SECONDS = 86_400
DEFAULT_TTL_SECONDS = 3_600


class Lock(SQLModel, table=True):
    """One ownership period of one key. At most one row a key has `ended_at` 0 (a partial unique index holds it)."""

    __tablename__ = "lock"
    workspace_id: str = identifier(key=True)
    id: str = identifier(key=True)
    key: str = Field(sa_type=_BYTEWISE)
    namespace: str = identifier()
    agent_id: str = identifier()
    session_id: str = identifier()
    fence: int = counter()
    acquired_at: int = instant()
    expires_at: int = instant()
    ended_at: int = instant(default=0)
    end_reason: str = identifier(default="")
    reason: str = text(default="")
    metadata_json: str = json_text(default="{}")
    sequence: int = counter(default=-1)
    __table_args__ = (
        Index("lock_by_holder", "workspace_id", "agent_id", "ended_at"),
        Index("lock_by_entry", "workspace_id", "sequence"),
    )


class Fence(SQLModel, table=True):
    """The last fencing token given for a key; it only ever rises."""

    __tablename__ = "fence"
    workspace_id: str = identifier(key=True)
    key: str = text(primary_key=True)
    value: int = counter()


LOCK = table_of(Lock)
FENCE = table_of(Fence)

Index(
    "lock_live",
    LOCK.c.workspace_id,
    LOCK.c.key,
    unique=True,
    sqlite_where=LOCK.c.ended_at == 0,
    postgresql_where=LOCK.c.ended_at == 0,
)

Row = dict[str, Any]


# Statements of the acquire and release path, built once: building one costs more than running it.
_OPEN = Statement(
    any=select(LOCK).where(
        LOCK.c.workspace_id == bindparam("workspace"), LOCK.c.key == bindparam("the_key"), LOCK.c.ended_at == 0
    )
)
_CHANGING = ("expires_at", "ended_at", "end_reason", "reason", "metadata_json", "sequence")
_CHANGE = Statement(
    any=update(LOCK)
    .where(LOCK.c.workspace_id == bindparam("workspace"), LOCK.c.id == bindparam("the_id"))
    .values({name: bindparam(f"new_{name}") for name in _CHANGING})
)
_DIALECTS: dict[str, Any] = {"sqlite": sqlite, "postgresql": postgresql}
_TAKE = Statement(
    **{name: kind.insert(LOCK).on_conflict_do_nothing().returning(LOCK.c.id) for name, kind in _DIALECTS.items()}
)
_RISE = Statement(
    **{
        name: kind.insert(FENCE)
        .on_conflict_do_update(index_elements=("workspace_id", "key"), set_={"value": FENCE.c.value + 1})
        .returning(FENCE.c.value)
        for name, kind in _DIALECTS.items()
    }
)
_COUNT = (
    select(func.count())
    .select_from(LOCK)
    .where(
        LOCK.c.workspace_id == bindparam("workspace"),
        LOCK.c.agent_id == bindparam("agent"),
        LOCK.c.ended_at == 0,
        LOCK.c.expires_at > bindparam("now"),
        LOCK.c.key != bindparam("but"),
    )
)


class Holder(NamedTuple):
    """The running instance that asks: a principal's id and its session's."""

    agent_id: str
    session_id: str


class Page(NamedTuple):
    """Rows in order of their keys, and whether there are more behind the last."""

    rows: list[Row]
    more: bool


def acquire(
    tx: Transaction,
    ids: Ids,
    workspace_id: str,
    holder: Holder,
    key: Key,
    *,
    ttl_seconds: int = DEFAULT_TTL_SECONDS,
    reason: str = "",
    metadata_json: str = "{}",
    sequence: int = -1,
    settled: list[Row] | None = None,
) -> Row:
    """Take a lock, or refresh it when this very instance holds it already.

    Every ownership period has its own, higher fence; a refresh keeps it. `sequence` is the entry
    that the reason and metadata came with. `settled` is given the lock that had run out and that this call
    ended: its entry MUST name it. Refusals: `held`, also for another instance of the same
    agent, and `held` by the feature's pause-lock.
    """
    feature = keys.feature_of(key)
    if feature:
        pause = live(tx, workspace_id, keys.pause_key(feature))
        if pause is not None and _holder(pause) != holder:
            raise _held(pause, tx.now, f"feature `{feature}` is paused by another agent")
    current = _open(tx, workspace_id, key.text)
    if current is not None and current["expires_at"] > tx.now:
        if _holder(current) != holder:
            raise _held(current, tx.now, f"`{key.text}` is held by another agent or session")
        fresh = {
            "expires_at": tx.now + ttl_seconds * SECOND,
            "reason": reason,
            "metadata_json": metadata_json,
            "sequence": sequence,
        }
        return _change(tx, current, fresh)
    if current is not None:
        ended = _change(tx, current, {"ended_at": tx.now, "end_reason": "expired"})
        if settled is not None:
            settled.append(ended)
    row = {
        "workspace_id": workspace_id,
        "id": ids.new("lock"),
        "key": key.text,
        "namespace": key.namespace,
        "agent_id": holder.agent_id,
        "session_id": holder.session_id,
        "fence": _next_fence(tx, workspace_id, key.text),
        "acquired_at": tx.now,
        "expires_at": tx.now + ttl_seconds * SECOND,
        "ended_at": 0,
        "end_reason": "",
        "reason": reason,
        "metadata_json": metadata_json,
        "sequence": sequence,
    }
    if _TAKE.row(tx, **row) is None:
        winner = _open(tx, workspace_id, key.text)
        if winner is None:
            raise Refusal("held", f"`{key.text}` changes hands this moment", retry_after_seconds=1)
        raise _held(winner, tx.now, f"`{key.text}` was taken this moment")
    return row


def renew(
    tx: Transaction,
    workspace_id: str,
    holder: Holder,
    key: Key,
    *,
    ttl_seconds: int = DEFAULT_TTL_SECONDS,
    fence: int | None = None,
) -> Row:
    """Let a live lock of this instance run `ttl_seconds` from now. Refusals: `not_holder`, `lease_expired`, `stale_fence`."""
    current = _open(tx, workspace_id, key.text)
    if current is None or _holder(current) != holder:
        last = _last(tx, workspace_id, key.text, holder)
        if last is not None and last["end_reason"] == "expired":
            raise _ran_out(current or last)
        raise Refusal("not_holder", f"you do not hold `{key.text}`", **_whose(current, tx.now))
    _check_fence(current, fence)
    if current["expires_at"] <= tx.now:
        raise _ran_out(current)
    return _change(tx, current, {"expires_at": tx.now + ttl_seconds * SECOND})


def release(tx: Transaction, workspace_id: str, holder: Holder, key: Key, *, fence: int | None = None) -> Row | None:
    """Give a lock back; None when there was nothing to give back, so a second release is no error.

    Refusals: `not_holder` while another instance holds it, `stale_fence`.
    """
    current = _open(tx, workspace_id, key.text)
    if current is None:
        return None
    if _holder(current) != holder:
        if current["expires_at"] <= tx.now:
            return None
        raise Refusal("not_holder", f"`{key.text}` is held by another agent or session", **_whose(current, tx.now))
    _check_fence(current, fence)
    reason = "released" if current["expires_at"] > tx.now else "expired"
    return _change(tx, current, {"ended_at": tx.now, "end_reason": reason})


def live(tx: Transaction, workspace_id: str, key: str) -> Row | None:
    """The live lock on a canonical key, or None."""
    row = _open(tx, workspace_id, key)
    return row if row is not None and row["expires_at"] > tx.now else None


def paused(feature: ColumnElement[str], workspace: Any, now: Any, agent: Any, session: Any) -> ColumnElement[bool]:
    """For queries of others: whether anybody but this instance holds the pause-lock of the feature in a column.

    It asks for that one key, so it is true however many locks there are. Values or bound parameters.
    """
    before, behind = keys.PAUSES
    return (
        select(LOCK.c.id)
        .where(
            LOCK.c.workspace_id == workspace,
            LOCK.c.key == literal(before).concat(feature).concat(behind),
            LOCK.c.ended_at == 0,
            LOCK.c.expires_at > now,
            or_(LOCK.c.agent_id != agent, LOCK.c.session_id != session),
        )
        .exists()
    )


def pausing(tx: Transaction, workspace_id: str, features: Collection[str], holder: Holder) -> frozenset[str]:
    """Those of `features` whose pause-lock somebody other than `holder` holds now."""
    by_key = {keys.pause_key(feature): feature for feature in features if feature}
    if not by_key:
        return frozenset()
    held = select(LOCK).where(LOCK.c.workspace_id == workspace_id, LOCK.c.key.in_(tuple(by_key)), *_live(tx.now))
    return frozenset(by_key[row["key"]] for row in tx.rows(held) if _holder(row) != holder)


def list_held(
    tx: Transaction,
    workspace_id: str,
    *,
    key: str = "",
    prefix: str = "",
    agent_id: str = "",
    namespace: str = "",
    limit: int = 100,
    after: str = "",
) -> Page:
    """Live locks in order of their keys, at most `limit` behind the key `after`; filters are joined by and."""
    found = select(LOCK).where(LOCK.c.workspace_id == workspace_id, *_live(tx.now))
    if key:
        found = found.where(LOCK.c.key == key)
    if prefix:
        found = found.where(_under(prefix))
    if agent_id:
        found = found.where(LOCK.c.agent_id == agent_id)
    if namespace:
        found = found.where(LOCK.c.namespace == namespace)
    if after:
        found = found.where(LOCK.c.key > after)
    rows = tx.rows(found.order_by(LOCK.c.key).limit(limit + 1))
    return Page(rows[:limit], len(rows) > limit)


def revoke(tx: Transaction, workspace_id: str, prefix: str, *, everything: bool = False, limit: int = 500) -> Page:
    """End the live locks under a prefix, whoever holds them; the rows as they were.

    The empty prefix needs `everything`. At most `limit` at once; `more` says that others are left.
    Refusal: `prefix_required`.
    """
    if not prefix and not everything:
        raise Refusal("prefix_required", "an empty prefix revokes every lock; say `everything: true` to mean that")
    found = list_held(tx, workspace_id, prefix=prefix, limit=limit)
    _end(tx, workspace_id, [row["id"] for row in found.rows], "revoked")
    return found


def held_count(tx: Transaction, workspace_id: str, agent_id: str, now: Micros) -> int:
    """How many live locks an agent holds, over all its sessions."""
    return count(tx, workspace_id, agent_id, now)


def count(
    tx: Transaction,
    workspace_id: str,
    agent_id: str,
    now: Micros,
    *,
    session_id: str = "",
    namespace: str = "",
    but: str = "",
) -> int:
    """How many live locks an agent holds; `but` is a key that does not count, since taking it again adds nothing."""
    found = _COUNT
    if session_id:
        found = found.where(LOCK.c.session_id == bindparam("session"))
    if namespace:
        found = found.where(LOCK.c.namespace == bindparam("namespace"))
    values = {"workspace": workspace_id, "agent": agent_id, "now": now, "but": but}
    values |= {"session": session_id} if session_id else {}
    values |= {"namespace": namespace} if namespace else {}
    return int(tx.execute(found, values).scalar_one())


def release_all(
    tx: Transaction, workspace_id: str, agent_id: str, reason: str, *, sessions: Collection[str] = ()
) -> int:
    """End every open lock of an agent, or of these sessions of it, with a machine-readable `reason`; how many there were."""
    held = update(LOCK).where(LOCK.c.workspace_id == workspace_id, LOCK.c.agent_id == agent_id, LOCK.c.ended_at == 0)
    if sessions:
        held = held.where(LOCK.c.session_id.in_(tuple(sessions)))
    changed = tx.execute(held.values(ended_at=tx.now, end_reason=reason))
    return int(changed.rowcount)


def find(tx: Transaction, workspace_id: str, lock_id: str) -> Row | None:
    """One ownership period by its id, live or over."""
    return tx.row(select(LOCK).where(LOCK.c.workspace_id == workspace_id, LOCK.c.id == lock_id))


def lapse(tx: Transaction, workspace_id: str, row: Row) -> Row:
    """End a lock whose time ran out (`expired`) or whose holder fell silent (`dead`)."""
    reason = "dead" if row["expires_at"] > tx.now else "expired"
    _end(tx, workspace_id, [row["id"]], reason)
    return row | {"ended_at": tx.now, "end_reason": reason}


def erase_text(tx: Transaction, workspace_id: str, sequence: int) -> int:
    """Blank the reason and metadata that came with an entry; how many rows held them."""
    changed = tx.execute(
        update(LOCK)
        .where(LOCK.c.workspace_id == workspace_id, LOCK.c.sequence == sequence)
        .values(reason="", metadata_json="{}")
    )
    return int(changed.rowcount)


def _live(now: Micros) -> tuple[ColumnElement[bool], ...]:
    return LOCK.c.ended_at == 0, LOCK.c.expires_at > now


def _under(prefix: str) -> ColumnElement[bool]:
    """Keys at or under a prefix as ranges of the index: every start ends in `/` or `:`, so its successor is one code point on."""
    ranges = [
        and_(LOCK.c.key >= start, LOCK.c.key < start[:-1] + chr(ord(start[-1]) + 1)) for start in keys.starts(prefix)
    ]
    return or_(LOCK.c.key == prefix, *ranges)


def _open(tx: Transaction, workspace_id: str, key: str) -> Row | None:
    return _OPEN.row(tx, workspace=workspace_id, the_key=key)


def _last(tx: Transaction, workspace_id: str, key: str, holder: Holder) -> Row | None:
    """This instance's latest ownership period of a key."""
    return tx.row(
        select(LOCK)
        .where(
            LOCK.c.workspace_id == workspace_id,
            LOCK.c.agent_id == holder.agent_id,
            LOCK.c.session_id == holder.session_id,
            LOCK.c.key == key,
        )
        .order_by(LOCK.c.fence.desc())
        .limit(1)
    )


def _holder(row: Row) -> Holder:
    return Holder(row["agent_id"], row["session_id"])


def _held(row: Row, now: Micros, message: str) -> Refusal:
    return Refusal(
        "held",
        message,
        holder_agent_id=row["agent_id"],
        key=row["key"],
        expires_at=rfc3339(row["expires_at"]),
        reason=row["reason"],
        retry_after_seconds=max(1, min(60, -(-(row["expires_at"] - now) // SECOND))),
    )


def _whose(row: Row | None, now: Micros) -> Row:
    """Who holds a lock instead of the caller, and under which fence; empty while it is free."""
    if row is None or row["expires_at"] <= now:
        return {}
    return {"holder_agent_id": row["agent_id"], "current_fence": row["fence"]}


def _ran_out(row: Row) -> Refusal:
    return Refusal(
        "lease_expired", f"your lock on `{row['key']}` ran out; acquire it again", current_fence=row["fence"]
    )


def _check_fence(row: Row, fence: int | None) -> None:
    if fence is not None and fence != row["fence"]:
        raise Refusal("stale_fence", f"fence {fence} is not the current one", current_fence=row["fence"])


def _change(tx: Transaction, row: Row, values: Row) -> Row:
    changed = row | values
    new = {f"new_{name}": changed[name] for name in _CHANGING}
    _CHANGE.row(tx, **new, workspace=row["workspace_id"], the_id=row["id"])
    return changed


def _end(tx: Transaction, workspace_id: str, lock_ids: Sequence[str], reason: str) -> None:
    if lock_ids:
        tx.execute(
            update(LOCK)
            .where(LOCK.c.workspace_id == workspace_id, LOCK.c.id.in_(lock_ids))
            .values(ended_at=tx.now, end_reason=reason)
        )


def _next_fence(tx: Transaction, workspace_id: str, key: str) -> int:
    risen = _RISE.row(tx, workspace_id=workspace_id, key=key, value=1)
    assert risen is not None
    return int(risen["value"])
