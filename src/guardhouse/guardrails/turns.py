"""Long work in short turns: whoever examines a text beside others lets them go first, again and again.

Threads of one process work by turns, and one that never rests takes some milliseconds from the others each time that they
wait for a disk or a socket. So whoever gives a thread long work says with `taking` what is to be called between the steps
of it; without that, `turn` does nothing. What is found never depends on it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Here(threading.local):
    rest: Callable[[], None] | None = None


_HERE = _Here()


def turn() -> None:
    """Between two steps of long work: let others go first, where the thread's owner has said how."""
    if _HERE.rest is not None:
        _HERE.rest()


@contextmanager
def taking(rest: Callable[[], None]) -> Iterator[None]:
    """Have `rest` called at every `turn` of this thread. It MUST return soon, and MUST NOT raise."""
    before, _HERE.rest = _HERE.rest, rest
    try:
        yield
    finally:
        _HERE.rest = before
