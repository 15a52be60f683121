"""Messages that name a field twice: two readers could read two things in one, so every way into the MCP door refuses it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

WORDS = "the message names a field twice; name each once"


class _NamedTwice(Exception):
    """A JSON object names a field twice."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _NamedTwice
    return made


def named_twice(body: bytes) -> Mapping[str, Any] | None:
    """The message in a body that names a field twice, as the last of each says it; None for any other body.

    What is no JSON is left for the SDK to refuse.
    """
    try:
        json.loads(body, object_pairs_hook=_pairs)
    except _NamedTwice:
        message = json.loads(body)
        return message if isinstance(message, dict) else {}
    except (ValueError, RecursionError):
        return None
    return None
