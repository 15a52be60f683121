"""A train that reads ahead for the queue and writes behind it comes to what the same calls come to one by one.

The queue is laid out first, call by call, and some time passes, so that leases and deadlines have run out (on SQLite);
then comes one plan, carried together and one by one. What is compared is everything, as in `test_train`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from guardhouse.model.answer import Outcome
from guardhouse.storage.opening import open_store
from tests.conftest import CountingIds, FakeClock
from tests.gateway.crashing import CRASH_SECONDS
from tests.gateway.test_train import Ride, Step
from tests.world import Member, world

LAID: list[dict[str, Any]] = [
    {"title": "plain"},
    {"title": "urgent", "type": "bug", "priority": 0},
    {"title": "whole", "type": "epic"},
    {"title": "part", "parent_task_id": 2},
    {"title": "waits", "needs": [1], "priority": 0},
    {"title": "hers", "assignee_agent_id": "agent-1", "priority": 1},
    {"title": "paused", "feature": "x", "priority": 1},
    {"title": "hurried", "repository": "r", "deadline": "2034-12-17T20:26:55Z", "priority": 0},
    {"title": "once", "max_attempts": 1, "lease_seconds": 10, "priority": 3},
    {"title": "twice", "lease_seconds": 10, "priority": 3},
]
TASKS = st.integers(0, len(LAID) - 1)
WHO = st.sampled_from([0, 0, 0, 1, 1, 3])


def _steps(operation: str, *bodies: dict[str, Any], task: bool = True) -> st.SearchStrategy[Step]:
    named = TASKS.map(lambda number: {"task_id": number}) if task else st.just({})
    of = st.tuples(named, st.sampled_from(bodies or ({},))).map(lambda parts: parts[0] | parts[1])
    return st.tuples(WHO, st.just(operation), of, st.sampled_from(["", "", "", "k"]))


ENDINGS = [{"summary": "done"}, {"summary": "done", "fence": 1}, {"summary": "done", "fence": 2}, {"summary": "crash"}]
ENDINGS += [{"summary": "no", "success": False}, {"summary": "no", "success": False, "retry": True}]
LOOKS = [{}, {}, {}, {"types": ["bug"]}, {"repository": "r"}, {"lease_seconds": CRASH_SECONDS}]
STEPS = st.one_of(
    _steps("get_work", *LOOKS, task=False),
    _steps("get_work", *LOOKS, task=False),
    _steps("complete_work", *ENDINGS),
    _steps("complete_work", *ENDINGS),
    _steps("claim_task"),
    _steps("release_task", {}, {"blocked_reason": "stuck"}),
    _steps("renew_lease"),
    _steps("cancel_work"),
    _steps("reopen_task"),
    _steps("add_dependency", {"needs_task_id": 0}, {"needs_task_id": 3}),
    _steps("remove_dependency", {"needs_task_id": 1}),
    _steps("get_task"),
    _steps("list_work", {"view": "ready"}, {"view": "active"}, task=False),
    _steps("submit_work", {"title": "more", "priority": 0}, {"title": "more", "needs": [0]}, task=False),
    _steps("acquire_lock", {"key": "feature:x:pause"}, {"key": "res:crash"}, task=False),
)


class Laid:
    """A fresh world with the queue laid out in it, and a plan carried there."""

    def __init__(self, ride: Ride, clock: FakeClock) -> None:
        self.ride = ride
        self.ids: list[str] = []
        for body in LAID:
            outcome = self.alone((0, "submit_work", body, ""))
            self.ids.append(
                outcome.result["task"]["task_id"] if "task" in outcome.result else outcome.result["task_id"]
            )
        for number in (8, 9):
            assert self.alone((1, "claim_task", {"task_id": number}, "")).performed
        assert self.alone((0, "claim_task", {"task_id": 0}, "")).performed
        clock.advance(20)

    def alone(self, step: Step) -> Any:
        ((_, answer),) = self.ride.train.carry([self.prepared(step)])
        return answer

    def prepared(self, step: Step) -> Any:
        who, operation, of, key = step
        return self.ride.prepared((who, operation, self._named(of), key), [])

    def _named(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body with tasks and agents by their ids instead of their numbers."""
        made = dict(body)
        for field in ("task_id", "parent_task_id", "needs_task_id"):
            if field in made:
                made[field] = self.ids[made[field]]
        if "needs" in made:
            made["needs"] = [self.ids[number] for number in made["needs"]]
        if "assignee_agent_id" in made:
            made["assignee_agent_id"] = self.ride.agents[1].id
        return made


def _carry(url: str, plan: list[Step], *, together: bool) -> tuple[list[Any], dict[str, list[str]]]:
    clock = FakeClock()
    with closing(open_store(url, clock)) as store, world(store, clock, CountingIds()) as home:
        ride = Ride(home)
        try:
            laid = Laid(ride, clock)
            if together:
                outcomes: list[Any] = [answer for _, answer in ride.train.carry([laid.prepared(step) for step in plan])]
            else:
                outcomes = [laid.alone(step) for step in plan]
            assert all(isinstance(outcome, Outcome) for outcome in outcomes), outcomes
            return outcomes, ride.everything()
        finally:
            ride.gateway.close()


def _same(new_database: Callable[[str], str], dialect: str, plan: list[Step]) -> list[Any]:
    apart, left_apart = _carry(new_database(dialect), plan, together=False)
    together, left = _carry(new_database(dialect), plan, together=True)
    assert together == apart, plan
    for table, rows in left.items():
        assert rows == left_apart[table], (table, plan)
    return together


TAKE, LOOK = (0, "get_work", {}, ""), (1, "get_work", {}, "")
PLANS: dict[str, list[Step]] = {
    "claims run through the lane and out of it": [TAKE, LOOK] * 5,
    "an ending makes another ready, which is claimed next": [
        (0, "claim_task", {"task_id": 1}, ""),
        TAKE,
        (0, "complete_work", {"task_id": 1, "summary": "done"}, ""),
        LOOK,
        TAKE,
    ],
    "a claim that crashes gives its task to the next": [
        TAKE, (0, "get_work", {"lease_seconds": CRASH_SECONDS}, ""), LOOK, TAKE,
    ],
    "an ending that crashes leaves the claim": [
        TAKE,
        (0, "complete_work", {"task_id": 1, "summary": "crash"}, ""),
        (0, "complete_work", {"task_id": 1, "summary": "done"}, ""),
        (0, "complete_work", {"task_id": 1, "summary": "done"}, ""),
    ],
    "what is released, reopened or submitted is handed out again": [
        TAKE,
        (0, "release_task", {"task_id": 1}, ""),
        LOOK,
        (1, "complete_work", {"task_id": 1, "summary": "done"}, ""),
        (1, "reopen_task", {"task_id": 1}, ""),
        TAKE,
        (0, "submit_work", {"title": "more", "priority": 0}, ""),
        LOOK,
    ],
    "an epic takes its part with it, and nobody is given that": [
        (0, "claim_task", {"task_id": 2}, ""),
        (0, "complete_work", {"task_id": 2, "summary": "done"}, ""),
        TAKE, LOOK, TAKE, LOOK, TAKE, LOOK,
    ],
    "a paused feature is passed over": [(1, "acquire_lock", {"key": "feature:x:pause"}, ""), TAKE, TAKE, TAKE, LOOK],
    "a need that is added keeps a task out of the lane": [
        (0, "add_dependency", {"task_id": 1, "needs_task_id": 3}, ""), TAKE, LOOK, TAKE,
    ],
}  # fmt: skip


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_what_calls_do_to_each_others_tasks_inside_one_train(dialect: str, new_database: Callable[[str], str]) -> None:
    given: dict[str, list[str]] = {}
    for name, plan in PLANS.items():
        outcomes = _same(new_database, dialect, plan)
        tasks = [(outcome.result or {}).get("task") for outcome in outcomes]
        given[name] = [task["title"] for task in tasks if task]
    # PostgreSQL goes by its own clock, for which nothing has run out yet.
    lane = ["urgent", "hers", "paused", "part", "twice"]
    lane = lane if dialect == "sqlite" else ["urgent", "hurried", "paused", "hers", "part"]
    assert given["claims run through the lane and out of it"] == lane
    assert given["an ending makes another ready, which is claimed next"].count("waits") == 1
    assert given["a claim that crashes gives its task to the next"][:2] == lane[:2]
    last = "more" if dialect == "sqlite" else "hurried"
    assert given["what is released, reopened or submitted is handed out again"] == ["urgent", "urgent", "urgent", last]
    assert "part" not in given["an epic takes its part with it, and nobody is given that"]
    assert "paused" not in given["a paused feature is passed over"]
    assert "urgent" not in given["a need that is added keeps a task out of the lane"]


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_train_of_the_queue_equals_one_by_one(dialect: str, new_database: Callable[[str], str]) -> None:
    examples = 15 if dialect == "sqlite" else 4

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.lists(STEPS, min_size=2, max_size=16))
    def holds(plan: list[Step]) -> None:
        _same(new_database, dialect, plan)

    holds()


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_claims_of_one_train_ask_the_database_together(dialect: str, new_database: Callable[[str], str]) -> None:
    clock = FakeClock()
    with closing(open_store(new_database(dialect), clock)) as store, world(store, clock, CountingIds()) as home:
        ride = Ride(home)
        for number in range(12):
            home.done(ride.agents[0], "submit_work", {"title": f"task {number}"})
        first = ride.train.carry([ride.prepared(TAKE, []) for _ in range(6)])
        ends = [
            (0, "complete_work", {"task_id": answer.result["task"]["task_id"], "summary": "done"}, "")
            for _, answer in first
        ]
        calls = [ride.prepared(step, []) for pair in zip(ends, [TAKE] * 6, strict=True) for step in pair]
        said: list[str] = []
        event.listen(store._writer if dialect == "sqlite" else store._writers, "before_cursor_execute", _hear(said))
        outcomes = [answer for _, answer in ride.train.carry(calls)]
        assert all(outcome.performed for outcome in outcomes), json.dumps([outcome.code for outcome in outcomes])
        tasks = [sql for sql in said if "task" in sql.lower() and "from" in sql.lower() and "SELECT" in sql]
        assert len(tasks) <= 4, tasks
        ride.gateway.close()


def test_workspaces_that_ride_together_never_see_each_others_tasks(new_database: Callable[[str], str]) -> None:
    clock = FakeClock()
    with closing(open_store(new_database("sqlite"), clock)) as store, world(store, clock, CountingIds()) as home:
        ride = Ride(home)
        made = home.done(home.operator, "create_workspace", {"slug": "other", "person_name": "second"})
        theirs = Member(made["person_id"], made["token"], "")
        token = home.done(theirs, "add_agent", {"handle": "far", "trust": 3, "profile": "unlimited"})["token"]
        far = Member("", token, "")
        ours = [home.done(ride.agents[0], "submit_work", {"title": f"ours {n}"})["task_id"] for n in range(3)]
        home.done(far, "submit_work", {"title": "theirs"})

        def call(who: Member, operation: str, body: dict[str, Any]) -> Any:
            return ride.gateway._prepare(home.raw(who, operation, body))

        calls = [
            call(ride.agents[0], "get_work", {}),
            call(ride.agents[1], "complete_work", {"task_id": ours[1], "summary": "done"}),
            call(far, "get_work", {}),
            call(far, "complete_work", {"task_id": ours[0], "summary": "done"}),
            call(far, "complete_work", {"task_id": ours[1], "summary": "done"}),
            call(far, "get_work", {}),
            call(far, "get_task", {"task_id": ours[0]}),
            call(ride.agents[0], "get_work", {}),
        ]
        outcomes = [answer for _, answer in ride.train.carry(calls)]
        assert [outcome.code for outcome in outcomes] == [
            "performed", "not_holder", "performed", "not_found", "not_found", "performed", "not_found", "performed",
        ]  # fmt: skip
        tasks = [(outcome.result or {}).get("task") for outcome in outcomes if outcome.performed]
        assert [task and task["title"] for task in tasks] == ["ours 0", "theirs", None, "ours 1"]
        ride.gateway.close()


def _hear(said: list[str]) -> Callable[..., None]:
    def heard(_connection: Any, _cursor: Any, sql: str, *_rest: Any) -> None:
        said.append(sql)

    return heard
