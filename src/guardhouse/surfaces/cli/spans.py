"""Spans and instants as people write them: `90s`, `30m`, `2h`, `7d`; a day, or an RFC 3339 instant."""

from __future__ import annotations

import re
from datetime import date, datetime

from guardhouse.errors import InvalidInput

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PART = re.compile(r"(\d{1,9})([smhdw])")


def seconds(text: str) -> int:
    """A span in seconds: `2h`, `1h30m`, or a bare number of seconds. InvalidInput for anything else, and for none."""
    given = text.strip().lower()
    if given.isascii() and given.isdigit() and len(given) < 10:
        total = int(given)
    elif given and not _PART.sub("", given):
        total = sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(given))
    else:
        raise InvalidInput(f"`{text}` is not a span of time: write `90s`, `30m`, `2h`, `7d` or `1h30m`")
    if total < 1:
        raise InvalidInput(f"`{text}` is no time at all: write at least `1s`")
    return total


def instant(text: str) -> str:
    """An instant for an operation: RFC 3339 as given, or a day (ISO 8601) as its first moment in UTC."""
    given = text.strip()
    try:
        if len(given) == 10:
            return f"{date.fromisoformat(given).isoformat()}T00:00:00Z"
        if datetime.fromisoformat(given).tzinfo is not None:
            return given
    except ValueError:
        pass
    raise InvalidInput(f"`{text}` is not an instant: write `2026-01-31` or `2026-01-31T08:00:00Z`")


def shown(at: str) -> str:
    """An RFC 3339 instant for a table: to the second, as short as it can be and still say its offset."""
    day, mark, time = at.partition("T")
    if not mark:
        return at
    return f"{day} {time[:8]}{'Z' if time.endswith('Z') else time[-6:]}"
