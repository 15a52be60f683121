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
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import Connection, Table, func, select, text
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


def purge(tx: Transaction, table: Table) -> None:
    """Let no word of rows that were taken out stay in the index's own pages. Writes the index anew: 0.2 s for 50,000 rows.

    FTS5 only notes what is deleted, until it merges. PostgreSQL's index goes with its rows.
    """
    if tx.dialect == "sqlite":
        name = f"{table.name}_text"
        tx.execute(text(f"INSERT INTO {name} ({name}) VALUES ('optimize')"))  # noqa: S608  # a table's own name


@dataclass(frozen=True, slots=True)
class Search:
    """Rows that hold every token of `every` and at least one of `some`, at most `limit` of them, the newest; those that
    hold all of `first` before any other.

    `expected`: how many can match at most, where that is known. PostgreSQL knows too little of words, and
    would walk the whole table in order to find a few; up to `FEW` it is told to gather them from the index.
    `alone`: nearly every row of the table is of this workspace (`Counted.alone`), so that its mark would narrow nothing.
    """

    every: Collection[str]
    some: Collection[str] = ()
    first: Collection[str] = ()
    limit: int = 100
    expected: int | None = None
    alone: bool = False

    def required(self, workspace_id: str) -> list[str]:
        """The tokens that every row must hold. Reading through all rows that hold a workspace's mark costs more than the rest of a search."""
        if self.alone and (self.every or self.some):
            return list(self.every)
        return [mark("ws", workspace_id), *self.every]

    def query(self, workspace_id: str, quote: str, both: str, either: str, *extra: str) -> str:
        """All of it, and the tokens `extra` as required too, with a database's own quote and words for and and or."""
        tokens = [f"{quote}{token}{quote}" for token in (*self.required(workspace_id), *extra)]
        if self.some:
            tokens.append("(" + either.join(f"{quote}{token}{quote}" for token in self.some) + ")")
        return both.join(tokens)


def picked(
    connection: Connection,
    table: Table,
    workspace_id: str,
    search: Search,
    *,
    columns: Sequence[str],
    only: str,
    values: Mapping[str, Any],
) -> tuple[list[list[Any]], bool]:
    """These columns of each row that the search finds and `only` (a condition on `it`, with bound `values`) lets through,
    in no order; and whether more matched than its limit.

    `table` has `workspace_id`, `id`, `number` (its order of arrival in the workspace) and `terms`, which
    begin with `marks_of(workspace_id, id)`. The database hands everything over in one row: each question costs a round
    trip, and a thread that fetches many rows asks for the interpreter with each of them.
    """
    form = _picked_postgresql if connection.dialect.name == "postgresql" else _picked_sqlite
    sql, bound = form(table, workspace_id, search, columns, only)
    bound |= {**values, "workspace": workspace_id, "most": search.limit}
    count, rows = _unpacked(connection, sql, bound)
    return list(rows or ()), count > search.limit


_PREFERRED = (
    "SELECT place FROM (SELECT place, number, 0 AS turn FROM whole UNION ALL SELECT place, number, 1 FROM likely)"
    " AS both_of_them GROUP BY place, number ORDER BY min(turn), number DESC LIMIT :most"
)


def _picked_postgresql(
    table: Table, workspace_id: str, search: Search, columns: Sequence[str], only: str
) -> tuple[str, dict[str, Any]]:
    query = partial(search.query, workspace_id, "'", " & ", " | ")

    def matched(bound: str, also: str = "") -> str:
        return (
            f"SELECT ctid AS place, number{also} FROM {table.name} "  # noqa: S608  # a table's own name; the values are bound
            f"WHERE workspace_id = :workspace AND {TSVECTOR} @@ CAST({bound} AS tsquery)"
        )

    values: dict[str, Any] = {"query": query()}
    if search.expected is not None and search.expected <= FEW:
        # Each row that matches is looked at anyway, which costs less than asking the index for all words together.
        order, whole = "number DESC", ""
        if search.first:
            order, whole = "whole DESC, number DESC", ", (terms || ' ') LIKE ALL (CAST(:first AS text[])) AS whole"
            values["first"] = [f"% {token} %" for token in search.first]
        parts = f"likely AS MATERIALIZED ({matched(':query', whole)})"
        places = f"SELECT place FROM likely ORDER BY {order} LIMIT :most"  # noqa: S608
    else:
        newest = "ORDER BY number DESC LIMIT :most"
        parts, places = (
            f"likely AS MATERIALIZED ({matched(':query')} {newest} + 1)",
            f"SELECT place FROM likely {newest}",  # noqa: S608
        )
        if search.first:
            parts += f", whole AS MATERIALIZED ({matched(':narrow')} {newest})"
            values["narrow"] = query(*search.first)
            places = _PREFERRED
    taken = ", ".join(f"it.{column}" for column in columns)
    return (
        f"WITH {parts} SELECT CAST(json_build_array((SELECT count(*) FROM likely), "  # noqa: S608  # names of ours; the values are bound
        f"(SELECT json_agg(json_build_array({taken})) FROM {table.name} AS it "
        f"WHERE it.ctid = ANY(ARRAY({places})) AND ({only}))) AS text)"
    ), values


def _picked_sqlite(
    table: Table, workspace_id: str, search: Search, columns: Sequence[str], only: str
) -> tuple[str, dict[str, Any]]:
    query = partial(search.query, workspace_id, '"', " AND ", " OR ")

    def matched(bound: str, most: str) -> str:
        name = f"{table.name}_text"
        return (
            f"SELECT id AS place, rowid AS number FROM {name} "  # noqa: S608  # a table's own name; the values are bound
            f"WHERE {name} MATCH {bound} AND workspace_id = :workspace ORDER BY rowid DESC LIMIT {most}"
        )

    values: dict[str, Any] = {"query": query()}
    parts = f"likely AS MATERIALIZED ({matched(':query', ':most + 1')})"
    places = "SELECT place FROM likely ORDER BY number DESC LIMIT :most"
    if search.first:
        parts += f", whole AS MATERIALIZED ({matched(':narrow', ':most')})"
        values["narrow"] = query(*search.first)
        places = _PREFERRED
    taken = ", ".join(f"it.{column}" for column in columns)
    return (
        f"WITH {parts} SELECT json_array((SELECT count(*) FROM likely), "  # noqa: S608  # names of ours; the values are bound
        f"json((SELECT json_group_array(json_array({taken})) FROM {table.name} AS it "
        f"WHERE it.workspace_id = :workspace AND it.id IN ({places}) AND ({only}))))"
    ), values


def rows(
    connection: Connection, table: Table, workspace_id: str, ids: Collection[str], columns: Sequence[str]
) -> list[list[Any]]:
    """These columns of rows by id, in no order."""
    taken = ", ".join(columns)
    if connection.dialect.name == "postgresql":
        gather, among = "CAST(json_agg(json_build_array({})) AS text)", "= ANY(CAST(:ids AS text[]))"
        sought: Any = list(ids)
    else:
        gather, among = "json_group_array(json_array({}))", "IN (SELECT value FROM json_each(:ids))"
        sought = canonical.encode(list(ids)).decode()
    sql = f"SELECT {gather.format(taken)} FROM {table.name} WHERE workspace_id = :workspace AND id {among}"  # noqa: S608  # names of ours; the values are bound
    return _unpacked(connection, sql, {"workspace": workspace_id, "ids": sought})


_text = lru_cache(maxsize=64)(text)
"""Texts of ours are few, and reading one for its bound names costs more than many of them run."""


def _unpacked(connection: Connection, sql: str, values: Mapping[str, Any]) -> list[Any]:
    """The list that a query gives as one JSON text; nothing is the empty list."""
    packed = connection.execute(_text(sql), values).scalar_one()
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


@dataclass(frozen=True, slots=True)
class Counted:
    """In how many rows of a workspace each term stands (terms that stand in none are left out), and about how many rows
    the table holds in all workspaces; -1 where the database does not know."""

    documents: dict[str, int]
    rows: int

    def alone(self, own: int) -> bool:
        """Whether a workspace with `own` rows has the table nearly to itself."""
        return 0 <= self.rows <= own + own // 8


def counted_terms(
    connection: Connection, table: Table, counts: Table, workspace_id: str, terms: Collection[str]
) -> Counted:
    """How often each term stands in the rows of `table`, which `counts` keeps."""
    if connection.dialect.name == "postgresql":
        sql = (
            "SELECT CAST(json_build_array((SELECT json_agg(json_build_array(term, documents)) "  # noqa: S608  # names of ours; the values are bound
            f"FROM {counts.name} WHERE workspace_id = :workspace AND term = ANY(CAST(:terms AS text[])) AND documents > 0), "
            f"(SELECT CAST(reltuples AS bigint) FROM pg_class WHERE oid = to_regclass('{table.name}'))) AS text)"
        )
        sought: Any = sorted(terms)
    else:
        sql = (
            "SELECT json_array(json((SELECT json_group_array(json_array(term, documents)) "  # noqa: S608  # names of ours; the values are bound
            f"FROM {counts.name} WHERE workspace_id = :workspace AND term IN (SELECT value FROM json_each(:terms)) "
            f"AND documents > 0)), (SELECT rowid FROM {table.name}_text ORDER BY rowid DESC LIMIT 1))"
        )
        sought = canonical.encode(sorted(terms)).decode()
    found, rows = _unpacked(connection, sql, {"workspace": workspace_id, "terms": sought})
    return Counted(dict(found or ()), -1 if rows is None else rows)


def newest(connection: Connection, table: Table, workspace_id: str) -> int:
    """The highest `number` given in a workspace, or 0."""
    return int(
        connection.execute(
            select(func.coalesce(func.max(table.c.number), 0)).where(table.c.workspace_id == workspace_id)
        ).scalar_one()
    )
