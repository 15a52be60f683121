"""Grants: a person's leave for one agent to do what one decision refused, once or for a while.

A grant is bound to the agent, the law, and the digest of the very thing (`question`: the normal form of its texts,
their directory and files). It lifts the rules that the decision named and no others. That it is over by time is judged
from its instants; what ends it otherwise (spent, revoked) is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from guardhouse.errors import Refusal
from guardhouse.governance.tables import DECISION_GRANT
from guardhouse.model.canonical import decode, encode
from guardhouse.model.facts import GrantFact
from guardhouse.model.ids import Ids
from guardhouse.model.instants import DAY, Micros
from guardhouse.storage.store import Transaction

LONGEST: Micros = DAY
"""How long a grant may last; what should hold longer belongs into `overrides.yaml`."""

Row = Mapping[str, Any]

_LIVE = (
    select(DECISION_GRANT)
    .where(
        DECISION_GRANT.c.workspace_id == bindparam("workspace"),
        DECISION_GRANT.c.question == bindparam("question"),
        DECISION_GRANT.c.agent_id == bindparam("agent"),
        DECISION_GRANT.c.spent_at == 0,
        DECISION_GRANT.c.revoked_at == 0,
        DECISION_GRANT.c.expires_at > bindparam("now"),
        DECISION_GRANT.c.law == bindparam("law"),
    )
    .order_by(DECISION_GRANT.c.once, DECISION_GRANT.c.id)
    .limit(1)
)


def find(tx: Transaction, workspace_id: str, agent_id: str, question: str, law: str) -> GrantFact | None:
    """The grant that speaks for a call, or None. One that lasts is found before one that serves once."""
    parameters = {"workspace": workspace_id, "agent": agent_id, "question": question, "now": tx.now, "law": law}
    row = tx.row(_LIVE, parameters)
    if row is None:
        return None
    return GrantFact(
        id=row["id"],
        rules=tuple((rule, severity) for rule, severity in decode(row["rules"])),
        law=row["law"],
        once=bool(row["once"]),
        expires_at=row["expires_at"],
    )


def give(
    tx: Transaction,
    ids: Ids,
    workspace_id: str,
    *,
    agent_id: str,
    question: str,
    law: str,
    decision_id: str,
    sequence: int,
    rules: Sequence[tuple[str, str]],
    once: bool,
    by_id: str,
    reason: str,
    until: Micros,
) -> dict[str, Any]:
    """Keep a grant; the row. `rules` are (id, severity as found). Refusal `grant_too_long` beyond `LONGEST` or without an end ahead."""
    if not tx.now < until <= tx.now + LONGEST:
        raise Refusal("grant_too_long", "a grant lasts at most 24 hours; write an override for what should hold longer")
    row = {
        "workspace_id": workspace_id,
        "id": ids.new("grant"),
        "agent_id": agent_id,
        "question": question,
        "law": law,
        "decision_id": decision_id,
        "sequence": sequence,
        "rules": encode(sorted(map(list, rules))).decode(),
        "once": once,
        "granted_by": by_id,
        "reason": reason,
        "granted_at": tx.now,
        "expires_at": until,
        "spent_at": 0,
        "spent_by": "",
        "revoked_at": 0,
        "revoked_by": "",
    }
    tx.execute(insert(DECISION_GRANT).values(row))
    return row


def spend(tx: Transaction, workspace_id: str, grant_id: str, decision_id: str) -> None:
    """Use up a grant that serves once; Refusal `grant_spent` when it is not there to be used."""
    changed = tx.execute(
        update(DECISION_GRANT)
        .where(
            DECISION_GRANT.c.workspace_id == workspace_id,
            DECISION_GRANT.c.id == grant_id,
            DECISION_GRANT.c.spent_at == 0,
            DECISION_GRANT.c.revoked_at == 0,
            DECISION_GRANT.c.expires_at > tx.now,
        )
        .values(spent_at=tx.now, spent_by=decision_id)
    )
    if changed.rowcount != 1:
        raise Refusal("grant_spent", f"grant `{grant_id}` was used already or is over")


def revoke(tx: Transaction, workspace_id: str, grant_id: str, by_id: str) -> dict[str, Any]:
    """End a live grant at once; the row after. Refusals `not_found`, `grant_over`."""
    row = tx.row(
        select(DECISION_GRANT).where(DECISION_GRANT.c.workspace_id == workspace_id, DECISION_GRANT.c.id == grant_id)
    )
    if row is None:
        raise Refusal("not_found", f"there is no grant `{grant_id}`")
    if state_of(row, tx.now) != "live":
        raise Refusal("grant_over", f"grant `{grant_id}` is {state_of(row, tx.now)} already")
    ended = {"revoked_at": tx.now, "revoked_by": by_id}
    tx.execute(
        update(DECISION_GRANT)
        .where(DECISION_GRANT.c.workspace_id == workspace_id, DECISION_GRANT.c.id == grant_id)
        .values(ended)
    )
    return row | ended


def state_of(row: Row, now: Micros, law: str = "") -> str:
    """`live`, `spent`, `revoked`, `expired`, or `stale` where another law than `law` is in force since."""
    if row["revoked_at"]:
        return "revoked"
    if row["spent_at"]:
        return "spent"
    if now >= row["expires_at"]:
        return "expired"
    return "stale" if law and row["law"] != law else "live"


def listed(
    tx: Transaction,
    workspace_id: str,
    *,
    limit: int,
    before: str = "",
    agent_id: str = "",
    decision_id: str = "",
    over: bool = False,
) -> list[dict[str, Any]]:
    """At most `limit` grants before an id, newest first; `over` also those that are spent, revoked or expired."""
    found = select(DECISION_GRANT).where(DECISION_GRANT.c.workspace_id == workspace_id)
    if not over:
        found = found.where(
            DECISION_GRANT.c.spent_at == 0, DECISION_GRANT.c.revoked_at == 0, DECISION_GRANT.c.expires_at > tx.now
        )
    if agent_id:
        found = found.where(DECISION_GRANT.c.agent_id == agent_id)
    if decision_id:
        found = found.where(DECISION_GRANT.c.decision_id == decision_id)
    if before:
        found = found.where(DECISION_GRANT.c.id < before)
    return tx.rows(found.order_by(DECISION_GRANT.c.id.desc()).limit(limit))
