"""Governing agents, people, tokens and workspaces through the whole corridor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from guardhouse.catalog import Operation
from guardhouse.ledger.tables import ENTRY, PAYLOAD
from guardhouse.operations import agents, approvals, control, modes, people, tokens, workspaces
from tests.world import Member, World, world

GOVERNING: tuple[Operation, ...] = (
    *agents.OPERATIONS,
    *people.OPERATIONS,
    *tokens.OPERATIONS,
    *control.OPERATIONS,
    *modes.OPERATIONS,
    *approvals.OPERATIONS,
    *workspaces.OPERATIONS,
)


@pytest.fixture
def here(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def test_every_operation_that_shows_a_token_says_so() -> None:
    for declared in GOVERNING:
        shows = "token" in declared.answer.model_fields
        assert declared.secret_outputs == (("token",) if shows else ()), declared.name
        assert declared.description, declared.name
        assert declared.writes == (declared.category != "read"), declared.name


def test_no_agent_governs_people_only_operations_whatever_its_trust(here: World) -> None:
    chief = here.agent("chief", 4)
    before = here.done(here.operator, "list_agents")
    for body in ({"handle": "mine", "trust": 4}, {"handle": "mine", "trust": 1}):
        assert here.call(chief, "add_agent", body).code == "people_only"
    assert here.call(chief, "set_trust", {"agent_id": chief.id, "trust": 4}).code == "people_only"
    assert here.call(chief, "issue_token", {"principal_id": here.operator.id}).code == "people_only"
    assert here.call(chief, "list_tokens").code == "people_only"
    assert here.done(here.operator, "list_agents") == before


def test_an_auditor_reads_everything_and_changes_nothing(here: World) -> None:
    auditor = here.person("ann", "auditor")
    for name in ("list_agents", "list_people", "list_tokens", "list_controls", "list_modes", "list_approvals"):
        here.done(auditor, name)
    here.done(auditor, "list_workspaces")
    for name, body in (
        ("add_agent", {"handle": "mine", "trust": 1}),
        ("add_person", {"name": "mallory", "roles": ["operator"]}),
        ("create_workspace", {"slug": "mine", "person_name": "ann"}),
        ("pause_workspace", {}),
        ("set_mode", {"scope": "workspace", "seconds": 60}),
    ):
        outcome = here.call(auditor, name, body)
        assert not outcome.performed, name
        assert outcome.decision is not None
        assert outcome.decision.effect == "deny", name


def test_a_new_agents_token_works_at_once_and_stands_nowhere_in_the_ledger(here: World) -> None:
    added = here.done(here.operator, "add_agent", {"handle": "builder", "trust": 2, "role": "developer"})
    token = added["token"]
    secret = token.split("_", 3)[3]
    assert here.done(Member(added["agent_id"], token), "renew_session")["renewed"] is False
    with here.store.reading() as connection:
        for table in (ENTRY, PAYLOAD):
            for row in connection.execute(table.select()):
                assert secret.encode() not in bytes(row.body)
    assert here.call(here.operator, "add_agent", {"handle": "builder", "trust": 2}).code == "handle_taken"


def test_a_repeated_call_does_not_show_the_token_again(here: World) -> None:
    body = {"handle": "builder", "trust": 2}
    first = here.call(here.operator, "add_agent", body, idempotency_key="once")
    again = here.call(here.operator, "add_agent", body, idempotency_key="once")
    assert first.result is not None
    assert first.result["token"].startswith("gdh_agent_")
    assert again.repeated == first.decision_id
    assert first.result["token"] not in json.dumps(dict(again.result or {}))


def test_trust_binds_the_very_next_call(here: World) -> None:
    worker = here.agent("worker", 2)
    here.done(worker, "renew_session")
    changed = here.done(here.operator, "set_trust", {"agent_id": worker.id, "trust": 0})
    assert changed["previous_trust"] == 2
    assert not here.call(worker, "renew_session").performed


def test_retiring_ends_the_agent(here: World) -> None:
    worker = here.agent("worker", 2)
    assert here.done(here.operator, "retire_agent", {"agent_id": worker.id})["tokens_revoked"] == 1
    assert not here.call(worker, "renew_session").performed
    assert here.call(here.operator, "retire_agent", {"agent_id": worker.id}).code == "not_found"
    assert here.call(here.operator, "issue_token", {"principal_id": worker.id}).code == "not_found"


def test_rotating_leaves_ten_minutes_for_the_old_token(here: World) -> None:
    worker = here.agent("worker", 2)
    rotated = here.done(worker, "rotate_token")
    new = Member(worker.id, rotated["token"])
    here.done(worker, "renew_session")
    here.done(new, "renew_session")
    here.later(600)
    assert not here.call(worker, "renew_session").performed
    here.done(new, "renew_session")


def test_nobody_rotates_anothers_token_but_an_operator(here: World) -> None:
    worker, rival = here.agent("worker", 2), here.agent("rival", 4)
    auditor = here.person("ann", "security")
    shown = here.done(here.operator, "list_tokens", {"principal_id": worker.id})["tokens"]
    body = {"token_id": shown[0]["token_id"]}
    assert here.call(rival, "rotate_token", body).code == "not_found"
    assert not here.call(auditor, "rotate_token", body).performed
    assert here.done(here.operator, "rotate_token", body)["old_token_id"] == shown[0]["token_id"]


def test_a_revoked_token_is_dead_at_once(here: World) -> None:
    worker = here.agent("worker", 2)
    shown = here.done(here.operator, "list_tokens", {"principal_id": worker.id})["tokens"]
    assert shown[0]["live"] is True
    assert "hash" not in shown[0]
    here.done(here.operator, "revoke_token", {"token_id": shown[0]["token_id"]})
    assert not here.call(worker, "renew_session").performed
    assert here.done(here.operator, "list_tokens", {"principal_id": worker.id})["tokens"][0]["live"] is False


def test_the_last_operator_stays(here: World) -> None:
    assert here.call(here.operator, "disable_person", {"person_id": here.operator.id}).code == "last_operator"
    second = here.person("bob", "operator")
    here.done(second, "disable_person", {"person_id": here.operator.id})
    assert not here.call(here.operator, "list_people").performed


def test_lists_are_bounded_and_say_whether_there_is_more(here: World) -> None:
    for number in range(5):
        here.agent(f"agent-{number}", 1)
    seen: list[str] = []
    body: dict[str, Any] = {"limit": 2}
    while True:
        shown = here.done(here.operator, "list_agents", body)
        assert len(shown["agents"]) <= 2
        seen += [item["handle"] for item in shown["agents"]]
        if not shown["more"]:
            assert shown["next"] == ""
            break
        body = {"limit": 2, "after": shown["next"]}
    assert seen == [f"agent-{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("add_agent", {"handle": "Upper", "trust": 2}),
        ("add_agent", {"handle": "-dash", "trust": 2}),
        ("add_agent", {"handle": "a" * 64, "trust": 2}),
        ("add_agent", {"handle": "new\nline", "trust": 2}),
        ("add_agent", {"handle": "line\n", "trust": 2}),
        ("add_agent", {"handle": "ok", "trust": 5}),
        ("add_agent", {"handle": "ok", "trust": -1}),
        ("add_agent", {"handle": "ok", "trust": "2"}),
        ("add_agent", {"handle": "ok", "trust": True}),
        ("add_agent", {"handle": "ok", "trust": 2, "token": "gdh_agent_1_x"}),
        ("add_person", {"name": "bob", "roles": []}),
        ("add_person", {"name": "bob", "roles": ["root"]}),
        ("add_person", {"name": "bob\u202e", "roles": ["auditor"]}),
        ("set_workspace", {"approval_grant_seconds": 0}),
        ("set_mode", {"scope": "workspace", "seconds": 2_592_001}),
        ("set_mode", {"scope": "workspace"}),
        ("pause_agent", {"agent_id": "per_1"}),
        ("list_agents", {"limit": 501}),
    ],
)
def test_what_does_not_fit_is_refused_and_recorded(here: World, operation: str, body: dict[str, Any]) -> None:
    before = here.count()
    assert here.call(here.operator, operation, body).code == "validation"
    assert here.count() == before + 1


def test_an_agent_is_given_no_profile_that_the_law_does_not_have(here: World) -> None:
    refused = here.call(here.operator, "add_agent", {"handle": "lost", "trust": 2, "profile": "ghost"})
    assert refused.code == "not_found"
    assert "codex" in refused.error["profiles"]
    assert here.done(here.operator, "list_agents")["agents"] == []


def test_a_new_workspace_has_its_own_people_law_and_ledger(here: World) -> None:
    made = here.done(here.operator, "create_workspace", {"slug": "second", "person_name": "bob"})
    theirs = Member(made["person_id"], made["token"])
    assert [item["name"] for item in here.done(theirs, "list_people")["people"]] == ["bob"]
    assert [item["slug"] for item in here.done(theirs, "list_workspaces")["workspaces"]] == ["second"]
    ours = [item["slug"] for item in here.done(here.operator, "list_workspaces")["workspaces"]]
    assert ours == ["default", "second"]
    assert here.call(here.operator, "create_workspace", {"slug": "second", "person_name": "b"}).code == "slug_taken"


def test_settings_change_one_by_one(here: World) -> None:
    assert here.done(here.operator, "set_workspace", {"single_person": True})["single_person"] is True
    shown = here.done(here.operator, "set_workspace", {"approval_grant_seconds": 120})
    assert (shown["single_person"], shown["approval_grant_seconds"]) == (True, 120)


def test_a_repository_is_vouched_for_once(here: World) -> None:
    assert here.done(here.operator, "register_repository", {"name": "github.com/example/app"})["created"] is True
    assert here.done(here.operator, "register_repository", {"name": "github.com/example/app"})["created"] is False
