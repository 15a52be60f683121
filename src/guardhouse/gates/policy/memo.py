"""Rulings that were given a moment ago, by the canonical form of the whole question."""

from __future__ import annotations

import threading
from collections import OrderedDict

from guardhouse.gates.policy.ruling import Ruling

KEPT = 1_024
_LONGEST = 4_096


class Memo:
    """The last `KEPT` rulings, the one longest not asked for given up first. Any thread may ask.

    A question longer than 4096 bytes is not kept, so that all of it stays under 5 MB.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._rulings: OrderedDict[bytes, Ruling] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, key: bytes) -> Ruling | None:
        """The ruling on this very question, or None."""
        with self._guard:
            found = self._rulings.get(key)
            if found is not None:
                self._rulings.move_to_end(key)
            return found

    def put(self, key: bytes, ruling: Ruling) -> None:
        """Keep a ruling."""
        if len(key) > _LONGEST:
            return
        with self._guard:
            self._rulings[key] = ruling
            self._rulings.move_to_end(key)
            if len(self._rulings) > self._kept:
                self._rulings.popitem(last=False)

    def __len__(self) -> int:
        return len(self._rulings)
