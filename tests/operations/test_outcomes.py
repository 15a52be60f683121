"""What became of a keyed call, asked by whoever sent it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from guardhouse.gateway.train import Train
from guardhouse.model.answer import Outcome
from tests.world import World, world


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def test_a_call_and_the_question_about_it_in_one_train(home: World) -> None:
    agent = home.agent("sender")
    calls = [
        home.raw(agent, "acquire_lock", {"key": "res:a"}, idempotency_key="k"),
        home.raw(agent, "get_outcome", {"idempotency_key": "k"}),
    ]
    train = Train(home.store, home.gateway.bundles, home.ids, lambda _kind, _notice: None, monotonic=lambda: 0.0)
    prepared = [home.gateway._prepare(call) for call in calls]
    taken, told = (answer for _, answer in train.carry(prepared))
    assert isinstance(taken, Outcome)
    assert isinstance(told, Outcome)
    assert (told.result or {})["outcome_decision_id"] == taken.decision_id


def test_a_performed_call_is_told_with_its_decision_and_time(home: World) -> None:
    agent = home.agent("sender")
    first = home.call(agent, "acquire_lock", {"key": "res:a"}, idempotency_key="k-1")
    told = home.done(agent, "get_outcome", {"idempotency_key": "k-1"})
    assert (told["state"], told["outcome_decision_id"]) == ("performed", first.decision_id)
    assert told["at"] == home.entry(first.decision_id)["at"]


def test_nothing_is_told_of_refused_forgotten_or_unknown_keys(home: World) -> None:
    holder, agent = home.agent("holder"), home.agent("sender")
    home.done(holder, "acquire_lock", {"key": "res:a"})
    assert home.call(agent, "acquire_lock", {"key": "res:a"}, idempotency_key="refused").code == "held"
    home.done(agent, "acquire_lock", {"key": "res:b"}, idempotency_key="old")
    home.later(24 * 3600)
    for key in ("refused", "never", "old"):
        told = home.done(agent, "get_outcome", {"idempotency_key": key})
        assert told == {"state": "none", "outcome_decision_id": "", "at": ""}


def test_a_key_is_told_to_its_own_session_only(home: World) -> None:
    agent, other = home.agent("sender"), home.agent("other")
    home.done(agent, "acquire_lock", {"key": "res:a"}, idempotency_key="k")
    assert home.done(other, "get_outcome", {"idempotency_key": "k"})["state"] == "none"
    assert home.done(home.operator, "get_outcome", {"idempotency_key": "k"})["state"] == "none"


@pytest.mark.parametrize("key", ["", "k" * 201, 5, None])
def test_a_key_has_bounds(home: World, key: Any) -> None:
    assert home.call(home.agent("sender"), "get_outcome", {"idempotency_key": key}).code == "validation"
