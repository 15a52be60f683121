"""The last calls of each client's hook, as `/metrics` shows them and `guardhouse doctor` reads them.

Kept in this process's memory, off the decision's path: whether a hook is really called is asked of the gateway, since a
hook over HTTP leaves nothing on the person's machine.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

LAST = 100
"""How many calls of a client the percentiles are of."""


class Recent(Collector):
    """How long each client's last hundred calls took, and how long ago the last one was."""

    def __init__(self, registry: CollectorRegistry, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._taken: dict[str, deque[float]] = {}
        self._at: dict[str, float] = {}
        registry.register(self)

    def note(self, client: str, seconds: float) -> None:
        """One call of somebody known was answered."""
        taken = self._taken.get(client)
        if taken is None:
            taken = self._taken[client] = deque(maxlen=LAST)
        taken.append(seconds)
        self._at[client] = self._monotonic()

    def collect(self) -> Iterator[Any]:
        ago = GaugeMetricFamily(
            "guardhouse_hook_last_seconds", "Seconds since a client's last hook.", labels=["client"]
        )
        count = GaugeMetricFamily("guardhouse_hook_recent", "Hooks of a client that are remembered.", labels=["client"])
        took = GaugeMetricFamily(
            "guardhouse_hook_recent_seconds", "How long a client's last hooks took.", labels=["client", "quantile"]
        )
        now = self._monotonic()
        for client, taken in list(self._taken.items()):
            ordered = sorted(taken)
            ago.add_metric([client], now - self._at[client])
            count.add_metric([client], len(ordered))
            for name, part in (("0.5", 50), ("0.99", 99)):
                took.add_metric([client, name], ordered[min(len(ordered) - 1, len(ordered) * part // 100)])
        yield from (ago, count, took)
