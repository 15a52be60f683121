"""Repositories that a person vouched for: only then may a permit rest on a repository's name."""

from __future__ import annotations

from sqlalchemy.dialects import postgresql, sqlite

from guardhouse.governance.tables import REPOSITORY
from guardhouse.storage.store import Transaction


def register(tx: Transaction, workspace_id: str, name: str, by_id: str) -> bool:
    """Vouch for a repository's name; whether it was new."""
    values = {"workspace_id": workspace_id, "name": name, "registered_by": by_id, "registered_at": tx.now}
    dialect = postgresql if tx.dialect == "postgresql" else sqlite
    vouching = dialect.insert(REPOSITORY).values(values).on_conflict_do_nothing(index_elements=["workspace_id", "name"])
    return tx.row(vouching.returning(REPOSITORY.c.name)) is not None
