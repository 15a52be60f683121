"""A load generator: keep-alive connections that send one request after another, bounded in count and time.

Run as `python -m tests.bench.load` with one JSON object on standard input:
{"host", "port", "connections", "seconds", "most", "requests": [{"path", "body", "headers", "method"}, …]};
without a method it is POST, without a body there is none.
Prints one JSON object: {"requests", "seconds", "rate", "p50_ms", "p99_ms", "statuses"}.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any


def _raw(host: str, request: dict[str, Any]) -> bytes:
    body = json.dumps(request["body"]).encode() if "body" in request else b""
    headers = {"Host": host, "Content-Type": "application/json", "Content-Length": str(len(body))}
    headers |= request.get("headers", {})
    lines = [
        f"{request.get('method', 'POST')} {request['path']} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class _Connection(asyncio.Protocol):
    """One connection: sends, waits for the whole answer, notes the latency, sends the next."""

    def __init__(self, plan: _Plan, offset: int) -> None:
        self.plan = plan
        self.turn = offset
        self.buffer = b""
        self.started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._send()

    def _send(self) -> None:
        if not self.plan.take():
            self.transport.close()
            return
        self.started = time.perf_counter()
        self.transport.write(self.plan.requests[self.turn % len(self.plan.requests)])  # type: ignore[attr-defined]
        self.turn += 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, split, rest = self.buffer.partition(b"\r\n\r\n")
        if not split:
            return
        lowered = head.lower()
        start = lowered.find(b"content-length:")
        length = int(lowered[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
        if len(rest) < length:
            return
        self.buffer = b""
        self.plan.latencies.append(time.perf_counter() - self.started)
        self.plan.statuses[head[9:12].decode()] += 1
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self.plan.open -= 1
        if self.plan.open == 0:
            self.plan.finished.set_result(None)


class _Plan:
    def __init__(self, spec: dict[str, Any]) -> None:
        self.requests = [_raw(spec["host"], request) for request in spec["requests"]]
        self.open = spec["connections"]
        self.left = spec["most"]
        self.deadline = time.perf_counter() + spec["seconds"]
        self.latencies: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self) -> bool:
        if self.left <= 0 or time.perf_counter() >= self.deadline:
            return False
        self.left -= 1
        return True


async def run(spec: dict[str, Any]) -> dict[str, Any]:
    """Send the load and measure it."""
    plan = _Plan(spec)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    for number in range(spec["connections"]):
        offset = number * 7919
        await loop.create_connection(lambda offset=offset: _Connection(plan, offset), spec["host"], spec["port"])  # type: ignore[misc]
    await plan.finished
    seconds = time.perf_counter() - started
    ordered = sorted(plan.latencies) or [0.0]
    return {
        "requests": len(plan.latencies),
        "seconds": seconds,
        "rate": len(plan.latencies) / seconds,
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p99_ms": 1000 * ordered[int(len(ordered) * 0.99)],
        "statuses": dict(plan.statuses),
    }


if __name__ == "__main__":
    import uvloop

    print(json.dumps(uvloop.run(run(json.load(sys.stdin)))))
