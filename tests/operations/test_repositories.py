"""Which repository something belongs to: the one that was named, the session's, or `default`; and how it is found by it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from guardhouse.operations import CATALOG
from guardhouse.surfaces.mcp.tools import input_schema
from tests.world import World, world

_FILTERS = ("get_work", "list_work", "recall", "read_handoff", "discover_agents")
_HOMES = ("submit_work", "remember", "write_handoff", "register_session")


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


@pytest.mark.parametrize("name", [*_FILTERS, *_HOMES])
def test_a_tool_says_what_an_empty_repository_means(name: str) -> None:
    declared = CATALOG.find(name)
    assert declared is not None
    words = input_schema(declared)["properties"]["repository"]["description"]
    assert words.endswith("empty: of all" if name in _FILTERS else "empty for the session's own"), words


def test_what_named_no_repository_is_found_in_default_and_in_no_other(home: World) -> None:
    agent = home.agent("worker")
    for more in ({}, {"repository": "default"}, {"repository": "github.com/example/shop"}):
        home.done(agent, "submit_work", {"title": "tidy", **more})
        home.done(agent, "write_handoff", {"summary": f"so far {len(more)} {more}", **more})
        home.done(agent, "remember", {"event_type": "lesson", "summary": f"tidy {len(more)} {more}", **more})
    home.done(agent, "register_session", {})

    def found(repository: str) -> tuple[int, int, int, int]:
        asked = {"repository": repository}
        return (
            len(home.done(agent, "list_work", asked)["tasks"]),
            len(home.done(agent, "read_handoff", asked | {"limit": 10})["handoffs"]),
            len(home.done(agent, "recall", asked)["memories"]),
            len(home.done(agent, "discover_agents", asked)["sessions"]),
        )

    assert found("") == (3, 3, 3, 1)
    assert found("default") == (2, 2, 2, 1)
    assert found("github.com/example/shop") == (1, 1, 1, 0)
    assert found("github.com/example/other") == (0, 0, 0, 0)
    taken = [home.done(agent, "get_work", {"repository": "default"})["task"] for _ in range(3)]
    assert [task["repository"] if task else None for task in taken] == ["default", "default", None]


def test_a_session_that_never_registered_is_in_the_default_repository(home: World) -> None:
    agent = home.agent("worker")
    home.done(agent, "heartbeat", {})
    sessions = home.done(agent, "discover_agents", {"repository": "default"})["sessions"]
    assert [one["agent_id"] for one in sessions] == [agent.id]
    assert home.done(agent, "discover_agents", {"repository": "github.com/example/shop"})["sessions"] == []
