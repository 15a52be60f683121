"""Remarks: the words that calls leave beside standing (reasons, labels, names of people), and their erasure.

An entry names what its call made or answered (`control:…`, `token:…`), and those names lead from an erased payload to
the words that came with it. What the words stood beside, an order, a mode, an answer, a grant, a token, stays as it is.
What such rows look like is this room's own knowledge; the payload itself is the ledger's to erase.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sqlalchemy import Table, select, update

from guardhouse.governance.tables import (
    APPROVAL,
    CONTROL_ORDER,
    DECISION_GRANT,
    OBSERVE_MODE,
    PERSON,
    SESSION,
    TOKEN,
    WRONG_VERDICT,
)
from guardhouse.model.instants import Micros
from guardhouse.storage.store import Transaction


class Brought(NamedTuple):
    """One entry of a performed call, as far as erasing needs it: what it was asked, when, and what it named."""

    operation: str
    at: Micros
    objects: tuple[str, ...]

    def named(self, kind: str) -> tuple[str, ...]:
        """The ids of one kind among what the entry named."""
        return tuple(name[len(kind) + 1 :] for name in self.objects if name.startswith(f"{kind}:"))


Eraser = Callable[[Transaction, str, Brought], None]


def _reason(kind: str, table: Table) -> Eraser:
    """Blank the `reason` in the rows that an entry names as this kind."""

    def erase_reason(tx: Transaction, workspace_id: str, brought: Brought) -> None:
        which = (table.c.workspace_id == workspace_id, table.c.id.in_(brought.named(kind)))
        tx.execute(update(table).where(*which).values(reason=""))

    return erase_reason


def _mark(tx: Transaction, workspace_id: str, brought: Brought) -> None:
    """The reason of a mark, unless another call marked the decision again since."""
    which = (
        WRONG_VERDICT.c.workspace_id == workspace_id,
        WRONG_VERDICT.c.decision_id.in_(brought.named("decision")),
        WRONG_VERDICT.c.at == brought.at,
    )
    tx.execute(update(WRONG_VERDICT).where(*which).values(reason=""))


def _labels(tx: Transaction, workspace_id: str, brought: Brought) -> None:
    """The label of a token, of its session, and of all that it was rotated into: they share it."""
    issued = select(TOKEN.c.session_id).where(
        TOKEN.c.workspace_id == workspace_id, TOKEN.c.id.in_(brought.named("token"))
    )
    sessions = {row["session_id"] for row in tx.rows(issued)}
    for table, column in ((TOKEN, TOKEN.c.session_id), (SESSION, SESSION.c.id)):
        tx.execute(update(table).where(table.c.workspace_id == workspace_id, column.in_(sessions)).values(label=""))


def _person(tx: Transaction, workspace_id: str, brought: Brought) -> None:
    """The name of a person who is disabled; their id takes its place. Who still acts here keeps the name they act by."""
    which = (
        PERSON.c.workspace_id == workspace_id,
        PERSON.c.id.in_(brought.named("person")),
        PERSON.c.disabled_at > 0,
    )
    tx.execute(update(PERSON).where(*which).values(name=PERSON.c.id))


_ORDER = _reason("control", CONTROL_ORDER)
_ANSWER = _reason("approval", APPROVAL)
ERASERS: Mapping[str, Eraser] = {
    "pause_agent": _ORDER,
    "suspend_agent": _ORDER,
    "stop_agent": _ORDER,
    "pause_workspace": _ORDER,
    "stop_workspace": _ORDER,
    "set_mode": _reason("mode", OBSERVE_MODE),
    "grant_approval": _ANSWER,
    "refuse_approval": _ANSWER,
    "allow_decision": _reason("grant", DECISION_GRANT),
    "mark_wrong": _mark,
    "add_agent": _labels,
    "issue_token": _labels,
    "open_session": _labels,
    "add_person": _person,
}
"""Operation to what takes back the words that it left beside standing. Every other one leaves none."""


def erase(tx: Transaction, workspace_id: str, brought: Brought) -> None:
    """Blank what a performed call left in words beside standing. May be done again: it changes nothing then."""
    eraser = ERASERS.get(brought.operation)
    if eraser is not None:
        eraser(tx, workspace_id, brought)
