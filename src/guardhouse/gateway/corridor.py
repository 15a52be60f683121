"""The corridor: the queue in front of a train, and whose turn it is to drive it.

One baton goes round: who has it drives one train, and passes it on to where the next calls wait. Calls
of threads, and every call on PostgreSQL, are driven by the corridor's own thread. Where all who wait,
wait on one event loop and the store is embedded, the train is carried on that loop: handing each train
to a thread and back costs more than carrying it. Only what may wait leaves the loop: beginning, when
another process has the turn, and COMMIT, which waits for the disk.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import Any

from guardhouse.errors import NotPerformed
from guardhouse.gateway.prepare import Prepared
from guardhouse.gateway.train import MOST_CALLS, Answered, Carried, Train
from guardhouse.gateway.worker import Worker
from guardhouse.storage.store import Opened, Store

CLOSING = "the gateway is shutting down; send the call to another, or again later"
_log = logging.getLogger("guardhouse.corridor")


class Ticket:
    """A place in the queue. The answer reaches a waiting thread or an event loop's future."""

    __slots__ = ("_done", "_future", "answer", "loop", "prepared")

    def __init__(self, prepared: Prepared, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.prepared = prepared
        self.answer: Answered | None = None
        self.loop = loop
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
        if ticket.loop is None:
            assert ticket._done is not None
            ticket._done.set()
        else:
            by_loop.setdefault(ticket.loop, []).append((ticket, answer))
    for loop, ours in by_loop.items():
        if loop is _running():
            _resolve(ours)
            continue
        try:
            loop.call_soon_threadsafe(_resolve, ours)
        except RuntimeError:
            _log.info("an event loop closed before %d answers reached it; their calls are recorded", len(ours))


def _resolve(ours: list[tuple[Ticket, Answered]]) -> None:
    for ticket, answer in ours:
        if not ticket.future.done():
            ticket.future.set_result(answer)


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _Step:
    """What the baton waits for: a function that an event loop is to call, once, or whoever finds the loop dead."""

    __slots__ = ("loop", "take")

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[], None]) -> None:
        self.loop = loop
        self.take = take


class Corridor:
    """One queue and one baton for one write lock. `stop` carries what is queued, then ends.

    INVARIANT: at most one of these holds: the worker has a job of ours, a step waits for its loop, a
    loop is carrying. `_driven` says that one of them does, and nobody else touches the train.
    """

    def __init__(
        self, name: str, store: Store, train: Train, on_train: Callable[[int], None] = lambda _size: None
    ) -> None:
        self._store = store
        self._train = train
        self._on_train = on_train
        self._worker = Worker(f"corridor-{name}")
        self._queue: deque[Ticket] = deque()
        self._guard = threading.Condition()
        self._open = True
        self._driven = False
        self._step: _Step | None = None

    def enter(self, ticket: Ticket) -> None:
        """Queue a call; NotPerformed when the gateway is closing."""
        with self._guard:
            if not self._open:
                raise NotPerformed(CLOSING)
            self._queue.append(ticket)
            if self._driven:
                if self._step is not None and self._step.loop.is_closed():
                    self._worker.do(partial(self._take, self._step))
                return
            self._driven = True
        self._pass_on()

    # The baton. Whoever calls one of these has it, and has it no more afterwards.

    def _pass_on(self) -> None:
        """Let the next train be driven where its passengers wait, or by nobody while nobody waits."""
        with self._guard:
            if not self._queue:
                self._driven = False
                self._guard.notify_all()
                return
            loop = self._common_loop()
        if loop is None:
            self._worker.do(self._drive)
        else:
            self._post(loop, partial(self._begin, loop))

    def _common_loop(self) -> asyncio.AbstractEventLoop | None:
        """The one event loop that all who wait, wait on; None when a thread must drive."""
        if not self._store.embedded:
            return None
        loops = {ticket.loop for ticket in islice(self._queue, MOST_CALLS)}
        return loops.pop() if len(loops) == 1 else None

    def _post(self, loop: asyncio.AbstractEventLoop, take: Callable[[], None]) -> None:
        """Go on on an event loop; on our thread, should the loop have closed."""
        step = _Step(loop, take)
        with self._guard:
            self._step = step
            self._guard.notify_all()
        try:
            if loop is _running():
                loop.call_soon(self._take, step)
            else:
                loop.call_soon_threadsafe(self._take, step)
        except RuntimeError:
            self._worker.do(partial(self._take, step))

    def _take(self, step: _Step) -> None:
        """Take a step that was posted, unless somebody has taken it already."""
        with self._guard:
            if self._step is not step:
                return
            self._step = None
        step.take()

    # Driven by the corridor's thread.

    def _drive(self) -> None:
        try:
            self._carry(self._board())
        finally:
            self._pass_on()

    def _board(self) -> list[Ticket]:
        with self._guard:
            return [self._queue.popleft() for _ in range(min(len(self._queue), MOST_CALLS))]

    def _leave_behind(self, left: list[Ticket]) -> None:
        """Who did not fit goes back to the front of the queue, in order."""
        if left:
            with self._guard:
                self._queue.extendleft(reversed(left))

    def _carry(self, waiting: list[Ticket]) -> None:
        """Carry what the bounds allow, begin to end, and give the answers."""
        if not waiting:
            return
        self._answer(waiting, lambda: self._train.carry([ticket.prepared for ticket in waiting]))

    def _answer(self, waiting: list[Ticket], ride: Callable[[], list[tuple[Prepared, Answered]]]) -> None:
        try:
            answers = ride()
        except BaseException as error:
            _log.exception("the train derailed")
            failure: Any = error if isinstance(error, Exception) else NotPerformed("the gateway is ending")
            hand_out((ticket, failure) for ticket in waiting)
            if not isinstance(error, Exception):
                raise
            return
        self._leave_behind(waiting[len(answers) :])
        hand_out((ticket, answer) for ticket, (_prepared, answer) in zip(waiting, answers, strict=False))
        try:
            self._on_train(len(answers))
        except Exception:  # noqa: BLE001  # metrics decide nothing; the answers have left
            _log.exception("a train of %d calls could not be told", len(answers))

    # Carried on an event loop; `loop` is where the next step is taken.

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            opened = self._store.begin(wait=False)
        except Exception:  # noqa: BLE001  # the thread meets the same failure, and can afford to settle it
            opened = None
        if opened is None:
            self._worker.do(partial(self._begin_waiting, loop))
        else:
            self._depart(loop, opened)

    def _begin_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            opened = self._store.begin()
            assert opened is not None
        except Exception:  # noqa: BLE001  # carrying begins again, fails the same way, and is settled call by call
            self._drive()
        else:
            self._post(loop, partial(self._depart, loop, opened))

    def _depart(self, loop: asyncio.AbstractEventLoop, opened: Opened) -> None:
        """Carry everybody who has come by now; nothing here waits."""
        waiting = self._board()
        try:
            carried = self._train.depart(opened.tx, [ticket.prepared for ticket in waiting])
        except BaseException as error:
            self._worker.do(partial(self._begin_anew, opened, waiting))
            if not isinstance(error, Exception):
                raise
            return
        self._leave_behind(waiting[len(carried) :])
        del waiting[len(carried) :]
        self._worker.do(partial(self._commit, loop, opened, waiting, carried))

    def _begin_anew(self, opened: Opened, waiting: list[Ticket]) -> None:
        """Nothing was committed: the thread carries the same calls as if for the first time."""
        try:
            opened.rollback()
        finally:
            try:
                self._carry(waiting)
            finally:
                self._pass_on()

    def _commit(
        self, loop: asyncio.AbstractEventLoop, opened: Opened, waiting: list[Ticket], carried: list[Carried]
    ) -> None:
        try:
            opened.commit()
        except Exception as failed:  # noqa: BLE001  # whatever it was, each call is asked after
            error = failed
            try:
                self._answer(waiting, lambda: self._train.settle([ticket.prepared for ticket in waiting], error))
            finally:
                self._pass_on()
        else:
            self._post(loop, partial(self._arrive, waiting, carried))

    def _arrive(self, waiting: list[Ticket], carried: list[Carried]) -> None:
        try:
            self._answer(waiting, lambda: self._train.arrive(carried))
        finally:
            self._pass_on()

    # The end.

    def stop(self, timeout_seconds: float = 30.0) -> None:
        """Let in nobody else and carry everybody who waits, in place of a loop that no longer runs where need be."""
        deadline = time.monotonic() + timeout_seconds
        with self._guard:
            self._open = False
        while True:
            with self._guard:
                if not self._driven or time.monotonic() > deadline:
                    return
                step = self._step
                if step is None or (step.loop.is_running() and step.loop is not _running()):
                    self._guard.wait(0.05)
                    continue
            self._take(step)

    @property
    def waiting(self) -> int:
        """How many calls are queued."""
        return len(self._queue)
