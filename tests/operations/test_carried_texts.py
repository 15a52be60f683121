"""What other operations carry is examined whole: a secret at the very end stops it, and words about commands pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.world import World, world

SECRET = "ghp_" + "a1B2c3D4e5" * 4
WORDS = "We never run " + "rm " + "-rf " + "/ and forbid git push --force; DROP TABLE users was the cause. "
LONG = (WORDS * 200)[:9_900]
CARRIERS = (
    ("submit_work", lambda text: {"title": "mend it", "detail": text}),
    ("remember", lambda text: {"event_type": "error", "summary": "it failed", "details": text}),
    ("write_handoff", lambda text: {"summary": text}),
)


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


DELETES = "rm " + "-rf " + "/"
MARKED = {
    "between backticks": f"When the disk is full run `{DELETES}` and go on.",
    "fenced": f"It helped:\n```sh\n{DELETES}\n```\n",
    "behind a prompt": f"What we did:\n$ {DELETES}\nand it was over.",
    "after a list sign": f"- first look\n- {DELETES}\n",
}
LESSONS = {
    "summary": lambda text: {"event_type": "error", "summary": text},
    "details": lambda text: {"event_type": "error", "summary": "it failed", "details": text},
    "lessons": lambda text: {"event_type": "error", "summary": "it failed", "lessons": ["look first", text]},
}


def test_what_a_memory_marks_as_code_is_judged_as_in_a_report(home: World) -> None:
    worker = home.agent("worker", trust=3)
    for form, text in MARKED.items():
        told = home.call(worker, "complete_work", {"task_id": "tsk_none", "summary": "done", "result": text})
        assert told.code == "guardrail_blocked", form
        for field, body in LESSONS.items():
            stopped = home.call(worker, "remember", body(text))
            assert (stopped.performed, stopped.code) == (False, "guardrail_blocked"), (form, field)
            hits = stopped.error["hits"]
            assert {hit["rule_id"] for hit in hits} <= {hit["rule_id"] for hit in told.error["hits"]}, (form, field)
            assert {hit["field"] for hit in hits} == {field}
    assert home.done(worker, "recall", {})["memories"] == [], "nothing of them is kept"


SUBMITTED = ("title", "detail", "definition_of_done")
RECORDED = ("summary", "result", "next")


def test_c36_what_any_text_of_a_task_marks_as_code_is_judged_as_in_its_result(home: World) -> None:
    """Whichever field carries it: submitted, recorded, parked with or cancelled with; and nothing of it is kept."""
    worker = home.agent("worker", trust=3)
    task = home.done(worker, "submit_work", {"title": "mend it"})["task_id"]
    fence = home.done(worker, "claim_task", {"task_id": task})["fence"]
    before = home.done(worker, "get_task", {"task_id": task})
    lines = {form: text for form, text in MARKED.items() if "\n" not in text} | {
        "alone": DELETES,
        "listed": f"- {DELETES}",
    }
    held = {"task_id": task, "fence": fence}
    asked = 0
    for form, text in (MARKED | lines).items():
        calls: list[tuple[str, str, dict[str, Any]]] = [
            ("submit_work", field, {"title": "mend it", field: text})
            for field in SUBMITTED
            if field != "title" or form in lines
        ]
        calls += [
            ("complete_work", field, {**held, "summary": "done", field: text})
            for field in RECORDED
            if field == "result" or form in lines
        ]
        calls += [
            ("submit_work", "input", {"title": "mend it", "input": {"run": [text]}}),
            ("release_task", "blocked_reason", {**held, "blocked_reason": text}),
            ("cancel_work", "reason", {"task_id": task, "reason": text}),
        ]
        for operation, field, body in calls:
            stopped = home.call(worker, operation, body)
            assert (stopped.performed, stopped.code) == (False, "guardrail_blocked"), (form, operation, field)
            assert {hit["field"] for hit in stopped.error["hits"]} == {field}, (form, operation)
            asked += 1
    assert asked > 40
    hidden = {**held, "summary": "done", "artifacts": [f"file:a; {DELETES}"]}
    stopped = home.call(worker, "complete_work", hidden)
    assert (stopped.code, stopped.error["hits"][0]["field"]) == ("guardrail_blocked", "artifacts")
    assert home.done(worker, "get_task", {"task_id": task}) == before, "the claim and the task are as they were"
    assert [one["task_id"] for one in home.done(worker, "list_work", {"view": "active"})["tasks"]] == [task]
    assert home.done(worker, "list_work")["tasks"] == []


def test_words_about_a_task_pass_in_each_of_its_texts(home: World) -> None:
    worker = home.agent("worker")
    body = {
        "title": "Say why the old deletion was wrong",
        "definition_of_done": "nobody can run " + DELETES + " any more",
        "labels": ["shutdown", "needs review"],
    }
    task = home.done(worker, "submit_work", body)["task_id"]
    home.done(worker, "claim_task", {"task_id": task})
    home.done(
        worker, "release_task", {"task_id": task, "blocked_reason": "somebody must say whether " + DELETES + " ran"}
    )
    home.done(worker, "reopen_task", {"task_id": task})
    home.done(worker, "claim_task", {"task_id": task})
    ended = {"task_id": task, "summary": "we say that " + DELETES + " was never meant", "next": "tell the others"}
    home.done(worker, "complete_work", ended)


def test_task_memory_and_handoff_are_stopped_by_a_secret_at_the_end_and_not_by_words(home: World) -> None:
    worker = home.agent("worker")
    for operation, body in CARRIERS:
        passed = home.call(worker, operation, body(LONG))
        assert passed.performed, (operation, passed.code, passed.message)
        stopped = home.call(worker, operation, body(f"{LONG} {SECRET}"))
        assert (stopped.performed, stopped.code) == (False, "guardrail_blocked"), operation
