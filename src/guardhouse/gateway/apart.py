"""Recalls read apart: a process of the server's own reads and ranks them, so that no check waits for the interpreter.

The threads of one process share one interpreter. A recall over many memories keeps a thread of it at work for
milliseconds; beside it the trains, which wait for the disk a few times a call, get the interpreter back late. So
`services/recaller.py` does that work in a process of its own, which this module starts at the first recall, asks, gives up
and ends. It makes nothing possible that was not before: while that process starts, is busy or is gone, the recall is read
in the server, and what is found is the same.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from guardhouse.services import recalling
from guardhouse.services.recaller import MOST_TOLD
from guardhouse.storage import framing

_log = logging.getLogger("guardhouse.recaller")

PATIENCE_SECONDS = 0.02
"""How long a recall waits for its turn at the process before it is read in the server."""
GRACE_SECONDS = 1.0
"""How much later than its own time an answer may come. Who is silent longer is stuck, and is ended."""
START_SECONDS = 10.0
"""How long the process may take to begin, before it counts as stuck."""
IDLE_SECONDS = 60.0
"""After so long without a question the process is ended; the next recall starts another."""
OLDEST_SECONDS = 1_800.0
"""So long one process serves at most: no connection, no plan of a server's and no memory of it grows old."""
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 60.0
"""How long nobody starts another after one was lost: twice as long each time that it never answered."""
_END_SECONDS = 5.0

Monotonic = Callable[[], float]


def command() -> list[str]:
    """What starts the process: our own interpreter and module. Where the database lies it is told on its line."""
    return [sys.executable, "-P", "-m", "guardhouse.services.recaller"]


@dataclass(slots=True)
class _Process:
    """One process and the line to it. `ready`: it has opened the file. `answers`: how many it has given."""

    process: subprocess.Popen[bytes]
    line: socket.socket
    begun: float
    used: float
    ready: bool = False
    answers: int = 0


class Recaller:
    """At most one process that reads recalls from a database, for all threads of this one.

    `database` is what a store's `for_readers` gives. `clock` counts seconds; how long to leave it idle and when to try again is judged by it.
    """

    def __init__(
        self,
        database: Mapping[str, Any],
        *,
        clock: Monotonic = time.monotonic,
        command: Callable[[], list[str]] = command,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._command = command
        self._patience = patience_seconds
        self._turn = threading.Lock()
        self._held: _Process | None = None
        self._delay = 0.0
        self._not_before = float("-inf")
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process's id, while there is one."""
        held = self._held
        return None if held is None else held.process.pid

    def recall(self, asked: Mapping[str, Any], seconds: float) -> recalling.Recollection | None:
        """What `recalling.recall` finds for these arguments, in so many seconds; None where the caller is to read it here.

        TimeoutError when the time is over.
        """
        if not self._turn.acquire(timeout=self._patience):
            return None
        try:
            held = self._ready()
            return None if held is None else self._found(held, asked, seconds)
        finally:
            self._turn.release()

    def tend(self) -> None:
        """A look at the process, once a second: whether it is idle, stuck at its start, or has ended."""
        if not self._turn.acquire(blocking=False):
            return
        try:
            held = self._held
            if held is None:
                return
            idle = self._clock() - held.used
            if held.process.poll() is not None:
                self._lose(held)
            elif idle > IDLE_SECONDS or self._clock() - held.begun > OLDEST_SECONDS:
                self._end(held)
            elif idle > START_SECONDS and not held.ready and not self._hears(held) and self._held is held:
                self._lose(held)
        finally:
            self._turn.release()

    def close(self) -> None:
        """End the process, and start none again. Who waits for its answer at this moment reads it in the server."""
        self._closed = True
        held = self._held
        if held is not None:
            held.process.kill()
        with self._turn:
            if self._held is not None:
                self._end(self._held)

    def _ready(self) -> _Process | None:
        """The process, when it can be asked; it is started where there is none."""
        held = self._held
        if self._closed:
            return None
        if held is None:
            if self._clock() >= self._not_before:
                self._start()
            return None
        return held if held.ready or self._hears(held) else None

    def _start(self) -> None:
        try:
            process, ours = self._begun()
        except OSError as error:
            self._wait_longer(f"cannot be started ({type(error).__name__})", answered=False)
            return
        self._held = _Process(process, ours, self._clock(), self._clock())
        try:
            framing.send(ours, self._database, time.monotonic() + GRACE_SECONDS)
        except OSError:
            self._lose(self._held)

    def _begun(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """A process and our end of its line; OSError where the machine has no room for either."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: S603  # our own interpreter and module, no shell
                    self._command(),
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    env=_environment(),
                    start_new_session=True,  # a terminal's signals are for the server, which ends this in order
                )
            except BaseException:
                ours.close()
                raise
        return process, ours

    def _hears(self, held: _Process) -> bool:
        """Whether the process has said by now that it can be asked."""
        coming = select.poll()
        coming.register(held.line, select.POLLIN)
        if not coming.poll(0):
            return False
        try:
            held.ready = framing.receive(held.line, MOST_TOLD, time.monotonic() + GRACE_SECONDS) == {"ready": True}
        except (OSError, EOFError, ValueError):
            held.ready = False
        if not held.ready:
            self._lose(held)
        return held.ready

    def _found(self, held: _Process, asked: Mapping[str, Any], seconds: float) -> recalling.Recollection | None:
        held.used = self._clock()
        number = held.answers + 1
        deadline = time.monotonic() + seconds + GRACE_SECONDS
        try:
            framing.send(held.line, {"number": number, "seconds": seconds, "asked": asked}, deadline)
            told = framing.receive(held.line, MOST_TOLD, deadline)
            if not isinstance(told, dict) or told.get("number") != number:
                raise ValueError("not an answer to what was asked")  # noqa: TRY301  # one place says what becomes of it
            found = recalling.unpacked(told["found"]) if "found" in told else None
        except TimeoutError:
            self._lose(held)
            raise
        except (OSError, EOFError, ValueError):
            self._lose(held)
            return None
        held.answers = number
        if "late" in told:
            raise TimeoutError("a recall took too long")
        return found

    def _lose(self, held: _Process) -> None:
        """End a process that failed us; another is started after a while."""
        answered = held.answers > 0
        self._end(held)
        if not self._closed:
            self._wait_longer(f"was lost (status {held.process.returncode})", answered=answered)

    def _wait_longer(self, what: str, *, answered: bool) -> None:
        self._delay = _FIRST_DELAY if answered else min(_LONGEST_DELAY, max(_FIRST_DELAY, 2 * self._delay))
        self._not_before = self._clock() + self._delay
        _log.warning(
            "the process that reads recalls %s; the server reads them itself, and tries again in %d s",
            what,
            self._delay,
        )

    def _end(self, held: _Process) -> None:
        """End it by its own id and wait for that, so that nothing of it stays. It has nothing to bring to an end."""
        self._held = None
        held.line.close()
        held.process.kill()
        try:
            held.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            _log.error("process %d, which read recalls, does not end", held.process.pid)


def _environment() -> dict[str, str]:
    """The server's own, without what is only for Guardhouse: settings hold addresses and tokens."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GUARDHOUSE_")}
