"""Threads that prepare long calls: one at a time, each in turn, and everybody else between them."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from guardhouse.errors import NotPerformed, Unauthenticated
from guardhouse.gateway.turns import Turns, resting
from guardhouse.guardrails.turns import turn
from tests.world import Member, World

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


@pytest.mark.parametrize(("turn_seconds", "lets"), [(0.0, True), (3_600.0, False)])
def test_who_rests_lets_others_go_on(turn_seconds: float, lets: bool) -> None:
    """With an interpreter that nobody is taken from, only who rests lets another work."""
    asked, answered = threading.Event(), threading.Event()

    def other() -> None:
        asked.wait()
        answered.set()

    thread = threading.Thread(target=other)
    thread.start()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1_000)
    try:
        with resting(turn_seconds):
            asked.set()
            for _ in range(100_000):
                turn()
                if answered.is_set():
                    break
            rested = answered.is_set()
    finally:
        sys.setswitchinterval(before)
    thread.join(60)
    assert rested is lets


def test_who_fails_leaves_its_place() -> None:
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.taken():
        1 / 0  # noqa: B018  # the fault itself
    with turns.taken():
        turn()
    turn()  # outside of it nobody rests: the place is free, and handing it over again would fail


def test_checks_are_answered_while_four_long_reports_are_read(home: World) -> None:
    """The best of three. Before, some 20 checks were answered on SQLite meanwhile, and 4 on PostgreSQL."""
    worker = home.agent("worker")
    home.done(worker, "check_guardrails", {"operation_text": "ls"})
    told = []
    for attempt in range(3):
        codes, checks = asyncio.run(_both(home, worker, f"{home.store.dialect}{attempt}"))
        assert codes == ["approval_pending"] * 4
        told.append(checks)
        if checks > 40:
            return
    pytest.fail(f"only {told} checks were answered")


async def _both(home: World, worker: Member, name: str) -> tuple[list[str], int]:
    """Send four reports, each of 100 KB in thousands of spans, and one check after the other until all four are answered."""
    waiting = []
    for number in range(4):
        report = "\n".join(f"`{name} a{number}x{line}`" for line in range(6_500))[:99_000]
        call = home.raw(worker, "submit_work", {"title": "t", "detail": report})
        waiting.append(asyncio.ensure_future(home.gateway.handle_async(call)))
    checks = 0
    while not all(call.done() for call in waiting):
        await home.gateway.handle_async(home.raw(worker, "check_guardrails", {"operation_text": f"ls {checks}"}))
        checks += 1
    return [(await call).code for call in waiting], checks


def test_what_waits_for_a_thread_at_closing_time_is_told_so_and_not_prepared(home: World) -> None:
    """Those behind it would else be examined one after another, for nobody, and the process could not end meanwhile."""
    worker = home.agent("worker")
    texts = [f"{home.store.dialect} closing {number} " + "a b" * 7_000 for number in range(8)]

    async def closed() -> list[object]:
        with home.gateway._turns._place:
            calls = [home.raw(worker, "submit_work", {"title": "t", "detail": text}) for text in texts]
            waiting = [asyncio.ensure_future(home.gateway.handle_async(call)) for call in calls]
            await asyncio.sleep(0)
            while home.gateway._long_preparers._work_queue.qsize() != len(texts) - 2:
                await asyncio.sleep(0.001)
            closing = asyncio.ensure_future(asyncio.to_thread(home.gateway.close))
            while not home.gateway._closed:
                await asyncio.sleep(0.001)
        told = await asyncio.gather(*waiting, return_exceptions=True)
        await closing
        return list(told)

    home.done(worker, "check_guardrails", {"operation_text": "ls"})
    assert [type(told) for told in asyncio.run(closed())] == [NotPerformed] * len(texts)
    bundle = home.gateway.bundles.latest(home.workspace_id)
    assert bundle is not None
    examined = [asked.text for asked in bundle.packs._made]  # type: ignore[attr-defined]  # what the engine has kept
    assert sum(text in texts for text in examined) <= 2


def test_a_newcomers_short_call_waits_for_nobodys_examination(home: World) -> None:
    """Where its token leads is not known yet, which is read from the database beside the threads that examine."""
    worker, newcomer = home.agent("worker"), home.agent("newcomer")
    home.done(worker, "check_guardrails", {"operation_text": "ls"})
    examined = [f"echo {home.store.dialect} {number} " + "a" * 4_000 for number in range(6)]

    async def both() -> tuple[list[bool], str, list[str]]:
        with home.gateway._turns._place:  # nobody may examine meanwhile
            calls = [home.raw(worker, "check_guardrails", {"operation_text": text}) for text in examined]
            waiting = [asyncio.ensure_future(home.gateway.handle_async(call)) for call in calls]
            first = home.raw(newcomer, "check_guardrails", {"operation_text": "ls -l"})
            told = await asyncio.wait_for(home.gateway.handle_async(first), 60)
            done = [call.done() for call in waiting]
        return done, told.code, [(await call).code for call in waiting]

    assert asyncio.run(both()) == ([False] * 6, "performed", ["performed"] * 6)
    with pytest.raises(Unauthenticated):
        asyncio.run(home.gateway.handle_async(home.raw("ghst_nobody", "check_guardrails", {"operation_text": "ls"})))
