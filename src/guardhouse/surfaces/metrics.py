"""What Prometheus may read: counts, latencies and lags. Labels come from closed sets only, never from a caller."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from guardhouse.catalog import Catalog
from guardhouse.surfaces import problem

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)


class Metrics:
    """A door's own registry."""

    def __init__(self, catalog: Catalog) -> None:
        self.registry = CollectorRegistry()
        self._names = frozenset(declared.name for declared in catalog)
        self._calls = Counter(
            "guardhouse_calls", "Calls answered", ("operation", "effect", "code"), registry=self.registry
        )
        self._latency = Histogram(
            "guardhouse_call_seconds", "Time from headers to answer", registry=self.registry, buckets=_SECONDS
        )
        self._suppressed = Counter(
            "guardhouse_suppressed_calls", "Calls over quota answered from memory", registry=self.registry
        )
        self._train = Histogram(
            "guardhouse_train_calls",
            "Calls carried by one train",
            registry=self.registry,
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
        )
        self._children: dict[tuple[str, str, str], Counter] = {}

    def answered(self, operation: str, effect: str, code: str, seconds: float) -> None:
        """Count one answer. An operation or code that is not ours counts as `other`."""
        known = (
            operation if operation in self._names else "other",
            effect,
            code if code in problem.TABLE else "other",
        )
        child = self._children.get(known)
        if child is None:
            child = self._children[known] = self._calls.labels(*known)
        child.inc()
        self._latency.observe(seconds)

    def suppressed(self) -> None:
        """Count one call that was answered from memory."""
        self._suppressed.inc()

    def train(self, calls: int) -> None:
        """Note a train's size."""
        self._train.observe(calls)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show a number that is read when asked for."""
        Gauge(f"guardhouse_{name}", text, registry=self.registry).set_function(read)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
