"""Pausing, suspending, stopping and observing through the whole corridor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.world import World, second_process, world


@pytest.fixture
def here(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


@pytest.mark.parametrize(
    ("operation", "code"),
    [("pause_agent", "agent_paused"), ("suspend_agent", "agent_suspended"), ("stop_agent", "agent_stopped")],
)
def test_an_order_binds_the_very_next_call_also_in_another_process(here: World, operation: str, code: str) -> None:
    worker = here.agent("worker", 2)
    with second_process(here) as there:
        there.done(worker, "renew_session")
        here.done(here.operator, operation, {"agent_id": worker.id, "reason": "enough"})
        outcome = there.call(worker, "acquire_lock", {"key": "res:deploy/prod"})
        assert outcome.code == code
        here.done(
            here.operator,
            "resume_agent" if operation == "pause_agent" else "reinstate_agent",
            {"agent_id": worker.id},
        )
        there.done(worker, "renew_session")


def test_a_lead_pauses_and_resumes_and_a_rival_does_not(here: World) -> None:
    worker, lead, rival = here.agent("worker", 2), here.agent("lead", 3), here.agent("rival", 3)
    assert not here.call(worker, "pause_agent", {"agent_id": rival.id}).performed
    here.done(lead, "pause_agent", {"agent_id": worker.id, "seconds": 60})
    assert here.call(rival, "resume_agent", {"agent_id": worker.id}).code == "not_pauser"
    assert here.done(lead, "resume_agent", {"agent_id": worker.id})["lifted"] == 1
    assert here.call(lead, "resume_agent", {"agent_id": worker.id}).code == "not_paused"


def test_people_govern_a_stopped_workspace_and_start_it_again(here: World) -> None:
    worker = here.agent("worker", 2)
    here.done(here.operator, "stop_workspace", {"reason": "fire drill"})
    assert here.call(worker, "acquire_lock", {"key": "res:deploy/prod"}).code == "workspace_not_active"
    listed = here.done(here.operator, "list_controls")["controls"]
    assert [(item["subject_kind"], item["state"], item["reason"]) for item in listed] == [
        ("workspace", "stopped", "fire drill")
    ]
    here.done(here.operator, "resume_workspace")
    here.done(worker, "renew_session")
    assert here.done(here.operator, "list_controls")["controls"] == []
    assert len(here.done(here.operator, "list_controls", {"ended": True})["controls"]) == 1


def test_a_paused_workspace_is_resumed_by_an_operator(here: World) -> None:
    here.done(here.operator, "pause_workspace", {"seconds": 60})
    assert here.done(here.operator, "resume_workspace")["lifted"] == 1
    assert here.call(here.operator, "resume_workspace").code == "not_paused"


def test_a_mode_is_set_shown_and_ended(here: World) -> None:
    worker = here.agent("worker", 2)
    for scope, scope_id in (("workspace", ""), ("agent", worker.id), ("role", "developer"), ("pack", "git")):
        made = here.done(here.operator, "set_mode", {"scope": scope, "id": scope_id, "seconds": 3600})
        assert made["until"] > ""
    assert len(here.done(here.operator, "list_modes")["modes"]) == 4
    here.done(here.operator, "end_mode", {"scope": "workspace"})
    assert here.call(here.operator, "end_mode", {"scope": "workspace"}).code == "not_observed"
    assert len(here.done(here.operator, "list_modes")["modes"]) == 3
    assert len(here.done(here.operator, "list_modes", {"ended": True})["modes"]) == 4


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"scope": "pack", "id": "guardhouse", "seconds": 60}, "always_binds"),
        ({"scope": "pack", "id": "no-such-pack", "seconds": 60}, "not_found"),
        ({"scope": "agent", "id": "agt_none", "seconds": 60}, "not_found"),
        ({"scope": "agent", "seconds": 60}, "not_found"),
        ({"scope": "workspace", "id": "wsp_other", "seconds": 60}, "not_found"),
    ],
)
def test_a_mode_needs_something_to_observe(here: World, body: dict[str, Any], code: str) -> None:
    assert here.call(here.operator, "set_mode", body).code == code


def test_a_role_that_nobody_has_is_refused_with_those_there_are(here: World) -> None:
    refused = here.call(here.operator, "set_mode", {"scope": "role", "id": "reviwer", "seconds": 600})
    assert (refused.code, refused.message.partition("; ")[0]) == ("not_found", "no agent has the role `reviwer`")
    assert "none yet" in refused.message
    here.agent("one", role="reviewer")
    here.agent("two", role="developer")
    gone = here.agent("three", role="tester")
    here.done(here.operator, "retire_agent", {"agent_id": gone.id})
    refused = here.call(here.operator, "set_mode", {"scope": "role", "id": "reviwer", "seconds": 600})
    assert refused.message.endswith("roles there are: `developer`, `reviewer`")
    assert here.done(here.operator, "set_mode", {"scope": "role", "id": "reviewer", "seconds": 600})["id"] == "reviewer"


def test_a_mode_for_too_long_is_refused_with_the_field_and_its_limit(here: World) -> None:
    refused = here.call(here.operator, "set_mode", {"scope": "workspace", "seconds": 61 * 86_400})
    assert refused.code == "validation"
    assert refused.error["fields"] == [{"field": "seconds", "problem": "input should be less than or equal to 2592000"}]
