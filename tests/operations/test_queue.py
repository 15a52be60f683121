"""Operations on work: inputs, texts that are examined, names, and what answers hold."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardhouse.catalog import Catalog
from guardhouse.errors import Refusal
from guardhouse.model.ids import Ids
from guardhouse.operations import backlog, handoffs, memory, playbooks, presence, queue
from guardhouse.services import keys, locks
from tests.operations.workbench import Workbench, agent, person
from tests.services.workshop import WORKSPACE

ANNA, BERT, LEAD = agent("anna"), agent("bert"), agent("lead", trust=3)


@pytest.fixture
def bench(store: Any, clock: Any, ids: Ids) -> Workbench:
    return Workbench(store, clock, ids)


def refused(bench: Workbench, operation: Any, who: Any, **body: Any) -> Refusal:
    with pytest.raises(Refusal) as excinfo:
        bench.call(operation, who, **body)
    return excinfo.value


def test_c30_the_names_and_aliases_are_free_of_clashes() -> None:
    catalog = Catalog.of(
        queue.OPERATIONS,
        backlog.OPERATIONS,
        handoffs.OPERATIONS,
        memory.OPERATIONS,
        presence.OPERATIONS,
        playbooks.OPERATIONS,
    )
    for alias, name in (
        ("create_task", "submit_work"),
        ("claim_work", "get_work"),
        ("cancel_task", "cancel_work"),
        ("complete_task", "complete_work"),
    ):
        found = catalog.find(alias)
        assert found is not None
        assert found.name == name
    for name in [
        "get_work",
        "get_task",
        "complete_work",
        "submit_work",
        "write_handoff",
        "read_handoff",
        "discover_agents",
        "register_session",
        "heartbeat",
        "remember",
        "recall",
    ]:
        assert catalog.find(name) is not None


def test_c34_c35_c36_c37_submit_get_complete(bench: Workbench) -> None:
    empty = bench.call(queue.get_work, ANNA)
    assert (empty["task"], empty["retry_after_seconds"] > 0) == (None, True)
    made = bench.call(queue.submit_work, LEAD, title="fix it", detail="all of it", labels=["ui"], input={"n": 1})
    waits = bench.call(queue.submit_work, LEAD, title="then this", needs=[made["task_id"]])
    assert (made["ready"], waits["ready"], waits["needs"][0]["task_id"]) == (True, False, made["task_id"])
    got = bench.call(queue.get_work, ANNA)["task"]
    assert (got["task_id"], got["fence"], got["holder_agent_id"], got["input"]) == (
        made["task_id"],
        1,
        ANNA.id,
        {"n": 1},
    )
    assert bench.objects == [f"task:{made['task_id']}"]
    bench.call(queue.renew_lease, ANNA, task_id=got["task_id"], fence=1)
    ended = bench.call(
        queue.complete_work,
        ANNA,
        task_id=got["task_id"],
        fence=1,
        summary="fixed",
        artifacts=["file:src/a.py", "msg:01KV#42"],
    )
    assert (ended["status"], ended["now_ready"], ended["repeated"]) == ("done", [waits["task_id"]], False)
    shown = bench.call(backlog.get_task, LEAD, task_id=got["task_id"])
    assert (shown["summary"], shown["artifacts"]) == ("fixed", ["file:src/a.py", "msg:01KV#42"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"title": ""},
        {"title": "two\nlines"},
        {"title": "x", "type": "story"},
        {"title": "x", "priority": 5},
        {"title": "x", "priority": -1},
        {"title": "x", "raw_priority": 11},
        {"title": "x", "deadline": "tomorrow"},
        {"title": "x", "needs": ["nothing"]},
        {"title": "x", "trust": 4},
        {"title": "x", "input": {"big": "x" * 70_000}},
    ],
)
def test_a07_a08_what_does_not_fit_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        queue.submit_work.ask.model_validate(body)


@pytest.mark.parametrize("artifact", ["src/a.py", "http://example.com", "file:", "msg:", "msg:a#b", "file:a\nb"])
def test_r13_r14_artifacts_have_a_grammar(artifact: str) -> None:
    with pytest.raises(ValidationError):
        queue.complete_work.ask.model_validate({"task_id": "tsk_1", "summary": "x", "artifacts": (artifact,)})


def test_c36_the_whole_text_is_examined() -> None:
    assert queue.complete_work.texts is not None
    assert queue.submit_work.texts is not None
    long = " " * 90_000 + "git push --force"
    ask = queue.complete_work.ask.model_validate(
        {"task_id": "tsk_1", "summary": "s", "result": long, "next": "n", "artifacts": ("file:a",)}
    )
    assert {text.field: text.text for text in queue.complete_work.texts(ask)} == {
        "summary": "s",
        "result": long,
        "artifacts": "file:a",
        "next": "n",
    }
    given = queue.submit_work.ask.model_validate(
        {"title": "t", "detail": "d", "input": {"run": "rm"}, "labels": ("l",)}
    )
    assert {(text.field, text.kind) for text in queue.submit_work.texts(given)} == {
        ("title", "report"),
        ("detail", "report"),
        ("labels", "prose"),
        ("input", "report"),
    }


def test_c53_who_may_cancel(bench: Workbench) -> None:
    task = bench.call(queue.submit_work, ANNA, title="t")["task_id"]
    bench.call(queue.claim_task, ANNA, task_id=task)
    assert refused(bench, queue.cancel_work, BERT, task_id=task).code == "not_author"
    ended = bench.call(queue.cancel_work, LEAD, task_id=task, reason="revision")
    assert (ended["status"], ended["error_code"]) == ("cancelled", "cancelled_by_orchestrator")
    assert refused(bench, queue.complete_work, ANNA, task_id=task, fence=1, summary="x").code == "stale_fence"
    other = bench.call(queue.submit_work, ANNA, title="t")["task_id"]
    assert bench.call(queue.cancel_work, person("olga", "operator"), task_id=other)["status"] == "cancelled"


@pytest.mark.parametrize(
    "word", ["cancelled_by_orchestrator", "deadline_passed", "attempts_exhausted", "closed_with_parent"]
)
def test_c53_no_worker_says_what_the_queue_alone_says(bench: Workbench, word: str) -> None:
    """Retried or not: the word is refused by its field, and the claim stays."""
    task = bench.call(queue.submit_work, ANNA, title="t")["task_id"]
    bench.call(queue.claim_task, ANNA, task_id=task)
    for more in ({}, {"retry": True}):
        with pytest.raises(ValidationError) as excinfo:
            bench.call(queue.complete_work, ANNA, task_id=task, success=False, summary="x", error_code=word, **more)
        (fault,) = excinfo.value.errors()
        assert fault["loc"] == ("error_code",)
        assert ("cancel_work" in fault["msg"]) == (word == "cancelled_by_orchestrator")
    assert bench.call(backlog.get_task, ANNA, task_id=task)["status"] == "doing"
    ended = bench.call(queue.complete_work, ANNA, task_id=task, success=False, summary="x", error_code="no_access")
    assert (ended["status"], ended["error_code"]) == ("failed", "no_access")


def test_c51_a_paused_feature_is_neither_claimed_nor_completed(bench: Workbench) -> None:
    task = bench.call(queue.submit_work, ANNA, title="t", feature="add-auth")["task_id"]
    bench.call(queue.claim_task, ANNA, task_id=task)
    second = bench.call(queue.submit_work, ANNA, title="t", feature="add-auth")["task_id"]
    with bench.shop.tx() as tx:
        pause = keys.canonical_key("feature:add-auth:pause")
        locks.acquire(tx, bench.shop.ids, WORKSPACE, locks.Holder(LEAD.id, LEAD.session_id), pause)
    assert bench.call(queue.get_work, BERT)["task"] is None
    for refusal in (
        refused(bench, queue.claim_task, BERT, task_id=second),
        refused(bench, queue.complete_work, ANNA, task_id=task, summary="x"),
    ):
        assert (refusal.code, refusal.extra["holder_agent_id"]) == ("held", LEAD.id)
    assert bench.call(queue.get_work, LEAD)["task"]["task_id"] == second


def test_a03_a04_a05_views_name_holder_and_blockers(bench: Workbench) -> None:
    one = bench.call(queue.submit_work, LEAD, title="one")["task_id"]
    two = bench.call(queue.submit_work, LEAD, title="two", needs=[one])["task_id"]
    assert [item["task_id"] for item in bench.call(backlog.list_work, ANNA)["tasks"]] == [one]
    bench.call(queue.claim_task, ANNA, task_id=one)
    active = bench.call(backlog.list_work, BERT, view="active")["tasks"][0]
    assert (active["holder_agent_id"], bool(active["claimed_at"])) == (ANNA.id, True)
    blocked = bench.call(backlog.list_work, BERT, view="blocked")["tasks"][0]
    assert (blocked["task_id"], blocked["blockers"][0]["task_id"]) == (two, one)
    assert refused(bench, backlog.add_dependency, LEAD, task_id=one, needs_task_id=two).code in (
        "cycle",
        "already_claimed",
    )
    assert bench.call(backlog.remove_dependency, LEAD, task_id=two, needs_task_id=one)["ready"]


def test_c05_a_silent_agent_must_heartbeat_before_it_claims(bench: Workbench) -> None:
    task = bench.call(queue.submit_work, LEAD, title="t")["task_id"]
    bench.call(presence.heartbeat, ANNA)
    bench.clock.advance(901)
    assert refused(bench, queue.get_work, ANNA).code == "heartbeat_required"
    assert refused(bench, queue.claim_task, ANNA, task_id=task).code == "heartbeat_required"
    assert bench.call(presence.heartbeat, ANNA)["was"] == "silent"
    assert bench.call(queue.get_work, ANNA)["task"]["task_id"] == task
