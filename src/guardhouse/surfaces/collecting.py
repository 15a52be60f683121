"""Garbage collection in a process that serves: what stays for good is set aside, so that no collection walks through it.

The program and a compiled law are some 170,000 objects. A collection of the oldest generation walks through them and
holds up every call for a tenth of a second, and one came every few thousand calls: those were the slowest hundredth of
all answers. What calls leave behind has almost no cycles, so the youngest generation may grow well beyond what is under
way at once.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

THRESHOLDS = (20_000, 20, 20)
"""For `gc.set_threshold`. Thirty-two calls under way are some 4,000 objects."""


class Collecting:
    """Sets aside what this process keeps, once at the start and again after each law that it compiled.

    `compiled` tells how many laws were compiled so far. Any thread may call `settle`; it holds up all others while it
    works, which is once a law.
    """

    def __init__(self, compiled: Callable[[], int]) -> None:
        self._compiled = compiled
        self._seen = -1
        self._guard = threading.Lock()

    def begin(self) -> None:
        """From now on collect as a server should. For the whole process."""
        gc.set_threshold(*THRESHOLDS)

    def settle(self) -> None:
        """Set aside what is there now, unless that was done since the newest law was compiled.

        What was set aside before and is no longer used, such as a law that was replaced, is freed first.
        """
        with self._guard:
            seen = self._compiled()
            if seen == self._seen:
                return
            gc.unfreeze()
            gc.collect()
            gc.freeze()
            self._seen = seen
