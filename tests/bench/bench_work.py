"""The work: claim and complete, recall over many memories beside the corridor, playbooks not modified, tools listed.

`python -m tests.bench.bench_work [--rounds 3] [--seconds 2] [--pairs 3000] [--memories 100000] [--database sqlite|postgresql|both]`

Every figure stands beside `check_guardrails` in the same round, so that a busy machine slows both. Judges nothing.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
from collections.abc import Callable
from typing import Any

from tests.bench.asking import requests_of, row, run
from tests.bench.bench_gateway import checks, gateway, load
from tests.bench.bench_mcp import Client, milliseconds
from tests.bench.bench_recall import measure_recall


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


def worked(port: int, tokens: dict[str, str], connections: int, pairs: int) -> dict[str, Any]:
    """Submit enough tasks, then claim and complete so many of them; how that went."""
    task = {"title": "mend the login form", "detail": "the form loses what was typed", "definition_of_done": "it stays"}
    submit = requests_of(tokens, "submit_work", task)
    spec = {"host": "127.0.0.1", "port": port, "connections": connections, "seconds": 60, "most": pairs + connections}
    run("tests.bench.load", spec | {"requests": submit})
    return run("tests.bench.pairs", spec | {"seconds": 20, "most": pairs, "tokens": list(tokens.values())})


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
        with gateway(database) as (port, tokens, home, process):
            parts: dict[str, Callable[[], None]] = {
                "pairs": lambda: measure_pairs(database, port, tokens, options),  # noqa: B023  # called within the turn
                "playbook": lambda: measure_playbook(database, port, tokens, options),  # noqa: B023
                "listing": lambda: measure_listing(database, port, tokens),  # noqa: B023
                "recall": lambda: measure_recall(database, home, process.pid, port, tokens, options),  # noqa: B023
            }
            for name, measure in parts.items():
                if options.only in (None, name):
                    measure()


if __name__ == "__main__":
    main()
