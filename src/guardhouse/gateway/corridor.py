"""The corridor: the queue in front of a train, and the one thread that drives it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from guardhouse.errors import NotPerformed
from guardhouse.gateway.prepare import Prepared
from guardhouse.gateway.train import MOST_CALLS, Answered, Train

_log = logging.getLogger("guardhouse.corridor")


class Ticket:
    """A place in the queue. The answer reaches a waiting thread or an event loop's future."""

    __slots__ = ("_done", "_future", "_loop", "answer", "prepared")

    def __init__(self, prepared: Prepared, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.prepared = prepared
        self.answer: Answered | None = None
        self._loop = loop
        self._future: asyncio.Future[Answered] | None = loop.create_future() if loop else None
        self._done = threading.Event() if loop is None else None

    def wait(self) -> Answered:
        """Block until the train has arrived."""
        assert self._done is not None
        self._done.wait()
        assert self.answer is not None
        return self.answer

    @property
    def future(self) -> asyncio.Future[Answered]:
        """What an event loop waits for. A caller who hangs up cancels it; the call is carried all the same."""
        assert self._future is not None
        return self._future


def hand_out(tickets: Iterable[tuple[Ticket, Answered]]) -> None:
    """Give every ticket its answer, waking each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Ticket, Answered]]] = {}
    for ticket, answer in tickets:
        ticket.answer = answer
        if ticket._loop is None:
            assert ticket._done is not None
            ticket._done.set()
        else:
            by_loop.setdefault(ticket._loop, []).append((ticket, answer))
    for loop, ours in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, ours)
        except RuntimeError:
            _log.info("an event loop closed before %d answers reached it; their calls are recorded", len(ours))


def _resolve(ours: list[tuple[Ticket, Answered]]) -> None:
    for ticket, answer in ours:
        if not ticket.future.done():
            ticket.future.set_result(answer)


class Corridor:
    """One queue and one thread for one write lock. `stop` carries what is queued, then ends."""

    def __init__(self, name: str, train: Train, on_train: Callable[[int], None] = lambda _size: None) -> None:
        self._train = train
        self._queue: deque[Ticket] = deque()
        self._wake = threading.Condition()
        self._open = True
        self._on_train = on_train
        self._thread = threading.Thread(target=self._drive, name=f"corridor-{name}", daemon=True)
        self._thread.start()

    def enter(self, ticket: Ticket) -> None:
        """Queue a call; NotPerformed when the gateway is closing."""
        with self._wake:
            if not self._open:
                raise NotPerformed("the gateway is shutting down; send the call to another, or again later")
            self._queue.append(ticket)
            if len(self._queue) == 1:
                self._wake.notify()

    def _drive(self) -> None:
        while True:
            with self._wake:
                while not self._queue and self._open:
                    self._wake.wait()
                if not self._queue:
                    return
                waiting = [self._queue.popleft() for _ in range(min(len(self._queue), MOST_CALLS))]
            self._carry(waiting)

    def _carry(self, waiting: list[Ticket]) -> None:
        """Carry what the bounds allow; the rest goes back to the front of the queue, in order."""
        try:
            answers: list[tuple[Prepared, Answered]] = self._train.carry([ticket.prepared for ticket in waiting])
        except BaseException as error:
            _log.exception("the train derailed")
            failure: Any = error if isinstance(error, Exception) else NotPerformed("the gateway is ending")
            hand_out((ticket, failure) for ticket in waiting)
            if not isinstance(error, Exception):
                raise
            return
        left = waiting[len(answers) :]
        if left:
            with self._wake:
                self._queue.extendleft(reversed(left))
        self._on_train(len(answers))
        hand_out((ticket, answer) for ticket, (_prepared, answer) in zip(waiting, answers, strict=False))

    def stop(self, timeout_seconds: float = 30.0) -> None:
        """Let in nobody else, carry everybody who waits, and end."""
        with self._wake:
            self._open = False
            self._wake.notify()
        self._thread.join(timeout_seconds)

    @property
    def waiting(self) -> int:
        """How many calls are queued."""
        return len(self._queue)
