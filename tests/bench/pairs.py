"""Claim and complete, over and over, on keep-alive connections; bounded in count and time.

Run as `python -m tests.bench.pairs` with one JSON object on standard input:
{"host", "port", "connections", "seconds", "most", "tokens"}. A pair is one `get_work` that gave a task and
the `complete_work` that ended it. Prints {"pairs", "seconds", "rate", "p50_ms", "statuses"}; a connection
that finds the queue empty stops.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

_LENGTH = b"content-length:"


class _Worker(asyncio.Protocol):
    """One worker on one connection: claims, completes what it was given, claims again."""

    def __init__(self, work: _Work, token: str) -> None:
        self._work = work
        self._head = f"Host: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        self._buffer = b""
        self._begun = 0.0
        self._claiming = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._claim()

    def _post(self, operation: str, body: dict[str, Any]) -> None:
        said = json.dumps(body)
        self._transport.write(
            f"POST /v1/{operation} HTTP/1.1\r\n{self._head}Content-Length: {len(said)}\r\n\r\n{said}".encode()
        )

    def _claim(self) -> None:
        if not self._work.take():
            self._transport.close()
            return
        self._begun = time.perf_counter()
        self._claiming = True
        self._post("get_work", {})

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, split, rest = self._buffer.partition(b"\r\n\r\n")
        start = head.lower().find(_LENGTH)
        if not split or len(rest) < int(head[start + len(_LENGTH) :].split(b"\r\n", 1)[0]):
            return
        self._buffer = b""
        self._work.statuses[head[9:12].decode()] += 1
        if not self._claiming:
            self._work.took.append(time.perf_counter() - self._begun)
            self._claim()
            return
        task = json.loads(rest).get("task")
        if not task:
            self._transport.close()
            return
        self._claiming = False
        self._post("complete_work", {"task_id": task["task_id"], "fence": task["fence"], "summary": "done"})

    def connection_lost(self, exc: Exception | None) -> None:
        self._work.open -= 1
        if not self._work.open:
            self._work.finished.set_result(None)


class _Work:
    def __init__(self, spec: dict[str, Any]) -> None:
        self.open = spec["connections"]
        self.left = spec["most"]
        self.deadline = time.perf_counter() + spec["seconds"]
        self.took: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0 and time.perf_counter() < self.deadline


async def run(spec: dict[str, Any]) -> dict[str, Any]:
    """Work until the bounds are reached or nothing is left."""
    work, loop, tokens = _Work(spec), asyncio.get_running_loop(), spec["tokens"]
    started = time.perf_counter()
    for number in range(spec["connections"]):
        token = tokens[number % len(tokens)]
        await loop.create_connection(lambda token=token: _Worker(work, token), spec["host"], spec["port"])  # type: ignore[misc]
    await work.finished
    seconds = time.perf_counter() - started
    ordered = sorted(work.took) or [0.0]
    return {
        "pairs": len(work.took),
        "seconds": seconds,
        "rate": len(work.took) / seconds,
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "statuses": dict(work.statuses),
    }


if __name__ == "__main__":
    import uvloop

    print(json.dumps(uvloop.run(run(json.load(sys.stdin)))))
