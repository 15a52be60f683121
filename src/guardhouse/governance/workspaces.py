"""Workspaces: tenants, each with its own head, key and people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, LargeBinary, column, insert, or_, select, table, update
from sqlalchemy.dialects import postgresql, sqlite

from guardhouse.errors import Refusal
from guardhouse.governance import people, tokens
from guardhouse.governance.tables import PERSON, WORKSPACE
from guardhouse.model.ids import Ids
from guardhouse.storage.store import Transaction

Row = dict[str, Any]

_KEY_BYTES = 32

_HEAD = table(
    "workspace_head",
    column("workspace_id"),
    column("tree_size"),
    column("frontier", LargeBinary),
    column("last_at"),
    column("standing_version"),
    column("schema_version"),
)
"""The ledger's head row, begun here with an empty tree: no train can start in a workspace without one.

The table belongs to the ledger; governance and ledger do not import each other, so only its columns are named."""


@dataclass(frozen=True, slots=True)
class Founded:
    """A new workspace and its first person, with the token that is shown once."""

    workspace_id: str
    slug: str
    person_id: str
    person_name: str
    token: tokens.Issued


def create(tx: Transaction, ids: Ids, slug: str, created_by: str = "") -> str:
    """Create a workspace with a fresh key and an empty ledger; its id. Refusal `slug_taken`."""
    workspace_id = ids.new("workspace")
    values = {
        "id": workspace_id,
        "slug": slug,
        "key": ids.secret(_KEY_BYTES),
        "single_person": False,
        "approval_pending_seconds": 86_400,
        "approval_grant_seconds": 3_600,
        "created_at": tx.now,
        "created_by": created_by,
    }
    dialect = postgresql if tx.dialect == "postgresql" else sqlite
    founding = dialect.insert(WORKSPACE).values(values).on_conflict_do_nothing(index_elements=["slug"])
    if tx.row(founding.returning(WORKSPACE.c.id)) is None:
        raise Refusal("slug_taken", f"there is a workspace `{slug}` already")
    tx.execute(
        insert(_HEAD).values(
            workspace_id=workspace_id,
            tree_size=0,
            frontier=b"",
            last_at=tx.now,
            standing_version=1,
            schema_version=1,
        )
    )
    return workspace_id


def found(tx: Transaction, ids: Ids, slug: str, person_name: str, created_by: str = "") -> Founded:
    """A workspace with its first person, who has all three roles and a token of thirty days.

    The caller stores and activates a bundle in the same transaction: without law nothing is decided.
    """
    workspace_id = create(tx, ids, slug, created_by)
    person = people.add(tx, ids, workspace_id, person_name, people.ROLES)
    token = tokens.issue(tx, ids, workspace_id, "person", person["id"], label="first operator")
    return Founded(workspace_id, slug, person["id"], person_name, token)


def by_slug(ground: Transaction | Connection, slug: str) -> str | None:
    """The id of the workspace with this slug, or None."""
    found: str | None = ground.execute(select(WORKSPACE.c.id).where(WORKSPACE.c.slug == slug)).scalar()
    return found


def any_founded(tx: Transaction) -> bool:
    """Whether there is a workspace at all."""
    return tx.row(select(WORKSPACE.c.id).limit(1)) is not None


def configure(tx: Transaction, workspace_id: str, settings: dict[str, Any]) -> Row:
    """Change the declared settings (`single_person`, `approval_pending_seconds`, `approval_grant_seconds`); the row after."""
    if settings:
        tx.execute(update(WORKSPACE).where(WORKSPACE.c.id == workspace_id).values(settings))
    row = tx.row(_visible().where(WORKSPACE.c.id == workspace_id))
    if row is None:
        raise Refusal("not_found", f"there is no workspace `{workspace_id}`")
    return row


def listed(tx: Transaction, workspace_id: str, limit: int, after: str) -> list[Row]:
    """This workspace and those its people created, at most `limit` after a slug: tenants do not see each other."""
    ours = select(PERSON.c.id).where(PERSON.c.workspace_id == workspace_id)
    found = _visible().where(
        or_(WORKSPACE.c.id == workspace_id, WORKSPACE.c.created_by.in_(ours)), WORKSPACE.c.slug > after
    )
    return tx.rows(found.order_by(WORKSPACE.c.slug).limit(limit))


def _visible() -> Any:
    return select(*(field for field in WORKSPACE.c if field.name != "key"))
