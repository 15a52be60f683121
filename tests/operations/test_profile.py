"""Foretelling a decision, and one's own standing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from guardhouse.operations import CATALOG
from tests.world import Member, World, second_process, world


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def foretell(home: World, who: Member, operation: str, **more: Any) -> dict[str, Any]:
    return home.done(who, "check_policy", {"operation": operation, **more})


def test_what_is_foretold_is_what_happens(home: World) -> None:
    for trust in (1, 2, 3, 4):
        who = home.agent(f"agent-{trust}", trust)
        told = foretell(home, who, "acquire_lock", resource_id="res:deploy/prod")
        outcome = home.call(who, "acquire_lock", {"key": "res:deploy/prod"})
        entry = home.entry(outcome.decision_id)
        assert (told["effect"], told["resource_type"], told["resource_id"]) == (
            entry["effect"],
            entry["resource"]["type"],
            entry["resource"]["id"],
        )
        assert [(step["gate"], step["effect"], step["code"], step["rules"]) for step in told["steps"]] == [
            (step["gate"], step.get("effect", "allow"), step["code"], step.get("rules", [])) for step in entry["steps"]
        ]
        home.call(who, "release_lock", {"key": "res:deploy/prod"})


def test_a_question_about_what_is_denied_is_itself_allowed_and_changes_nothing(home: World) -> None:
    reader = home.agent("reader", 1)
    outcome = home.call(reader, "check_policy", {"operation": "acquire_lock", "resource_id": "src/app.py"})
    told = outcome.result or {}
    assert (told["effect"], told["code"]) == ("deny", "policy_not_permitted")
    assert [step["effect"] for step in told["steps"]][-1] == "not_reached"
    entry = home.entry(outcome.decision_id)
    assert (entry["effect"], entry["resource"]["type"]) == ("allow", "Workspace")
    assert home.done(reader, "check_locks")["locks"] == []
    assert told["resource_id"] == "file:default//src/app.py"


def test_an_alias_is_foretold_as_the_operation_it_names(home: World) -> None:
    assert foretell(home, home.agent("worker"), "lock_file")["operation"] == "acquire_lock"


def test_an_agent_asks_about_itself_only(home: World) -> None:
    worker, rival = home.agent("worker"), home.agent("rival", 4)
    body = {"operation": "acquire_lock", "agent_id": worker.id}
    assert home.call(rival, "check_policy", body).code == "people_only"
    assert home.done(worker, "check_policy", body)["principal_id"] == worker.id


def test_people_ask_about_any_agent_as_it_stands_now(home: World) -> None:
    worker = home.agent("worker")
    auditor = home.person("ada", "auditor")
    assert foretell(home, auditor, "acquire_lock", agent_id=worker.id)["effect"] == "allow"
    with second_process(home) as there:
        home.done(home.operator, "suspend_agent", {"agent_id": worker.id, "reason": "enough"})
        told = there.done(auditor, "check_policy", {"operation": "acquire_lock", "agent_id": worker.id})
    assert (told["effect"], told["code"]) == ("deny", "agent_suspended")
    home.done(home.operator, "reinstate_agent", {"agent_id": worker.id})
    home.done(home.operator, "set_trust", {"agent_id": worker.id, "trust": 1})
    assert foretell(home, auditor, "acquire_lock", agent_id=worker.id)["code"] == "policy_not_permitted"
    home.done(home.operator, "retire_agent", {"agent_id": worker.id})
    assert foretell(home, auditor, "check_locks", agent_id=worker.id)["code"] == "disabled"


def test_a_delegates_trust_is_that_of_the_chain_also_when_foretold(home: World) -> None:
    low = home.agent("low", 1)
    delegate = home.agent("delegate", 4, delegated_by=low.id)
    told = foretell(home, home.operator, "acquire_lock", agent_id=delegate.id, resource_id="res:x")
    assert told["code"] == home.call(delegate, "acquire_lock", {"key": "res:x"}).code == "policy_not_permitted"
    assert home.done(delegate, "get_my_profile")["effective_trust"] == 1


def test_a_person_is_foretold_their_own_roles(home: World) -> None:
    auditor = home.person("ada", "auditor")
    assert foretell(home, auditor, "stop_workspace")["effect"] == "deny"
    assert foretell(home, home.operator, "stop_workspace")["effect"] == "allow"
    assert foretell(home, home.agent("chief", 4), "stop_workspace")["code"] == "people_only"


def test_in_observe_mode_a_deny_is_told_as_what_would_have_been(home: World) -> None:
    reader = home.agent("reader", 1)
    home.done(home.operator, "set_mode", {"scope": "agent", "id": reader.id, "seconds": 3600})
    told = foretell(home, reader, "acquire_lock", resource_id="res:x")
    assert (told["effect"], told["would"], told["enforced"]) == ("allow", "deny", False)
    named = foretell(home, home.operator, "acquire_lock", resource_id="res:x", agent_id=reader.id)
    assert (named["would"], named["enforced"]) == ("deny", False)


def test_a_full_limit_is_foretold_and_a_lock_already_held_does_not_count(home: World) -> None:
    worker = home.agent("worker", profile="default")
    for number in range(20):
        home.done(worker, "acquire_lock", {"key": f"res:{number}"})
    assert foretell(home, worker, "acquire_lock", resource_id="res:more")["code"] == "limit_reached"
    assert foretell(home, worker, "acquire_lock", resource_id="res:7")["effect"] == "allow"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"operation": "no_such_thing"}, "unknown_operation"),
        ({"operation": "acquire_lock", "agent_id": "agt_none"}, "not_found"),
        ({}, "validation"),
        ({"operation": ""}, "validation"),
        ({"operation": "acquire_lock", "resource_id": "table:x"}, "validation"),
        ({"operation": "acquire_lock", "resource_id": "../x"}, "validation"),
        ({"operation": "acquire_lock", "resource_type": "File", "resource_id": "res:x"}, "validation"),
        ({"operation": "acquire_lock", "resource_type": "Lock"}, "validation"),
        ({"operation": "acquire_lock", "resource_type": "Rule", "resource_id": "git.push.force"}, "validation"),
        ({"operation": "acquire_lock", "agent_id": "per_1"}, "validation"),
        ({"operation": "acquire_lock", "trust": 4}, "validation"),
    ],
)
def test_what_cannot_be_foretold_says_why(home: World, body: dict[str, Any], code: str) -> None:
    assert home.call(home.operator, "check_policy", body).code == code


def test_a_profile_names_every_operation_once_and_says_why_not(home: World) -> None:
    told = home.done(home.agent("worker"), "get_my_profile")
    names = [*told["permitted"], *(item["operation"] for item in (*told["held"], *told["denied"]))]
    assert sorted(names) == sorted(declared.name for declared in CATALOG)
    denied = {item["operation"]: item["code"] for item in told["denied"]}
    assert denied["stop_workspace"] == "people_only"
    assert denied["revoke_locks"] == "policy_not_permitted"
    assert {"acquire_lock", "check_guardrails", "get_my_profile"} <= set(told["permitted"])


def test_a_profile_tells_trust_limits_session_and_law(home: World) -> None:
    worker = home.agent("worker", 2, profile="default", owner=home.operator.id)
    home.done(worker, "acquire_lock", {"key": "res:x"})
    outcome = home.call(worker, "get_my_profile")
    told = outcome.result or {}
    assert (told["principal_id"], told["kind"], told["role"], told["owner"], told["profile"]) == (
        worker.id, "agent", "developer", home.operator.id, "default",
    )  # fmt: skip
    assert (told["trust"], told["effective_trust"], told["session_id"]) == (2, 2, worker.session_id)
    limits = {item["name"]: (item["limit"], item["used"], item["left"]) for item in told["limits"]}
    assert limits["held_locks"] == (20, 1, 19)
    assert limits["calls_per_hour"] == (1200, 2, 1198)
    assert told["bundle"] == home.entry(outcome.decision_id)["bundle"]
    assert told["token_expires_at"] > home.entry(outcome.decision_id)["at"]


def test_a_profile_tells_the_observe_modes_that_concern_the_caller(home: World) -> None:
    worker, other = home.agent("worker", 1), home.agent("other", role="reviewer")
    for scope, scope_id in (("agent", worker.id), ("role", "reviewer"), ("pack", "git")):
        home.done(home.operator, "set_mode", {"scope": scope, "id": scope_id, "seconds": 60})
    told = home.done(worker, "get_my_profile")
    assert [(item["scope"], item["id"]) for item in told["observed"]] == [("agent", worker.id), ("pack", "git")]
    assert "acquire_lock" in told["permitted"]
    assert [item["scope"] for item in home.done(other, "get_my_profile")["observed"]] == ["role", "pack"]
    home.later(61)
    assert home.done(worker, "get_my_profile")["observed"] == []


def test_a_paused_agent_sees_what_is_left_to_it(home: World) -> None:
    worker = home.agent("worker")
    home.done(home.operator, "pause_agent", {"agent_id": worker.id})
    told = home.done(worker, "get_my_profile")
    denied = {item["operation"]: item["code"] for item in told["denied"]}
    assert denied["acquire_lock"] == "agent_paused"
    assert "release_lock" in told["permitted"]


def test_a_person_has_roles_and_no_limits(home: World) -> None:
    told = home.done(home.person("ada", "auditor"), "get_my_profile")
    assert (told["kind"], told["roles"], told["limits"], told["profile"]) == ("person", ["auditor"], [], "")
    assert "query_audit" in told["permitted"]
    assert "acquire_lock" not in told["permitted"]
