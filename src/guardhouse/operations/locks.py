"""Operations on locks: acquire, renew, release, see, revoke."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from guardhouse.catalog import Answer, Ask, Context, Home, Operation, operation
from guardhouse.guardrails.text import Examined
from guardhouse.model.call import Category, Resource
from guardhouse.model.canonical import decode, encode
from guardhouse.model.facts import Principal
from guardhouse.operations.fields import Limit, Reason, RequiredReason, instant
from guardhouse.operations.presence import require_present
from guardhouse.services import keys, locks
from guardhouse.services.keys import Key
from guardhouse.storage.store import Transaction

_METADATA_BYTES = 4096
_MAX_GIVEN = 2048

LockKey = Annotated[
    str,
    Field(
        min_length=1,
        max_length=_MAX_GIVEN,
        description="`<namespace>:<path>`, such as `res:deploy/staging`; without a namespace a file of the "
        "session's repository. Namespaces: file api db event flag env contract feature task res",
    ),
]
TtlSeconds = Annotated[
    int, Field(ge=1, le=locks.MAX_TTL_SECONDS, description="how long the lock lasts unless renewed, in seconds")
]
FenceNumber = Annotated[
    int | None, Field(ge=1, description="the fence you were given; refused as `stale_fence` when it is not current")
]


def _resource(key: Key) -> Resource:
    return Resource("File" if key.namespace == "file" else "Lock", key.text, key.repository)


def _touched(ask: AcquireLockAsk | RenewLockAsk | ReleaseLockAsk, home: Home) -> Resource:
    return _resource(keys.canonical_key(ask.key, home.repository))


def _repository(principal: Principal) -> str:
    return principal.repository or "default"


def _key(ctx: Context, given: str) -> Key:
    return keys.canonical_key(given, _repository(ctx.caller))


def _caller(ctx: Context) -> locks.Holder:
    return locks.Holder(ctx.caller.id, ctx.caller.session_id)


class AcquireLockAsk(Ask):
    key: LockKey
    ttl_seconds: TtlSeconds = locks.DEFAULT_TTL_SECONDS
    reason: Reason = ""
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="anything worth knowing about the lock; at most 4096 bytes as JSON"
    )

    @field_validator("metadata")
    @classmethod
    def _small(cls, value: dict[str, Any]) -> dict[str, Any]:
        if len(encode(value)) > _METADATA_BYTES:
            raise ValueError(f"metadata is larger than {_METADATA_BYTES} bytes as JSON")
        return value


class LockItem(Answer):
    lock_id: str = Field(description="this ownership period's id")
    key: str = Field(description="the canonical key")
    namespace: str = Field(description="the key's namespace")
    agent_id: str = Field(description="who holds it")
    session_id: str = Field(description="the running instance that holds it")
    fence: int = Field(description="the fencing token: a later owner's is always higher")
    acquired_at: str = Field(description="when this ownership period began")
    expires_at: str = Field(description="when the lock ends by itself")
    reason: str = Field(description="why it is held, in the holder's words")
    metadata: dict[str, Any] = Field(description="what the holder added")


def _item(row: locks.Row) -> LockItem:
    return LockItem(
        lock_id=row["id"],
        key=row["key"],
        namespace=row["namespace"],
        agent_id=row["agent_id"],
        session_id=row["session_id"],
        fence=row["fence"],
        acquired_at=instant(row["acquired_at"]),
        expires_at=instant(row["expires_at"]),
        reason=row["reason"],
        metadata=decode(row["metadata_json"]),
    )


def _words(ask: AcquireLockAsk | RevokeLocksAsk) -> tuple[Examined, ...]:
    given = [("reason", ask.reason), ("key", getattr(ask, "key", ""))]
    if getattr(ask, "metadata", None):
        given.append(("metadata", encode(getattr(ask, "metadata", {})).decode()))
    return tuple(Examined(field, text, "prose") for field, text in given if text)


def _held_locks(tx: Transaction, workspace_id: str, principal: Principal, ask: AcquireLockAsk) -> int:
    key = keys.canonical_key(ask.key, _repository(principal))
    return locks.count(tx, workspace_id, principal.id, tx.now, but=key.text)


def _files(tx: Transaction, workspace_id: str, principal: Principal, ask: AcquireLockAsk) -> int:
    key = keys.canonical_key(ask.key, _repository(principal))
    if key.namespace != "file":
        return 0
    session = principal.session_id
    return locks.count(tx, workspace_id, principal.id, tx.now, session_id=session, namespace="file", but=key.text)


@operation(
    "acquire_lock",
    Category.WRITE,
    ask=AcquireLockAsk,
    answer=LockItem,
    resource=_touched,
    writes=True,
    aliases=("lock_file", "lock_acquire"),
    texts=_words,
    measures={"held_locks": _held_locks, "files_per_task": _files},
)
def acquire_lock(ctx: Context, ask: AcquireLockAsk) -> LockItem:
    """Take an exclusive lock on a file or a named resource before you change it.

    The lock ends by itself after `ttl_seconds`; renew it while you work and release it when done.
    Taking a lock that this session holds already refreshes it. Give `fence` to whatever you change
    under the lock, so that a late write of an earlier owner can be told apart. While another agent
    holds `feature:<id>:pause`, that feature's keys are refused. Refusals: `held`, with the holder
    and when to try again; `heartbeat_required` after a long silence.
    """
    require_present(ctx)
    lapsed: list[dict[str, Any]] = []
    row = locks.acquire(
        ctx.tx,
        ctx.ids,
        ctx.workspace_id,
        _caller(ctx),
        _key(ctx, ask.key),
        ttl_seconds=ask.ttl_seconds,
        reason=ask.reason,
        metadata_json=encode(ask.metadata).decode(),
        sequence=ctx.sequence,
        settled=lapsed,
    )
    ctx.objects += [f"lock:{row['id']}", *(f"lapsed:{one['id']}" for one in lapsed)]
    return _item(row)


class RenewLockAsk(Ask):
    key: LockKey
    ttl_seconds: TtlSeconds = locks.DEFAULT_TTL_SECONDS
    fence: FenceNumber = None


@operation(
    "renew_lock",
    Category.WRITE,
    ask=RenewLockAsk,
    answer=LockItem,
    resource=_touched,
    writes=True,
    aliases=("lock_renew",),
)
def renew_lock(ctx: Context, ask: RenewLockAsk) -> LockItem:
    """Let a lock that this session holds last `ttl_seconds` from now.

    Refusals: `not_holder`, `lease_expired` (acquire it again, and expect that someone else was there
    in between), `stale_fence`.
    """
    row = locks.renew(
        ctx.tx, ctx.workspace_id, _caller(ctx), _key(ctx, ask.key), ttl_seconds=ask.ttl_seconds, fence=ask.fence
    )
    ctx.objects.append(f"lock:{row['id']}")
    return _item(row)


class ReleaseLockAsk(Ask):
    key: LockKey
    fence: FenceNumber = None


class ReleaseLockAnswer(Answer):
    key: str = Field(description="the canonical key")
    released: bool = Field(description="false when you held nothing: released before, or run out")


@operation(
    "release_lock",
    Category.WRITE,
    ask=ReleaseLockAsk,
    answer=ReleaseLockAnswer,
    resource=_touched,
    writes=True,
    aliases=("unlock_file", "lock_release"),
)
def release_lock(ctx: Context, ask: ReleaseLockAsk) -> ReleaseLockAnswer:
    """Give back a lock that this session holds.

    Releasing twice is no error. Refusals: `not_holder` while another holds it, `stale_fence`.
    """
    key = _key(ctx, ask.key)
    row = locks.release(ctx.tx, ctx.workspace_id, _caller(ctx), key, fence=ask.fence)
    if row is not None:
        ctx.objects.append(f"lock:{row['id']}")
    return ReleaseLockAnswer(key=key.text, released=row is not None)


class CheckLocksAsk(Ask):
    key: LockKey | None = Field(None, description="only this key")
    prefix: Annotated[str, Field(max_length=_MAX_GIVEN)] = Field(
        "", description="only keys at or under this one, by whole segments; `res:` for a whole namespace"
    )
    own: bool = Field(False, description="only locks that you hold, in any session")
    namespace: Literal["file", "api", "db", "event", "flag", "env", "contract", "feature", "task", "res"] | None = (
        Field(None, description="only keys of this namespace")
    )
    limit: Limit = 100
    after: Annotated[str, Field(max_length=_MAX_GIVEN)] = Field(
        "", description="`next` of the page before; empty for the first page"
    )


class CheckLocksAnswer(Answer):
    locks: tuple[LockItem, ...] = Field(description="live locks in order of their keys")
    more: bool = Field(description="whether there are more behind the last")
    next: str = Field(description="what to give as `after` for the next page; empty on the last")


def _seen(ask: CheckLocksAsk, home: Home) -> Resource:
    prefix = keys.canonical_prefix(ask.prefix, home.repository)
    if ask.key is not None:
        return _resource(keys.canonical_key(ask.key, home.repository))
    return Resource("Lock", prefix) if prefix else Resource("Workspace", home.workspace_id)


@operation(
    "check_locks",
    Category.READ,
    ask=CheckLocksAsk,
    answer=CheckLocksAnswer,
    resource=_seen,
    aliases=("lock_list",),
)
def check_locks(ctx: Context, ask: CheckLocksAsk) -> CheckLocksAnswer:
    """See which files and resources are locked, by whom and until when.

    Without a filter it lists every live lock of the workspace, a page at a time.
    """
    page = locks.list_held(
        ctx.tx,
        ctx.workspace_id,
        key=_key(ctx, ask.key).text if ask.key is not None else "",
        prefix=keys.canonical_prefix(ask.prefix, _repository(ctx.caller)),
        agent_id=ctx.caller.id if ask.own else "",
        namespace=ask.namespace or "",
        limit=ask.limit,
        after=ask.after,
    )
    following = page.rows[-1]["key"] if page.more else ""
    return CheckLocksAnswer(locks=tuple(_item(row) for row in page.rows), more=page.more, next=following)


class RevokeLocksAsk(Ask):
    prefix: Annotated[str, Field(max_length=_MAX_GIVEN)] = Field(
        description="revoke keys at or under this one, by whole segments; empty needs `everything`"
    )
    everything: bool = Field(False, description="mean the empty prefix: every lock of the workspace")
    reason: RequiredReason
    limit: Limit = 500

    @model_validator(mode="after")
    def _meant(self) -> RevokeLocksAsk:
        if not self.prefix.strip() and not self.everything:
            raise ValueError("an empty prefix revokes every lock; say `everything: true` to mean that")
        return self


class RevokedItem(Answer):
    key: str = Field(description="the canonical key")
    lock_id: str = Field(description="the ownership period that ended")
    agent_id: str = Field(description="who held it")
    fence: int = Field(description="the fence that is stale now")


class RevokeLocksAnswer(Answer):
    revoked: tuple[RevokedItem, ...] = Field(description="every lock that was ended, in order of the keys")
    more: bool = Field(description="whether live locks are left under the prefix; ask again to end them")


def _revoked(ask: RevokeLocksAsk, home: Home) -> Resource:
    prefix = keys.canonical_prefix(ask.prefix, home.repository)
    return Resource("Lock", prefix) if prefix else Resource("Workspace", home.workspace_id)


@operation(
    "revoke_locks",
    Category.ADMIN,
    ask=RevokeLocksAsk,
    answer=RevokeLocksAnswer,
    resource=_revoked,
    writes=True,
    aliases=("lock_revoke",),
    texts=_words,
)
def revoke_locks(ctx: Context, ask: RevokeLocksAsk) -> RevokeLocksAnswer:
    """End every lock at or under a prefix, whoever holds it.

    `deploy` reaches `deploy/staging` and never `deployment`. Each key that was ended is named.
    """
    prefix = keys.canonical_prefix(ask.prefix, _repository(ctx.caller))
    page = locks.revoke(ctx.tx, ctx.workspace_id, prefix, everything=ask.everything, limit=ask.limit)
    ctx.objects += [f"lock:{row['id']}" for row in page.rows]
    revoked = tuple(
        RevokedItem(key=row["key"], lock_id=row["id"], agent_id=row["agent_id"], fence=row["fence"])
        for row in page.rows
    )
    return RevokeLocksAnswer(revoked=revoked, more=page.more)


OPERATIONS: tuple[Operation, ...] = (acquire_lock, renew_lock, release_lock, check_locks, revoke_locks)
