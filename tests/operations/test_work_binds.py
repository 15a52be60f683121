"""What binds in the queue: a pause, a cancellation, a page, whatever else lies in the tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from guardhouse.app import actions
from guardhouse.bundle import load, versions
from guardhouse.services import keys, locks, queue
from guardhouse.services.queue.tables import TASK
from tests.world import Member, World, shipped_bundle, world


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def _submit(home: World, who: Member, title: str = "mend it", **options: Any) -> str:
    return str(home.done(who, "submit_work", {"title": title, **options})["task_id"])


def _titles(home: World, who: Member, view: str, **options: Any) -> list[str]:
    return [task["title"] for task in home.done(who, "list_work", {"view": view, **options})["tasks"]]


def _crowd(home: World, holder: Member) -> None:
    """Five hundred and one locks of other features, all of them before the one that pauses."""
    with home.store.writing(home.workspace_id) as tx:
        tx.now = home.clock()
        for number in range(501):
            key = keys.canonical_key(f"feature:a{number:04d}/x")
            locks.acquire(tx, home.ids, home.workspace_id, locks.Holder(holder.id, holder.session_id), key)


def test_c51_a_pause_binds_behind_any_number_of_locks(home: World) -> None:
    lead, bert = home.agent("lead"), home.agent("bert")
    _crowd(home, lead)
    home.done(lead, "acquire_lock", {"key": "feature:zeta:pause", "ttl_seconds": 600})
    paused = _submit(home, lead, "of the paused feature", feature="zeta", priority=0)
    other = _submit(home, lead, "of another", feature="eta", priority=3)
    assert home.done(bert, "get_work")["task"]["task_id"] == other
    assert home.done(bert, "get_work")["task"] is None
    assert home.call(bert, "claim_task", {"task_id": paused}).code == "held"
    # To everybody else it is not ready, and nothing says that it were.
    for who in (bert, home.operator):
        assert _titles(home, who, "ready") == []
        (shown,) = home.done(who, "list_work", {"view": "blocked"})["tasks"]
        assert (shown["task_id"], shown["ready"], shown["blockers"]) == (paused, False, [])
        assert "zeta" in shown["blocked_reason"]
    told = home.done(bert, "get_task", {"task_id": paused})
    assert (told["ready"], told["status"], "zeta" in told["blocked_reason"]) == (False, "todo", True)
    need = _submit(home, lead, "a need", priority=4)
    tied = home.done(bert, "add_dependency", {"task_id": paused, "needs_task_id": need})
    assert (tied["ready"], tied["waiting_on"]) == (False, 1)
    tied = home.done(bert, "remove_dependency", {"task_id": paused, "needs_task_id": need})
    assert (tied["ready"], tied["waiting_on"]) == (False, 0)
    # Whoever paused it goes on, and its end frees it at once.
    assert _titles(home, lead, "ready") == ["of the paused feature", "a need"]
    assert home.done(lead, "get_task", {"task_id": paused})["ready"] is True
    home.later(600)
    assert _titles(home, bert, "ready") == ["of the paused feature", "a need"]
    assert home.done(bert, "get_work")["task"]["task_id"] == paused


def test_c51_a_lapsed_claim_of_a_paused_feature_is_blocked_as_well(home: World) -> None:
    lead, anna, bert = home.agent("lead"), home.agent("anna"), home.agent("bert")
    task = _submit(home, lead, "lapsed", feature="zeta", lease_seconds=60)
    home.done(anna, "claim_task", {"task_id": task})
    home.done(lead, "acquire_lock", {"key": "feature:zeta:pause", "ttl_seconds": 600})
    home.later(60)
    assert (_titles(home, bert, "ready"), _titles(home, bert, "blocked")) == ([], ["lapsed"])
    assert home.done(bert, "get_work")["task"] is None
    assert (_titles(home, bert, "ready"), _titles(home, bert, "blocked")) == ([], ["lapsed"]), "also once written down"


def test_c53_a_cancellation_binds_whoever_could_not_have_cancelled(home: World) -> None:
    author, worker, other = home.agent("author"), home.agent("worker"), home.agent("other")
    lead = home.agent("lead", role="orchestrator")
    for undo in (author, lead, home.operator):
        task = _submit(home, author)
        home.done(worker, "claim_task", {"task_id": task})
        home.done(lead, "cancel_work", {"task_id": task, "reason": "stop"})
        before = home.done(lead, "get_task", {"task_id": task})
        for who in (worker, other):
            refused = home.call(who, "reopen_task", {"task_id": task})
            assert (refused.performed, refused.code) == (False, "not_author")
            assert home.call(who, "claim_task", {"task_id": task}).code == "already_ended"
        assert home.done(lead, "get_task", {"task_id": task}) == before
        assert home.done(undo, "reopen_task", {"task_id": task})["status"] == "todo"
    mine = _submit(home, author)
    home.done(worker, "claim_task", {"task_id": mine})
    home.done(worker, "cancel_work", {"task_id": mine})
    assert home.done(worker, "reopen_task", {"task_id": mine})["status"] == "todo", "who cancelled may think again"
    home.done(worker, "claim_task", {"task_id": mine})
    home.done(worker, "complete_work", {"task_id": mine, "summary": "x"})
    assert home.done(other, "reopen_task", {"task_id": mine})["status"] == "todo", "what was done anybody reopens"


def test_c53_children_cancelled_with_their_parent_stay_so_for_their_workers(home: World) -> None:
    lead, worker = home.agent("lead", role="orchestrator"), home.agent("worker")
    epic = _submit(home, lead, type="epic")
    child = _submit(home, lead, parent_task_id=epic)
    home.done(worker, "claim_task", {"task_id": child})
    assert home.done(lead, "cancel_work", {"task_id": epic})["auto_closed"] == [child]
    assert home.call(worker, "reopen_task", {"task_id": child}).code == "not_author"


def test_c53_who_orchestrates_is_one_rule_and_check_policy_foretells_it(home: World) -> None:
    """A role that people gave, trust 3 below the profile's ceiling, a person, the author and the holder; nobody else."""
    author, holder = home.agent("author"), home.agent("holder")
    asked: list[tuple[Member, bool]] = [
        (home.agent("named", 2, role="orchestrator"), True),
        (home.agent("trusted", 3), True),
        (home.agent("worker", 2), False),
        (home.agent("reader", 1, role="orchestrator"), False),
        (home.agent("delegate", 3, delegated_by=home.agent("small", 2).id), False),
        (home.operator, True),
        (author, True),
        (holder, True),
    ]
    for operation in ("cancel_work", "reopen_task"):
        for who, may in asked:
            task = _submit(home, author)
            home.done(holder, "claim_task", {"task_id": task})
            if operation == "reopen_task":
                home.done(home.operator, "cancel_work", {"task_id": task})
                may = may and who is not holder
            question = {"operation": operation, "resource_type": "Task", "resource_id": task}
            told = home.done(who, "check_policy", question)
            outcome = home.call(who, operation, {"task_id": task})
            assert outcome.performed is may, (operation, who.id, outcome.code)
            assert (told["effect"] == "allow", told["code"] if not may else outcome.code) == (may, outcome.code)
    told = home.done(
        holder, "check_policy", {"operation": "cancel_work", "resource_type": "Task", "resource_id": "tsk_0"}
    )
    assert (told["effect"], told["code"]) == ("deny", "not_found")
    assert home.done(holder, "check_policy", {"operation": "cancel_work"})["effect"] == "allow", "in general it may"


def test_c53_a_profiles_ceiling_takes_an_agents_authority_too(home: World) -> None:
    files = dict(shipped_bundle().files)
    files["profiles.yaml"] += b"  capped:\n    description: for this test\n    trust_ceiling: 2\n    limits: {}\n"
    bundle = load.load_files(files, actions())
    with home.store.writing(home.workspace_id) as tx:
        versions.store(tx, home.workspace_id, bundle)
        versions.activate(tx, home.workspace_id, bundle.digest, bundle.law, home.operator.id, "", "capped")
    author, capped = home.agent("author"), home.agent("capped", 4, profile="capped")
    task = _submit(home, author)
    assert home.call(capped, "cancel_work", {"task_id": task}).code == "not_author"


def test_a03_a_page_follows_the_last_whatever_became_of_its_tasks(home: World) -> None:
    """Released meanwhile, the list does not start over; claimed again, it skips nobody."""
    lead, anna = home.agent("lead"), home.agent("anna")
    tasks = [_submit(home, lead, f"task {number}") for number in range(5)]
    for task in tasks:
        home.done(anna, "claim_task", {"task_id": task})
        home.later(1)
    first = home.done(lead, "list_work", {"view": "active", "limit": 2})
    assert ([one["task_id"] for one in first["tasks"]], first["more"]) == (tasks[:2], True)
    page = {"view": "active", "limit": 2, "after": first["next"]}
    home.done(anna, "release_task", {"task_id": tasks[1]})
    assert [one["task_id"] for one in home.done(lead, "list_work", page)["tasks"]] == tasks[2:4]
    home.done(anna, "claim_task", {"task_id": tasks[1]})
    second = home.done(lead, "list_work", page)
    assert [one["task_id"] for one in second["tasks"]] == tasks[2:4]
    last = home.done(lead, "list_work", page | {"after": second["next"]})
    assert [one["task_id"] for one in last["tasks"]] == [tasks[4], tasks[1]], "a new claim is the youngest"
    assert (last["more"], last["next"]) == (False, "")
    wrong = home.call(lead, "list_work", {"view": "ready", "after": first["next"]})
    assert wrong.code == "validation"
    assert "`after`" in wrong.message or "after" in json.dumps(wrong.error)
    for bad in ("tsk_1", "1.2.3.tsk_1", "x.tsk_1", "99999999999999999.tsk_1"):
        assert home.call(lead, "list_work", {"view": "active", "after": bad}).code == "validation", bad


def _lapsing(home: World, lead: Member, worker: Member, count: int) -> list[str]:
    """Tasks whose claims have all just lapsed, the oldest first, with nobody having written it down."""
    tasks: list[str] = []
    with home.store.writing(home.workspace_id) as tx:
        tx.now = home.clock()
        for number in range(count):
            words: dict[str, Any] = {"title": f"lapsed {number}", "by": lead.id, "lease_seconds": 60}
            tasks.append(queue.submit(tx, home.ids, home.workspace_id, **words)["id"])
            queue.claim(tx, home.workspace_id, tasks[-1], agent_id=worker.id, session_id=worker.session_id)
    home.later(60)
    return tasks


def test_a03_lapsed_claims_are_all_listed_however_many_there_are(home: World) -> None:
    lead, anna = home.agent("lead"), home.agent("anna")
    tasks = _lapsing(home, lead, anna, 270)
    page = home.done(lead, "list_work", {"limit": 265})
    assert (len(page["tasks"]), page["more"]) == (265, True)
    assert {task["attempts"] for task in page["tasks"]} == {1}
    rest = home.done(lead, "list_work", {"limit": 265, "after": page["next"]})
    assert (len(rest["tasks"]), rest["more"]) == (5, False)
    assert [task["task_id"] for task in (*page["tasks"], *rest["tasks"])] == tasks


def test_c35_a_ready_task_behind_many_that_fail_is_handed_out(home: World) -> None:
    lead, anna, bert = home.agent("lead"), home.agent("anna"), home.agent("bert")
    soon = "2034-12-17T20:27:30Z"
    failing = [_submit(home, lead, f"too late {number}", deadline=soon) for number in range(70)]
    (task,) = _lapsing(home, lead, anna, 1)
    taken = home.call(bert, "get_work")
    assert taken.result is not None
    assert taken.result["task"] is not None, "the 65th due task is ready"
    assert taken.result["task"]["task_id"] == task
    named = {name.removeprefix("lapsed:") for name in home.entry(taken.decision_id)["objects"] if "lapsed" in name}
    assert (len(named), task in named) == (65, True)
    with home.store.reading() as connection:
        rows = connection.execute(TASK.select().where(TASK.c.id.in_(failing))).all()
    assert {row.id for row in rows if row.status == "failed"} == named - {task}
