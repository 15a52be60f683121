"""Memory: what agents learned, found again by words, tags and outcome, the recent before the old."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Index, select
from sqlmodel import SQLModel

from guardhouse.errors import Refusal
from guardhouse.guardrails.turns import turn
from guardhouse.model.canonical import decode, digest, encode
from guardhouse.model.ids import Ids
from guardhouse.model.instants import DAY, Micros
from guardhouse.storage import fulltext
from guardhouse.storage.columns import counter, identifier, instant, json_text, small, table_of, text
from guardhouse.storage.store import Transaction

OUTCOMES = ("success", "failure", "partial", "neutral")
SAME_WITHIN: Micros = DAY
"""The same content by the same agent about the same repository within this time is one memory, seen again."""
MOST_CANDIDATES = 128
"""How many memories one recall weighs; the rarest words choose them, the newest first."""
_DECAY_PER_DAY = 0.1
_WEIGHTS = {"summary": 3, "tags": 3, "lessons": 2, "details": 1, "event_type": 1, "outcome": 1}
"""How often a word counts by where it stands."""
_SATURATION, _LENGTH = 1.2, 0.6
"""BM25's k1 and b: how soon repetition stops to count, and how much long memories are held back."""

Row = dict[str, Any]


class Memory(SQLModel, table=True):
    """One memory. `terms` is what full text sees of it; `number` its order of arrival in the workspace."""

    __tablename__ = "memory"
    workspace_id: str = identifier(key=True)
    id: str = identifier(key=True)
    number: int = counter()
    agent_id: str = identifier()
    event_type: str = identifier()
    summary: str = text()
    details: str = text(default="")
    tags_json: str = json_text(default="[]")
    outcome: str = identifier(default="")
    lessons_json: str = json_text(default="[]")
    repository: str = text(default="")
    task_id: str = identifier(default="")
    terms: str = text()
    length: int = small()
    content_digest: str = identifier()
    seen: int = small(default=1)
    created_at: int = instant()
    last_at: int = instant()
    forgotten_at: int = instant(default=0)
    forgotten_by: str = identifier(default="")
    __table_args__ = (
        Index("memory_in_order", "workspace_id", "number", unique=True),
        Index("memory_by_content", "workspace_id", "agent_id", "content_digest", "last_at"),
    )


class MemorySource(SQLModel, table=True):
    """Which entries' payloads hold a memory's words, so that erasing one of them erases the copy."""

    __tablename__ = "memory_source"
    workspace_id: str = identifier(key=True)
    sequence: int = counter(key=True)
    memory_id: str = identifier()
    __table_args__ = (Index("memory_source_by_memory", "workspace_id", "memory_id", "sequence"),)


class MemoryTerm(SQLModel, table=True):
    """In how many memories of a workspace a term stands. The row with the empty term counts memories,
    the row ` ` (one space) their words."""

    __tablename__ = "memory_term"
    workspace_id: str = identifier(key=True)
    term: str = identifier(key=True)
    documents: int = counter(default=0)


MEMORY = table_of(Memory)
MEMORY_SOURCE = table_of(MemorySource)
MEMORY_TERM = table_of(MemoryTerm)

_ALL, _WORDS = "", " "


@dataclass(frozen=True, slots=True)
class Recalled:
    """One memory found. `score` is in millionths, so that it is the same number everywhere."""

    row: Row
    score: int


@dataclass(frozen=True, slots=True)
class Recollection:
    """What a recall found. `more`: others matched beyond `limit`. `weighed`: how many were compared;
    `complete` is false when there were more candidates than one recall weighs."""

    found: tuple[Recalled, ...]
    more: bool
    weighed: int
    complete: bool


def remember(
    tx: Transaction,
    ids: Ids,
    workspace_id: str,
    *,
    agent_id: str,
    event_type: str,
    summary: str,
    details: str = "",
    tags: Sequence[str] = (),
    outcome: str = "",
    lessons: Sequence[str] = (),
    repository: str = "",
    task_id: str = "",
    sequence: int = -1,
) -> tuple[Row, bool]:
    """Keep a memory; (its row, whether it is new).

    The same content by the same agent about the same repository within a day is seen again instead.
    """
    labels = sorted({tag.casefold() for tag in tags})
    same = _content_digest(event_type, summary, details, labels, outcome, lessons, repository)
    known = tx.row(
        select(MEMORY)
        .where(
            MEMORY.c.workspace_id == workspace_id,
            MEMORY.c.agent_id == agent_id,
            MEMORY.c.content_digest == same,
            MEMORY.c.last_at > tx.now - SAME_WITHIN,
            MEMORY.c.forgotten_at == 0,
        )
        .order_by(MEMORY.c.number.desc())
        .limit(1)
    )
    if known is not None:
        again = {"seen": known["seen"] + 1, "last_at": tx.now}
        tx.execute(MEMORY.update().where(*_is(workspace_id, known["id"])).values(**again))
        _add_source(tx, workspace_id, known["id"], sequence)
        return known | again, False
    weighed = _weighed(summary, details, labels, outcome, lessons, event_type)
    memory_id = ids.new("memory")
    marks = fulltext.marks_of(workspace_id, memory_id)
    marks += _marks(labels, event_type, outcome, agent_id, repository)
    row: Row = {
        "workspace_id": workspace_id,
        "id": memory_id,
        "number": fulltext.newest(tx.connection, MEMORY, workspace_id) + 1,
        "agent_id": agent_id,
        "event_type": event_type,
        "summary": summary,
        "details": details,
        "tags_json": encode(labels).decode(),
        "outcome": outcome,
        "lessons_json": encode(list(lessons)).decode(),
        "repository": repository,
        "task_id": task_id,
        "terms": " ".join([*marks, *(term for term in sorted(weighed) for _ in range(weighed[term]))]),
        "length": weighed.total(),
        "content_digest": same,
        "seen": 1,
        "created_at": tx.now,
        "last_at": tx.now,
        "forgotten_at": 0,
        "forgotten_by": "",
    }
    tx.execute(MEMORY.insert().values(**row))
    fulltext.index(tx, MEMORY, workspace_id, memory_id, row["terms"])
    _add_source(tx, workspace_id, row["id"], sequence)
    fulltext.count_terms(tx, MEMORY_TERM, workspace_id, {_ALL: 1, _WORDS: weighed.total(), **dict.fromkeys(weighed, 1)})
    return row, True


def _is(workspace_id: str, memory_id: str) -> tuple[Any, Any]:
    return MEMORY.c.workspace_id == workspace_id, MEMORY.c.id == memory_id


def _add_source(tx: Transaction, workspace_id: str, memory_id: str, sequence: int) -> None:
    if sequence >= 0:
        tx.execute(MEMORY_SOURCE.insert().values(workspace_id=workspace_id, sequence=sequence, memory_id=memory_id))


def _content_digest(
    event_type: str,
    summary: str,
    details: str,
    tags: Sequence[str],
    outcome: str,
    lessons: Sequence[str],
    repository: str,
) -> str:
    """What two memories that say the same of one repository have in common, whichever task they were made at.

    It is blanked with the words when they are erased. Those kept before the repository counted match none
    that is made now, so the first repetition after an update is a memory of its own.
    """

    def folded(prose: str) -> str:
        return " ".join(prose.casefold().split())

    lines = [folded(item) for item in lessons]
    return digest(encode([event_type, folded(summary), folded(details), list(tags), outcome, lines, repository]))


def _weighed(
    summary: str, details: str, tags: Sequence[str], outcome: str, lessons: Sequence[str], event_type: str
) -> Counter[str]:
    fields = {
        "summary": summary,
        "details": details,
        "tags": " ".join(tags),
        "lessons": " ".join(lessons),
        "event_type": event_type,
        "outcome": outcome,
    }
    weighed: Counter[str] = Counter()
    for name, prose in fields.items():
        for token in fulltext.tokens(prose):
            weighed[token] += _WEIGHTS[name]
    return weighed


def _marks(tags: Sequence[str], event_type: str, outcome: str, agent_id: str, repository: str) -> list[str]:
    """The tokens that stand for exact values; an empty value has none."""
    values = [("tag", tag) for tag in tags]
    values += [("type", event_type), ("outcome", outcome), ("agent", agent_id), ("repo", repository)]
    return [fulltext.mark(kind, value) for kind, value in values if value]


def recall(
    connection: Connection,
    workspace_id: str,
    now: Micros,
    *,
    query: str = "",
    tags: Collection[str] = (),
    event_type: str = "",
    outcome: str = "",
    agent_id: str = "",
    repository: str = "",
    limit: int = 10,
    below: int | None = None,
) -> Recollection:
    """The memories that speak most of `query`, the most relevant first; without a query, the newest.

    A query of words that say nothing by themselves (`the`, `???`) finds nothing.

    `tags` (all of them), `event_type`, `outcome`, `agent_id` and `repository` narrow exactly. Relevance
    is BM25 over the stored term counts, times exp(-0.1 * days since it was last seen): the same number
    on both databases for the same content and clock. `below` is the tree size that may be seen.
    """
    marks = _marks(sorted({tag.casefold() for tag in tags}), event_type, outcome, agent_id, repository)
    asked = list(dict.fromkeys(fulltext.tokens(query)))
    counted = fulltext.counted_terms(connection, MEMORY, MEMORY_TERM, workspace_id, [*asked, _ALL, _WORDS])
    counts = counted.documents
    terms = sorted((term for term in asked if term in counts), key=lambda term: (counts[term], term))
    if query.strip() and not terms:
        return Recollection((), more=False, weighed=0, complete=True)
    search = _search(marks, terms, counts, alone=counted.alone(counts.get(_ALL, 0)))
    candidates, some_left = _candidates(connection, workspace_id, search, now, below)
    complete = not some_left and len(search.some) == len(terms)
    scored = _scored(candidates, terms, counts, now)
    best = scored[:limit]
    rows = _rows(connection, workspace_id, [row_id for *_order, row_id in best])
    found = tuple(Recalled(rows[row_id], -score) for score, *_order, row_id in best)
    return Recollection(found, len(scored) > limit or not complete, len(scored), complete)


def _search(marks: Sequence[str], terms: Sequence[str], counts: Mapping[str, int], *, alone: bool) -> fulltext.Search:
    """What finds the memories worth weighing; `terms` are given rarest first.

    The rarest terms choose, as many as together stay within the bound; where even these are common,
    the memories that hold every term come first.
    """
    rare = [*terms[:1]]
    for term in terms[1:]:
        if sum(counts[one] for one in (*rare, term)) > MOST_CANDIDATES:
            break
        rare.append(term)
    expected = sum(counts[term] for term in rare) if rare else None
    crowded = expected is not None and expected > MOST_CANDIDATES
    return fulltext.Search(
        marks, rare, terms[1:] if crowded else (), limit=MOST_CANDIDATES, expected=expected, alone=alone
    )


def _candidates(
    connection: Connection, workspace_id: str, search: fulltext.Search, now: Micros, below: int | None
) -> tuple[list[list[Any]], bool]:
    """The memories worth weighing that may be seen, as `_scored` needs them, and whether there are others."""
    seen = "it.forgotten_at = 0 AND it.created_at <= :now"
    if below is not None:
        # Almost none was told of since, so that is asked once; only of those, whether an earlier entry told of it as well.
        seen += (
            " AND (it.id NOT IN (SELECT later.memory_id FROM memory_source AS later"
            " WHERE later.workspace_id = :workspace AND later.sequence >= :below)"
            " OR EXISTS (SELECT 1 FROM memory_source AS source WHERE source.workspace_id = :workspace"
            " AND source.memory_id = it.id AND source.sequence < :below))"
        )
    return fulltext.picked(
        connection,
        MEMORY,
        workspace_id,
        search,
        columns=("id", "number", "last_at", "length", "terms"),
        only=seen,
        values={"now": now} | ({} if below is None else {"below": below}),
    )


def _scored(
    candidates: Sequence[Sequence[Any]], terms: Sequence[str], counts: Mapping[str, int], now: Micros
) -> list[tuple[int, int, int, str]]:
    """Each candidate as (score, last seen, number, id), the first three negative: the best first."""
    memories = max(1, counts.get(_ALL, 1))
    usual = max(1.0, counts.get(_WORDS, 0) / memories)
    rarities = [math.log(1 + (memories - counts[term] + 0.5) / (counts[term] + 0.5)) for term in terms]
    sought = [(f" {term} ", len(term) + 1, rarity) for term, rarity in zip(terms, rarities, strict=True)]
    scored = []
    for row_id, number, last_at, length, held in candidates:
        turn()
        padded = f" {held} "
        relevance = 0.0 if terms else 1.0
        held_back = _SATURATION * (1 - _LENGTH + _LENGTH * length / usual)
        for term, width, rarity in sought:
            start = padded.find(term)
            if start >= 0:  # a term stands as often as it weighs, one beside the other
                times = (padded.rfind(term) - start) // width + 1
                relevance += rarity * times * (_SATURATION + 1) / (times + held_back)
        decay = math.exp(-_DECAY_PER_DAY * max(0, now - last_at) / DAY)
        scored.append((-round(relevance * decay * 1_000_000), -last_at, -number, row_id))
    scored.sort()
    return scored


_SHOWN = tuple(column.name for column in MEMORY.c if column.name not in ("workspace_id", "terms"))


def _rows(connection: Connection, workspace_id: str, ids: Sequence[str]) -> dict[str, Row]:
    """Memories by id, as a recall shows them: without the terms that they were found by."""
    found = fulltext.rows(connection, MEMORY, workspace_id, ids, _SHOWN)
    return {row["id"]: row for row in (dict(zip(_SHOWN, values, strict=True)) for values in found)}


def forget(tx: Transaction, workspace_id: str, memory_id: str, *, by: str, own_only: bool) -> list[int]:
    """Take a memory out of every recall and mark it for erasure; the entries whose payloads hold its words.

    With `own_only`, another's memory is refused with `not_author`. Forgetting again changes nothing.
    Refusal `not_found`.
    """
    row = tx.row(select(MEMORY).where(*_is(workspace_id, memory_id)))
    if row is None:
        raise Refusal("not_found", f"there is no memory `{memory_id}`")
    if own_only and row["agent_id"] != by:
        raise Refusal("not_author", f"memory `{memory_id}` is another's; a person can have it forgotten")
    if not row["forgotten_at"]:
        _withdraw(tx, row)
        tx.execute(
            MEMORY.update().where(*_is(workspace_id, memory_id)).values(forgotten_at=tx.now, forgotten_by=by, terms="")
        )
    sources = tx.execute(
        select(MEMORY_SOURCE.c.sequence)
        .where(MEMORY_SOURCE.c.workspace_id == workspace_id, MEMORY_SOURCE.c.memory_id == memory_id)
        .order_by(MEMORY_SOURCE.c.sequence)
    )
    return list(sources.scalars())


def _withdraw(tx: Transaction, row: Row) -> None:
    """Take a memory out of the index and the counts; the caller blanks its terms."""
    fulltext.unindex(tx, MEMORY, row["workspace_id"], row["id"])
    held = {term for term in row["terms"].split() if ":" not in term or term.startswith("u:")}
    fulltext.count_terms(
        tx, MEMORY_TERM, row["workspace_id"], {_ALL: -1, _WORDS: -row["length"], **dict.fromkeys(held, -1)}
    )
    # A word that stands nowhere any more must not be read from the counts.
    tx.execute(
        MEMORY_TERM.delete().where(
            MEMORY_TERM.c.workspace_id == row["workspace_id"],
            MEMORY_TERM.c.documents <= 0,
            MEMORY_TERM.c.term.in_(sorted(held)),
        )
    )


def erase(tx: Transaction, workspace_id: str, sequence: int) -> list[str]:
    """Blank the memory whose words the entry at `sequence` brought; its id, or nothing."""
    rows = tx.rows(
        select(MEMORY)
        .join(
            MEMORY_SOURCE,
            (MEMORY_SOURCE.c.workspace_id == MEMORY.c.workspace_id) & (MEMORY_SOURCE.c.memory_id == MEMORY.c.id),
        )
        .where(MEMORY_SOURCE.c.workspace_id == workspace_id, MEMORY_SOURCE.c.sequence == sequence)
    )
    for row in rows:
        if not row["forgotten_at"]:
            _withdraw(tx, row)
        tx.execute(
            MEMORY.update()
            .where(*_is(workspace_id, row["id"]))
            .values(
                summary="",
                details="",
                tags_json="[]",
                lessons_json="[]",
                terms="",
                content_digest="",
                forgotten_at=row["forgotten_at"] or tx.now,
            )
        )
    return [row["id"] for row in rows]


def purge(tx: Transaction) -> None:
    """After erasing, once: no erased word stays in the index's own pages."""
    fulltext.purge(tx, MEMORY)


def tags_of(row: Row) -> tuple[str, ...]:
    """A memory's tags."""
    return tuple(decode(row["tags_json"]))


def lessons_of(row: Row) -> tuple[str, ...]:
    """What was learned."""
    return tuple(decode(row["lessons_json"]))
