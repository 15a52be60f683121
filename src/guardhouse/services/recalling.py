"""Recalling: which memories speak most of a query. Loads no library of databases, so that a small process can do it.

What `memory` keeps is read here, in words that every `Asking` understands; `memory.recall` asks on a server's own
connection, `recaller` in a process of its own. What is found is the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardhouse.model.instants import DAY, Micros
from guardhouse.storage import searching, wording
from guardhouse.storage.searching import Asking

MEMORIES, SOURCES, TERMS = "memory", "memory_source", "memory_term"
"""The tables that `memory` declares."""
ALL, WORDS = "", " "
"""The rows of `TERMS` that count memories and their words."""
MOST_CANDIDATES = 128
"""How many memories one recall weighs; the rarest words choose them, the newest first."""
_DECAY_PER_DAY = 0.1
_SATURATION, _LENGTH = 1.2, 0.6
"""BM25's k1 and b: how soon repetition stops to count, and how much long memories are held back."""
SHOWN = (
    "id",
    "number",
    "agent_id",
    "event_type",
    "summary",
    "details",
    "tags_json",
    "outcome",
    "lessons_json",
    "repository",
    "task_id",
    "length",
    "content_digest",
    "seen",
    "created_at",
    "last_at",
    "forgotten_at",
    "forgotten_by",
)
"""What a recall shows of a memory: all but the workspace, and the terms that it was found by."""
_FORMS = dict.fromkeys(("number", "length", "seen", "created_at", "last_at", "forgotten_at"), int)

Row = dict[str, Any]


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


def marks_of(tags: Sequence[str], event_type: str, outcome: str, agent_id: str, repository: str) -> list[str]:
    """The tokens that stand for exact values; an empty value has none."""
    values = [("tag", tag) for tag in tags]
    values += [("type", event_type), ("outcome", outcome), ("agent", agent_id), ("repo", repository)]
    return [wording.mark(kind, value) for kind, value in values if value]


def recall(
    asking: Asking,
    workspace_id: str,
    now: Micros,
    *,
    rest: Callable[[], None],
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
    marks = marks_of(sorted({tag.casefold() for tag in tags}), event_type, outcome, agent_id, repository)
    asked = list(dict.fromkeys(wording.tokens(query)))
    counted = searching.counted_terms(asking, MEMORIES, TERMS, workspace_id, [*asked, ALL, WORDS])
    counts = counted.documents
    terms = sorted((term for term in asked if term in counts), key=lambda term: (counts[term], term))
    if query.strip() and not terms:
        return Recollection((), more=False, weighed=0, complete=True)
    search = _search(marks, terms, counts, alone=counted.alone(counts.get(ALL, 0)))
    candidates, some_left = _candidates(asking, workspace_id, search, now, below)
    complete = not some_left and len(search.some) == len(terms)
    scored = _scored(candidates, terms, counts, now, rest)
    best = scored[:limit]
    rows = _rows(asking, workspace_id, [row_id for *_order, row_id in best])
    found = tuple(Recalled(rows[row_id], -score) for score, *_order, row_id in best)
    return Recollection(found, len(scored) > limit or not complete, len(scored), complete)


def _search(marks: Sequence[str], terms: Sequence[str], counts: Mapping[str, int], *, alone: bool) -> searching.Search:
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
    return searching.Search(
        marks, rare, terms[1:] if crowded else (), limit=MOST_CANDIDATES, expected=expected, alone=alone
    )


def _candidates(
    asking: Asking, workspace_id: str, search: searching.Search, now: Micros, below: int | None
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
    return searching.picked(
        asking,
        MEMORIES,
        workspace_id,
        search,
        columns=("id", "number", "last_at", "length", "terms"),
        only=seen,
        values={"now": now} | ({} if below is None else {"below": below}),
    )


def _scored(
    candidates: Sequence[Sequence[Any]],
    terms: Sequence[str],
    counts: Mapping[str, int],
    now: Micros,
    rest: Callable[[], None],
) -> list[tuple[int, int, int, str]]:
    """Each candidate as (score, last seen, number, id), the first three negative: the best first."""
    memories = max(1, counts.get(ALL, 1))
    usual = max(1.0, counts.get(WORDS, 0) / memories)
    rarities = [math.log(1 + (memories - counts[term] + 0.5) / (counts[term] + 0.5)) for term in terms]
    sought = [(f" {term} ", len(term) + 1, rarity) for term, rarity in zip(terms, rarities, strict=True)]
    scored = []
    for row_id, number, last_at, length, held in candidates:
        rest()
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


def _rows(asking: Asking, workspace_id: str, ids: Sequence[str]) -> dict[str, Row]:
    """Memories by id, as a recall shows them: without the terms that they were found by."""
    found = searching.rows(asking, MEMORIES, workspace_id, ids, SHOWN)
    return {row["id"]: row for row in (dict(zip(SHOWN, values, strict=True)) for values in found)}


def packed(recollection: Recollection) -> list[Any]:
    """A recollection as a plain value that JSON can carry; `unpacked` gives it back."""
    found = [[one.score, *(one.row[name] for name in SHOWN)] for one in recollection.found]
    return [found, recollection.more, recollection.weighed, recollection.complete]


def unpacked(value: Any) -> Recollection:
    """The recollection that `packed` made this of; ValueError for anything that it cannot have made."""
    try:
        found, more, weighed, complete = value
        recalled = tuple(Recalled(dict(zip(SHOWN, row, strict=True)), score) for score, *row in found)
    except TypeError as error:
        raise ValueError("not a recollection") from error
    forms = [type(more) is bool, type(weighed) is int, type(complete) is bool]
    forms += [type(one.row[name]) is _FORMS.get(name, str) for one in recalled for name in SHOWN]
    forms += [type(one.score) is int for one in recalled]
    if not all(forms):
        raise ValueError("not a recollection")
    return Recollection(recalled, more, weighed, complete)
