"""A profile's limits on locks bind exactly, however many ask at once, in one train or through two processes."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.world import Member, World, second_process

LIMIT = 3
RACERS = 12


PROFILES = {"files_per_task": "few-files", "held_locks": "few-locks"}


def _key(limit: str, name: str) -> str:
    return f"file:app//src/{name}.py" if limit == "files_per_task" else f"res:{name}"


def _race(here: World, there: World, agent: Member, limit: str) -> Counter[str]:
    """Racers for a lock each, half of them through either process."""
    with ThreadPoolExecutor(RACERS) as pool:
        return Counter(
            pool.map(
                lambda number: (
                    (here, there)[number % 2].call(agent, "acquire_lock", {"key": _key(limit, str(number))}).code
                ),
                range(RACERS),
            )
        )


@pytest.mark.parametrize("limit", ["files_per_task", "held_locks"])
def test_racers_get_as_many_locks_as_the_profile_says(home: World, limit: str) -> None:
    agent = home.agent("racer", profile=PROFILES[limit])
    with second_process(home) as other:
        assert _race(home, other, agent, limit) == {"performed": LIMIT, "limit_reached": RACERS - LIMIT}
        held = [lock["key"] for lock in home.done(agent, "check_locks", {"limit": 50})["locks"]]
        assert len(held) == LIMIT
        # What is held already may be taken again; what is given back makes room for one other, and one only.
        assert other.call(agent, "acquire_lock", {"key": held[0]}).performed
        other.done(agent, "release_lock", {"key": held[0]})
        assert _race(home, other, agent, limit)["performed"] == LIMIT  # two taken again, and one in the free place
        assert home.call(agent, "acquire_lock", {"key": _key(limit, "one-more")}).code == "limit_reached"


@pytest.mark.parametrize("limit", ["files_per_task", "held_locks"])
def test_calls_of_one_train_count_each_other(home: World, limit: str) -> None:
    agent = home.agent("eager", profile=PROFILES[limit])

    async def together() -> list[Any]:
        raws = [home.raw(agent, "acquire_lock", {"key": _key(limit, str(number))}) for number in range(RACERS)]
        return await asyncio.gather(*(home.gateway.handle_async(raw) for raw in raws))

    assert Counter(outcome.code for outcome in asyncio.run(together())) == {
        "performed": LIMIT,
        "limit_reached": RACERS - LIMIT,
    }


def test_files_are_counted_by_session_and_nothing_but_files(home: World) -> None:
    """A session is one task at work: another of the same agent has its own, and a key that is no file costs nothing."""
    agent = home.agent("worker", profile="few-files")
    for number in range(LIMIT):
        home.done(agent, "acquire_lock", {"key": _key("files_per_task", str(number)), "ttl_seconds": 60})
    refused = home.call(agent, "acquire_lock", {"key": _key("files_per_task", "more")})
    assert refused.code == "limit_reached"
    assert "`files_per_task` of 3 is used" in refused.message
    home.done(agent, "acquire_lock", {"key": "res:deploy"})
    issued = home.done(home.operator, "issue_token", {"principal_id": agent.id})
    home.done(issued["token"], "acquire_lock", {"key": _key("files_per_task", "more")})
    home.later(61)
    home.done(agent, "acquire_lock", {"key": _key("files_per_task", "later")})
