"""Turns: threads that prepare long calls work one at a time, and rest often enough for everybody else.

The interpreter lets one thread work at a time, and takes it from one that does not rest only after 5 ms. The event loop
and the trains give it up for each read and write, some ten times a call, and would wait that long each time, for each
thread that prepares.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from guardhouse.guardrails.turns import taking

TURN_SECONDS = 0.0005
"""How long one thread prepares before it rests: what others wait for it at most, but for a single long step."""
REST_SECONDS = 0.00005
"""Long enough for who waits to wake up; whoever else prepares goes on meanwhile."""


@contextmanager
def resting(turn_seconds: float = TURN_SECONDS) -> Iterator[None]:
    """Work beside everybody else, and rest at a turn once that has taken so long."""
    since = time.perf_counter()

    def rest() -> None:
        nonlocal since
        if time.perf_counter() - since >= turn_seconds:
            time.sleep(REST_SECONDS)
            since = time.perf_counter()

    with taking(rest):
        yield


class Turns:
    """One place to work, which threads hand to each other."""

    def __init__(self, turn_seconds: float = TURN_SECONDS) -> None:
        self._turn = turn_seconds
        self._place = threading.Lock()
        self._since = 0.0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Work in turns with everybody else who does, for as long as the block lasts."""
        self._place.acquire()
        self._since = time.perf_counter()
        try:
            with taking(self._rest):
                yield
        finally:
            self._place.release()

    def _rest(self) -> None:
        if time.perf_counter() - self._since < self._turn:
            return
        self._place.release()
        try:
            time.sleep(REST_SECONDS)
        finally:
            self._place.acquire()
            self._since = time.perf_counter()
