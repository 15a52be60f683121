"""The queue under racers: one winner, no lost task, no cycle, no late write."""

from __future__ import annotations

import random
import threading
from collections import Counter
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from guardhouse.errors import Refusal
from guardhouse.services import queue
from guardhouse.services.queue.tables import TASK, TASK_EDGE
from tests.services.workshop import WORKSPACE, Workshop, race

RACERS = 12


@pytest.fixture
def shop(store: Any, clock: Any, ids: Any) -> Workshop:
    return Workshop(store, clock, ids)


def submit(shop: Workshop, **options: Any) -> str:
    return str(shop.make(queue.submit, title="a task", by="agt_lead", **options)["id"])


def test_r06_r07_a13_of_many_racers_one_wins_and_the_rest_are_told_already_claimed(shop: Workshop) -> None:
    task = submit(shop)
    results = race(
        [
            partial(shop.do, queue.claim, task, agent_id=f"agt_{number}", session_id=f"ses_{number}")
            for number in range(RACERS)
        ]
    )
    winners = [result for result in results if isinstance(result, dict)]
    losers = [result for result in results if isinstance(result, Refusal)]
    assert (len(winners), len(losers)) == (1, RACERS - 1)
    assert {loser.code for loser in losers} == {"already_claimed"}
    assert {loser.extra["holder_agent_id"] for loser in losers} == {winners[0]["holder_id"]}


def test_c26_c34_racers_for_the_next_task_never_share_one(shop: Workshop) -> None:
    tasks = {submit(shop) for _ in range(RACERS - 3)}
    results = race(
        [
            partial(shop.do, queue.claim_next, agent_id=f"agt_{number}", session_id=f"ses_{number}")
            for number in range(RACERS)
        ]
    )
    assert not [result for result in results if isinstance(result, Exception)]
    assert sorted(row["id"] for row in results if row) == sorted(tasks)


def test_a12_opposite_needs_at_once_never_make_a_cycle(shop: Workshop) -> None:
    for _ in range(8):
        ring = [submit(shop) for _ in range(3)]
        pairs = [(ring[number], ring[(number + 1) % 3]) for number in range(3)]
        results = race(
            [partial(shop.do, queue.add_need, *pair) for pair in pairs]
            + [partial(shop.do, queue.add_need, *reversed(pair)) for pair in pairs]
        )
        refused = [result for result in results if isinstance(result, Exception)]
        assert {type(result) for result in refused} == {Refusal}
        assert {result.code for result in refused if isinstance(result, Refusal)} == {"cycle"}
    with shop.tx() as tx:
        edges = [(row["waiter_id"], row["awaited_id"]) for row in tx.rows(select(TASK_EDGE))]
    assert _acyclic(edges)


def _acyclic(edges: list[tuple[str, str]]) -> bool:
    waiting = {node: 0 for edge in edges for node in edge}
    for waiter, _awaited in edges:
        waiting[waiter] += 1
    free = [node for node, count in waiting.items() if not count]
    seen = 0
    while free:
        node = free.pop()
        seen += 1
        for waiter, awaited in edges:
            if awaited == node:
                waiting[waiter] -= 1
                if not waiting[waiter]:
                    free.append(waiter)
    return seen == len(waiting)


def test_the_acyclic_judge_itself_knows_a_cycle() -> None:
    assert _acyclic([("a", "b"), ("b", "c")])
    assert not _acyclic([("a", "b"), ("b", "c"), ("c", "a")])


def test_r11_c05_every_task_is_done_exactly_once_though_workers_die(shop: Workshop) -> None:
    """1,000 tasks, 32 workers that die at random with their claim; the late writer is always refused."""
    submit_many(shop, 1000)
    finished: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    late: list[tuple[str, dict[str, str], int]] = []
    guard = threading.Lock()

    def work(number: int, round_: int) -> None:
        luck = random.Random(1000 * round_ + number)  # a seeded run, the same every time
        life = 0
        while True:
            who = {"agent_id": f"agt_{number}", "session_id": f"ses_{number}_{round_}_{life}"}
            with shop.tx() as tx:
                row = queue.claim_next(tx, WORKSPACE, **who)
                dies = row is not None and luck.random() < 0.08
                if row is not None and not dies:
                    queue.complete(tx, WORKSPACE, row["id"], **who, success=True, summary="done", fence=row["fence"])
            if row is None:
                return
            with guard:
                if dies:
                    late.append((row["id"], who, row["fence"]))
                    life += 1
                else:
                    finished[row["id"]] += 1

    for round_ in range(40):
        assert not [result for result in race([partial(work, number, round_) for number in range(32)]) if result]
        shop.clock.advance(3600)
        for task, who, fence in late:
            with pytest.raises(Refusal) as excinfo:
                shop.do(queue.complete, task, **who, success=True, summary="too late", fence=fence)
            refused[excinfo.value.code] += 1
        dead, late[:] = len(late), []
        if not dead:
            break
    with shop.tx() as tx:
        states = Counter(tx.execute(select(TASK.c.status)).scalars())
    assert states == {"done": 1000}
    assert (len(finished), set(finished.values())) == (1000, {1})
    assert set(refused) == {"stale_fence"}
    assert sum(refused.values()) > 20


def submit_many(shop: Workshop, count: int) -> None:
    with shop.tx() as tx:
        for number in range(count):
            queue.submit(tx, shop.ids, WORKSPACE, title=f"task {number}", by="agt_lead", max_attempts=20)


def test_fences_rise_strictly_over_every_way_a_claim_ends(shop: Workshop) -> None:
    task = submit(shop, max_attempts=20, lease_seconds=60)
    fences = []
    for number in range(6):
        who = {"agent_id": f"agt_{number}", "session_id": f"ses_{number}"}
        fences.append(shop.do(queue.claim, task, **who)["fence"])
        if number % 3 == 0:
            shop.clock.advance(61)
        elif number % 3 == 1:
            shop.do(queue.release, task, **who)
        else:
            shop.do(queue.free, who["agent_id"], (who["session_id"],))
    assert fences == sorted(set(fences))
