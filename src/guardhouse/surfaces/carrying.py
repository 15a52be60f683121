"""Carrying: what every door on the event loop does around a call, so that the books agree whichever door it took.

Who is over quota is answered from one memory, an answer that takes too long is told as unknown while
the call goes on, and `wait_approval` holds the line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from guardhouse.bundle.child import PATIENCE_SECONDS
from guardhouse.catalog import Catalog
from guardhouse.errors import NotPerformed, OutcomeUnknown
from guardhouse.model.answer import Outcome
from guardhouse.model.call import Category, RawCall
from guardhouse.surfaces.patience import Patience
from guardhouse.surfaces.silences import STANDING, Silences
from guardhouse.surfaces.waiting import Watch, hold_the_line, still_pending

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Carrier(Protocol):
    """What a door asks of the gateway."""

    catalog: Catalog

    async def handle_async(self, raw: RawCall) -> Outcome:
        """Carry one call. Cancelling it gives up the answer, never the call."""
        ...

    async def read_again(self, raw: RawCall, outcome: Outcome) -> Outcome:
        """The answer of a call that was carried, as it reads now. Leaves no entry."""
        ...


class Carriage:
    """Hands calls to a gateway for the doors of one process.

    A door asks `silences.admit` before it reads a call's body; what that gives travels in
    `RawCall.suppressed`, and `carry` or `silences.give_back` MUST then see it, or the count is lost.
    `patience` is in seconds. `watch` reads an approval's state without leaving an entry.
    """

    def __init__(
        self, gateway: Carrier, patience: float, *, silences: Silences | None = None, watch: Watch | None = None
    ) -> None:
        self.gateway = gateway
        self.silences = silences or Silences()
        self._patience = Patience(patience)
        self._reading_law = Patience(patience + PATIENCE_SECONDS)
        self.watch = watch
        self._ending = asyncio.Event()

    def end_waits(self) -> None:
        """The server is ending: answer every `wait_approval` now with how its question stands, those yet to come too.

        To be called on the event loop.
        """
        self._ending.set()

    async def carry(self, raw: RawCall, receive: Receive) -> Outcome:
        """Carry one call, and remember a quota that it found exhausted.

        `receive` tells when the caller is gone. Raises what the gateway raises, `OutcomeUnknown` when
        the answer takes too long, and `Disconnected` when the caller of a wait hangs up.
        """
        token = raw.token or ""
        try:
            outcome = await self._ask(raw)
        except NotPerformed:
            self.silences.give_back(token, raw.suppressed)
            raise
        except OutcomeUnknown:
            self.silences.told(token, raw.suppressed)
            raise
        self.silences.told(token, raw.suppressed)
        wait, workspace = outcome.error.get("retry_after_seconds"), outcome.workspace_id
        if outcome.code in STANDING and outcome.decision is not None:
            self.silences.refused(token, workspace, outcome.principal_id, outcome.code)
        else:
            self.silences.passed(token)
        if outcome.code == "quota_exhausted" and isinstance(wait, int):
            self.silences.silence(token, wait, workspace=workspace, principal=outcome.principal_id)
        elif outcome.performed and self._governs(raw.operation):
            # A raised quota or a lifted suspension ends the silence at once; other processes look every second.
            self.silences.lift(outcome.workspace_id)
        if raw.operation == "wait_approval" and self.watch is not None and still_pending(outcome):
            return await hold_the_line(raw, outcome, self.gateway.read_again, self.watch, receive, self._ending)
        return outcome

    def _governs(self, name: str) -> bool:
        operation = self.gateway.catalog.find(name)
        return operation is not None and (operation.people_only or operation.category is Category.ADMIN)

    async def _ask(self, raw: RawCall) -> Outcome:
        """Carry one call. When the answer takes too long the call goes on; the caller learns that it is not known."""
        operation = self.gateway.catalog.find(raw.operation)
        reads_law = operation is not None and operation.gather is not None
        try:
            with (self._reading_law if reads_law else self._patience).bound():
                return await self.gateway.handle_async(raw)
        except TimeoutError:
            raise OutcomeUnknown(
                "no answer in time; ask `get_outcome` with the idempotency key what became of the call"
            ) from None
