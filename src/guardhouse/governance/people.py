"""People: principals by name, with the roles they may act in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import insert, select, update

from guardhouse.errors import Refusal
from guardhouse.governance import tokens
from guardhouse.governance.tables import PERSON
from guardhouse.model.canonical import decode, encode
from guardhouse.model.ids import Ids
from guardhouse.storage.store import Transaction

ROLES = ("auditor", "operator", "security")
"""Every role a person can have."""


def add(tx: Transaction, ids: Ids, workspace_id: str, name: str, roles: Iterable[str]) -> dict[str, Any]:
    """Register a person; the row, with `roles` as a tuple. Refusal `name_taken`, also for one disabled."""
    if tx.row(select(PERSON.c.id).where(PERSON.c.workspace_id == workspace_id, PERSON.c.name == name)) is not None:
        raise Refusal("name_taken", f"there is a person `{name}` already")
    row = {
        "workspace_id": workspace_id,
        "id": ids.new("person"),
        "name": name,
        "roles": encode(sorted(set(roles))).decode(),
        "created_at": tx.now,
        "disabled_at": 0,
    }
    tx.execute(insert(PERSON).values(row))
    return _read(row)


def get(tx: Transaction, workspace_id: str, person_id: str) -> dict[str, Any]:
    """One person's row, with `roles` as a tuple; Refusal `not_found`."""
    row = tx.row(select(PERSON).where(PERSON.c.workspace_id == workspace_id, PERSON.c.id == person_id))
    if row is None:
        raise Refusal("not_found", f"there is no person `{person_id}`")
    return _read(row)


def disable(tx: Transaction, workspace_id: str, person_id: str) -> int:
    """End a person's access, with every token; how many tokens ended.

    Refusal `last_operator`: a workspace without an operator could be governed by nobody. The rows are
    locked where the database can, so two disablings cannot pass each other.
    """
    enabled = [
        _read(row)
        for row in tx.rows(
            select(PERSON)
            .where(PERSON.c.workspace_id == workspace_id, PERSON.c.disabled_at == 0)
            .order_by(PERSON.c.id)
            .with_for_update()
        )
    ]
    person = next((row for row in enabled if row["id"] == person_id), None)
    if person is None:
        get(tx, workspace_id, person_id)
        raise Refusal("already_disabled", f"person `{person_id}` is disabled already")
    operators = [row["id"] for row in enabled if "operator" in row["roles"]]
    if operators == [person_id]:
        raise Refusal("last_operator", "this is the last operator; add another one first")
    tx.execute(
        update(PERSON).where(PERSON.c.workspace_id == workspace_id, PERSON.c.id == person_id).values(disabled_at=tx.now)
    )
    return tokens.revoke_all(tx, workspace_id, "person", person_id)


def listed(tx: Transaction, workspace_id: str, limit: int, after: str) -> list[dict[str, Any]]:
    """At most `limit` people after a name, in order of name."""
    found = select(PERSON).where(PERSON.c.workspace_id == workspace_id, PERSON.c.name > after)
    return [_read(row) for row in tx.rows(found.order_by(PERSON.c.name).limit(limit))]


def _read(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"roles": tuple(decode(row["roles"]))}
