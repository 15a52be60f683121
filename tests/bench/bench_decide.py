"""What deciding costs: every gate, Cedar, a typical command. Prints a table; judges nothing.

`python -m tests.bench.bench_decide [--calls 5000]`
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

from guardhouse.bundle import Bundle
from guardhouse.bundle.load import load_files
from guardhouse.gateway.decide import decide
from guardhouse.guardrails.text import Examined
from guardhouse.model.call import Resource
from tests.judging import ACTIONS, SHIPPED, agent, call, facts

COMMAND = "git push --force-with-lease origin feature/login && pytest -q tests/test_login.py"
DANGER = "git push --force origin main"
POLICIES = 25
PATTERNS = 150


def made(policies: int, patterns: int) -> tuple[Bundle, int, int]:
    """The shipped law, filled up to so many policies and patterns; how many there are really."""
    count = sum(data.count(b"@id(") for name, data in SHIPPED.items() if name.startswith("cedar/"))
    shipped = len(load_files(SHIPPED, ACTIONS).packs.rules)
    names = sorted(ACTIONS)
    extra = "\n".join(
        f'@id("bench.{n}") forbid (principal is Agent, action == Action::"{names[n % len(names)]}", resource)'
        f' when {{ context.surface == "none{n}" }};'
        for n in range(max(0, policies - count))
    )
    rules = "\n".join(
        f"  - {{id: bench.{n}, pattern: '\\bbench{n}tool\\s+--force\\b', severity: block, min_trust: 4, reason: bench,"
        f" must_match: [bench{n}tool --force, x; bench{n}tool --force], must_pass: [ls, bench{n}tool]}}"
        for n in range(max(0, patterns - shipped))
    )
    files = SHIPPED | {"cedar/bench.cedar": extra.encode()}
    if rules:
        files["guardrails/bench.yaml"] = f"pack: bench\ncategory: bench\nrules:\n{rules}\n".encode()
    return load_files(files, ACTIONS), max(policies, count), max(patterns, shipped)


def measured(work: Callable[[int], object], calls: int) -> tuple[float, float]:
    """The median and the 99th percentile of one call, in microseconds of this thread's processor time."""
    for number in range(min(calls, 300)):
        work(number)
    times = []
    for number in range(calls):
        began = time.thread_time_ns()
        work(number)
        times.append((time.thread_time_ns() - began) / 1000)
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def row(name: str, bundle: Bundle, calls: int) -> tuple[str, float, float, float]:
    """A typical command examined and decided, a dangerous one, a lock on a file not seen before, and the same again."""
    checks = call("check_guardrails", resource=Resource("Command", "shell"))
    known = [facts(agent(3, id=f"agt_{n}", profile="codex"), bundle, quota=(("calls_per_hour", 5),)) for n in range(32)]
    texts = (Examined("operation_text", COMMAND, "shell"),)

    def check(number: int) -> object:
        made = replace(known[number % 32], findings=bundle.packs.examine(texts))
        return decide(checks, made, bundle)

    def lock(number: int) -> object:
        return decide(call(resource=Resource("File", f"file:default//src/{number}.py")), known[number % 32], bundle)

    def danger(number: int) -> object:
        made = replace(
            known[number % 32], findings=bundle.packs.examine((Examined("operation_text", DANGER, "shell"),))
        )
        return decide(checks, made, bundle)

    def again(number: int) -> object:
        return decide(call(resource=Resource("File", "file:default//src/app.py")), known[number % 32], bundle)

    p50, p99 = measured(check, calls)
    worse, worse99 = measured(danger, calls)
    fresh, fresh99 = measured(lock, calls)
    same, same99 = measured(again, calls)
    print(
        f"{name:<34} {p50:8.1f} {p99:8.1f} {worse:12.1f} {worse99:8.1f}"
        f" {fresh:12.1f} {fresh99:8.1f} {same:12.1f} {same99:8.1f}"
    )
    return name, p50, fresh, p99


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5_000)
    calls = parser.parse_args().calls
    print(
        f"{'microseconds':<34} {'check p50':>8} {'p99':>8} {'danger p50':>12} {'p99':>8} {'new file p50':>12} {'p99':>8} {'again p50':>12} {'p99':>8}"
    )
    results = []
    for policies, patterns in ((POLICIES, PATTERNS), (10 * POLICIES, PATTERNS), (POLICIES, 10 * PATTERNS)):
        bundle, has, knows = made(policies, patterns)
        results.append(row(f"{has} policies, {knows} patterns", bundle, calls))
    base = results[0]
    for name, *numbers in results[1:]:
        print(f"{name:<34} {numbers[0] / base[1]:7.2f}x {'':>8} {'':>12} {'':>8} {numbers[1] / base[2]:11.2f}x")


if __name__ == "__main__":
    main()
