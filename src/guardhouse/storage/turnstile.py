"""The turnstile: processes that share one SQLite file take turns, so that neither starves.

SQLite's own write lock is taken by whoever polls luckily; under load a second process can wait for
seconds. Two advisory file locks give a queue of two places: a comer takes `next`, then `now`, then
gives `next` free. A holder that comes again must pass `next` behind whoever waits there already.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

from guardhouse.storage import private


class Turnstile:
    """A fair inter-process lock beside a database file. Threads of one process share one place in the queue."""

    def __init__(self, database: Path) -> None:
        self._threads = threading.Lock()
        self._next = self._open(database.with_name(database.name + ".next"))
        self._now = self._open(database.with_name(database.name + ".now"))

    @staticmethod
    def _open(path: Path) -> int:
        return private.opened(path, os.O_RDWR | os.O_CREAT)

    def enter(self, *, wait: bool = True) -> bool:
        """Take the turn; whether it was taken. Without `wait`, only when nobody has it and nobody waits."""
        if not self._threads.acquire(blocking=wait):
            return False
        try:
            mode = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
            fcntl.flock(self._next, mode)
            try:
                fcntl.flock(self._now, mode)
            finally:
                fcntl.flock(self._next, fcntl.LOCK_UN)
        except BlockingIOError:
            self._threads.release()
            return False
        except BaseException:
            self._threads.release()
            raise
        return True

    def leave(self) -> None:
        """Pass the turn on; any thread may, once for each time it was taken."""
        try:
            fcntl.flock(self._now, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def close(self) -> None:
        """Give the lock files back; the turnstile is of no use afterwards."""
        os.close(self._next)
        os.close(self._now)
