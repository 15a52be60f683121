"""Approvals through the whole corridor: asked, decided by another, used once, told once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from guardhouse.governance import approvals, standing
from guardhouse.model.call import Resource
from tests.world import Member, World, second_process, shipped_bundle, world


@pytest.fixture
def here(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def asked(here: World, who: Member) -> str:
    """Open a question of a principal straight in the tables; its id."""
    with here.store.writing(here.workspace_id) as tx:
        hashed = standing.hash_token(who.token)
        principal = standing.read_principals(tx.connection, here.workspace_id, [hashed])[hashed]
        facts, key = standing.read_workspace(tx.connection, here.workspace_id)
        opened = approvals.open_question(
            tx,
            here.ids,
            key,
            workspace=facts,
            principal=principal,
            operation="release_lock",
            resource=Resource("Lock", "res:deploy/prod"),
            call_digest="hmac:call",
            law=shipped_bundle().law,
            decision_id="dec_1",
            sequence=0,
            rules=("lane.ask",),
            message="a person must allow it",
        )
    return str(opened.row["id"])


def test_an_agent_sees_its_own_questions_only(here: World) -> None:
    worker, rival = here.agent("worker", 2), here.agent("rival", 4)
    approval_id = asked(here, worker)
    shown = here.done(worker, "get_approval", {"approval_id": approval_id})
    assert (shown["state"], shown["rules"]) == ("pending", ["lane.ask"])
    assert shown["retry_after_seconds"] > 0
    assert here.call(rival, "get_approval", {"approval_id": approval_id}).code == "not_found"
    assert here.call(rival, "wait_approval", {"approval_id": approval_id}).code == "not_found"
    assert here.call(worker, "get_approval", {"approval_id": "apr_none"}).code == "not_found"
    assert here.done(here.operator, "get_approval", {"approval_id": approval_id})["principal_id"] == worker.id


def test_a_grant_is_shown_to_whoever_waits(here: World) -> None:
    worker = here.agent("worker", 2)
    approval_id = asked(here, worker)
    listed = here.done(here.operator, "list_approvals")["approvals"]
    assert [item["approval_id"] for item in listed] == [approval_id]
    granted = here.done(here.operator, "grant_approval", {"approval_id": approval_id, "reason": "go"})
    assert (granted["state"], granted["decided_by"], granted["single_person"]) == ("granted", here.operator.id, False)
    waited = here.done(worker, "wait_approval", {"approval_id": approval_id, "timeout_seconds": 1})
    assert (waited["state"], waited["retry_after_seconds"]) == ("granted", 0)
    assert here.done(here.operator, "list_approvals")["approvals"] == []
    again = here.call(here.operator, "refuse_approval", {"approval_id": approval_id, "reason": "no"})
    assert again.code == "already_decided"


def test_agents_and_auditors_decide_nothing(here: World) -> None:
    worker, chief, auditor = here.agent("worker", 2), here.agent("chief", 4), here.person("ann", "auditor")
    approval_id = asked(here, worker)
    for who in (worker, chief, auditor):
        assert not here.call(who, "grant_approval", {"approval_id": approval_id}).performed
        assert not here.call(who, "refuse_approval", {"approval_id": approval_id, "reason": "no"}).performed
    assert here.done(here.operator, "get_approval", {"approval_id": approval_id})["state"] == "pending"


def test_nobody_decides_their_own_question_unless_declared_and_then_it_is_recorded(here: World) -> None:
    approval_id = asked(here, here.operator)
    assert here.call(here.operator, "grant_approval", {"approval_id": approval_id}).code == "own_question"
    here.done(here.operator, "set_workspace", {"single_person": True})
    outcome = here.call(here.operator, "grant_approval", {"approval_id": approval_id})
    assert outcome.performed
    assert (outcome.result or {})["single_person"] is True
    assert "exception:single_person" in here.entry(outcome.decision_id)["objects"]


def test_reasons_for_refusal_are_needed_and_shown(here: World) -> None:
    worker = here.agent("worker", 2)
    approval_id = asked(here, worker)
    assert here.call(here.operator, "refuse_approval", {"approval_id": approval_id}).code == "validation"
    here.done(here.operator, "refuse_approval", {"approval_id": approval_id, "reason": "not today"})
    shown = here.done(worker, "get_approval", {"approval_id": approval_id})
    assert (shown["state"], shown["reason"]) == ("refused", "not today")


def test_racers_over_two_processes_open_one_question_and_people_are_told_once(here: World) -> None:
    agent = here.agent("asker")
    publish = {"operation_text": "npm publish"}
    with second_process(here) as other, ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda number: (here, other)[number % 2].done(agent, "check_guardrails", publish)["approval_id"],
                range(16),
            )
        )
        assert len(set(answers)) == 1
        told = [notice["approval_id"] for kind, notice in here.notices + other.notices if kind == "approval_asked"]
        assert told == answers[:1]
