"""The turnstile: processes that share one SQLite file take turns, so that neither starves.

SQLite's own write lock is taken by whoever polls luckily; under load a second process can wait for
seconds. Two advisory file locks give a queue of two places: a comer takes `next`, then `now`, then
gives `next` free. A holder that comes again must pass `next` behind whoever waits there already.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Turnstile:
    """A fair inter-process lock beside a database file. Threads of one process share one place in the queue."""

    def __init__(self, database: Path) -> None:
        self._threads = threading.Lock()
        self._next = self._open(database.with_name(database.name + ".next"))
        self._now = self._open(database.with_name(database.name + ".now"))

    @staticmethod
    def _open(path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the turn, hold it while the block runs, and pass it on."""
        with self._threads:
            fcntl.flock(self._next, fcntl.LOCK_EX)
            try:
                fcntl.flock(self._now, fcntl.LOCK_EX)
            finally:
                fcntl.flock(self._next, fcntl.LOCK_UN)
            try:
                yield
            finally:
                fcntl.flock(self._now, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the lock files back; the turnstile is of no use afterwards."""
        os.close(self._next)
        os.close(self._now)
