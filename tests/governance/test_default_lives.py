"""How long a question and a grant live where nobody has set anything: 86,400 and 3,600 seconds, to the second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.world import Member, World, shipped_bundle, world

PENDING = 86_400
GRANT = 3_600
LANE = {"key": "res:deploy/production"}
_SITE = """\
@id("site.production_needs_a_person")
@effect("approval")
forbid (principal is Agent, action == Action::"acquire_lock", resource is Lock);
"""


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        files = {path: content.decode() for path, content in shipped_bundle().files.items()}
        made.done(made.operator, "activate_policy", {"files": files | {"cedar/site.cedar": _SITE}})
        yield made


def _ask(home: World, agent: Member) -> str:
    held = home.call(agent, "acquire_lock", LANE)
    assert held.code == "approval_pending", held
    return str(held.error["approval_id"])


def test_a_question_lives_a_day_and_not_a_second_longer(home: World) -> None:
    settings = home.done(home.operator, "set_workspace", {})
    assert (settings["approval_pending_seconds"], settings["approval_grant_seconds"]) == (PENDING, GRANT)
    agent, answered = home.agent("asker"), home.agent("answered")
    first, other = _ask(home, agent), _ask(home, answered)
    home.later(PENDING - 1)
    assert _ask(home, agent) == first
    assert home.done(agent, "get_approval", {"approval_id": first})["state"] == "pending"
    home.done(home.operator, "grant_approval", {"approval_id": other})
    home.later(2)
    late = home.call(home.operator, "grant_approval", {"approval_id": first})
    assert late.code == "approval_expired"
    assert home.call(agent, "acquire_lock", LANE, approval_id=first).code == "approval_expired"
    assert home.done(agent, "get_approval", {"approval_id": first})["state"] == "expired"
    assert _ask(home, agent) != first
    home.done(answered, "heartbeat")
    home.done(answered, "acquire_lock", LANE)


def test_a_grant_lives_an_hour_from_when_it_was_given(home: World) -> None:
    early, late = home.agent("early"), home.agent("late")
    asked = {agent.id: _ask(home, agent) for agent in (early, late)}
    home.later(40_000)
    for approval_id in asked.values():
        home.done(home.operator, "grant_approval", {"approval_id": approval_id})
    home.later(GRANT - 1)
    home.done(early, "heartbeat")
    home.done(early, "acquire_lock", LANE, approval_id=asked[early.id])
    home.done(early, "release_lock", LANE)
    home.later(2)
    home.done(late, "heartbeat")
    assert home.call(late, "acquire_lock", LANE, approval_id=asked[late.id]).code == "approval_expired"
    assert home.done(late, "get_approval", {"approval_id": asked[late.id]})["state"] == "expired"
