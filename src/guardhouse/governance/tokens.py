"""Tokens: issue, lend, rotate, renew, revoke. A token's text leaves once, in the answer that issues it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, or_, select, update

from guardhouse.errors import Refusal
from guardhouse.governance.standing import mint, token_id_of
from guardhouse.governance.tables import SESSION, TOKEN
from guardhouse.model.ids import Ids
from guardhouse.model.instants import DAY, HOUR, MINUTE, Micros
from guardhouse.storage.store import Transaction

LIFETIMES = {"agent": 90 * DAY, "person": 30 * DAY, "session": 12 * HOUR}
"""How long a token of each kind lasts; a session's is renewed by use of `renew_session`."""

ROTATION_GRACE = 10 * MINUTE
"""How long a rotated token still works, so that a fleet can change over without a gap."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token. `text` is the secret itself: never stored, never printed by accident."""

    token_id: str
    session_id: str
    expires_at: Micros
    text: str = field(repr=False)


def issue(
    tx: Transaction,
    ids: Ids,
    workspace_id: str,
    principal_kind: str,
    principal_id: str,
    *,
    kind: str = "",
    label: str = "",
    repository: str = "",
) -> Issued:
    """Issue a token with a session of its own. `kind` is the principal's, or `session` for a short one.

    A session ends with its token, so only a `session` token's row carries an end of its own.
    """
    kind = kind or principal_kind
    session_id = ids.new("session")
    expires_at = tx.now + LIFETIMES[kind]
    tx.execute(
        insert(SESSION).values(
            workspace_id=workspace_id,
            id=session_id,
            principal_kind=principal_kind,
            principal_id=principal_id,
            repository=repository,
            started_at=tx.now,
            expires_at=expires_at if kind == "session" else 0,
            label=label,
        )
    )
    return _insert(tx, ids, workspace_id, kind, principal_kind, principal_id, session_id, expires_at, label)


def _insert(
    tx: Transaction,
    ids: Ids,
    workspace_id: str,
    kind: str,
    principal_kind: str,
    principal_id: str,
    session_id: str,
    expires_at: Micros,
    label: str,
    issued_under: str = "",
) -> Issued:
    text, token_hash = mint(ids, kind)
    token_id = token_id_of(text)
    tx.execute(
        insert(TOKEN).values(
            workspace_id=workspace_id,
            id=token_id,
            hash=token_hash,
            kind=kind,
            principal_kind=principal_kind,
            principal_id=principal_id,
            session_id=session_id,
            issued_at=tx.now,
            expires_at=expires_at,
            label=label,
            issued_under=issued_under,
        )
    )
    return Issued(token_id, session_id, expires_at, text)


def lend(
    tx: Transaction, ids: Ids, workspace_id: str, under: str, principal_id: str, session_id: str, *, label: str
) -> Issued:
    """A session token of an agent under another token: it ends when that one is revoked, rotated or expires.

    One lent under a lent token hangs on the first of them. Refusal `not_found`.
    """
    root = get(tx, workspace_id, under)
    if root["issued_under"]:
        root = get(tx, workspace_id, root["issued_under"])
    ends = root["revoked_at"] or root["expires_at"]
    expires_at = min(tx.now + LIFETIMES["session"], ends, root["expires_at"])
    return _insert(tx, ids, workspace_id, "session", "agent", principal_id, session_id, expires_at, label, root["id"])


def _end_lent(tx: Transaction, workspace_id: str, token_id: str, at: Micros) -> None:
    """End what was lent under a token, at the latest at an instant."""
    tx.execute(
        update(TOKEN)
        .where(
            TOKEN.c.workspace_id == workspace_id,
            TOKEN.c.issued_under == token_id,
            or_(TOKEN.c.revoked_at == 0, TOKEN.c.revoked_at > at),
        )
        .values(revoked_at=at)
    )


def get(tx: Transaction, workspace_id: str, token_id: str) -> dict[str, Any]:
    """One token's row without its hash; Refusal `not_found`."""
    row = tx.row(select(TOKEN).where(TOKEN.c.workspace_id == workspace_id, TOKEN.c.id == token_id))
    if row is None:
        raise Refusal("not_found", f"there is no token `{token_id}`")
    del row["hash"]
    return row


def rotate(tx: Transaction, ids: Ids, workspace_id: str, token_id: str) -> tuple[Issued, Micros]:
    """A successor in the same session, and when the old token stops working.

    Refusal `token_not_live` when the token is revoked, expired, or was already rotated: a token has one
    successor, so a thief who rotates first is noticed by the owner whose rotation fails.
    """
    old = get(tx, workspace_id, token_id)
    old_ends = min(tx.now + ROTATION_GRACE, old["expires_at"])
    changed = tx.execute(
        update(TOKEN)
        .where(
            TOKEN.c.workspace_id == workspace_id,
            TOKEN.c.id == token_id,
            TOKEN.c.revoked_at == 0,
            TOKEN.c.expires_at > tx.now,
        )
        .values(revoked_at=old_ends)
    )
    if changed.rowcount != 1:
        raise Refusal("token_not_live", f"token `{token_id}` is revoked, expired or already rotated")
    _end_lent(tx, workspace_id, token_id, old_ends)
    expires_at = tx.now + LIFETIMES[old["kind"]]
    if old["issued_under"]:
        expires_at = min(expires_at, old["expires_at"])
    if old["kind"] == "session":
        _extend_session(tx, workspace_id, old["session_id"], expires_at)
    issued = _insert(
        tx,
        ids,
        workspace_id,
        old["kind"],
        old["principal_kind"],
        old["principal_id"],
        old["session_id"],
        expires_at,
        old["label"],
        old["issued_under"],
    )
    return issued, old_ends


def renew(tx: Transaction, workspace_id: str, token_id: str) -> tuple[Micros, bool]:
    """Push a session token's end to twelve hours from now; (its end, whether it moved).

    Other kinds end with their token and are rotated instead, so for them nothing moves. A token in its
    rotation grace is not renewed either, nor is one that was lent: whoever lent it lends another.
    """
    token = get(tx, workspace_id, token_id)
    if token["kind"] != "session" or token["revoked_at"] or token["issued_under"]:
        return token["expires_at"], False
    expires_at = tx.now + LIFETIMES["session"]
    tx.execute(
        update(TOKEN).where(TOKEN.c.workspace_id == workspace_id, TOKEN.c.id == token_id).values(expires_at=expires_at)
    )
    _extend_session(tx, workspace_id, token["session_id"], expires_at)
    return expires_at, True


def _extend_session(tx: Transaction, workspace_id: str, session_id: str, expires_at: Micros) -> None:
    tx.execute(
        update(SESSION)
        .where(SESSION.c.workspace_id == workspace_id, SESSION.c.id == session_id, SESSION.c.revoked_at == 0)
        .values(expires_at=expires_at)
    )


def revoke(tx: Transaction, workspace_id: str, token_id: str) -> dict[str, Any]:
    """End a token now, with all it was rotated from and into and all that was lent under those; the row before.

    Rotation keeps the session, so the tokens of one session are one chain: whoever stole a token may have
    rotated it, and what they got must end with it. Revoking twice changes nothing.
    """
    token = get(tx, workspace_id, token_id)
    chain = select(TOKEN.c.id).where(TOKEN.c.workspace_id == workspace_id, TOKEN.c.session_id == token["session_id"])
    for row in tx.rows(chain.order_by(TOKEN.c.id)):
        _end_lent(tx, workspace_id, row["id"], tx.now)
    tx.execute(
        update(TOKEN)
        .where(
            TOKEN.c.workspace_id == workspace_id,
            TOKEN.c.session_id == token["session_id"],
            or_(TOKEN.c.revoked_at == 0, TOKEN.c.revoked_at > tx.now),
        )
        .values(revoked_at=tx.now)
    )
    return token


def revoke_all(tx: Transaction, workspace_id: str, principal_kind: str, principal_id: str) -> int:
    """End every token and session of a principal now; how many tokens ended."""
    ended = tx.execute(
        update(TOKEN)
        .where(
            TOKEN.c.workspace_id == workspace_id,
            TOKEN.c.principal_kind == principal_kind,
            TOKEN.c.principal_id == principal_id,
            or_(TOKEN.c.revoked_at == 0, TOKEN.c.revoked_at > tx.now),
        )
        .values(revoked_at=tx.now)
    )
    tx.execute(
        update(SESSION)
        .where(
            SESSION.c.workspace_id == workspace_id,
            SESSION.c.principal_kind == principal_kind,
            SESSION.c.principal_id == principal_id,
            SESSION.c.revoked_at == 0,
        )
        .values(revoked_at=tx.now)
    )
    return int(ended.rowcount)


def listed(tx: Transaction, workspace_id: str, principal_id: str, limit: int, after: str) -> list[dict[str, Any]]:
    """At most `limit` tokens after an id, in order of id, without their hashes."""
    found = select(*(column for column in TOKEN.c if column.name != "hash")).where(
        TOKEN.c.workspace_id == workspace_id, TOKEN.c.id > after
    )
    if principal_id:
        found = found.where(TOKEN.c.principal_id == principal_id)
    return tx.rows(found.order_by(TOKEN.c.id).limit(limit))
