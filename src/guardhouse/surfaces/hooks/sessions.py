"""Whose session a hook's question belongs to: each client session, and each sub-agent in it, asks with a token of its own.

The token that a hook carries opens a session by the operation `open_session`; what it lends is kept in this
process's memory only and asked for again when it is gone. A question never falls back on the hook's own token:
where its session cannot be opened, the client is told why.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import orjson

from guardhouse.model.answer import Outcome
from guardhouse.surfaces.hooks.reading import Reading

OPERATION = "open_session"
LOST = frozenset({"token_revoked", "token_expired", "token_not_live", "session_expired", "session_revoked", "revoked"})
"""What a lent token is answered with when it ended before this process thought so."""
_MOST = 10_000
_KEPT_SECONDS = 11 * 3600
"""A lent token lasts twelve hours at most."""

Key = tuple[bytes, str, str, str, str]
Ask = Callable[[str, bytes, str], Awaitable[Outcome]]
"""Carries one call: (operation, body, token)."""


class NotOpened(Exception):
    """The session could not be opened; the outcome says why."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.code)
        self.outcome = outcome


class Sessions:
    """The tokens lent to client sessions, by the token they were lent under and the client's own names."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lent: OrderedDict[Key, tuple[str, float]] = OrderedDict()
        self._opening: dict[Key, asyncio.Task[str]] = {}

    async def token(self, token: str, client: str, reading: Reading, ask: Ask) -> str:
        """The token with which this question is asked. Raises NotOpened, and what `ask` raises."""
        key = _key(token, client, reading)
        lent = self._lent.get(key)
        if lent is not None and lent[1] > self._monotonic():
            self._lent.move_to_end(key)
            return lent[0]
        opening = self._opening.get(key)
        if opening is None:
            opening = asyncio.ensure_future(self._open(key, token, ask))
            self._opening[key] = opening
            opening.add_done_callback(lambda done: self._opened(key, done))
        # Shielded: a client that hangs up must not take the session from the others that wait for it.
        return await asyncio.shield(opening)

    def forget(self, token: str, client: str, reading: Reading) -> None:
        """Open the session anew at the next question."""
        self._lent.pop(_key(token, client, reading), None)

    async def _open(self, key: Key, token: str, ask: Ask) -> str:
        _, client, session, agent, kind = key
        body = {"client": client, "client_session": session, "client_agent": agent, "client_agent_type": kind}
        outcome = await ask(OPERATION, orjson.dumps(body), token)
        if not outcome.performed or not outcome.result:
            raise NotOpened(outcome)
        lent = str(outcome.result["token"])
        self._lent[key] = (lent, self._monotonic() + _KEPT_SECONDS)
        while len(self._lent) > _MOST:
            self._lent.popitem(last=False)
        return lent

    def _opened(self, key: Key, done: asyncio.Task[str]) -> None:
        self._opening.pop(key, None)
        if not done.cancelled():
            done.exception()  # fetched, so that one for which nobody waits any more is not reported as lost


def _key(token: str, client: str, reading: Reading) -> Key:
    digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
    return digest, client, reading.session, reading.agent, reading.agent_type
