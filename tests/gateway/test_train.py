"""A train gives the same results as the same calls carried one by one in that order."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardhouse.gateway.train import Train
from guardhouse.model.answer import Outcome
from guardhouse.storage.opening import open_store
from tests.conftest import CountingIds, FakeClock
from tests.world import Member, World, world

KEYS = ("res:a", "res:b", "feature:x:pause", "feature:x:part")

CALLS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 3), st.just("acquire_lock"), st.sampled_from(KEYS).map(lambda key: {"key": key})),
        st.tuples(st.integers(0, 3), st.just("release_lock"), st.sampled_from(KEYS).map(lambda key: {"key": key})),
        st.tuples(st.integers(0, 3), st.just("renew_lock"), st.sampled_from(KEYS).map(lambda key: {"key": key})),
        st.tuples(st.integers(0, 3), st.just("check_locks"), st.just({})),
        st.tuples(st.integers(0, 3), st.just("acquire_lock"), st.just({"key": 5})),
        st.tuples(
            st.integers(0, 3), st.just("check_guardrails"), st.just({"operation_text": "git push --force origin main"})
        ),
        st.tuples(st.just(-1), st.sampled_from(["suspend_agent", "reinstate_agent"]), st.integers(0, 3)),
        st.tuples(st.just(-1), st.just("set_trust"), st.tuples(st.integers(0, 3), st.integers(0, 4))),
        st.tuples(st.just(-1), st.just("retire_agent"), st.just(3)),
    ),
    min_size=1,
    max_size=14,
)


def _body(operation: str, given_body: Any, agents: list[Member]) -> dict[str, Any]:
    if operation == "set_trust":
        return {"agent_id": agents[given_body[0]].id, "trust": given_body[1]}
    if operation == "retire_agent":
        return {"agent_id": agents[given_body].id}
    if operation == "suspend_agent":
        return {"agent_id": agents[given_body].id, "reason": "test"}
    if operation == "reinstate_agent":
        return {"agent_id": agents[given_body].id}
    return dict(given_body)


def _seen(outcomes: list[Any]) -> list[Any]:
    seen = []
    for outcome in outcomes:
        assert isinstance(outcome, Outcome), outcome
        seen.append(
            (outcome.code, outcome.sequence, json.dumps(dict(outcome.result or {}), sort_keys=True, default=str))
        )
    return seen


def _run(url: str, plan: list[Any], *, together: bool) -> tuple[list[Any], list[Any]]:
    clock, ids = FakeClock(), CountingIds()
    store = open_store(url, clock)
    try:
        with world(store, clock, ids) as home:
            agents = [home.agent(f"agent-{number}", trust=1 + number % 3) for number in range(4)]
            return _carry(home, agents, plan, together=together)
    finally:
        store.close()


def _carry(home: World, agents: list[Member], plan: list[Any], *, together: bool) -> tuple[list[Any], list[Any]]:
    prepared = []
    for who, operation, given_body in plan:
        member = home.operator if who < 0 else agents[who]
        prepared.append(home.gateway._prepare(home.raw(member, operation, _body(operation, given_body, agents))))
    train = Train(
        home.store, home.gateway.bundles, CountingIds(10_000), lambda _kind, _notice: None, monotonic=lambda: 0.0
    )
    if together:
        outcomes = [answer for _, answer in train.carry(prepared)]
    else:
        outcomes = [train.carry([one])[0][1] for one in prepared]
    entries = [
        {key: value for key, value in entry.items() if key not in ("payload_digest", "facts")}
        for entry in home.entries()
    ]
    return _seen(outcomes), entries


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_train_equals_one_by_one(
    dialect: str, new_database: Callable[[str], str], sqlite_template: Path, tmp_path: Path
) -> None:
    examples = 60 if dialect == "sqlite" else 12

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(CALLS)
    def holds(plan: list[Any]) -> None:
        together = _run(new_database(dialect), plan, together=True)
        apart = _run(new_database(dialect), plan, together=False)
        assert together[0] == apart[0]
        assert together[1] == apart[1]

    holds()
    shutil.rmtree(tmp_path, ignore_errors=True)
