"""Operations on memory."""

from __future__ import annotations

from typing import Any

import pytest

from guardhouse.errors import Refusal
from guardhouse.operations import memory
from tests.operations.workbench import Workbench, agent, person


@pytest.fixture
def bench(store: Any, clock: Any, ids: Any) -> Workbench:
    return Workbench(store, clock, ids)


def test_c43_c44_remember_recall_forget(bench: Workbench) -> None:
    anna, bert = agent("anna"), agent("bert")
    body = {"event_type": "error", "summary": "zebra crossing fails", "tags": ["ui"], "outcome": "failure"}
    one = bench.call(memory.remember, anna, **body)
    again = bench.call(memory.remember, anna, **body)
    assert (one["new"], again["new"], again["memory_id"], again["seen"]) == (True, False, one["memory_id"], 2)
    found = bench.call(memory.recall, bert, query="zebras", outcome="failure")
    assert (len(found["memories"]), found["more"], found["complete"]) == (1, False, True)
    assert found["memories"][0]["score"] > 0
    with pytest.raises(Refusal) as excinfo:
        bench.call(memory.forget, bert, memory_id=one["memory_id"])
    assert excinfo.value.code == "not_author"
    gone = bench.call(memory.forget, person("olga", "security"), memory_id=one["memory_id"])
    assert gone["decision_ids"] == []  # carried straight: there is no ledger here that could hold its words
    assert bench.call(memory.recall, bert, query="zebras")["memories"] == []


def test_every_text_is_examined() -> None:
    assert memory.remember.texts is not None
    ask = memory.remember.ask.model_validate(
        {"event_type": "error", "summary": "s", "details": "d", "lessons": ("l", "m"), "tags": ("t",)}
    )
    assert [(text.field, text.text, text.kind) for text in memory.remember.texts(ask)] == [
        ("summary", "s", "report"),
        ("details", "d", "report"),
        ("lessons", "l\n\nm", "report"),
        ("tags", "t", "prose"),
    ]
