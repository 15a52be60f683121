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


def test_task_memory_and_handoff_are_stopped_by_a_secret_at_the_end_and_not_by_words(home: World) -> None:
    worker = home.agent("worker")
    for operation, body in CARRIERS:
        passed = home.call(worker, operation, body(LONG))
        assert passed.performed, (operation, passed.code, passed.message)
        stopped = home.call(worker, operation, body(f"{LONG} {SECRET}"))
        assert (stopped.performed, stopped.code) == (False, "guardrail_blocked"), operation
