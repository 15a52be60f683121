"""Sessions of clients: each run of an agent's client is a session, each of its sub-agents a delegate with its own.

Both are found again by what the client calls them, so that another process, or the same one after a
restart, opens the same ones. What the client says of them names; it never lends trust.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select, update

from guardhouse.errors import Refusal
from guardhouse.governance import agents, tokens
from guardhouse.governance.standing import MAX_DELEGATION
from guardhouse.governance.tables import AGENT, SESSION
from guardhouse.governance.tokens import Issued
from guardhouse.model.canonical import keyed_digest
from guardhouse.model.facts import Principal
from guardhouse.model.ids import Ids
from guardhouse.storage.store import Transaction

MOST_DELEGATES = 64
"""How many kinds of sub-agents of one agent have a delegate of their own; further ones share `subagent`."""

_SHARED = "subagent"
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Opened:
    """An open session, its agent's row (the caller's own, or a delegate's), and a token lent for it."""

    session_id: str
    agent: dict[str, Any]
    issued: Issued
    new: bool


def open_session(
    tx: Transaction,
    ids: Ids,
    workspace_id: str,
    key: bytes,
    caller: Principal,
    *,
    client: str,
    client_session: str,
    client_agent: str = "",
    client_agent_type: str = "",
) -> Opened:
    """Open or find the session that a client names, for the caller or for its sub-agent `client_agent`.

    The token ends with the caller's, or after twelve hours. Refusals: `session_revoked`,
    `agent_retired`, `delegation_too_deep`, `handle_taken`.
    """
    agent = (
        _delegate(tx, ids, workspace_id, key, caller, client_agent_type)
        if client_agent
        else agents.active(tx, workspace_id, caller.id)
    )
    named = "\n".join((agent["id"], client, client_session, client_agent))
    session_id = "ses_" + keyed_digest(key, "client session", named.encode()).removeprefix("hmac:")[:32]
    label = " ".join(part for part in (client, client_session[:80], client_agent_type or client_agent) if part)[:200]
    where = (SESSION.c.workspace_id == workspace_id, SESSION.c.id == session_id)
    known = tx.row(select(SESSION).where(*where))
    if known is not None and known["revoked_at"]:
        raise Refusal("session_revoked", f"session `{session_id}` was ended; start the client anew")
    if known is None:
        tx.execute(
            insert(SESSION).values(
                workspace_id=workspace_id,
                id=session_id,
                principal_kind="agent",
                principal_id=agent["id"],
                repository=caller.repository,
                started_at=tx.now,
                label=label,
            )
        )
    issued = tokens.lend(tx, ids, workspace_id, caller.token_id, agent["id"], session_id, label=label)
    ends = max(issued.expires_at, known["expires_at"] if known else 0)
    tx.execute(update(SESSION).where(*where).values(expires_at=ends))
    return Opened(session_id, agent, issued, known is None)


def _delegate(tx: Transaction, ids: Ids, workspace_id: str, key: bytes, caller: Principal, kind: str) -> dict[str, Any]:
    """The agent that acts for the caller's sub-agents of a kind. It starts with the caller's trust, which also caps it."""
    above = agents.active(tx, workspace_id, caller.id)
    slug = _NOT_SLUG.sub("-", kind.casefold()).strip("-")[:20].strip("-") or _SHARED
    handle = f"{above['handle'][:36].rstrip('-')}-{slug}"
    told_apart = keyed_digest(key, "delegate", f"{caller.id}\n{slug}".encode())[-6:]
    for name in (handle, f"{handle}-{told_apart}"):
        found = tx.row(select(AGENT).where(AGENT.c.workspace_id == workspace_id, AGENT.c.handle == name))
        if found is not None and found["delegated_by"] == caller.id:
            if found["retired_at"]:
                raise Refusal("agent_retired", f"the delegate `{name}` was retired by a person")
            return found
        if found is None:
            if slug != _SHARED and _delegates(tx, workspace_id, caller.id) >= MOST_DELEGATES:
                return _delegate(tx, ids, workspace_id, key, caller, _SHARED)
            if len(caller.delegation) >= MAX_DELEGATION:
                raise Refusal("delegation_too_deep", f"a chain of delegation has at most {MAX_DELEGATION} delegators")
            return agents.add(
                tx,
                ids,
                workspace_id,
                handle=name,
                role=above["role"],
                trust=above["trust"],
                profile=above["profile"],
                owner=above["owner"],
                delegated_by=caller.id,
            )
    raise Refusal("handle_taken", f"the handle `{handle}` is another agent's")


def _delegates(tx: Transaction, workspace_id: str, agent_id: str) -> int:
    count = select(func.count().label("count")).where(
        AGENT.c.workspace_id == workspace_id, AGENT.c.delegated_by == agent_id
    )
    row = tx.row(count)
    return int(row["count"]) if row else 0
