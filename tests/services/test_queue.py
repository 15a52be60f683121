"""The queue, row by row: order, claims, leases, fences, needs, epics, endings."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from guardhouse.errors import Refusal
from guardhouse.services import queue
from guardhouse.services.queue import claims, graph
from guardhouse.services.queue.graph import recount
from guardhouse.services.queue.states import as_of, priority_of
from guardhouse.services.queue.tables import TASK
from tests.services.workshop import WORKSPACE, Workshop

ANNA = {"agent_id": "agt_anna", "session_id": "ses_anna"}
BERT = {"agent_id": "agt_bert", "session_id": "ses_bert"}


@pytest.fixture
def shop(store: Any, clock: Any, ids: Any) -> Workshop:
    return Workshop(store, clock, ids)


def submit(shop: Workshop, title: str = "a task", **options: Any) -> str:
    return str(shop.make(queue.submit, title=title, by="agt_lead", **options)["id"])


def code(excinfo: pytest.ExceptionInfo[Refusal]) -> str:
    return excinfo.value.code


def done(shop: Workshop, task: str, who: dict[str, str] = ANNA, **options: Any) -> queue.Ending:
    ending: queue.Ending = shop.do(queue.complete, task, **who, success=True, summary="did it", **options)
    return ending


def claim(shop: Workshop, task: str, who: dict[str, str] = ANNA, **options: Any) -> dict[str, Any]:
    row: dict[str, Any] = shop.do(queue.claim, task, **who, **options)
    return row


def view(shop: Workshop, name: str, limit: int = 50, **options: Any) -> list[str]:
    rows, _more = shop.do(queue.listed, name, limit, **options)
    return [row["id"] for row in rows]


def test_trivially_empty(shop: Workshop) -> None:
    assert shop.do(queue.claim_next, **ANNA) is None
    for name in queue.VIEWS:
        assert shop.do(queue.listed, name, 10) == ([], False)
    with pytest.raises(Refusal) as excinfo:
        shop.do(queue.get, "tsk_none")
    assert code(excinfo) == "not_found"


def test_a02_a14_discover_claim_complete(shop: Workshop) -> None:
    task = submit(shop, priority=1)
    assert view(shop, "ready") == [task]
    row = shop.do(queue.claim_next, **ANNA)
    assert (row["id"], row["holder_id"], row["status"], row["fence"]) == (task, "agt_anna", "doing", 1)
    assert view(shop, "ready") == []
    assert view(shop, "active") == [task]
    ending = done(shop, task, fence=1, artifacts=["file:src/a.py", "msg:01KV#42"], next_step="ship it")
    assert ending.task["status"] == "done"
    assert shop.do(queue.get, task)["artifacts_json"] == '["file:src/a.py","msg:01KV#42"]'


def test_a06_a08_c02_most_urgent_first_then_oldest(shop: Workshop) -> None:
    late = submit(shop, priority=4)
    first = submit(shop, priority=1)
    shop.clock.advance(1)
    second = submit(shop, priority=1)
    critical = submit(shop, priority=0)
    assert view(shop, "ready") == [critical, first, second, late]
    assert [shop.do(queue.claim_next, **ANNA)["id"] for _ in range(4)] == [critical, first, second, late]


def test_a08_raw_priority_is_kept_beside(shop: Workshop) -> None:
    task = submit(shop, raw_priority=7)
    row = shop.do(queue.get, task)
    assert (row["priority"], row["raw_priority"]) == (3, 7)
    assert [priority_of(raw) for raw in range(1, 11)] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_a03_a04_a05_views_page_honestly(shop: Workshop) -> None:
    tasks = [submit(shop, f"task {number}", priority=number % 3) for number in range(9)]
    waiting = submit(shop, "waits", needs=[tasks[0]])
    rows, more = shop.do(queue.listed, "ready", 4)
    assert (len(rows), more) == (4, True)
    rest, more = shop.do(queue.listed, "ready", 4, after=queue.place("ready", rows[-1]))
    last, end = shop.do(queue.listed, "ready", 4, after=queue.place("ready", rest[-1]))
    assert (more, end, len(last)) == (True, False, 1)
    assert {row["id"] for row in (*rows, *rest, *last)} == set(tasks)
    assert view(shop, "blocked") == [waiting]
    claim(shop, tasks[0])
    assert view(shop, "active") == [tasks[0]]
    with shop.tx() as tx:
        assert [need["id"] for need in queue.blockers_of(tx, WORKSPACE, waiting)] == [tasks[0]]


def test_a09_closing_an_epic_closes_its_children(shop: Workshop) -> None:
    epic = submit(shop, "epic", type="epic")
    child = submit(shop, "child", parent_id=epic)
    grandchild = submit(shop, "grandchild", parent_id=child)
    finished = submit(shop, "finished", parent_id=epic)
    waits = submit(shop, "waits for the grandchild", needs=[grandchild])
    held = claim(shop, grandchild, BERT)
    claim(shop, finished)
    done(shop, finished)
    claim(shop, epic)
    ending = done(shop, epic)
    assert ending.closed == sorted([child, grandchild])
    assert ending.ready == [waits]
    assert shop.do(queue.get, grandchild)["error_code"] == "closed_with_parent"
    assert shop.do(queue.get, finished)["error_code"] == ""
    with pytest.raises(Refusal) as excinfo:
        done(shop, grandchild, BERT, fence=held["fence"])
    assert code(excinfo) == "stale_fence"


def test_a09_only_an_epic_closes_its_children(shop: Workshop) -> None:
    parent = submit(shop, "parent")
    child = submit(shop, "child", parent_id=parent)
    claim(shop, parent)
    with pytest.raises(Refusal) as excinfo:
        done(shop, parent)
    assert code(excinfo) == "open_children"
    assert excinfo.value.extra["children"] == [child]
    assert shop.do(queue.get, parent)["status"] == "doing"


def test_a09_an_epic_of_too_many_children_ends_none_of_them(shop: Workshop) -> None:
    epic = submit(shop, "epic", type="epic")
    with shop.tx() as tx:
        for number in range(graph.MOST_CLOSED + 1):
            child = queue.submit(tx, shop.ids, WORKSPACE, title=f"{number}", by="agt_lead", parent_id=epic)["id"]
    claim(shop, epic)
    for end in (lambda: done(shop, epic), lambda: shop.do(queue.cancel, epic, by="agt_lead", reason="too large")):
        with pytest.raises(Refusal) as excinfo:
            end()
        assert code(excinfo) == "too_many_children"
    assert shop.do(queue.get, epic)["status"] == "doing"
    assert shop.do(queue.get, child)["status"] == "todo"
    claim(shop, child)
    done(shop, child)
    assert len(done(shop, epic).closed) == graph.MOST_CLOSED


def test_a12_a_task_needs_no_more_others_than_it_may(shop: Workshop) -> None:
    needs = [submit(shop) for _ in range(queue.MOST_NEEDS + 1)]
    with pytest.raises(Refusal) as excinfo:
        submit(shop, "needs too many", needs=needs)
    assert code(excinfo) == "too_many_needs"
    task = submit(shop, "needs many", needs=needs[:-1])
    with pytest.raises(Refusal) as excinfo:
        shop.do(queue.add_need, task, needs[-1])
    assert code(excinfo) == "too_many_needs"
    assert view(shop, "ready", 100) == needs


def test_a10_a11_blocked_until_all_needs_are_done(shop: Workshop) -> None:
    first, second = submit(shop), submit(shop)
    task = submit(shop, needs=[first])
    shop.do(queue.add_need, task, second)
    with pytest.raises(Refusal) as excinfo:
        claim(shop, task)
    assert code(excinfo) == "not_ready"
    assert {item["task_id"] for item in excinfo.value.extra["blockers"]} == {first, second}
    claim(shop, first)
    assert done(shop, first).ready == []
    claim(shop, second)
    assert done(shop, second).ready == [task]
    assert claim(shop, task)["status"] == "doing"


def test_a10_a_failed_need_goes_on_blocking_until_it_is_dropped(shop: Workshop) -> None:
    need = submit(shop)
    task = submit(shop, needs=[need])
    claim(shop, need)
    shop.do(queue.complete, need, **ANNA, success=False, summary="no way")
    assert view(shop, "blocked") == [task]
    row, removed = shop.do(queue.remove_need, task, need)
    assert (row["waiting_on"], removed) == (0, True)
    assert view(shop, "ready") == [task]


def test_a12_no_cycles_through_needs_or_parents(shop: Workshop) -> None:
    one = submit(shop)
    two = submit(shop, needs=[one])
    three = submit(shop, needs=[two])
    for task, needed, path in ((one, three, [one, three, two, one]), (one, one, [one, one])):
        with pytest.raises(Refusal) as excinfo:
            shop.do(queue.add_need, task, needed)
        assert code(excinfo) == "cycle"
        assert excinfo.value.extra["path"] == path
    epic = submit(shop, type="epic")
    outside = submit(shop, needs=[epic])
    with pytest.raises(Refusal) as excinfo:
        submit(shop, parent_id=epic, needs=[outside])
    assert code(excinfo) == "cycle"
    child = submit(shop, parent_id=epic)
    with pytest.raises(Refusal) as excinfo:
        shop.do(queue.add_need, child, epic)
    assert code(excinfo) == "cycle"


def test_a13_a15_r06_r07_already_claimed_names_the_holder(shop: Workshop) -> None:
    task = submit(shop, lease_seconds=60)
    claim(shop, task)
    with pytest.raises(Refusal) as excinfo:
        claim(shop, task, BERT)
    assert code(excinfo) == "already_claimed"
    assert excinfo.value.extra == {"holder_agent_id": "agt_anna", "retry_after_seconds": 60}


def test_r08_another_instance_of_the_same_agent_loses(shop: Workshop) -> None:
    task = submit(shop)
    first = claim(shop, task)
    with pytest.raises(Refusal) as excinfo:
        claim(shop, task, {"agent_id": "agt_anna", "session_id": "ses_other"})
    assert code(excinfo) == "already_claimed"
    assert claim(shop, task)["fence"] == first["fence"]
    for action in (queue.renew, queue.release):
        with pytest.raises(Refusal) as excinfo:
            shop.do(action, task, agent_id="agt_anna", session_id="ses_other", fence=first["fence"])
        assert code(excinfo) == "not_holder"


def test_r09_renewing_moves_the_lease(shop: Workshop) -> None:
    task = submit(shop, lease_seconds=60)
    claim(shop, task)
    for _ in range(5):
        shop.clock.advance(50)
        row = shop.do(queue.renew, task, **ANNA, fence=1)
        assert row["lease_until"] == shop.clock.at + 60_000_000
    shop.clock.advance(60)
    with pytest.raises(Refusal) as excinfo:
        shop.do(queue.renew, task, **ANNA)
    assert code(excinfo) == "lease_expired"


def test_r10_release_returns_it_without_spending_an_attempt(shop: Workshop) -> None:
    task = submit(shop)
    claim(shop, task)
    row = shop.do(queue.release, task, **ANNA, fence=1)
    assert (row["status"], row["attempts"], row["holder_id"]) == ("todo", 0, "")
    assert claim(shop, task, BERT)["fence"] == 2


def test_r11_a_lapsed_lease_reopens_the_task_and_refuses_the_late_writer(shop: Workshop) -> None:
    task = submit(shop, lease_seconds=60, max_attempts=3)
    claim(shop, task)
    shop.clock.advance(60)
    assert view(shop, "ready") == [task]
    assert view(shop, "active") == []
    assert shop.do(queue.get, task)["attempts"] == 1
    with pytest.raises(Refusal) as excinfo:
        done(shop, task, ANNA, fence=1)
    assert (code(excinfo), excinfo.value.extra["current_fence"]) == ("stale_fence", 2)
    row = shop.do(queue.claim_next, **BERT)
    assert (row["id"], row["fence"]) == (task, 3)
    for late in ({"fence": 1}, {"fence": None}):
        with pytest.raises(Refusal) as excinfo:
            done(shop, task, ANNA, **late)
        assert code(excinfo) == ("stale_fence" if late["fence"] else "not_holder")
    assert done(shop, task, BERT, fence=3).task["ended_by"] == "agt_bert"


def test_r11_reading_a_lapse_writes_nothing(shop: Workshop) -> None:
    task = submit(shop, lease_seconds=60)
    claim(shop, task)
    shop.clock.advance(61)
    with shop.tx() as tx:
        assert queue.get(tx, WORKSPACE, task)["status"] == "todo"
        queue.listed(tx, WORKSPACE, "ready", 10)
        assert tx.execute(select(TASK.c.status).where(TASK.c.id == task)).scalar_one() == "doing"


def test_r12_attempts_run_out(shop: Workshop) -> None:
    task = submit(shop, lease_seconds=60, max_attempts=2)
    for attempt in (1, 2):
        assert claim(shop, task)["attempts"] == attempt - 1
        shop.clock.advance(60)
    row = shop.do(queue.get, task)
    assert (row["status"], row["error_code"]) == ("failed", "attempts_exhausted")
    with pytest.raises(Refusal) as excinfo:
        claim(shop, task)
    assert code(excinfo) == "already_ended"
    assert shop.do(queue.reopen, task)["attempts"] == 0
    assert shop.do(queue.claim_next, **ANNA)["id"] == task


def test_r12_a_deadline_is_enforced_on_waiting_and_on_held_work(shop: Workshop) -> None:
    at = shop.clock.at + 100_000_000
    waiting, held = submit(shop, deadline=at), submit(shop, deadline=at, lease_seconds=3600)
    assert claim(shop, held)["lease_until"] == at
    shop.clock.advance(100)
    assert shop.do(queue.claim_next, **BERT) is None
    for task in (waiting, held):
        row = shop.do(queue.get, task)
        assert (row["status"], row["error_code"]) == ("failed", "deadline_passed")
    with pytest.raises(Refusal):
        done(shop, held, fence=1)
    with pytest.raises(Refusal) as excinfo:
        submit(shop, deadline=shop.clock.at)
    assert code(excinfo) == "deadline_passed"


def test_a09_r12_an_epic_that_the_clock_ends_takes_its_children_along(shop: Workshop) -> None:
    """By its deadline or by its last attempt, at every depth; a child whose own time is over ends by that."""
    at = shop.clock.at + 100_000_000
    for how in ({"deadline": at}, {"lease_seconds": 100, "max_attempts": 1}):
        epic = submit(shop, "epic", type="epic", **how)
        child, late = submit(shop, "child", parent_id=epic), submit(shop, "late", parent_id=epic, deadline=at)
        grandchild = submit(shop, "grandchild", parent_id=child)
        finished = submit(shop, "finished", parent_id=epic)
        waits = submit(shop, "waits for the grandchild", needs=[grandchild])
        held = claim(shop, grandchild, BERT)
        claim(shop, finished)
        done(shop, finished)
        claim(shop, epic)
        shop.clock.advance(100)
        at += 100_000_000
        with pytest.raises(Refusal) as excinfo:
            claim(shop, child)
        assert (code(excinfo), excinfo.value.extra["error_code"]) == ("already_ended", "closed_with_parent")
        row, closed = shop.do(queue.lapse, epic)
        assert row["status"] == "failed"
        assert {one["id"]: (one["status"], one["error_code"]) for one in closed} == {
            child: ("cancelled", "closed_with_parent"),
            grandchild: ("cancelled", "closed_with_parent"),
            late: ("failed", "deadline_passed"),
        }
        for one in closed:
            stored = shop.do(queue.get, one["id"])
            assert {name: stored[name] for name in one} == one
        assert shop.do(queue.get, finished)["status"] == "done"
        assert shop.do(queue.get, waits)["waiting_on"] == 1, "what was given up is not done"
        with pytest.raises(Refusal) as excinfo:
            done(shop, grandchild, BERT, fence=held["fence"])
        assert code(excinfo) == "stale_fence"
        assert shop.do(queue.lapse, epic) == (row, []), "once"


def test_a09_r12_the_next_claim_ends_an_overdue_epic_and_hands_out_none_of_its_children(shop: Workshop) -> None:
    epic = submit(shop, "epic", type="epic", deadline=shop.clock.at + 60_000_000)
    children = [submit(shop, f"child {number}", parent_id=epic, priority=0) for number in range(3)]
    other = submit(shop, "another")
    shop.clock.advance(60)
    settled: list[Any] = []
    assert shop.do(queue.claim_next, **ANNA, settled=settled)["id"] == other
    assert sorted(one["id"] for one in settled) == sorted([epic, *children])
    assert {shop.do(queue.get, child)["error_code"] for child in children} == {"closed_with_parent"}


def test_a09_r12_an_overdue_epic_of_too_many_children_ends_bit_by_bit(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each claim closes as many as it may; none of the others is handed out meanwhile, and the epic ends last."""
    monkeypatch.setattr(claims, "_SETTLED_AT_ONCE", 3)
    epic = submit(shop, "epic", type="epic", deadline=shop.clock.at + 60_000_000)
    children = [submit(shop, f"child {number}", parent_id=epic, priority=number % 2) for number in range(13)]
    other = submit(shop, "another", priority=4)
    shop.clock.advance(60)
    for _ in range(20):
        settled: list[Any] = []
        row = shop.do(queue.claim_next, **ANNA, settled=settled)
        assert row is None or row["id"] == other
        assert 0 < len({one["id"] for one in settled}) <= 7
        if epic in {one["id"] for one in settled}:
            break
    assert {shop.do(queue.get, child)["error_code"] for child in children} == {"closed_with_parent"}
    assert shop.do(queue.get, epic)["error_code"] == "deadline_passed"
    row = row or shop.do(queue.claim_next, **ANNA)
    assert row["id"] == other


def test_r12_parked_as_blocked_until_reopened(shop: Workshop) -> None:
    task = submit(shop, lease_seconds=60)
    claim(shop, task)
    shop.clock.advance(60)
    assert claim(shop, task)["attempts"] == 1
    row = shop.do(queue.release, task, **ANNA, blocked_reason="no access to staging")
    assert (row["status"], row["blocked_reason"]) == ("blocked", "no access to staging")
    assert (view(shop, "blocked"), view(shop, "ready")) == ([task], [])
    with pytest.raises(Refusal) as excinfo:
        claim(shop, task)
    assert code(excinfo) == "not_ready"
    row = shop.do(queue.reopen, task)
    assert (row["status"], row["attempts"], row["blocked_reason"]) == ("todo", 0, "")


def test_r12_reopening_makes_dependants_wait_again(shop: Workshop) -> None:
    need = submit(shop)
    task = submit(shop, needs=[need])
    claim(shop, need)
    assert done(shop, need).ready == [task]
    shop.do(queue.reopen, need)
    assert shop.do(queue.get, task)["waiting_on"] == 1
    with pytest.raises(Refusal) as excinfo:
        claim(shop, task)
    assert code(excinfo) == "not_ready"


def test_c36_completion_is_idempotent_for_whoever_ended_it(shop: Workshop) -> None:
    task = submit(shop)
    claim(shop, task)
    done(shop, task, fence=1)
    again = shop.do(queue.complete, task, **ANNA, success=True, summary="other words", fence=1)
    assert (again.repeated, again.task["summary"]) == (True, "did it")
    with pytest.raises(Refusal) as excinfo:
        shop.do(queue.complete, task, **ANNA, success=False, summary="no", fence=1)
    assert code(excinfo) == "already_ended"
    with pytest.raises(Refusal) as excinfo:
        done(shop, task, BERT)
    assert code(excinfo) == "already_ended"


def test_c36_a_failure_is_offered_again_while_attempts_are_left(shop: Workshop) -> None:
    task = submit(shop, max_attempts=2)
    for status in ("todo", "failed"):
        claim(shop, task)
        ending = shop.do(queue.complete, task, **ANNA, success=False, summary="flaky", retry=True)
        assert ending.task["status"] == status
    assert ending.task["error_code"] == "attempts_exhausted"


def test_c53_an_orchestrator_who_is_not_the_claimant_cancels(shop: Workshop) -> None:
    task = submit(shop)
    child = submit(shop, parent_id=task)
    held = claim(shop, task)
    ending = shop.do(queue.cancel, task, by="agt_lead", reason="contract revision")
    assert (ending.task["status"], ending.task["error_code"]) == ("cancelled", "cancelled_by_orchestrator")
    assert ending.closed == [child]
    with pytest.raises(Refusal) as excinfo:
        done(shop, task, fence=held["fence"])
    assert code(excinfo) == "stale_fence"
    assert shop.do(queue.cancel, task, by="agt_lead").repeated
    with pytest.raises(Refusal) as excinfo:
        claim(shop, task)
    assert code(excinfo) == "already_ended"


def test_r02_a_lane_is_its_owners(shop: Workshop) -> None:
    task = submit(shop, assignee_id="agt_bert")
    assert shop.do(queue.claim_next, **ANNA) is None
    with pytest.raises(Refusal) as excinfo:
        claim(shop, task)
    assert code(excinfo) == "assigned_to_other"
    assert shop.do(queue.claim_next, **BERT)["id"] == task


def test_c51_withheld_tasks_are_not_handed_out(shop: Workshop) -> None:
    submit(shop, feature="add-auth", priority=0)
    other = submit(shop, feature="", priority=4)
    withheld = queue.Withheld(TASK.c.feature == "add-auth")
    assert shop.do(queue.claim_next, **ANNA, withheld=withheld)["id"] == other
    assert shop.do(queue.claim_next, **ANNA, withheld=withheld) is None
    assert shop.do(queue.claim_next, **ANNA, withheld=queue.Withheld(TASK.c.feature == "other")) is not None


def test_c05_a_silent_sessions_claims_are_freed(shop: Workshop) -> None:
    mine, others = submit(shop), submit(shop)
    claim(shop, mine)
    claim(shop, others, {"agent_id": "agt_anna", "session_id": "ses_alive"})
    freed = shop.do(queue.free, "agt_anna", ("ses_anna",))
    assert [(row["id"], row["status"], row["attempts"]) for row in freed] == [(mine, "todo", 1)]
    assert shop.do(queue.get, others)["status"] == "doing"
    with pytest.raises(Refusal) as excinfo:
        done(shop, mine, fence=1)
    assert code(excinfo) == "stale_fence"


def test_erasing_an_entry_blanks_only_its_words(shop: Workshop) -> None:
    task = submit(shop, "secret title", detail="secret", sequence=7)
    claim(shop, task)
    done(shop, task, sequence=9)
    assert shop.do(queue.erase, 7) == [task]
    row = shop.do(queue.get, task)
    assert (row["title"], row["detail"], row["summary"], row["status"]) == ("", "", "did it", "done")
    assert shop.do(queue.erase, 9) == [task]
    assert shop.do(queue.get, task)["summary"] == ""
    assert shop.do(queue.erase, 8) == []


def test_workspaces_do_not_see_each_other(shop: Workshop) -> None:
    task = submit(shop)
    with shop.tx() as tx:
        assert queue.claim_next(tx, "wsp_other", **ANNA) is None
        with pytest.raises(Refusal):
            queue.claim(tx, "wsp_other", task, **ANNA)


def test_waiting_on_is_always_what_counting_gives(shop: Workshop) -> None:
    tasks: list[str] = []
    for number in range(24):
        tasks.append(submit(shop, needs=tasks[max(0, number - 3) : number], type="epic" if number % 5 == 0 else "task"))
    for number in (0, 1, 2, 3):
        claim(shop, tasks[number])
        done(shop, tasks[number])
    shop.do(queue.cancel, tasks[4], by="agt_lead")
    shop.do(queue.reopen, tasks[1])
    shop.do(queue.remove_need, tasks[5], tasks[4])
    query = select(TASK.c.id, TASK.c.waiting_on).order_by(TASK.c.id)
    with shop.tx() as tx:
        kept = tx.rows(query)
        recount(tx, WORKSPACE, tasks)
        assert tx.rows(query) == kept
        assert tx.execute(select(func.sum(TASK.c.waiting_on))).scalar_one() > 0


def test_as_of_leaves_what_is_not_due() -> None:
    row = {"due_at": 0, "status": "todo"}
    assert as_of(row, 10**18) == row


def test_what_was_kept_without_a_repository_belongs_to_the_default_one(shop: Workshop) -> None:
    """Tasks older than the default's name hold none; a filter by that name finds them all the same."""
    unnamed, named, web = submit(shop), submit(shop, repository="default"), submit(shop, repository="web")
    with shop.tx() as tx:
        shown = {name: queue.listed(tx, WORKSPACE, "ready", 10, repository=name) for name in ("default", "web")}
    assert [[row["id"] for row in rows] for rows, _more in shown.values()] == [[unnamed, named], [web]]
    assert shop.do(queue.claim_next, **ANNA, repository="web")["id"] == web
    assert shop.do(queue.claim_next, **ANNA, repository="web") is None
    assert [shop.do(queue.claim_next, **ANNA, repository="default")["id"] for _ in range(2)] == [unnamed, named]
