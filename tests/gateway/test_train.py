"""A train gives the same results as the same calls carried one by one in that order.

What is compared is everything: each answer, each notice, and after it every row of every table (and so every
entry, byte by byte). Only time and ids are given, the same to both.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import inspect, text

from guardhouse.app import actions
from guardhouse.bundle import Bundle, load, versions
from guardhouse.gates.profile import CALLS_PER_HOUR
from guardhouse.gateway import Gateway
from guardhouse.gateway.prepare import Prepared
from guardhouse.gateway.train import Train
from guardhouse.governance import quotas
from guardhouse.model.answer import Outcome
from guardhouse.storage.opening import open_store
from tests.conftest import CountingIds, FakeClock
from tests.gateway.crashing import crashing_catalog
from tests.world import Member, World, shipped_bundle, world

KEYS = ("res:a", "res:b", "feature:x:pause", "feature:x:part", "res:crash")
LANE = {"key": "res:deploy/production", "reason": "release 7"}
_SITE = b"""
@id("site.production_needs_a_person")
@effect("approval")
forbid (principal is Agent, action == Action::"acquire_lock", resource is Lock)
when { resource == Lock::"res:deploy/production" };
"""
LIMIT, LEFT = 40, 3
"""The limited agent's calls an hour, and how many of them it has left when a train comes."""

WHO = st.integers(0, 3)
Step = tuple[int, str, Any, str]
"""Who (an agent's number; -1 is the operator), which operation, what of, and the idempotency key or ""."""


def _agents(operation: str, *bodies: dict[str, Any], key: str = "") -> st.SearchStrategy[Step]:
    return st.tuples(WHO, st.just(operation), st.sampled_from(bodies), st.just(key))


def _people(*operations: str, of: st.SearchStrategy[Any] = WHO) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(-1), st.sampled_from(operations), of, st.just(""))


ON_KEYS = [{"key": key} for key in KEYS]
STEPS = st.one_of(
    _agents("acquire_lock", *ON_KEYS),
    _agents("release_lock", *ON_KEYS, {"key": LANE["key"]}),
    _agents("renew_lock", *ON_KEYS),
    _agents("check_locks", {}),
    _agents("acquire_lock", {"key": 5}),
    _agents("acquire_lock", *ON_KEYS, LANE, key="k"),
    _agents("get_outcome", {"idempotency_key": "k"}),
    _agents("acquire_lock", LANE),
    _agents("acquire_lock", LANE | {"present": 0}),
    _agents("submit_work", {"title": "x"}),
    _agents("get_work", {}),
    _agents("check_guardrails", {"operation_text": "git push --force origin main"}, {"operation_text": "npm publish"}),
    _agents("check_guardrails", {"operation_text": "npm publish", "present": -1}),
    _people("grant_approval", "refuse_approval", of=st.sampled_from([-1, -2, 0])),
    _people("suspend_agent", "reinstate_agent"),
    _people("set_trust", of=st.tuples(WHO, st.integers(0, 4))),
    _people("retire_agent", of=st.just(3)),
)
CALLS = st.lists(STEPS, min_size=1, max_size=14)
HELD_GRANTED_SPENT: list[Step] = [
    (0, "acquire_lock", LANE, ""),
    (1, "acquire_lock", LANE, ""),
    (0, "acquire_lock", LANE, ""),
    (-1, "grant_approval", 0, ""),
    (0, "acquire_lock", LANE, "k"),
    (0, "acquire_lock", LANE, "k"),
    (0, "release_lock", {"key": LANE["key"]}, ""),
    (0, "acquire_lock", LANE | {"present": 0}, ""),
    (-1, "refuse_approval", -1, ""),
    (1, "acquire_lock", LANE, ""),
    (0, "check_guardrails", {"operation_text": "npm publish"}, ""),
    (-1, "grant_approval", -1, ""),
    (0, "check_guardrails", {"operation_text": "npm publish", "present": -1}, ""),
    (0, "check_guardrails", {"operation_text": "npm publish", "present": -1}, ""),
]
OVER_QUOTA_AND_CRASHED: list[Step] = [
    (2, "acquire_lock", {"key": "res:crash"}, "k"),
    (2, "acquire_lock", {"key": 5}, ""),
    (0, "renew_lock", {"key": "res:a"}, ""),
    (2, "acquire_lock", {"key": "res:a"}, "k"),
    (2, "check_locks", {}, ""),
    (2, "check_locks", {}, ""),
    (0, "acquire_lock", {"key": "res:crash"}, ""),
    (0, "acquire_lock", {"key": "res:a"}, ""),
    (1, "check_locks", {}, ""),
]

_laws: list[Bundle] = []


def _law() -> Bundle:
    """The law of these tests: one lane needs a person. Compiled once."""
    if not _laws:
        _laws.append(load.load_files(dict(shipped_bundle().files) | {"cedar/site.cedar": _SITE}, actions()))
    return _laws[0]


class Ride:
    """A fresh world in which one plan is carried, together or one by one."""

    def __init__(self, home: World) -> None:
        self.home = home
        bundles = home.gateway.bundles
        with home.store.writing(home.workspace_id) as tx:
            versions.store(tx, home.workspace_id, _law())
            versions.activate(tx, home.workspace_id, _law().digest, _law().law, home.operator.id, "", "the lane")
        bundles.put(shipped_bundle())
        bundles.put(_law(), home.workspace_id)
        kinds = [(2, "unlimited"), (3, "unlimited"), (2, "limited"), (1, "unlimited")]
        self.agents = [home.agent(f"agent-{n}", trust, profile=profile) for n, (trust, profile) in enumerate(kinds)]
        with home.store.writing(home.workspace_id) as tx:
            used = {self.agents[2].id: {CALLS_PER_HOUR: LIMIT - LEFT}}
            quotas.write(tx, home.workspace_id, used, tx.now)
        self.gateway = Gateway(home.store, crashing_catalog(), bundles, home.clock, home.ids)
        self.notices: list[Any] = []
        self.train = Train(
            home.store,
            bundles,
            CountingIds(10_000),
            lambda kind, notice: self.notices.append((kind, dict(notice))),
            monotonic=lambda: 0.0,
        )

    def prepared(self, step: Step, questions: list[str]) -> Prepared:
        """A step as a call; `questions` are those asked before it."""
        who, operation, of, key = step
        member: Member = self.home.operator if who < 0 else self.agents[who]
        body, options = self._body(operation, of, questions), {"idempotency_key": key or None}
        presented = body.pop("present", None)
        if presented is not None and questions:
            options["approval_id"] = questions[presented]
        return self.gateway._prepare(self.home.raw(member, operation, body, **options))

    def _body(self, operation: str, of: Any, questions: list[str]) -> dict[str, Any]:
        if operation in ("grant_approval", "refuse_approval"):
            asked = questions[of] if -len(questions) <= of < len(questions) else "apr_none"
            return {"approval_id": asked, "reason": "test"}
        if operation == "set_trust":
            return {"agent_id": self.agents[of[0]].id, "trust": of[1]}
        if operation in ("suspend_agent", "retire_agent", "reinstate_agent"):
            return {"agent_id": self.agents[of].id} | ({"reason": "test"} if operation == "suspend_agent" else {})
        return dict(of)

    def everything(self) -> dict[str, list[str]]:
        """Every row of every table."""
        with self.home.store.reading() as connection:
            return {
                table: sorted(str(tuple(row)) for row in connection.execute(text(f'SELECT * FROM "{table}"')))
                for table in inspect(connection).get_table_names()
            }


def _asked(outcome: Any) -> str:
    found = (outcome.error or {}).get("approval_id") or (outcome.result or {}).get("approval_id", "")
    return str(found)


def _carry(
    url: str, plan: list[Step], before: list[list[str]] | None
) -> tuple[list[Any], Any, dict[str, list[str]], Any]:
    """Carry a plan: one by one, noting which questions stood before each step; or, given those, together."""
    clock, ids = FakeClock(), CountingIds()
    with closing(open_store(url, clock)) as store, world(store, clock, ids) as home:
        ride = Ride(home)
        try:
            stood: list[list[str]] = before or []
            if before is not None:
                calls = [ride.prepared(step, questions) for step, questions in zip(plan, before, strict=True)]
                outcomes = [answer for _, answer in ride.train.carry(calls)]
            else:
                outcomes, questions = [], []
                for step in plan:
                    stood.append(list(questions))
                    ((_, answer),) = ride.train.carry([ride.prepared(step, questions)])
                    outcomes.append(answer)
                    questions += [asked for asked in (_asked(answer),) if asked and asked not in questions]
            assert all(isinstance(outcome, Outcome) for outcome in outcomes), outcomes
            return outcomes, ride.notices, ride.everything(), stood
        finally:
            ride.gateway.close()


def _same(new_database: Callable[[str], str], dialect: str, plan: list[Step]) -> list[Any]:
    apart, told_apart, left_apart, stood = _carry(new_database(dialect), plan, None)
    together, told, left, _ = _carry(new_database(dialect), plan, stood)
    assert together == apart
    assert told == told_apart
    for table, rows in left.items():
        assert rows == left_apart[table], table
    return together


def _codes(outcomes: list[Any]) -> list[str]:
    return [outcome.code for outcome in outcomes]


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_question_is_asked_granted_and_spent_inside_one_train(
    dialect: str, new_database: Callable[[str], str]
) -> None:
    pending = "approval_pending"
    outcomes = _same(new_database, dialect, HELD_GRANTED_SPENT)
    assert _codes(outcomes) == [
        *[pending] * 3,
        *["performed"] * 4,
        "approval_spent",
        "performed",
        "approval_refused",
        *["performed"] * 4,
    ]
    asked, _, spent, again = ((outcome.result or {}).get("verdict") for outcome in outcomes[10:])
    assert (asked, spent, again) == ("ask", "warn", "ask")
    assert outcomes[5].repeated == outcomes[4].decision_id


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_quota_ends_and_handlers_crash_inside_one_train(dialect: str, new_database: Callable[[str], str]) -> None:
    assert _codes(_same(new_database, dialect, OVER_QUOTA_AND_CRASHED)) == [
        "internal_error", "validation", "internal_error", "performed", "quota_exhausted", "quota_exhausted",
        "internal_error", "held", "performed",
    ]  # fmt: skip


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_train_equals_one_by_one(dialect: str, new_database: Callable[[str], str], tmp_path: Path) -> None:
    examples = 40 if dialect == "sqlite" else 8

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(CALLS)
    def holds(plan: list[Step]) -> None:
        _same(new_database, dialect, plan)

    holds()
    shutil.rmtree(tmp_path, ignore_errors=True)
