"""A workspace with many memories, written at once instead of call by call, and questions about them."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

from sqlalchemy import text

from guardhouse.model.ids import Ids
from guardhouse.model.instants import DAY
from guardhouse.services import memory, recalling
from guardhouse.storage import fulltext, wording
from guardhouse.storage.store import Store, Transaction

WORDS = 6_000
_WORDS_EACH = 24
_AT_ONCE = 2_000


def _vocabulary() -> list[str]:
    sounds = [a + b for a in "bdfgklmnprtv" for b in "aeiou"]
    made = ("".join(parts) for parts in itertools.product(sounds, repeat=3))
    return list(itertools.islice(made, 0, None, 7))[:WORDS]


VOCABULARY = _vocabulary()


def _prose(chance: random.Random, words: int) -> list[str]:
    """Words as prose has them: a few everywhere, most of them rarely."""
    return [VOCABULARY[int(len(VOCABULARY) * chance.random() ** 3)] for _ in range(words)]


def questions(count: int, seed: int = 7) -> list[str]:
    """Questions of two to five words, common and rare ones mixed."""
    chance = random.Random(seed)  # the same questions in every run
    return [" ".join(_prose(chance, chance.randint(2, 5))) for _ in range(count)]


def fill(store: Store, ids: Ids, workspace_id: str, agent_id: str, count: int) -> None:
    """Write so many memories, over a year, each as `remember` would keep it."""
    chance = random.Random(11)  # the same memories in every run
    for start in range(0, count, _AT_ONCE):
        with store.writing(workspace_id) as tx:
            _write(tx, list(_made(tx, ids, chance, workspace_id, agent_id, range(start, min(count, start + _AT_ONCE)))))
    with store.writing(workspace_id) as tx:
        tx.execute(text("ANALYZE"))


def _made(
    tx: Transaction, ids: Ids, chance: random.Random, workspace_id: str, agent_id: str, numbers: range
) -> Iterator[tuple[dict[str, Any], Counter[str]]]:
    for number in numbers:
        words = _prose(chance, _WORDS_EACH)
        said = {"summary": " ".join(words[:10]), "details": " ".join(words[10:]), "event_type": "finding"}
        weighed = memory._weighed(said["summary"], said["details"], [], "success", [], said["event_type"])
        memory_id = ids.new("memory")
        marks = [
            *wording.marks_of(workspace_id, memory_id),
            *recalling.marks_of([], "finding", "success", agent_id, ""),
        ]
        at = tx.now - int(365 * DAY * chance.random())
        kept = {"number": number + 1, "length": weighed.total(), "content_digest": f"bench:{number}"}
        kept |= {"terms": " ".join([*marks, *weighed.elements()])}
        whose = {"workspace_id": workspace_id, "id": memory_id, "agent_id": agent_id, "outcome": "success"}
        blank = {"tags_json": "[]", "lessons_json": "[]", "repository": "", "task_id": "", "seen": 1}
        never = {"forgotten_at": 0, "forgotten_by": ""}
        yield whose | said | kept | blank | never | {"created_at": at, "last_at": at}, weighed


def _write(tx: Transaction, made: list[tuple[dict[str, Any], Counter[str]]]) -> None:
    rows = [row for row, _weighed in made]
    workspace_id = rows[0]["workspace_id"]
    tx.execute(memory.MEMORY.insert(), rows)
    if tx.dialect == "sqlite":
        tx.execute(
            text("INSERT INTO memory_text (workspace_id, id, terms) VALUES (:workspace_id, :id, :terms)"),
            [{"workspace_id": workspace_id, "id": row["id"], "terms": row["terms"]} for row in rows],
        )
    # No entry brought these, so their sequences lie before the first one's.
    tx.execute(
        memory.MEMORY_SOURCE.insert(),
        [{"workspace_id": workspace_id, "sequence": -row["number"], "memory_id": row["id"]} for row in rows],
    )
    counts = Counter({"": len(rows), " ": sum(row["length"] for row in rows)})
    for _row, weighed in made:
        counts.update(weighed.keys())
    fulltext.count_terms(tx, memory.MEMORY_TERM, workspace_id, counts)
