"""Threads that prepare long calls: one at a time, each in turn, and everybody else between them."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from guardhouse.gateway.turns import Turns
from guardhouse.guardrails.turns import turn
from tests.world import World

STEPS = 200


def test_one_works_at_a_time_and_each_has_its_turn() -> None:
    turns, begin = Turns(turn_seconds=0), threading.Barrier(3)
    inside, steps, crowded = 0, [], []

    def work(number: int) -> None:
        nonlocal inside
        begin.wait()
        with turns.taken():
            for _ in range(STEPS):
                inside += 1
                crowded.append(inside)
                steps.append(number)
                inside -= 1
                turn()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(steps) == 3 * STEPS
    assert set(crowded) == {1}
    first_done = min(len(steps) - 1 - steps[::-1].index(number) for number in range(3))
    assert all(steps.index(number) < first_done for number in range(3)), "one did all its work before another began"


def test_who_fails_leaves_its_place() -> None:
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.taken():
        1 / 0  # noqa: B018  # the fault itself
    with turns.taken():
        turn()
    turn()  # outside of it nobody rests: the place is free, and handing it over again would fail


def test_checks_are_answered_while_four_long_reports_are_read(home: World) -> None:
    """Each of some 100 KB in thousands of spans. Before, some 20 checks were answered on SQLite meanwhile, and 4 on PostgreSQL."""
    worker = home.agent("worker")
    reports = [
        "\n".join(f"`{home.store.dialect} a{number}x{line}`" for line in range(6_500))[:99_000] for number in range(4)
    ]

    async def both() -> tuple[list[str], int, float]:
        calls = [home.raw(worker, "submit_work", {"title": "t", "detail": report}) for report in reports]
        waiting = [asyncio.ensure_future(home.gateway.handle_async(call)) for call in calls]
        checks, slowest = 0, 0.0
        while not all(call.done() for call in waiting):
            started = time.perf_counter()
            await home.gateway.handle_async(home.raw(worker, "check_guardrails", {"operation_text": f"ls {checks}"}))
            slowest, checks = max(slowest, time.perf_counter() - started), checks + 1
        return [(await call).code for call in waiting], checks, slowest

    home.done(worker, "check_guardrails", {"operation_text": "ls"})
    codes, checks, slowest = asyncio.run(both())
    print(f"{checks} checks meanwhile, the slowest in {slowest * 1000:.0f} ms")
    assert codes == ["approval_pending"] * 4
    assert checks > 40
