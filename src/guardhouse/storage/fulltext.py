"""Full text on both databases: one tokenisation of our own, and the one place that knows FTS5 and tsvector.

A searchable table has a column `terms`: tokens made here, separated by single spaces, a token as often
as it weighs. Both databases index exactly these tokens and interpret nothing in them, so that the same
query finds the same rows on both: SQLite through an FTS5 table `<table>_text` that `index` and `unindex`
keep (a trigger may not, since the store trusts no schema), PostgreSQL through a GIN index over the expression `TSVECTOR`. Tokens are ASCII; a word that is not is
spelled as `u:` and the hexadecimal of its UTF-8 form. Marks (`mark("tag", "api")`) are tokens that no
word can make, for exact matches.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, bindparam, func, select, text
from sqlalchemy.dialects import postgresql, sqlite

from guardhouse.model import canonical
from guardhouse.storage.store import Transaction

TSVECTOR = "array_to_tsvector(string_to_array(terms, ' '))"
"""The indexed expression on PostgreSQL; the migration and every query MUST write it the same way."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W_]+")
_IDEOGRAPHS = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+")
_MARK = re.compile(r"[^a-z0-9_.-]")
_LONGEST = 60
FEW = 8_000
"""Up to how many matches it is cheaper to gather all of them than to walk the rows from the newest."""
_STOP = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "did",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "of",
        "on",
        "or",
        "our",
        "so",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "to",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "why",
        "will",
        "with",
        "you",
        "your",
    ]
)


def tokens(prose: str) -> list[str]:
    """The tokens of a text in order: folded, `camelCase` and `snake_case` taken apart, plurals and singulars made one."""
    found: list[str] = []
    for word in _WORD.findall(_CAMEL.sub(" ", unicodedata.normalize("NFKC", prose))):
        folded = unicodedata.normalize("NFKC", word.casefold())
        if folded.isascii():
            if folded not in _STOP:
                found.append(_singular(folded)[:_LONGEST])
        else:
            found.extend(_spelled(part) for part in _pieces(folded))
    return found


def _pieces(word: str) -> list[str]:
    """Scripts without spaces are cut into overlapping pairs; other words stay whole."""
    if not _IDEOGRAPHS.fullmatch(word) or len(word) < 3:
        return [word]
    return [word[start : start + 2] for start in range(len(word) - 1)]


def _spelled(word: str) -> str:
    return "u:" + word.encode().hex()[:_LONGEST]


def _singular(word: str) -> str:
    """One form for singular and plural: `policy` and `policies`, `cookie` and `cookies`. Not always a word."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-2]
    if len(word) > 4 and word.endswith("ie"):
        return word[:-1]
    if len(word) > 3 and word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "i"
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def mark(kind: str, value: str) -> str:
    """A token that stands for an exact value: `tag:api-v2`."""
    folded = value.casefold()
    return f"{kind}:{folded if not _MARK.search(folded) else 'x' + folded.encode().hex()}"


def marks_of(workspace_id: str, row_id: str) -> list[str]:
    """The two marks that every row's terms begin with: where it lies and which it is."""
    return [mark("ws", workspace_id), mark("id", row_id)]


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


@dataclass(frozen=True, slots=True)
class Search:
    """Rows that hold every token of `every` and at least one of `some`, at most `limit` of them, the newest.

    `expected`: how many can match at most, where that is known. PostgreSQL knows too little of words, and
    would walk the whole table in order to find a few; up to `FEW` it is told to gather them from the index.
    """

    every: Collection[str]
    some: Collection[str] = ()
    limit: int = 100
    expected: int | None = None


def matching(connection: Connection, table: Table, workspace_id: str, *searches: Search) -> list[list[str]]:
    """The ids that each search finds, newest first. However many searches, one question, since each costs a round trip.

    `table` has `workspace_id`, `id`, `number` (its order of arrival in the workspace) and `terms`, which
    begin with `marks_of(workspace_id, id)`.
    """
    postgres = connection.dialect.name == "postgresql"
    form = _searched_postgresql if postgres else _searched_sqlite
    parts, values = [], {"workspace": workspace_id}
    for number, search in enumerate(searches):
        sql, values[f"query_{number}"] = form(table, workspace_id, search, f":query_{number}")
        parts.append(sql)
    if postgres:
        packed = f"SELECT CAST(json_build_array({', '.join(parts)}) AS text)"
    else:
        packed = f"SELECT json_array({', '.join(parts)})"
        del values["workspace"]
    return [[str(row_id) for row_id in found or ()] for found in _unpacked(connection, packed, values)]


def _searched_postgresql(table: Table, workspace_id: str, search: Search, bound: str) -> tuple[str, str]:
    query = " & ".join(f"'{token}'" for token in (mark("ws", workspace_id), *search.every))
    if search.some:
        query += " & (" + " | ".join(f"'{token}'" for token in search.some) + ")"
    matched = (
        f"SELECT id, number FROM {table.name} WHERE workspace_id = :workspace "  # noqa: S608  # a table's own name and a number; the values are bound
        f"AND {TSVECTOR} @@ CAST({bound} AS tsquery)"
    )
    newest_first = f"ORDER BY number DESC LIMIT {int(search.limit)}"
    found = f"{matched} {newest_first}"
    if search.expected is not None and search.expected <= FEW:
        found = f"WITH matched AS MATERIALIZED ({matched}) SELECT id, number FROM matched {newest_first}"  # noqa: S608
    return f"(SELECT json_agg(id ORDER BY number DESC) FROM ({found}) AS found)", query  # noqa: S608


def _searched_sqlite(table: Table, workspace_id: str, search: Search, bound: str) -> tuple[str, str]:
    query = " AND ".join(f'"{token}"' for token in (mark("ws", workspace_id), *search.every))
    if search.some:
        query += " AND (" + " OR ".join(f'"{token}"' for token in search.some) + ")"
    name = f"{table.name}_text"
    found = f"SELECT id FROM {name} WHERE {name} MATCH {bound} ORDER BY rowid DESC LIMIT {int(search.limit)}"  # noqa: S608  # a table's own name and a number; the query is bound
    return f"json((SELECT json_group_array(id) FROM ({found})))", query  # noqa: S608


def picked(
    connection: Connection,
    table: Table,
    workspace_id: str,
    chosen: Collection[str],
    *,
    columns: Sequence[str],
    only: str,
    values: Mapping[str, Any],
) -> list[list[Any]]:
    """These columns of each of the `chosen` rows that `only` (a condition on `it`, with bound `values`) lets through, in no order.

    The database hands everything over in one row: a thread that fetches many asks for the interpreter with each of them.
    """
    postgres = connection.dialect.name == "postgresql"
    build, aggregate = ("json_build_array", "json_agg") if postgres else ("json_array", "json_group_array")
    among = "= ANY(CAST(:chosen AS text[]))" if postgres else "IN (SELECT value FROM json_each(:chosen))"
    taken = ", ".join(f"it.{column}" for column in columns)
    packed = (
        f"SELECT CAST({aggregate}({build}({taken})) AS text) FROM {table.name} AS it "  # noqa: S608  # names of ours; the values are bound
        f"WHERE it.workspace_id = :workspace AND it.id {among} AND ({only})"
    )
    ids = list(chosen) if postgres else canonical.encode(list(chosen)).decode()
    return _unpacked(connection, packed, {**values, "workspace": workspace_id, "chosen": ids})


def _unpacked(connection: Connection, sql: str, values: Mapping[str, Any]) -> list[Any]:
    """The list that a query gives as one JSON text; nothing is the empty list."""
    packed = connection.execute(text(sql), values).scalar_one()
    return list(canonical.decode(packed.encode())) if packed else []


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


def counted_terms(connection: Connection, counts: Table, workspace_id: str, terms: Collection[str]) -> dict[str, int]:
    """In how many rows each term stands; terms that stand in none are left out."""
    rows = connection.execute(
        select(counts.c.term, counts.c.documents).where(
            counts.c.workspace_id == workspace_id,
            counts.c.term.in_(bindparam("terms", expanding=True)),
            counts.c.documents > 0,
        ),
        {"terms": sorted(terms)},
    )
    return {row.term: row.documents for row in rows}


def newest(connection: Connection, table: Table, workspace_id: str) -> int:
    """The highest `number` given in a workspace, or 0."""
    return int(
        connection.execute(
            select(func.coalesce(func.max(table.c.number), 0)).where(table.c.workspace_id == workspace_id)
        ).scalar_one()
    )
