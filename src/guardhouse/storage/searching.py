"""Searching full text on both databases, in plain words that need no library: what a search asks, and of whom.

The tables are those that `fulltext` keeps. Who asks hands in an `Asking`; nothing here knows how a database is reached, so
that a process which reads and does nothing else can search without loading what the others need.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from guardhouse.model import canonical
from guardhouse.storage.wording import mark

TSVECTOR = "array_to_tsvector(string_to_array(terms, ' '))"
"""The indexed expression on PostgreSQL; the migration and every query MUST write it the same way."""

FEW = 8_000
"""Up to how many matches it is cheaper to gather all of them than to walk the rows from the newest."""


class Asking(Protocol):
    """A database as a search asks it. `dialect` is `sqlite` or `postgresql`."""

    dialect: str

    def one(self, sql: str, values: Mapping[str, Any]) -> Any:
        """The one value that a question gives; its values stand in it as `:name`."""


class Source(Protocol):
    """A database as a process that only reads has opened it. `lost`: nothing can be read from it any more."""

    @property
    def lost(self) -> bool: ...

    def reading(self, seconds: float) -> AbstractContextManager[Asking]:
        """A snapshot that holds everything committed by now and cannot write; what takes longer ends with an error."""

    def late(self, error: Exception) -> bool:
        """Whether it was this error."""

    def close(self) -> None:
        """Let go of it."""


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
    asking: Asking,
    table: str,
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
    form = _picked_postgresql if asking.dialect == "postgresql" else _picked_sqlite
    sql, bound = form(table, workspace_id, search, columns, only)
    bound |= {**values, "workspace": workspace_id, "most": search.limit}
    count, rows = _unpacked(asking, sql, bound)
    return list(rows or ()), count > search.limit


_PREFERRED = (
    "SELECT place FROM (SELECT place, number, 0 AS turn FROM whole UNION ALL SELECT place, number, 1 FROM likely)"
    " AS both_of_them GROUP BY place, number ORDER BY min(turn), number DESC LIMIT :most"
)


def _picked_postgresql(
    table: str, workspace_id: str, search: Search, columns: Sequence[str], only: str
) -> tuple[str, dict[str, Any]]:
    query = partial(search.query, workspace_id, "'", " & ", " | ")

    def matched(bound: str, also: str = "") -> str:
        return (
            f"SELECT ctid AS place, number{also} FROM {table} "  # noqa: S608  # a table's own name; the values are bound
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
        f"(SELECT json_agg(json_build_array({taken})) FROM {table} AS it "
        f"WHERE it.ctid = ANY(ARRAY({places})) AND ({only}))) AS text)"
    ), values


def _picked_sqlite(
    table: str, workspace_id: str, search: Search, columns: Sequence[str], only: str
) -> tuple[str, dict[str, Any]]:
    query = partial(search.query, workspace_id, '"', " AND ", " OR ")

    def matched(bound: str, most: str) -> str:
        name = f"{table}_text"
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
        f"json((SELECT json_group_array(json_array({taken})) FROM {table} AS it "
        f"WHERE it.workspace_id = :workspace AND it.id IN ({places}) AND ({only}))))"
    ), values


def rows(
    asking: Asking, table: str, workspace_id: str, ids: Collection[str], columns: Sequence[str]
) -> list[list[Any]]:
    """These columns of rows by id, in no order."""
    taken = ", ".join(columns)
    if asking.dialect == "postgresql":
        gather, among = "CAST(json_agg(json_build_array({})) AS text)", "= ANY(CAST(:ids AS text[]))"
        sought: Any = list(ids)
    else:
        gather, among = "json_group_array(json_array({}))", "IN (SELECT value FROM json_each(:ids))"
        sought = canonical.encode(list(ids)).decode()
    sql = f"SELECT {gather.format(taken)} FROM {table} WHERE workspace_id = :workspace AND id {among}"  # noqa: S608  # names of ours; the values are bound
    return _unpacked(asking, sql, {"workspace": workspace_id, "ids": sought})


@dataclass(frozen=True, slots=True)
class Counted:
    """In how many rows of a workspace each term stands (terms that stand in none are left out), and about how many rows
    the table holds in all workspaces; -1 where the database does not know."""

    documents: dict[str, int]
    rows: int

    def alone(self, own: int) -> bool:
        """Whether a workspace with `own` rows has the table nearly to itself."""
        return 0 <= self.rows <= own + own // 8


def counted_terms(asking: Asking, table: str, counts: str, workspace_id: str, terms: Collection[str]) -> Counted:
    """How often each term stands in the rows of `table`, which `counts` keeps."""
    if asking.dialect == "postgresql":
        sql = (
            "SELECT CAST(json_build_array((SELECT json_agg(json_build_array(term, documents)) "  # noqa: S608  # names of ours; the values are bound
            f"FROM {counts} WHERE workspace_id = :workspace AND term = ANY(CAST(:terms AS text[])) AND documents > 0), "
            f"(SELECT CAST(reltuples AS bigint) FROM pg_class WHERE oid = to_regclass('{table}'))) AS text)"
        )
        sought: Any = sorted(terms)
    else:
        sql = (
            "SELECT json_array(json((SELECT json_group_array(json_array(term, documents)) "  # noqa: S608  # names of ours; the values are bound
            f"FROM {counts} WHERE workspace_id = :workspace AND term IN (SELECT value FROM json_each(:terms)) "
            f"AND documents > 0)), (SELECT rowid FROM {table}_text ORDER BY rowid DESC LIMIT 1))"
        )
        sought = canonical.encode(sorted(terms)).decode()
    found, rows = _unpacked(asking, sql, {"workspace": workspace_id, "terms": sought})
    return Counted(dict(found or ()), -1 if rows is None else rows)


def _unpacked(asking: Asking, sql: str, values: Mapping[str, Any]) -> list[Any]:
    """The list that a query gives as one JSON text; nothing is the empty list."""
    packed = asking.one(sql, values)
    return list(canonical.decode(packed.encode())) if packed else []
