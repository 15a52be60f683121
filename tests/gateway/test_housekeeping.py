"""Every call is a sign of life; what lapses and what the silent hold is ended by the house, one entry each, and by it alone."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from guardhouse.bundle import versions
from guardhouse.errors import Unauthenticated
from guardhouse.gateway.replay import replay
from guardhouse.governance.tables import TOKEN
from guardhouse.operations import CATALOG
from guardhouse.operations.housekeeping import HOUSEWORK, sweep
from guardhouse.services.presence import PRESENCE
from tests.world import Member, World, second_process

_LONG = {"lease_seconds": 86_400}


def _silent_holder(home: World) -> tuple[Member, Member, str, int]:
    """Anna holds a lock and a task and falls silent, Bert looks on."""
    anna, bert = home.agent("anna"), home.agent("bert")
    task = home.done(bert, "submit_work", {"title": "mend it"})["task_id"]
    fence = home.done(anna, "claim_task", {"task_id": task, **_LONG})["fence"]
    home.done(anna, "acquire_lock", {"key": "res:deploy/production", "ttl_seconds": 86_400})
    return anna, bert, task, fence


def _sessions(home: World, who: Member, status: str) -> list[str]:
    found = home.done(who, "discover_agents", {"status": status})["sessions"]
    return [item["agent_id"] for item in found]


def _by_the_house(home: World) -> list[dict[str, Any]]:
    return [entry for entry in home.entries() if entry["principal"]["kind"] == "system"]


def test_a38_every_call_keeps_a_session_present_and_most_write_nothing(home: World) -> None:
    anna, bert = home.agent("anna"), home.agent("bert")
    home.done(bert, "get_my_profile")
    seen = set()
    for _ in range(40):
        home.done(anna, "check_guardrails", {"operation_text": "ls"})
        with home.store.reading() as connection:
            at = connection.execute(select(PRESENCE.c.last_seen_at).where(PRESENCE.c.agent_id == anna.id)).scalar_one()
        seen.add(at)
        assert home.clock() - at < 15_000_000
        home.later(5)
    assert len(seen) == 14
    home.later(900)
    home.done(anna, "get_my_profile")
    assert _sessions(home, home.operator, "active") == []
    assert sorted(_sessions(home, home.operator, "silent")) == sorted([anna.id, bert.id])


def test_c05_what_a_silent_agent_holds_is_freed_with_an_entry_each(home: World) -> None:
    anna, bert, task, fence = _silent_holder(home)
    home.later(899)
    home.done(bert, "heartbeat")
    assert sweep(home.gateway) == 0
    home.later(1)
    before = home.count()
    assert sweep(home.gateway) == 2
    assert sweep(home.gateway) == 0
    assert home.count() == before + 2
    first, second = _by_the_house(home)
    assert (first["operation"], second["operation"]) == ("lapse_task", "lapse_lock")
    assert {entry["principal"]["id"] for entry in (first, second)} == {"system"}
    assert first["surface"] == second["surface"] == "house"
    assert f"task:{task}" in first["objects"]
    assert any(name.startswith("session:") for name in second["objects"])
    assert home.done(bert, "check_locks")["locks"] == []
    assert home.done(bert, "get_task", {"task_id": task})["attempts"] == 1
    assert _sessions(home, bert, "gone") == [anna.id]
    late = home.call(anna, "complete_work", {"task_id": task, "fence": fence, "summary": "done after all"})
    assert late.code == "stale_fence"


def test_c05_a_silent_agent_must_heartbeat_before_it_acquires_again(home: World) -> None:
    anna, _bert, task, _fence = _silent_holder(home)
    home.later(900)
    home.done(anna, "check_locks")
    for operation, body in (
        ("acquire_lock", {"key": "res:a"}),
        ("get_work", {}),
        ("claim_task", {"task_id": task}),
    ):
        assert home.call(anna, operation, body).code == "heartbeat_required", operation
    assert home.done(anna, "heartbeat")["was"] == "silent"
    home.done(anna, "acquire_lock", {"key": "res:a"})


def _seen(home: World, who: Member) -> list[int]:
    with home.store.reading() as connection:
        return list(connection.execute(select(PRESENCE.c.last_seen_at).where(PRESENCE.c.agent_id == who.id)).scalars())


def test_a38_a_refused_call_makes_nobody_appear(home: World) -> None:
    low = home.agent("low", trust=1)
    assert home.call(low, "acquire_lock", {"key": "res:a"}).code == "policy_not_permitted"
    assert home.call(low, "get_work").code == "policy_not_permitted"
    assert _seen(home, low) == []
    home.done(low, "check_locks")
    assert _sessions(home, home.operator, "active") == [low.id]


def test_a38_an_agent_whose_calls_are_all_refused_is_there_and_keeps_what_it_holds(home: World) -> None:
    """Whatever refuses them once they are let in: the policy, a guardrail, the shape of the body, a service."""
    anna, bert, task, fence = _silent_holder(home)
    refused: list[tuple[str, dict[str, Any], str]] = [
        ("revoke_locks", {"prefix": "res:a", "reason": "x"}, "policy_not_permitted"),
        ("remember", {"event_type": "lesson", "summary": "ghp_" + "a1B2c3D4e5" * 4}, "guardrail_blocked"),
        ("get_task", {"task_id": 7}, "validation"),
        ("get_task", {"task_id": "tsk_0"}, "not_found"),
        ("add_agent", {"handle": "x", "trust": 4}, "people_only"),
        ("no_such_operation", {}, "unknown_operation"),
    ]
    for operation, body, code in refused * 4:
        home.later(300)
        assert home.call(anna, operation, body).code == code
    home.done(bert, "heartbeat")
    assert sweep(home.gateway) == 0
    assert anna.id in _sessions(home, bert, "active")
    assert home.done(bert, "get_task", {"task_id": task})["holder_agent_id"] == anna.id
    home.done(anna, "complete_work", {"task_id": task, "fence": fence, "summary": "done after all"})
    # Once it is silent, no refused call brings it back.
    home.later(900)
    for operation, body, code in refused:
        assert home.call(anna, operation, body).code == code
    assert home.call(anna, "get_work").code == "heartbeat_required"


def test_a38_calls_of_a_suspended_or_stopped_agent_are_no_sign_of_life(home: World) -> None:
    for name, order in (("s", "suspend_agent"), ("t", "stop_agent")):
        agent = home.agent(f"agent-{name}")
        home.done(agent, "heartbeat")
        before = _seen(home, agent)
        home.done(home.operator, order, {"agent_id": agent.id, "reason": "drill"})
        for _ in range(4):
            home.later(300)
            for operation, body in (("check_locks", {}), ("heartbeat", {}), ("acquire_lock", {"key": "res:a"})):
                assert not home.call(agent, operation, body).performed
        assert _seen(home, agent) == before
        assert agent.id in _sessions(home, home.operator, "silent")
    zero = home.agent("zero")
    home.done(zero, "heartbeat")
    before = _seen(home, zero)
    home.done(home.operator, "set_trust", {"agent_id": zero.id, "trust": 0})
    home.later(300)
    assert home.call(zero, "check_locks").code == "suspended"
    assert _seen(home, zero) == before


def test_a38_an_agent_that_may_send_no_heartbeat_comes_back_by_calling(home: World) -> None:
    """Lowered to trust 1 it keeps what it held while it calls, and is never shown silent while it does."""
    anna, bert, task, _fence = _silent_holder(home)
    home.done(home.operator, "set_trust", {"agent_id": anna.id, "trust": 1})
    for _ in range(5):
        home.later(400)
        assert home.call(anna, "renew_lease", {"task_id": task}).code == "policy_not_permitted"
        assert _sessions(home, home.operator, "silent") == ([bert.id] if _ > 1 else [])
    home.done(bert, "heartbeat")
    assert (sweep(home.gateway), home.done(bert, "get_task", {"task_id": task})["holder_agent_id"]) == (0, anna.id)
    home.later(900)
    home.done(bert, "heartbeat")
    assert sweep(home.gateway) == 2, "silent for good it loses both, as everybody does"
    for operation in ("heartbeat", "register_session"):
        assert home.call(anna, operation).code == "policy_not_permitted"
    assert _sessions(home, bert, "gone") == [anna.id]
    home.done(anna, "check_locks")
    assert anna.id in _sessions(home, bert, "active")
    home.done(home.operator, "set_trust", {"agent_id": anna.id, "trust": 2})
    home.later(900)
    home.done(anna, "check_locks")
    assert home.call(anna, "get_work").code == "heartbeat_required", "whoever may send one must"


def test_r11_leases_attempts_and_deadlines_are_enforced_by_the_house(home: World) -> None:
    anna, bert = home.agent("anna"), home.agent("bert")
    soon = home.done(bert, "submit_work", {"title": "soon", "max_attempts": 2, "lease_seconds": 60})["task_id"]
    for attempt, status in ((1, "todo"), (2, "failed")):
        home.done(anna, "claim_task", {"task_id": soon})
        home.later(60)
        assert sweep(home.gateway) == 1
        told = home.done(bert, "get_task", {"task_id": soon})
        assert (told["status"], told["attempts"]) == (status, attempt)
    assert told["error_code"] == "attempts_exhausted"
    at = "2034-12-17T20:40:00Z"
    late = home.done(bert, "submit_work", {"title": "late", "deadline": at})["task_id"]
    home.later(800)
    assert sweep(home.gateway) == 1
    told = home.done(bert, "get_task", {"task_id": late})
    assert (told["status"], told["error_code"]) == ("failed", "deadline_passed")
    assert [entry["outcome"] for entry in _by_the_house(home)] == ["performed"] * 3


def test_a09_r12_the_house_ends_an_overdue_epic_with_its_children_in_one_entry(home: World) -> None:
    """Whoever holds a child learns it by his fence; the entry names every task that ended, and it replays."""
    anna, bert = home.agent("anna"), home.agent("bert")
    epic = home.done(anna, "submit_work", {"title": "epic", "type": "epic", "deadline": "2034-12-17T20:40:00Z"})[
        "task_id"
    ]
    first, second = (
        home.done(anna, "submit_work", {"title": title, "parent_task_id": epic})["task_id"] for title in ("one", "two")
    )
    fence = home.done(bert, "claim_task", {"task_id": first})["fence"]
    home.later(800)
    home.done(bert, "heartbeat")
    assert home.call(anna, "claim_task", {"task_id": second}).code == "already_ended"
    before = len(_by_the_house(home))
    sweep(home.gateway)
    told = {task: home.done(anna, "get_task", {"task_id": task}) for task in (epic, first, second)}
    assert [(one["status"], one["error_code"]) for one in told.values()] == [
        ("failed", "deadline_passed"),
        ("cancelled", "closed_with_parent"),
        ("cancelled", "closed_with_parent"),
    ]
    entries = _by_the_house(home)[before:]
    assert {f"task:{task}" for task in told} <= {name for entry in entries for name in entry["objects"]}
    late = home.call(bert, "complete_work", {"task_id": first, "fence": fence, "summary": "done"})
    assert late.code == "stale_fence"
    assert sweep(home.gateway) == 0
    with home.store.reading() as connection:
        assert replay(connection, home.workspace_id, versions.BundleCache()).differences == []


def test_two_processes_free_a_thing_once(home: World) -> None:
    _silent_holder(home)
    home.later(900)
    with second_process(home) as other:
        assert sweep(home.gateway) + sweep(other.gateway) == 2
    assert len(_by_the_house(home)) == 2


def test_the_house_tidies_a_stopped_workspace_and_its_calls_replay(home: World) -> None:
    _silent_holder(home)
    home.done(home.operator, "stop_workspace", {"reason": "fire drill"})
    home.later(900)
    assert sweep(home.gateway) == 2
    with home.store.reading() as connection:
        done = replay(connection, home.workspace_id, versions.BundleCache())
    assert done.entries == home.count()
    assert done.differences == []


def test_no_door_can_speak_for_the_house(home: World) -> None:
    """Not by naming its operations, its principal, its mark or its surface."""
    anna = home.agent("queen", trust=4)
    _other, _bert, task, _fence = _silent_holder(home)
    home.later(900)
    assert not {declared.name for declared in HOUSEWORK} & {declared.name for declared in CATALOG}
    for operation in ("lapse_task", "lapse_lock"):
        assert CATALOG.find(operation) is None
        for who in (anna, home.operator):
            assert home.call(who, operation, {"task_id": task}).code == "unknown_operation"
            claimed = home.call(who, operation, {"task_id": task, "principal": "system", "agent_id": "system"})
            assert not claimed.performed
    for token in ("system", "house", "", None):
        with pytest.raises(Unauthenticated):
            home.call(token, "check_locks")
    for who in (anna, home.operator):
        for operation in ("acquire_lock", "check_locks"):
            outcome = home.call(who, operation, {"key": "res:b"}, surface="house")
            assert outcome.code == "sender_mismatch"
    claimed = home.call(anna, "acquire_lock", {"key": "res:b", "agent_id": "system"})
    assert claimed.code == "sender_mismatch"
    assert _by_the_house(home) == []
    with home.store.reading() as connection:
        kinds = set(connection.execute(select(TOKEN.c.principal_kind)).scalars())
    assert kinds == {"agent", "person"}


def _objects(home: World, decision_id: str) -> list[str]:
    return list(home.entry(decision_id)["objects"])


def test_r11_a_claim_that_ends_a_lapsed_one_says_so_in_its_own_entry(home: World) -> None:
    anna, bert = home.agent("anna"), home.agent("bert")
    short = {"max_attempts": 3, "lease_seconds": 60}
    spent = home.done(anna, "submit_work", {"title": "spent", "max_attempts": 1, "lease_seconds": 60})["task_id"]
    task = home.done(anna, "submit_work", {"title": "mend it", **short})["task_id"]
    for one in (spent, task):
        home.done(anna, "claim_task", {"task_id": one})
    home.later(60)
    taken = home.call(bert, "get_work")
    assert taken.result is not None
    assert taken.result["task"]["task_id"] == task
    assert sorted(_objects(home, taken.decision_id)) == sorted([f"lapsed:{spent}", f"lapsed:{task}", f"task:{task}"])
    assert home.done(bert, "get_task", {"task_id": spent})["error_code"] == "attempts_exhausted"
    home.later(60)
    named = home.call(anna, "claim_task", {"task_id": task})
    assert _objects(home, named.decision_id) == [f"task:{task}", f"lapsed:{task}"]
    assert sweep(home.gateway) == 0, "what a call has written down is not written down again"
    home.later(60)
    nothing = home.call(bert, "claim_task", {"task_id": task})
    assert nothing.code == "already_ended"
    # A refused call changes nothing, so it names nothing: the lapse is the next one's to write down.
    assert "objects" not in home.entry(nothing.decision_id)
    assert sweep(home.gateway) == 1
    assert _by_the_house(home)[-1]["resource"]["id"] == task


def test_c05_a_lock_that_ran_out_leaves_an_entry_whoever_ends_it(home: World) -> None:
    anna, bert = home.agent("anna"), home.agent("bert")
    first = home.done(anna, "acquire_lock", {"key": "res:a", "ttl_seconds": 60})
    home.done(anna, "acquire_lock", {"key": "res:b", "ttl_seconds": 60})
    home.later(60)
    taken = home.call(bert, "acquire_lock", {"key": "res:a"})
    assert f"lapsed:{first['lock_id']}" in _objects(home, taken.decision_id)
    assert sweep(home.gateway) == 1
    assert sweep(home.gateway) == 0
    (ended,) = _by_the_house(home)
    assert (ended["operation"], ended["outcome"]) == ("lapse_lock", "performed")
    assert home.call(anna, "renew_lock", {"key": "res:b"}).code == "lease_expired"
