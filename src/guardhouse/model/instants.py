"""Instants: one integer form of time everywhere, microseconds since the Unix epoch in UTC."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

Micros = int
"""Microseconds since 1970-01-01T00:00:00Z."""

Clock = Callable[[], Micros]
"""Tells the time. Injected; only `app.py` knows the wall clock."""

SECOND: Micros = 1_000_000
MINUTE: Micros = 60 * SECOND
HOUR: Micros = 60 * MINUTE
DAY: Micros = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=512)  # all calls of a train have one time
def rfc3339(at: Micros) -> str:
    """Write an instant as RFC 3339 in UTC with six decimals, so that text order is time order."""
    return (_EPOCH + timedelta(microseconds=at)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@lru_cache(maxsize=512)
def from_rfc3339(text: str) -> Micros:
    """Read an RFC 3339 instant; ValueError when it is not one or names no offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("an instant needs an offset such as `Z`")
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds
