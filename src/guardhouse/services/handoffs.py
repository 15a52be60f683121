"""Handoffs: what one session leaves for the next, read latest first and cut honestly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Index, select
from sqlmodel import SQLModel

from guardhouse.errors import Refusal
from guardhouse.model.canonical import decode, encode
from guardhouse.model.ids import Ids
from guardhouse.model.repositories import kept_under
from guardhouse.storage.columns import counter, identifier, instant, json_text, table_of, text
from guardhouse.storage.store import Transaction

LISTS = ("completed_work", "in_progress", "decisions", "next_steps", "relevant_files")
"""The lists of a handoff, as they are written."""
_KEPT_FIRST = ("next_steps", "in_progress", "decisions", "relevant_files", "completed_work")
"""The order in which a small budget is spent on them: what a successor needs first."""

Row = dict[str, Any]


class Handoff(SQLModel, table=True):
    """One handoff, as it was written."""

    __tablename__ = "handoff"
    workspace_id: str = identifier(key=True)
    id: str = identifier(key=True)
    agent_id: str = identifier()
    session_id: str = identifier()
    task_id: str = identifier(default="")
    repository: str = text(default="")
    summary: str = text()
    lists_json: str = json_text(default="{}")
    created_at: int = instant()
    sequence: int = counter(default=-1)
    erased_at: int = instant(default=0)
    __table_args__ = (
        Index("handoff_by_time", "workspace_id", "created_at", "id"),
        Index("handoff_by_agent", "workspace_id", "agent_id", "created_at", "id"),
        Index("handoff_by_task", "workspace_id", "task_id", "created_at", "id"),
        Index("handoff_by_sequence", "workspace_id", "sequence"),
    )


HANDOFF = table_of(Handoff)


@dataclass(frozen=True, slots=True)
class Cut:
    """What was left out of one field: how many items of a list, how many characters in all."""

    field: str
    items: int
    characters: int


@dataclass(frozen=True, slots=True)
class Read:
    """One handoff as it is answered. `cut` is empty when nothing is missing."""

    row: Row
    summary: str
    lists: dict[str, tuple[str, ...]]
    cut: tuple[Cut, ...]


def write(
    tx: Transaction,
    ids: Ids,
    workspace_id: str,
    *,
    agent_id: str,
    session_id: str,
    summary: str,
    completed_work: Sequence[str] = (),
    in_progress: Sequence[str] = (),
    decisions: Sequence[str] = (),
    next_steps: Sequence[str] = (),
    relevant_files: Sequence[str] = (),
    task_id: str = "",
    repository: str = "",
    sequence: int = -1,
) -> Row:
    """Keep a handoff and give its row. It is never changed; a better one is written after it."""
    lists = {
        "completed_work": list(completed_work),
        "in_progress": list(in_progress),
        "decisions": list(decisions),
        "next_steps": list(next_steps),
        "relevant_files": list(relevant_files),
    }
    row: Row = {
        "workspace_id": workspace_id,
        "id": ids.new("handoff"),
        "agent_id": agent_id,
        "session_id": session_id,
        "task_id": task_id,
        "repository": repository,
        "summary": summary,
        "lists_json": encode(lists).decode(),
        "created_at": tx.now,
        "sequence": sequence,
        "erased_at": 0,
    }
    tx.execute(HANDOFF.insert().values(**row))
    return row


def read(
    tx: Transaction,
    workspace_id: str,
    *,
    handoff_id: str = "",
    agent_id: str = "",
    task_id: str = "",
    repository: str = "",
    limit: int = 1,
    characters: int = 20_000,
) -> tuple[list[Read], bool]:
    """The latest handoffs of an agent, a task, a repository or all, latest first; and whether there are more.

    `characters` bounds the text of each: what does not fit is left out from the ends of lists, and
    `cut` says what. With `handoff_id`, that one; Refusal `not_found` when there is none.
    """
    wanted = [HANDOFF.c.workspace_id == workspace_id, HANDOFF.c.erased_at == 0]
    for column, value in (
        (HANDOFF.c.id, handoff_id),
        (HANDOFF.c.agent_id, agent_id),
        (HANDOFF.c.task_id, task_id),
    ):
        if value:
            wanted.append(column == value)
    if repository:
        wanted.append(HANDOFF.c.repository.in_(kept_under(repository)))
    rows = tx.rows(
        select(HANDOFF).where(*wanted).order_by(HANDOFF.c.created_at.desc(), HANDOFF.c.id.desc()).limit(limit + 1)
    )
    if handoff_id and not rows:
        raise Refusal("not_found", f"there is no handoff `{handoff_id}`")
    return [fitted(row, characters) for row in rows[:limit]], len(rows) > limit


def fitted(row: Row, characters: int) -> Read:
    """A handoff within a budget of characters. Items are kept whole; only the summary may be cut inside."""
    lists: dict[str, list[str]] = {name: decode(row["lists_json"]).get(name, []) for name in LISTS}
    summary = row["summary"][:characters]
    left = characters - len(summary)
    cut = [Cut("summary", 0, len(row["summary"]) - len(summary))] if len(summary) < len(row["summary"]) else []
    kept: dict[str, tuple[str, ...]] = {}
    for name in _KEPT_FIRST:
        taken = 0
        for item in lists[name]:
            if len(item) > left:
                break
            left -= len(item)
            taken += 1
        kept[name] = tuple(lists[name][:taken])
        missing = lists[name][taken:]
        if missing:
            cut.append(Cut(name, len(missing), sum(map(len, missing))))
    return Read(row, summary, {name: kept[name] for name in LISTS}, tuple(cut))


def erase(tx: Transaction, workspace_id: str, sequence: int) -> list[str]:
    """Blank the handoff that the entry at `sequence` brought; its id, or nothing."""
    which = (HANDOFF.c.workspace_id == workspace_id, HANDOFF.c.sequence == sequence)
    found = list(tx.execute(select(HANDOFF.c.id).where(*which)).scalars())
    if found:
        tx.execute(HANDOFF.update().where(*which).values(summary="", lists_json="{}", erased_at=tx.now))
    return found
