"""A change of standing binds the very next call, in the same train and through another process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from guardhouse.gateway.prepare import prepare
from guardhouse.gateway.train import Train
from guardhouse.model.answer import Outcome
from tests.world import Member, World, second_process


def carried_together(home: World, calls: list[tuple[Member, str, dict[str, Any]]]) -> list[Outcome]:
    """Carry calls in one train, in this order."""
    gateway = home.gateway
    prepared = []
    for who, operation, body in calls:
        prepared.append(gateway._prepare(home.raw(who, operation, body)))
    train = Train(home.store, gateway.bundles, home.ids, lambda _kind, _notice: None, monotonic=lambda: 0.0)
    answers = [answer for _, answer in train.carry(prepared)]
    assert all(isinstance(answer, Outcome) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, Outcome)]


def test_a_suspension_binds_the_next_call_of_the_same_train(home: World) -> None:
    agent = home.agent("worker")
    outcomes = carried_together(
        home,
        [
            (agent, "acquire_lock", {"key": "res:one"}),
            (home.operator, "suspend_agent", {"agent_id": agent.id, "reason": "it runs wild"}),
            (agent, "acquire_lock", {"key": "res:two"}),
            (home.operator, "reinstate_agent", {"agent_id": agent.id}),
            (agent, "acquire_lock", {"key": "res:three"}),
        ],
    )
    codes = [outcome.code for outcome in outcomes]
    assert codes[0] == codes[1] == codes[3] == codes[4] == "performed", codes
    assert codes[2] != "performed"


@pytest.mark.parametrize(
    ("order", "body"),
    [
        ("suspend_agent", {"reason": "stop"}),
        ("pause_agent", {"reason": "wait"}),
        ("stop_agent", {"reason": "over"}),
        ("set_trust", {"trust": 0}),
        ("retire_agent", {}),
    ],
)
def test_an_order_through_one_process_binds_the_next_call_on_the_other(
    home: World, order: str, body: dict[str, Any]
) -> None:
    agent = home.agent("worker")
    with second_process(home) as other:
        assert other.call(agent, "acquire_lock", {"key": "res:before"}).performed
        home.done(home.operator, order, {"agent_id": agent.id} | body)
        assert not other.call(agent, "acquire_lock", {"key": "res:after"}).performed


def test_a_revoked_token_is_refused_by_the_other_process(home: World) -> None:
    agent = home.agent("worker")
    with second_process(home) as other:
        assert other.call(agent, "check_locks").performed
        token_id = "tok_" + agent.token.split("_")[2]
        home.done(home.operator, "revoke_token", {"token_id": token_id})
        assert other.call(agent, "check_locks").code == "token_revoked"


def test_an_observe_mode_set_here_binds_there_and_ends_by_itself(home: World) -> None:
    agent = home.agent("reader", trust=1)
    with second_process(home) as other:
        refused = other.call(agent, "acquire_lock", {"key": "res:one"})
        assert refused.code != "performed"
        home.done(
            home.operator,
            "set_mode",
            {"scope": "agent", "id": agent.id, "seconds": 3600, "reason": "try the law"},
        )
        observed = other.call(agent, "acquire_lock", {"key": "res:one"})
        assert observed.performed
        entry = home.entry(observed.decision_id)
        assert (entry["would"], entry["enforced"], entry["mode"]) == ("deny", False, "observe")
        home.later(3601)
        assert not other.call(agent, "acquire_lock", {"key": "res:two"}).performed


def test_racers_for_one_lock_have_one_winner_and_rising_fences(home: World) -> None:
    agents = [home.agent(f"racer-{number}") for number in range(12)]
    fences = []
    with second_process(home) as other:
        for _round in range(4):

            def race(numbered: tuple[int, Member]) -> Outcome:
                number, agent = numbered
                return (home if number % 2 else other).call(agent, "acquire_lock", {"key": "res:prize"})

            with ThreadPoolExecutor(12) as pool:
                outcomes = list(pool.map(race, enumerate(agents)))
            winners = [outcome for outcome in outcomes if outcome.performed]
            assert len(winners) == 1
            assert {outcome.code for outcome in outcomes if not outcome.performed} == {"held"}
            result = winners[0].result
            assert result is not None
            fences.append(result["fence"])
            winner = agents[outcomes.index(winners[0])]
            home.done(winner, "release_lock", {"key": "res:prize"})
    assert fences == sorted(set(fences))


def test_an_hourly_quota_is_exact_over_two_processes(home: World) -> None:
    agent = home.agent("counted", profile="limited")
    limit = 40
    with second_process(home) as other, ThreadPoolExecutor(16) as pool:
        outcomes = list(
            pool.map(lambda n: (home if n % 2 else other).call(agent, "check_locks").code, range(limit + 25))
        )
    assert outcomes.count("performed") == limit
    assert outcomes.count("quota_exhausted") == 25


def test_sub_agents_take_their_calls_from_their_agents_hour(home: World) -> None:
    """However many sub-agents an agent has, its hour is one; exact over two processes, and each has its own limit too."""
    parent = home.agent("parent", profile="limited")
    subs = [home.agent(f"sub{number}", profile="limited", delegated_by=parent.id) for number in range(3)]
    deep = home.agent("deep", profile="unlimited", delegated_by=subs[0].id)
    callers = [parent, *subs, deep]
    with second_process(home) as other, ThreadPoolExecutor(16) as pool:
        outcomes = list(
            pool.map(lambda n: (home if n % 2 else other).call(callers[n % 5], "check_locks").code, range(65))
        )
    assert outcomes.count("performed") == 40
    assert outcomes.count("quota_exhausted") == 25
    # What a delegate may do no more, it is told beforehand; and it is the hour of the agent above that is named.
    refused = home.call(deep, "check_locks")
    assert (refused.code, "the agent that this one acts for" in refused.message) == ("quota_exhausted", True)
    assert (
        home.done(home.operator, "check_policy", {"operation": "check_locks", "agent_id": deep.id})["code"]
        == "quota_exhausted"
    )
    assert home.call(home.agent("stranger", profile="limited"), "check_locks").performed


def test_an_agent_keeps_what_its_sub_agents_own_limit_leaves(home: World) -> None:
    parent = home.agent("above", profile="codex")
    small = home.agent("small", profile="limited", delegated_by=parent.id)
    codes = [home.call(small, "check_locks").code for _ in range(41)]
    assert codes == ["performed"] * 40 + ["quota_exhausted"]
    hourly = next(one for one in home.done(parent, "get_my_profile")["limits"] if one["name"] == "calls_per_hour")
    assert (hourly["used"], hourly["left"]) == (41, 3559)  # its own question with it
    assert home.call(parent, "check_locks").performed


def test_prepare_is_pure_enough_to_be_called_twice(home: World) -> None:
    agent = home.agent("twice")
    raw = home.raw(agent, "acquire_lock", {"key": "src//./app.py"})
    located = home.gateway._locate(home.gateway._prepare(raw).token_hash)
    bundle = home.gateway._bundle(home.workspace_id)
    first, second = (prepare(raw, "h", located, home.gateway.catalog, bundle, "dec_x") for _ in range(2))
    assert first.call == second.call
    assert first.payload == second.payload
