"""Requests at a steady pace on a few connections, beside something that is measured. Bounded in count and time.

Run as `python -m tests.bench.paced` with one JSON object on standard input: {"host", "port", "connections",
"seconds", "a_second", "requests": [{"path", "body", "headers"}, …]}. Prints {"answered", "took",
"spent"}: each in milliseconds, and seconds of the processor that this took here. A connection that falls behind sends the
next one at once, and never more than one at a time. With "burns" so many seconds of the processor are taken each time:
instead of asking where there are no "requests", otherwise behind each answer.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any


def _ask(spec: dict[str, Any], offset: int, took: list[float]) -> None:
    if "requests" not in spec:
        for _turn in _paced(spec, offset):
            begun = time.perf_counter()
            _burn(spec["burns"])
            took.append((time.perf_counter() - begun) * 1000)
        return
    line = http.client.HTTPConnection(spec["host"], spec["port"], timeout=60)
    for turn in _paced(spec, offset):
        request = spec["requests"][(turn * spec["connections"] + offset) * 7 % len(spec["requests"])]
        sent = time.perf_counter()
        line.request("POST", request["path"], json.dumps(request["body"]), request["headers"] | _JSON)
        answer = line.getresponse()
        answer.read()
        if answer.status == 200:
            took.append((time.perf_counter() - sent) * 1000)
        _burn(spec.get("burns", 0))
    line.close()


def _paced(spec: dict[str, Any], offset: int) -> Iterator[int]:
    """Numbers, each when it is its time."""
    pause = spec["connections"] / spec["a_second"]
    started = time.perf_counter()
    for turn in range(int(spec["seconds"] / pause) + 1):
        due = started + turn * pause + pause * offset / spec["connections"]
        if due - started >= spec["seconds"] or time.perf_counter() - started >= spec["seconds"]:
            break
        time.sleep(max(0.0, due - time.perf_counter()))
        yield turn


def _burn(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


_JSON = {"Content-Type": "application/json"}


def main() -> None:
    """Send, and tell how many were answered."""
    spec = json.load(sys.stdin)
    took: list[float] = []
    threads = [
        threading.Thread(target=_ask, args=(spec, offset, took), daemon=True) for offset in range(spec["connections"])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(spec["seconds"] + 60)
    print(json.dumps({"answered": len(took), "took": took, "spent": time.process_time()}))


if __name__ == "__main__":
    main()
