"""Full text on both databases: what is kept so that `searching` finds it.

A searchable table has a column `terms`: tokens, separated by single spaces, a token as often
as it weighs. Both databases index exactly these tokens and interpret nothing in them, so that the same
query finds the same rows on both: SQLite through an FTS5 table `<table>_text` that `index` and `unindex`
keep (a trigger may not, since the store trusts no schema), PostgreSQL through
a GIN index over the expression `searching.TSVECTOR`. `wording` makes the tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table, func, select, text
from sqlalchemy.dialects import postgresql, sqlite

from guardhouse.storage.store import Transaction
from guardhouse.storage.wording import marks_of


def index(tx: Transaction, table: Table, workspace_id: str, row_id: str, terms: str) -> None:
    """Let a row that was just inserted be found. PostgreSQL does so by itself."""
    if tx.dialect == "sqlite":
        tx.execute(
            text(f"INSERT INTO {table.name}_text (workspace_id, id, terms) VALUES (:workspace, :id, :terms)"),  # noqa: S608  # a table's own name
            {"workspace": workspace_id, "id": row_id, "terms": terms},
        )


def unindex(tx: Transaction, table: Table, workspace_id: str, row_id: str) -> None:
    """Let a row be found no longer; the caller blanks its `terms`."""
    if tx.dialect == "sqlite":
        name = f"{table.name}_text"
        tx.execute(
            text(f"DELETE FROM {name} WHERE rowid IN (SELECT rowid FROM {name} WHERE {name} MATCH :query)"),  # noqa: S608  # a table's own name
            {"query": " AND ".join(f'"{token}"' for token in marks_of(workspace_id, row_id))},
        )


def purge(tx: Transaction, table: Table) -> None:
    """Let no word of rows that were taken out stay in the index's own pages. Writes the index anew: 0.2 s for 50,000 rows.

    FTS5 only notes what is deleted, until it merges. PostgreSQL's index goes with its rows.
    """
    if tx.dialect == "sqlite":
        name = f"{table.name}_text"
        tx.execute(text(f"INSERT INTO {name} ({name}) VALUES ('optimize')"))  # noqa: S608  # a table's own name


def count_terms(tx: Transaction, counts: Table, workspace_id: str, terms: Mapping[str, int]) -> None:
    """Add to the number of rows that hold each term. `counts` has (`workspace_id`, `term`) and `documents`."""
    rows = [
        {"workspace_id": workspace_id, "term": term, "documents": documents}
        for term, documents in sorted(terms.items())
    ]
    dialect = postgresql if tx.dialect == "postgresql" else sqlite
    adding = dialect.insert(counts)
    adding = adding.on_conflict_do_update(
        index_elements=["workspace_id", "term"],
        set_={"documents": counts.c.documents + adding.excluded.documents},
    )
    if rows:
        tx.execute(adding, rows)


def newest(connection: Connection, table: Table, workspace_id: str) -> int:
    """The highest `number` given in a workspace, or 0."""
    return int(
        connection.execute(
            select(func.coalesce(func.max(table.c.number), 0)).where(table.c.workspace_id == workspace_id)
        ).scalar_one()
    )


_text = lru_cache(maxsize=64)(text)
"""Texts of ours are few, and reading one for its bound names costs more than many of them run."""


class Connected:
    """A connection as a search asks it."""

    def __init__(self, connection: Connection) -> None:
        self.dialect: str = connection.dialect.name
        self._connection = connection

    def one(self, sql: str, values: Mapping[str, Any]) -> Any:
        """The one value that a question gives; its values stand in it as `:name`."""
        return self._connection.execute(_text(sql), values).scalar_one()
