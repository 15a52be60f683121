"""Modes: observe instead of enforce, for a scope, by name, with an end that comes by itself."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select, update

from guardhouse.errors import Refusal
from guardhouse.governance.tables import OBSERVE_MODE
from guardhouse.model.ids import Ids
from guardhouse.model.instants import DAY, Micros
from guardhouse.storage.store import Transaction

SCOPES = ("workspace", "agent", "role", "pack")
LONGEST: Micros = 30 * DAY
PROTECTING_PACK = "guardhouse"
"""The pack that guards Guardhouse itself: it binds in every mode."""


def observe(
    tx: Transaction,
    ids: Ids,
    workspace_id: str,
    scope_kind: str,
    scope_id: str,
    *,
    by_id: str,
    until: Micros,
    reason: str = "",
) -> dict[str, Any]:
    """Observe a scope until `until`; the row. An earlier mode of the same scope gives way.

    Refusals: `always_binds` for the protecting pack, `mode_too_long` beyond thirty days or without an end ahead.
    """
    if scope_kind == "pack" and scope_id == PROTECTING_PACK:
        raise Refusal("always_binds", f"the pack `{PROTECTING_PACK}` protects the gateway itself and always binds")
    if not tx.now < until <= tx.now + LONGEST:
        raise Refusal("mode_too_long", "observing needs an end within the next thirty days")
    tx.execute(
        update(OBSERVE_MODE)
        .where(
            OBSERVE_MODE.c.workspace_id == workspace_id,
            OBSERVE_MODE.c.scope_kind == scope_kind,
            OBSERVE_MODE.c.scope_id == scope_id,
            OBSERVE_MODE.c.ended_at == 0,
        )
        .values(ended_at=tx.now)
    )
    row = {
        "workspace_id": workspace_id,
        "id": ids.new("mode"),
        "scope_kind": scope_kind,
        "scope_id": scope_id,
        "by_id": by_id,
        "reason": reason,
        "set_at": tx.now,
        "until": until,
        "ended_at": 0,
    }
    tx.execute(insert(OBSERVE_MODE).values(row))
    return row


def end(tx: Transaction, workspace_id: str, scope_kind: str, scope_id: str) -> dict[str, Any]:
    """Enforce a scope again at once; the row that ended. Refusal `not_observed`."""
    running = tx.row(
        select(OBSERVE_MODE).where(
            OBSERVE_MODE.c.workspace_id == workspace_id,
            OBSERVE_MODE.c.scope_kind == scope_kind,
            OBSERVE_MODE.c.scope_id == scope_id,
            OBSERVE_MODE.c.ended_at == 0,
            OBSERVE_MODE.c.until > tx.now,
        )
    )
    if running is None:
        raise Refusal("not_observed", f"no observe mode runs for {scope_kind} `{scope_id}`")
    tx.execute(
        update(OBSERVE_MODE)
        .where(OBSERVE_MODE.c.workspace_id == workspace_id, OBSERVE_MODE.c.id == running["id"])
        .values(ended_at=tx.now)
    )
    return running | {"ended_at": tx.now}


def listed(tx: Transaction, workspace_id: str, limit: int, after: str, *, ended: bool) -> list[dict[str, Any]]:
    """At most `limit` modes after an id, oldest first; `ended` also those that are over."""
    found = select(OBSERVE_MODE).where(OBSERVE_MODE.c.workspace_id == workspace_id, OBSERVE_MODE.c.id > after)
    if not ended:
        found = found.where(OBSERVE_MODE.c.ended_at == 0, OBSERVE_MODE.c.until > tx.now)
    return tx.rows(found.order_by(OBSERVE_MODE.c.id).limit(limit))
