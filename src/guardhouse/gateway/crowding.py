"""How many values a body holds at least, told without reading it: what is refused for its number is not made first."""

from __future__ import annotations

MOST_VALUES = 20_000
"""Values that one body may hold: texts, numbers, names, lists and objects."""


def crowded(body: bytes) -> bool:
    """Whether a body, should it be JSON, holds more values than any call may, told by the commas outside of its strings.

    A megabyte of small values takes a parser some tenths of a second, and this some milliseconds. False proves nothing.
    """
    if body.count(b",") < MOST_VALUES:
        return False
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    return b"".join(plain.split(b'"')[::2]).count(b",") >= MOST_VALUES
