"""Heard: every call that is let in is a sign of life of its agent's session, and most of them write nothing.

*Let in* is what the gates identity and control allow. What those refuse (a suspended, stopped or paused agent's call,
a dead session's) changes nothing at all. A call that is let in and refused afterwards, by policy, profile or a
guardrail, keeps its session from falling silent, since its agent is plainly there; it makes no session appear and
brings none back.
"""

from __future__ import annotations

from guardhouse.model.facts import Principal
from guardhouse.model.instants import Micros
from guardhouse.model.repositories import DEFAULT_REPOSITORY
from guardhouse.services import presence
from guardhouse.storage.store import Transaction

_MOST_KEPT = 50_000

_Session = tuple[str, str]


class Heard:
    """The sessions that trains of one corridor heard of within `presence.COARSE`, so that the table need not be asked.

    What is kept is true whatever other processes do, since a session that was just heard of cannot have
    fallen silent. A train's own news are kept only once it has committed.
    """

    def __init__(self) -> None:
        self._known: dict[_Session, Micros] = {}
        self._news: dict[_Session, Micros] = {}

    def note(self, tx: Transaction, workspace_id: str, who: Principal, *, refused: bool = False) -> bool:
        """Let a call that was let in count; whether the session is there. False: it fell silent, and only a heartbeat
        brings it back.

        Only agents have presence; people and the house are always there.
        """
        if who.kind != "agent":
            return True
        session = (workspace_id, who.session_id)
        heard = self._news.get(session) or self._known.get(session, 0)
        if heard and tx.now - heard < presence.COARSE:
            return True
        there = presence.note_seen(
            tx,
            workspace_id,
            who.id,
            who.session_id,
            repository=who.repository or DEFAULT_REPOSITORY,
            appears=not refused,
        )
        if there:
            self._news[session] = tx.now
        return there

    def back(self, tx: Transaction, workspace_id: str, who: Principal) -> bool:
        """Bring back the silent session of an agent whom the law lets send no heartbeat; True, as it is there now."""
        presence.heartbeat(tx, workspace_id, agent_id=who.id, session_id=who.session_id)
        self._news[workspace_id, who.session_id] = tx.now
        return True

    def keep(self) -> None:
        """The train has committed."""
        if len(self._known) > _MOST_KEPT:
            self._known.clear()
        self._known.update(self._news)
        self._news.clear()

    def drop(self) -> None:
        """The train has failed: what it noted is not in the table."""
        self._news.clear()
