"""Memory: what agents learned, found again by words, tags and outcome, the recent before the old."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Index, select
from sqlmodel import SQLModel

from guardhouse.errors import Refusal
from guardhouse.guardrails.turns import turn
from guardhouse.model.canonical import decode, digest, encode
from guardhouse.model.ids import Ids
from guardhouse.model.instants import DAY, Micros
from guardhouse.services import recalling
from guardhouse.services.recalling import ALL, MEMORIES, SOURCES, TERMS, WORDS, Recollection, Row
from guardhouse.storage import fulltext, wording
from guardhouse.storage.columns import counter, identifier, instant, json_text, small, table_of, text
from guardhouse.storage.store import Transaction

OUTCOMES = ("success", "failure", "partial", "neutral")
SAME_WITHIN: Micros = DAY
"""The same content by the same agent about the same repository within this time is one memory, seen again."""
_WEIGHTS = {"summary": 3, "tags": 3, "lessons": 2, "details": 1, "event_type": 1, "outcome": 1}
"""How often a word counts by where it stands."""


class Memory(SQLModel, table=True):
    """One memory. `terms` is what full text sees of it; `number` its order of arrival in the workspace."""

    __tablename__ = MEMORIES
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

    __tablename__ = SOURCES
    workspace_id: str = identifier(key=True)
    sequence: int = counter(key=True)
    memory_id: str = identifier()
    __table_args__ = (Index("memory_source_by_memory", "workspace_id", "memory_id", "sequence"),)


class MemoryTerm(SQLModel, table=True):
    """In how many memories of a workspace a term stands. The row with the empty term counts memories,
    the row ` ` (one space) their words."""

    __tablename__ = TERMS
    workspace_id: str = identifier(key=True)
    term: str = identifier(key=True)
    documents: int = counter(default=0)


MEMORY = table_of(Memory)
MEMORY_SOURCE = table_of(MemorySource)
MEMORY_TERM = table_of(MemoryTerm)


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
    marks = wording.marks_of(workspace_id, memory_id)
    marks += recalling.marks_of(labels, event_type, outcome, agent_id, repository)
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
    fulltext.count_terms(tx, MEMORY_TERM, workspace_id, {ALL: 1, WORDS: weighed.total(), **dict.fromkeys(weighed, 1)})
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
        for token in wording.tokens(prose):
            weighed[token] += _WEIGHTS[name]
    return weighed


def recall(connection: Connection, workspace_id: str, now: Micros, **asked: Any) -> Recollection:
    """The memories that speak most of a query, as `recalling.recall` finds them, read on this connection."""
    return recalling.recall(fulltext.Connected(connection), workspace_id, now, rest=turn, **asked)


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
        tx,
        MEMORY_TERM,
        row["workspace_id"],
        {ALL: -1, WORDS: -row["length"], **dict.fromkeys(held, -1)},
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
