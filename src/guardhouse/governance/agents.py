"""Agents: who is registered, with which trust, under whose name and on whose behalf."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import insert, select, update

from guardhouse.errors import Refusal
from guardhouse.governance import tokens
from guardhouse.governance.people import get as get_person
from guardhouse.governance.standing import MAX_DELEGATION
from guardhouse.governance.tables import AGENT
from guardhouse.model.ids import Ids
from guardhouse.storage.store import Transaction

SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
"""The grammar of handles, roles and profiles: a label as in a host name (RFC 1123), so it fits into any address."""

MAX_TRUST = 4


def add(
    tx: Transaction,
    ids: Ids,
    workspace_id: str,
    *,
    handle: str,
    role: str,
    trust: int,
    profile: str = "",
    owner: str = "",
    delegated_by: str = "",
) -> dict[str, Any]:
    """Register an agent; its row.

    A handle is never given twice, also after its agent retired, so that an old entry stays readable.
    Refusals: `handle_taken`, `not_found` (owner or delegator), `delegation_too_deep`.
    """
    taken = select(AGENT.c.id).where(AGENT.c.workspace_id == workspace_id, AGENT.c.handle == handle)
    if tx.row(taken) is not None:
        raise Refusal("handle_taken", f"the handle `{handle}` was given to another agent")
    if owner and get_person(tx, workspace_id, owner)["disabled_at"]:
        raise Refusal("not_found", f"person `{owner}` is disabled and can own no agent")
    if delegated_by:
        _check_delegation(tx, workspace_id, delegated_by)
    row = {
        "workspace_id": workspace_id,
        "id": ids.new("agent"),
        "handle": handle,
        "role": role,
        "owner": owner,
        "trust": trust,
        "profile": profile,
        "delegated_by": delegated_by,
        "created_at": tx.now,
        "retired_at": 0,
    }
    tx.execute(insert(AGENT).values(row))
    return row


def _check_delegation(tx: Transaction, workspace_id: str, delegator: str) -> None:
    """Walk up from the delegator: every link must be an active agent, and there may be eight of them."""
    above = delegator
    for _ in range(MAX_DELEGATION):
        row = get(tx, workspace_id, above)
        if row["retired_at"]:
            raise Refusal("not_found", f"agent `{above}` is retired and can delegate nothing")
        above = row["delegated_by"]
        if not above:
            return
    raise Refusal("delegation_too_deep", f"a chain of delegation has at most {MAX_DELEGATION} delegators")


def get(tx: Transaction, workspace_id: str, agent_id: str) -> dict[str, Any]:
    """One agent's row; Refusal `not_found`."""
    row = tx.row(select(AGENT).where(AGENT.c.workspace_id == workspace_id, AGENT.c.id == agent_id))
    if row is None:
        raise Refusal("not_found", f"there is no agent `{agent_id}`")
    return row


def active(tx: Transaction, workspace_id: str, agent_id: str) -> dict[str, Any]:
    """One agent's row; Refusal `not_found` also when it is retired."""
    row = get(tx, workspace_id, agent_id)
    if row["retired_at"]:
        raise Refusal("not_found", f"agent `{agent_id}` is retired")
    return row


def roles(tx: Transaction, workspace_id: str) -> list[str]:
    """Every role that an active agent has, sorted."""
    found = select(AGENT.c.role).where(AGENT.c.workspace_id == workspace_id, AGENT.c.retired_at == 0).distinct()
    return sorted(str(row["role"]) for row in tx.rows(found))


def set_trust(tx: Transaction, workspace_id: str, agent_id: str, trust: int) -> dict[str, Any]:
    """Give an agent another trust level; its row before. Everybody it delegated to is bound at once as well."""
    before = active(tx, workspace_id, agent_id)
    tx.execute(update(AGENT).where(AGENT.c.workspace_id == workspace_id, AGENT.c.id == agent_id).values(trust=trust))
    return before


def retire(tx: Transaction, workspace_id: str, agent_id: str) -> int:
    """End an agent for good, with all its tokens and sessions; how many tokens ended."""
    active(tx, workspace_id, agent_id)
    tx.execute(
        update(AGENT).where(AGENT.c.workspace_id == workspace_id, AGENT.c.id == agent_id).values(retired_at=tx.now)
    )
    return tokens.revoke_all(tx, workspace_id, "agent", agent_id)


def listed(tx: Transaction, workspace_id: str, limit: int, after: str, *, retired: bool) -> list[dict[str, Any]]:
    """At most `limit` agents after a handle, in order of handle."""
    found = select(AGENT).where(AGENT.c.workspace_id == workspace_id, AGENT.c.handle > after)
    if not retired:
        found = found.where(AGENT.c.retired_at == 0)
    return tx.rows(found.order_by(AGENT.c.handle).limit(limit))
