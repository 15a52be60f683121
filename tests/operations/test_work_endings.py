"""How work ends when it does not simply succeed: retried, held for a person, given up, cancelled, reopened, retired."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from guardhouse.services.queue.tables import TASK
from tests.world import Member, World, world


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def _claimed(home: World, who: Member, **options: Any) -> tuple[str, int]:
    task = str(home.done(who, "submit_work", {"title": "mend it", **options})["task_id"])
    return task, int(home.done(who, "claim_task", {"task_id": task})["fence"])


def _stored(home: World, task: str) -> dict[str, Any]:
    with home.store.reading() as connection:
        return dict(connection.execute(select(TASK).where(TASK.c.id == task)).mappings().one())


FAILED = {"success": False, "retry": True, "summary": "flaky", "result": "log", "error_code": "flaky_test"}


@pytest.mark.parametrize("fenced", [True, False], ids=["with its fence", "without one"])
def test_c36_a_retried_failure_said_again_changes_nothing(home: World, fenced: bool) -> None:
    anna, bert = home.agent("anna"), home.agent("bert")
    task, fence = _claimed(home, anna, max_attempts=5)
    said = {"task_id": task, **FAILED} | ({"fence": fence} if fenced else {})
    first = home.done(anna, "complete_work", said)
    assert (first["status"], first["attempts"], first["repeated"]) == ("todo", 1, False)
    before = _stored(home, task)
    again = home.done(anna, "complete_work", said)
    assert again == first | {"repeated": True}
    assert _stored(home, task) == before
    # Other words are another thing, and so are another session's and another outcome.
    for other in (said | {"summary": "no"}, said | {"retry": False}, said | {"error_code": "x"}):
        assert home.call(anna, "complete_work", other).code == "not_holder"
    assert home.call(bert, "complete_work", said).code == "not_holder"
    assert _stored(home, task) == before
    # As soon as somebody has claimed it, the old word is late: whether they hold it, gave it back or let it lapse.
    late = "stale_fence" if fenced else "not_holder"
    home.done(bert, "claim_task", {"task_id": task, "lease_seconds": 60})
    assert home.call(anna, "complete_work", said).code == late
    home.done(bert, "release_task", {"task_id": task})
    assert home.call(anna, "complete_work", said).code == late
    home.done(bert, "claim_task", {"task_id": task, "lease_seconds": 60})
    home.later(60)
    assert home.call(anna, "complete_work", said).code == late
    home.done(bert, "get_work")
    assert home.call(anna, "complete_work", said).code == late


def test_c36_the_last_retried_failure_said_again_is_the_first(home: World) -> None:
    anna = home.agent("anna")
    task, fence = _claimed(home, anna, max_attempts=1)
    said = {"task_id": task, "fence": fence, **FAILED}
    first = home.done(anna, "complete_work", said)
    assert (first["status"], first["error_code"]) == ("failed", "flaky_test")
    assert home.done(anna, "complete_work", said) == first | {"repeated": True}


def test_c36_what_was_said_is_answered_again_while_its_feature_is_paused(home: World) -> None:
    anna, lead = home.agent("anna"), home.agent("lead")
    task, fence = _claimed(home, anna, feature="zeta")
    said = {"task_id": task, "fence": fence, "summary": "done"}
    home.done(anna, "complete_work", said)
    home.done(lead, "acquire_lock", {"key": "feature:zeta:pause"})
    assert home.done(anna, "complete_work", said)["repeated"] is True


def test_c36_a_held_completion_tells_to_keep_the_lease_and_is_performed_when_granted(home: World) -> None:
    anna = home.agent("anna")
    for kept in (True, False):
        task, fence = _claimed(home, anna, lease_seconds=60, max_attempts=5)
        body = {"task_id": task, "fence": fence, "summary": "x", "result": "```sh\nnpm publish\n```"}
        held = home.call(anna, "complete_work", body)
        assert held.code == "approval_pending"
        assert "renew_lease" in held.message
        home.later(50)
        if kept:
            home.done(anna, "renew_lease", {"task_id": task, "fence": fence})
        home.later(50)
        home.done(home.operator, "grant_approval", {"approval_id": held.error["approval_id"]})
        granted = home.call(anna, "complete_work", body)
        # A claim never outlives its worker because a person is slow: what is not renewed comes back.
        assert granted.code == ("performed" if kept else "stale_fence"), granted.message
        assert home.done(anna, "get_task", {"task_id": task})["status"] == ("done" if kept else "todo")


def _record(told: dict[str, Any]) -> tuple[Any, ...]:
    return told["summary"], told["result"], told["artifacts"], told["next"]


WORDS = {"summary": "first", "result": "platypus", "artifacts": ["file:a"], "next": "more"}


def test_r12_a_reopened_task_tells_nothing_of_its_first_end(home: World) -> None:
    anna = home.agent("anna")
    task, _fence = _claimed(home, anna)
    home.done(anna, "complete_work", {"task_id": task, **WORDS})
    reopened = home.done(anna, "reopen_task", {"task_id": task})
    assert _record(reopened) == ("", "", [], "")
    home.done(anna, "cancel_work", {"task_id": task, "reason": "no need"})
    assert _record(home.done(anna, "get_task", {"task_id": task})) == ("no need", "", [], "")


@pytest.mark.parametrize("after", ["cancelled", "parked", "reopened"])
def test_c36_words_that_were_erased_are_in_no_task_whatever_came_after_them(home: World, after: str) -> None:
    """A failure's words stay for whoever tries next, until another entry's words take their place."""
    anna, security = home.agent("anna"), home.person("sam", "security")
    task, _fence = _claimed(home, anna)
    failed = home.call(anna, "complete_work", {"task_id": task, "success": False, "retry": True, **WORDS})
    assert _record(home.done(anna, "get_task", {"task_id": task}))[1] == "platypus"
    if after == "cancelled":
        home.done(anna, "cancel_work", {"task_id": task, "reason": "no need"})
    else:
        home.done(anna, "claim_task", {"task_id": task})
        home.done(anna, "release_task", {"task_id": task, "blocked_reason": "no access"})
    if after == "reopened":
        home.done(anna, "reopen_task", {"task_id": task})
    home.done(security, "erase_payload", {"decision_ids": [failed.decision_id], "reason": "asked to"})
    kept = _stored(home, task)
    assert "platypus" not in str(kept)
    assert (kept["summary"], kept["blocked_reason"]) == {
        "cancelled": ("no need", ""),
        "parked": ("", "no access"),
        "reopened": ("", ""),
    }[after]


def test_a09_giving_up_an_epic_cancels_its_open_children(home: World) -> None:
    lead, worker = home.agent("lead"), home.agent("worker")
    epic = home.done(lead, "submit_work", {"title": "e", "type": "epic", "max_attempts": 2})["task_id"]
    child = home.done(lead, "submit_work", {"title": "c", "parent_task_id": epic})["task_id"]
    below = home.done(lead, "submit_work", {"title": "b", "parent_task_id": child})["task_id"]
    over = home.done(lead, "submit_work", {"title": "o", "parent_task_id": epic})["task_id"]
    home.done(lead, "claim_task", {"task_id": over})
    home.done(lead, "complete_work", {"task_id": over, "summary": "x"})
    fence = home.done(worker, "claim_task", {"task_id": below})["fence"]
    home.done(lead, "claim_task", {"task_id": epic})
    again = home.done(lead, "complete_work", {"task_id": epic, "success": False, "retry": True, "summary": "not yet"})
    assert (again["status"], again["auto_closed"]) == ("todo", []), "what is tried again closes nothing"
    home.done(lead, "claim_task", {"task_id": epic})
    ended = home.done(lead, "complete_work", {"task_id": epic, "success": False, "summary": "gave up"})
    assert (ended["status"], sorted(ended["auto_closed"]), ended["now_ready"]) == ("failed", sorted([child, below]), [])
    for task in (child, below):
        told = home.done(lead, "get_task", {"task_id": task})
        assert (told["status"], told["error_code"]) == ("cancelled", "closed_with_parent")
    assert home.done(lead, "get_task", {"task_id": over})["status"] == "done"
    late = home.call(worker, "complete_work", {"task_id": below, "fence": fence, "summary": "x"})
    assert late.code == "stale_fence"
    assert home.done(worker, "get_work")["task"] is None


def test_c05_a_retired_agent_gives_back_locks_and_claims_named_in_the_entry(home: World) -> None:
    gone, anna = home.agent("gone"), home.agent("anna")
    task, fence = _claimed(home, gone, lease_seconds=86_400, max_attempts=1)
    lock = home.done(gone, "acquire_lock", {"key": "res:gone"})["lock_id"]
    kept, _ = _claimed(home, anna)
    retired = home.call(home.operator, "retire_agent", {"agent_id": gone.id})
    assert retired.result is not None
    assert (retired.result["locks_released"], retired.result["tasks_released"]) == (1, 1)
    assert {f"lock:{lock}", f"task:{task}"} <= set(home.entry(retired.decision_id)["objects"])
    told = home.done(anna, "get_task", {"task_id": task})
    assert (told["status"], told["ready"], told["attempts"], told["lease_until"]) == ("todo", True, 0, "")
    assert told["fence"] > fence, "whatever still writes for it is late"
    assert home.done(anna, "get_work")["task"]["task_id"] == task
    assert home.done(anna, "get_task", {"task_id": kept})["status"] == "doing"
