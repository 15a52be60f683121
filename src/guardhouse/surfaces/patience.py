"""Patience: bounds the waits of an event loop with one timer for all of them, where a timer each costs more than most waits."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Patience:
    """Waits of at most so many seconds each. `with patience.bound():` raises TimeoutError as `asyncio.timeout` does.

    For the tasks of one event loop at a time.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waits: dict[_Wait, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def bound(self) -> _Wait:
        """One wait of the running task, from entering the block to leaving it."""
        return _Wait(self)

    def begin(self, wait: _Wait, loop: asyncio.AbstractEventLoop) -> None:
        """Watch a wait. All last equally long, so the first that began is the first that is over."""
        if self._loop is not loop:
            self._loop, self._timer = loop, None
            self._waits.clear()
        wait.until = loop.time() + self._seconds
        self._waits[wait] = None
        if self._timer is None:
            self._timer = loop.call_at(wait.until, self._look)

    def end(self, wait: _Wait) -> None:
        """Watch it no more."""
        self._waits.pop(wait, None)

    def _look(self) -> None:
        assert self._loop is not None
        while self._waits:
            wait = next(iter(self._waits))
            if wait.until > self._loop.time():
                self._timer = self._loop.call_at(wait.until, self._look)
                return
            del self._waits[wait]
            wait.stop()
        self._timer = None


class _Wait:
    __slots__ = ("_cancelling", "_over", "_patience", "_task", "until")

    def __init__(self, patience: Patience) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can wait")
        self._patience = patience
        self._task = task
        self._cancelling = task.cancelling()
        self._over = False
        self.until = 0.0

    def __enter__(self) -> None:
        self._patience.begin(self, self._task.get_loop())

    def stop(self) -> None:
        """The time is over."""
        self._over = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._patience.end(self)
        # A cancellation of somebody else's is theirs to see, even when the time was over as well.
        if self._over and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
