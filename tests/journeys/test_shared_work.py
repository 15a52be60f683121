"""The queue through two server processes over one database: one winner, no circle, each task done exactly once."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from guardhouse.app import wall_clock
from guardhouse.ledger.tables import ENTRY
from guardhouse.services.queue.tables import TASK_EDGE
from guardhouse.storage.opening import open_store
from tests.journeys.conftest import House, Pair
from tests.services.test_queue_races import _acyclic as acyclic

TASKS = 1000
WORKERS = 32
LEASE_SECONDS = 10
"""The shortest lease there is: the dead worker's task comes back after it, in real time."""


def _at_once(work: Callable[[int], None], count: int) -> None:
    failed: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001  # told below, in the thread that can fail the test
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
    if failed:
        raise failed[0]
    assert not [thread for thread in threads if thread.is_alive()], "somebody is still at work after three minutes"


def test_a13_r06_racers_on_both_servers_have_one_winner(pair: Pair) -> None:
    houses = (pair.first, pair.second)
    tokens = [pair.first.agent(f"racer-{number}").token for number in range(8)]
    for _ in range(4):
        task = pair.first.done(tokens[0], "submit_work", {"title": "one of many"})["task_id"]
        heard: list[tuple[int, dict[str, Any]]] = []
        _race_for(task, houses, tokens, heard)
        won = [answer for status, answer in heard if status == 200]
        lost = [answer["error"] for status, answer in heard if status != 200]
        assert (len(won), len(lost)) == (1, 7)
        assert {error["code"] for error in lost} == {"already_claimed"}
        assert {error["holder_agent_id"] for error in lost} == {won[0]["holder_agent_id"]}


def _race_for(
    task: str, houses: tuple[House, House], tokens: list[str], heard: list[tuple[int, dict[str, Any]]]
) -> None:
    start = threading.Barrier(len(tokens))

    def claim(number: int) -> None:
        start.wait(60)
        heard.append(houses[number % 2].call(tokens[number], "claim_task", {"task_id": task}))

    _at_once(claim, len(tokens))


def test_a12_opposite_dependencies_through_both_servers_make_no_circle(pair: Pair, ground: str) -> None:
    houses = (pair.first, pair.second)
    tokens = [pair.first.agent(f"planner-{number}").token for number in range(6)]
    for _ in range(3):
        ring = [pair.first.done(tokens[0], "submit_work", {"title": f"{number}"})["task_id"] for number in range(3)]
        ways = [(ring[number], ring[(number + 1) % 3]) for number in range(3)]
        ways += [(needed, task) for task, needed in ways]
        start = threading.Barrier(len(ways))
        heard: list[tuple[int, dict[str, Any]]] = []
        _tie(ways, houses, tokens, start, heard)
        assert {status for status, _ in heard} == {200, 422}
        assert {answer["error"]["code"] for status, answer in heard if status != 200} == {"cycle"}
    store = open_store(ground, wall_clock)
    with store.reading() as connection:
        rows = connection.execute(select(TASK_EDGE).where(TASK_EDGE.c.workspace_id == pair.first.workspace_id))
        edges = [(row.waiter_id, row.awaited_id) for row in rows]
    store.close()
    assert edges
    assert acyclic(edges)


def _tie(
    ways: list[tuple[str, str]],
    houses: tuple[House, House],
    tokens: list[str],
    start: threading.Barrier,
    heard: list[tuple[int, dict[str, Any]]],
) -> None:
    def tie(number: int) -> None:
        start.wait(60)
        task, needed = ways[number]
        body = {"task_id": task, "needs_task_id": needed}
        heard.append(houses[number % 2].call(tokens[number], "add_dependency", body))

    _at_once(tie, len(ways))


class _Fleet:
    """Workers over two servers, some of which die with a task in hand, or while ending one."""

    def __init__(self, pair: Pair) -> None:
        self.houses = (pair.first, pair.second)
        self.agents = [pair.first.agent(f"worker-{number}", profile="unlimited") for number in range(WORKERS)]
        self.dead: list[tuple[House, str, str, int]] = []
        self.hung_up = 0
        self.guard = threading.Lock()
        self.over = threading.Event()

    def submit(self, number: int) -> None:
        house, line = self.houses[number % 2], self.houses[number % 2].server.connect()
        for task in range(number, TASKS, WORKERS):
            body = {"title": f"task {task}", "max_attempts": 20, "lease_seconds": LEASE_SECONDS}
            status, answer = house.server.call(self.agents[number].token, "submit_work", body, connection=line)
            assert status == 200, answer

    def work(self, number: int) -> None:
        luck = random.Random(number)  # the same deaths in every run
        house, agent = self.houses[number % 2], self.agents[number]
        line, token, life = house.server.connect(), agent.token, 0
        while not self.over.is_set():
            status, answer = house.server.call(token, "get_work", {}, connection=line)
            assert status == 200, answer
            task = answer["task"]
            if task is None:
                # A lease may end between two looks, and a ready task be claimed: what is in neither view at three
                # looks in this order is done, as a claim lasts longer than the looks take.
                if not any(self._seen(house, token, line, view) for view in ("active", "ready", "active")):
                    self.over.set()
                self.over.wait(0.5)
                continue
            body = {"task_id": task["task_id"], "fence": task["fence"], "summary": "done"}
            chance = luck.random()
            if chance < 0.02:
                with self.guard:
                    self.dead.append((house, token, task["task_id"], task["fence"]))
                # A worker that died is followed by another instance: a session of its own.
                token = house.done(house.operator, "issue_token", {"principal_id": agent.id})["token"]
                life += 1
            elif chance < 0.04:
                self._hang_up(house, token, body)
                with self.guard:
                    self.hung_up += 1
            else:
                status, answer = house.server.call(token, "complete_work", body, connection=line)
                assert status == 200, answer

    @staticmethod
    def _seen(house: House, token: str, line: http.client.HTTPConnection, view: str) -> list[Any]:
        status, answer = house.server.call(token, "list_work", {"view": view, "limit": 1}, connection=line)
        assert status == 200, answer
        tasks: list[Any] = answer["tasks"]
        return tasks

    def _hang_up(self, house: House, token: str, body: dict[str, Any]) -> None:
        """Say that it is done, and die before the answer."""
        line = http.client.HTTPConnection("127.0.0.1", house.server.port, timeout=60)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        line.request("POST", "/v1/complete_work", json.dumps(body), headers)
        line.close()


def test_r11_c26_each_task_is_done_exactly_once_though_workers_are_killed(pair: Pair, ground: str) -> None:
    fleet = _Fleet(pair)
    _at_once(fleet.submit, WORKERS)
    _at_once(fleet.work, WORKERS)
    assert len(fleet.dead) > 5
    assert fleet.hung_up > 5
    for house, token, task, fence in fleet.dead:
        late = {"task_id": task, "fence": fence, "summary": "too late"}
        assert house.refused(token, "complete_work", late) == (409, "stale_fence")
    ended: Counter[str] = Counter()
    store = open_store(ground, wall_clock)
    with store.reading(60) as connection:
        bodies = connection.execute(select(ENTRY.c.body).where(ENTRY.c.workspace_id == pair.first.workspace_id))
        for body in bodies.scalars():
            entry = json.loads(bytes(body))
            if (entry["operation"], entry["outcome"]) == ("complete_work", "performed"):
                ended[entry["resource"]["id"]] += 1
    store.close()
    assert (len(ended), set(ended.values())) == (TASKS, {1})
