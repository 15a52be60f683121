"""Seats: how many MCP sessions one token may have open, and which must go when it opens another."""

from __future__ import annotations

from collections import Counter, OrderedDict

MOST_A_TOKEN = 64
_TOKENS_KEPT = 10_000


class Seats:
    """The open sessions of each token, the one used longest ago first. Knows what was opened here, and forgets what was ended."""

    def __init__(self, most: int = MOST_A_TOKEN) -> None:
        self._most = most
        self._open: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        self._busy: Counter[str] = Counter()

    def surplus(self, token: str) -> str | None:
        """The session that must end before this token opens another: the one idle longest; "" while there is room.

        None when all of them are being answered just now, so that there is no room.
        """
        mine = self._open.get(token, OrderedDict())
        if len(mine) < self._most:
            return ""
        return next((session for session in mine if not self._busy[session]), None)

    def opened(self, token: str, session: str) -> None:
        """Note a session that this token opened."""
        self._open.setdefault(token, OrderedDict())[session] = None
        self._open.move_to_end(token)
        while len(self._open) > _TOKENS_KEPT:
            self._open.popitem(last=False)

    def closed(self, token: str, session: str) -> None:
        """Forget a session that was ended."""
        mine = self._open.get(token)
        if mine is not None:
            mine.pop(session, None)
            if not mine:
                del self._open[token]

    def enter(self, token: str, session: str) -> None:
        """A request of a session begins: it is the one used last."""
        mine = self._open.get(token)
        if mine is not None and session in mine:
            mine.move_to_end(session)
            self._busy[session] += 1

    def leave(self, session: str) -> None:
        """It was answered."""
        if self._busy[session] <= 1:
            del self._busy[session]
        else:
            self._busy[session] -= 1
