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


def test_task_memory_and_handoff_are_stopped_by_a_secret_at_the_end_and_not_by_words(home: World) -> None:
    worker = home.agent("worker")
    for operation, body in CARRIERS:
        passed = home.call(worker, operation, body(LONG))
        assert passed.performed, (operation, passed.code, passed.message)
        stopped = home.call(worker, operation, body(f"{LONG} {SECRET}"))
        assert (stopped.performed, stopped.code) == (False, "guardrail_blocked"), operation
