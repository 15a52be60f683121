"""Client sessions are sessions, sub-agents are delegates: never more trust than the caller's, never longer than its token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from guardhouse.governance import sessions
from tests.world import World, second_process
from tests.world import world as a_world

RUN = {"client": "claude-code", "client_session": "5b1c"}
SUB = RUN | {"client_agent": "a-17", "client_agent_type": "Explore"}


@pytest.fixture
def world(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with a_world(store, clock, ids) as made:
        yield made


@pytest.fixture
def alice(world: World) -> Any:
    return world.agent("alice-claude", 2)


def test_a_clients_run_is_one_session_of_the_caller(world: World, alice: Any) -> None:
    first = world.done(alice, "open_session", RUN)
    assert (first["agent_id"], first["new"], first["delegated_by"]) == (alice.id, True, "")
    assert first["session_id"] != alice.session_id
    again = world.done(alice, "open_session", RUN)
    assert (again["session_id"], again["new"]) == (first["session_id"], False)
    assert again["token"] != first["token"]
    other = world.done(alice, "open_session", RUN | {"client_session": "5b1d"})
    assert other["session_id"] != first["session_id"]
    told = world.call(first["token"], "get_my_profile")
    assert world.entry(told.decision_id)["session"] == first["session_id"]
    assert world.entry(told.decision_id)["principal"] == {"kind": "agent", "id": alice.id}


def test_a_sub_agent_acts_as_a_delegate_with_at_most_the_callers_trust(world: World, alice: Any) -> None:
    opened = world.done(alice, "open_session", SUB)
    assert (opened["handle"], opened["delegated_by"], opened["trust"]) == ("alice-claude-explore", alice.id, 2)
    told = world.call(opened["token"], "get_my_profile")
    assert told.result is not None
    assert told.result["effective_trust"] == 2
    entry = world.entry(told.decision_id)
    assert (entry["principal"]["id"], entry["delegation"]) == (opened["agent_id"], [alice.id])
    world.done(world.operator, "set_trust", {"agent_id": opened["agent_id"], "trust": 4})
    assert world.done(opened["token"], "get_my_profile")["effective_trust"] == 2
    world.done(world.operator, "set_trust", {"agent_id": alice.id, "trust": 1})
    assert world.done(opened["token"], "get_my_profile")["effective_trust"] == 1
    world.done(world.operator, "set_trust", {"agent_id": alice.id, "trust": 0})
    assert world.call(opened["token"], "get_my_profile").code != "performed"


def test_sub_agents_of_a_kind_share_a_delegate_and_each_has_its_session(world: World, alice: Any) -> None:
    one = world.done(alice, "open_session", SUB)
    two = world.done(alice, "open_session", SUB | {"client_agent": "a-18"})
    plain = world.done(alice, "open_session", SUB | {"client_agent_type": ""})
    assert one["agent_id"] == two["agent_id"] != plain["agent_id"]
    assert len({one["session_id"], two["session_id"], plain["session_id"]}) == 3
    assert plain["handle"] == "alice-claude-subagent"


def test_a_delegates_name_never_leads_to_another_agent(world: World, alice: Any) -> None:
    other = world.agent("alice-claude-explore", 4)
    opened = world.done(alice, "open_session", SUB)
    assert opened["agent_id"] not in (other.id, alice.id)
    assert opened["delegated_by"] == alice.id
    assert opened["handle"].startswith("alice-claude-explore-")


@pytest.mark.parametrize("kind", ["../../etc", "Ünïcode Ж", "---", "A" * 200, "operator"])
def test_whatever_a_kind_is_called_it_makes_a_handle_of_ours(world: World, alice: Any, kind: str) -> None:
    opened = world.done(alice, "open_session", SUB | {"client_agent_type": kind})
    assert opened["handle"].startswith("alice-claude-")
    assert opened["delegated_by"] == alice.id


def test_kinds_without_end_share_a_delegate(world: World, alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_DELEGATES", 3)
    handles = [
        world.done(alice, "open_session", SUB | {"client_agent_type": f"kind {number}"})["handle"]
        for number in range(5)
    ]
    assert handles[3:] == ["alice-claude-subagent"] * 2
    assert len(set(handles[:3])) == 3


def test_revoking_the_token_ends_every_session_opened_with_it_in_every_process(world: World, alice: Any) -> None:
    lent = [world.done(alice, "open_session", body)["token"] for body in (RUN, SUB)]
    deeper = world.done(lent[0], "open_session", SUB | {"client_agent": "a-99"})["token"]
    with second_process(world) as other:
        assert other.call(lent[1], "get_my_profile").code == "performed"
        token_id = f"tok_{alice.token.split('_')[2]}"
        world.done(world.operator, "revoke_token", {"token_id": token_id})
        for token in (*lent, deeper, alice.token):
            assert other.call(token, "get_my_profile").code == "token_revoked"
            assert world.call(token, "open_session", RUN).code == "token_revoked"


def test_a_lent_token_outlives_neither_its_tokens_rotation_nor_its_end(world: World, alice: Any) -> None:
    opened = world.done(alice, "open_session", RUN)
    assert not world.done(opened["token"], "renew_session")["renewed"]
    successor = world.done(alice, "rotate_token")
    world.later(601)
    assert world.call(opened["token"], "get_my_profile").code == "token_revoked"
    again = world.done(successor["token"], "open_session", RUN)
    assert again["session_id"] == opened["session_id"]
    world.later(12 * 3600 + 1)
    assert world.call(again["token"], "get_my_profile").code in ("token_expired", "session_expired")
    assert world.done(successor["token"], "open_session", RUN)["session_id"] == opened["session_id"]
    world.later(90 * 86_400)
    assert world.call(successor["token"], "open_session", RUN).code == "token_expired"


def test_a_rotated_lent_token_still_ends_with_the_first(world: World, alice: Any) -> None:
    opened = world.done(alice, "open_session", RUN)
    rotated = world.done(opened["token"], "rotate_token")
    assert rotated["expires_at"] <= opened["expires_at"]
    world.done(world.operator, "revoke_token", {"token_id": f"tok_{alice.token.split('_')[2]}"})
    assert world.call(rotated["token"], "get_my_profile").code == "token_revoked"


def test_a_delegate_that_a_person_retired_stays_so(world: World, alice: Any) -> None:
    opened = world.done(alice, "open_session", SUB)
    world.done(world.operator, "retire_agent", {"agent_id": opened["agent_id"]})
    assert world.call(alice, "open_session", SUB).code == "agent_retired"
    assert world.call(opened["token"], "get_my_profile").code != "performed"


def test_a_persons_token_opens_no_session_of_a_client(world: World) -> None:
    assert world.call(world.operator, "open_session", RUN).code == "wrong_role"


def test_the_token_is_told_once_and_kept_nowhere(world: World, alice: Any) -> None:
    first = world.call(alice, "open_session", RUN, idempotency_key="k1")
    again = world.call(alice, "open_session", RUN, idempotency_key="k1")
    assert first.result is not None
    assert again.result is not None
    assert first.result["token"]
    assert "token" not in again.result
    assert first.result["token"] not in str(world.entries())


def test_an_agents_observing_reaches_its_delegates(world: World, alice: Any) -> None:
    opened = world.done(alice, "open_session", SUB)
    push = {"action": "shell", "command": "git push --force origin main"}
    assert world.done(opened["token"], "check_tool", push)["enforced"]
    mode = {"scope": "agent", "id": alice.id, "seconds": 600, "reason": "trial"}
    world.done(world.operator, "set_mode", mode)
    assert not world.done(opened["token"], "check_tool", push)["enforced"]
    other = world.agent("bob", 2)
    assert world.done(other, "check_tool", push)["enforced"]


def test_a_paused_agents_tools_wait_and_so_do_its_sub_agents(world: World, alice: Any) -> None:
    opened = world.done(alice, "open_session", SUB)
    world.done(world.operator, "pause_agent", {"agent_id": alice.id})
    look = {"action": "shell", "command": "ls"}
    for token in (alice, opened["token"]):
        assert world.call(token, "check_tool", look).code == "agent_paused"
        assert world.call(token, "get_my_profile").code == "performed"
