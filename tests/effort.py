"""Bounds of work that a test may hold code to, whatever else the machine does and however large the test run has grown."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


def within(seconds: float, work: Callable[[], object], tries: int = 5) -> bool:
    """Whether one of `tries` runs of `work` takes less than so many seconds of this thread's processor time.

    What disturbs a run (a garbage collection of all that earlier tests left behind, a crowded cache) passes; work without
    a bound exceeds it every time. `work` must do the same work each time, not remember its last answer.
    """
    for _ in range(tries):
        was = gc.isenabled()
        gc.disable()
        try:
            started = time.thread_time()
            work()
            taken = time.thread_time() - started
        finally:
            if was:
                gc.enable()
        if taken < seconds:
            return True
    return False
