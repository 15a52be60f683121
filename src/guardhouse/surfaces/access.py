"""The access log of strangers: a bounded line for each refused token, and never the token or the body."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable

_log = logging.getLogger("guardhouse.access")
_UNSAFE = re.compile(r"[^\x21-\x7e]")
_TOKEN = re.compile(r"gdh_[\w-]+")


class AccessLog:
    """Writes at most `per_second` lines a second on average, `burst` at once; the next line says how many were left out."""

    def __init__(
        self, per_second: float = 5.0, burst: int = 20, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._monotonic = monotonic
        self._left = float(burst)
        self._at = monotonic()
        self._skipped = 0
        self._guard = threading.Lock()

    def stranger(self, *, path: str, address: str, request_id: str) -> None:
        """Note a call without a known principal."""
        with self._guard:
            now = self._monotonic()
            self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
            self._at = now
            if self._left < 1:
                self._skipped += 1
                return
            self._left -= 1
            skipped, self._skipped = self._skipped, 0
        # Who pastes a token to the wrong place must not find it here.
        shown, named = (_TOKEN.sub("gdh_...", _UNSAFE.sub("?", said))[:100] for said in (path[:1000], request_id))
        _log.warning("no known principal: path=%s address=%s request=%s left_out=%d", shown, address, named, skipped)
