"""Operations on handoffs."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardhouse.operations import handoffs
from tests.operations.workbench import Workbench, agent


@pytest.fixture
def bench(store: Any, clock: Any, ids: Any) -> Workbench:
    return Workbench(store, clock, ids)


def test_c38_c39_the_successor_reads_what_was_left(bench: Workbench) -> None:
    anna, bert = agent("anna"), agent("bert")
    assert bench.call(handoffs.read_handoff, bert) == {"handoffs": [], "more": False}
    bench.call(handoffs.write_handoff, anna, summary="half done", next_steps=["n" * 300] * 2, decisions=["keep it"])
    one = bench.call(handoffs.read_handoff, bert, by_agent_id=anna.id)["handoffs"][0]
    assert (one["summary"], one["repository"], one["truncated"], one["cut"]) == ("half done", "web", False, [])
    short = bench.call(handoffs.read_handoff, bert, max_characters=350)["handoffs"][0]
    assert (short["truncated"], short["cut"]) == (True, [{"field": "next_steps", "items": 1, "characters": 300}])


def test_every_text_is_examined_and_unknown_fields_are_refused() -> None:
    assert handoffs.write_handoff.texts is not None
    ask = handoffs.write_handoff.ask.model_validate({"summary": "s", "decisions": ("a", "b"), "relevant_files": ("f",)})
    assert [(text.field, text.text, text.kind) for text in handoffs.write_handoff.texts(ask)] == [
        ("summary", "s", "report"),
        ("decisions", "a\nb", "report"),
        ("relevant_files", "f", "prose"),
    ]
    with pytest.raises(ValidationError):
        handoffs.write_handoff.ask.model_validate({"summary": "s", "note": "n"})
