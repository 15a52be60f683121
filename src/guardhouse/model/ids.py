"""Identifiers: opaque, sortable by time, and made by an injected maker."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Protocol

from guardhouse.model.instants import Clock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

KINDS = {
    "decision": "dec",
    "request": "req",
    "workspace": "wsp",
    "agent": "agt",
    "person": "per",
    "session": "ses",
    "token": "tok",
    "approval": "apr",
    "lock": "lck",
    "mode": "mod",
    "control": "ctl",
    "task": "tsk",
    "handoff": "hnd",
    "memory": "mem",
    "verification": "ver",
    "repository": "rep",
    "grant": "grt",
}
"""What an id names, and the prefix that says so."""


class Ids(Protocol):
    """Makes a fresh identifier of a kind in `KINDS`, and fresh secret bytes."""

    def new(self, kind: str) -> str: ...

    def secret(self, size: int) -> bytes: ...


_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)


def _base32(value: int, length: int) -> str:
    """So many digits of a number, the last ones; `length` is even. Two digits a step: every call needs an id."""
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(5 * length - 10, -1, -10)])


class RandomIds:
    """48 bits of milliseconds and 80 random bits, like a ULID, behind the kind's prefix."""

    def __init__(self, clock: Clock, randomness: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._clock = clock
        self._randomness = randomness

    def new(self, kind: str) -> str:
        millis = self._clock() // 1000
        return f"{KINDS[kind]}_{_base32(millis, 10)}{_base32(int.from_bytes(self._randomness(10), 'big'), 16)}"

    def secret(self, size: int) -> bytes:
        return self._randomness(size)
