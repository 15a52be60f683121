"""A worker: one thread that does one job after another, and is there only while there are jobs."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

_log = logging.getLogger("guardhouse.corridor")

Job = Callable[[], None]

IDLE_SECONDS = 10.0
"""How long a thread without work is kept: long enough to serve a next call, short enough not to pile up."""


class Worker:
    """Does jobs in the order given, one at a time. Its thread begins with a job and ends after an idle while."""

    def __init__(self, name: str, idle_seconds: float = IDLE_SECONDS) -> None:
        self._name = name
        self._idle_seconds = idle_seconds
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def do(self, job: Job) -> None:
        """Hand over a job and go on. A job that raises is logged; the next is done all the same."""
        with self._guard:
            self._jobs.put(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether there is a thread now."""
        return self._thread is not None

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=self._idle_seconds)
            except queue.Empty:
                with self._guard:
                    if self._jobs.empty():
                        self._thread = None
                        return
                continue
            try:
                job()
            except Exception:  # noqa: BLE001  # the thread serves the next job whatever became of this one
                _log.exception("a job of `%s` failed", self._name)
