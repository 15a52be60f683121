"""Identifiers: opaque, sortable by time, and made by an injected maker."""

from __future__ import annotations

import os
import threading
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


class Randomness:
    """Bytes of the system's generator, fetched a page at a time: a call to the system costs more than making an id.

    No byte is given twice, in no process: a child that is forked off begins a page of its own.
    """

    def __init__(self, source: Callable[[int], bytes] = os.urandom, page: int = 4096) -> None:
        self._source = source
        self._size = page
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._page, self._given = b"", 0
        self._guard = threading.Lock()

    def __call__(self, size: int) -> bytes:
        with self._guard:
            end = self._given + size
            if end > len(self._page):
                self._page, self._given, end = self._source(max(size, self._size)), 0, size
            taken = self._page[self._given : end]
            self._given = end
        return taken


random_bytes = Randomness()
"""For ids, salts and keys. Thread-safe."""

_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)


def _base32(value: int, length: int) -> str:
    """So many digits of a number, the last ones; `length` is even. Two digits a step: every call needs an id."""
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(5 * length - 10, -1, -10)])


class RandomIds:
    """48 bits of milliseconds and 80 random bits, like a ULID, behind the kind's prefix."""

    def __init__(self, clock: Clock, randomness: Callable[[int], bytes] = random_bytes) -> None:
        self._clock = clock
        self._randomness = randomness

    def new(self, kind: str) -> str:
        millis = self._clock() // 1000
        return f"{KINDS[kind]}_{_base32(millis, 10)}{_base32(int.from_bytes(self._randomness(10), 'big'), 16)}"

    def secret(self, size: int) -> bytes:
        return self._randomness(size)
