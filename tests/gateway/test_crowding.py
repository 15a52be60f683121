"""Bodies of too many values are refused for their number, before any of them is made."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardhouse.gateway import crowding
from guardhouse.gateway.crowding import MOST_VALUES, crowded
from tests.effort import within
from tests.world import World

VALUES = st.recursive(
    st.none() | st.integers() | st.text('a,"\\\n[{', max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('b,"\\:', max_size=3), inner, max_size=4),
    max_leaves=12,
)


def count(value: Any) -> int:
    """Names, texts, numbers, lists and objects."""
    if isinstance(value, dict):
        return 1 + len(value) + sum(map(count, value.values()))
    return 1 + sum(map(count, value)) if isinstance(value, list) else 1


@pytest.mark.parametrize("ascii_only", [True, False])
@given(value=VALUES)
def test_whatever_is_called_crowded_holds_more_than_may_be(ascii_only: bool, value: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crowding, "MOST_VALUES", 3)
        if crowded(json.dumps(value, ensure_ascii=ascii_only).encode()):
            assert count(value) > 3


def test_commas_in_texts_are_no_values() -> None:
    text = 'a,b,"c\\",' * MOST_VALUES
    assert not crowded(json.dumps({"content": text}).encode())
    assert crowded(json.dumps({"content": text, "input": ["a"] * (MOST_VALUES + 1)}).encode())
    assert not crowded(json.dumps(["a"] * MOST_VALUES).encode())


MEGABYTE = 1_000_000
CROWDS = {
    "lists": b"[],",
    "numbers": b"0,",
    "texts": b'"a",',
    "escaped texts": b'"\\"",',
    "objects": b'{"a":1},',
    "floats": b"1e5,",
}


@pytest.mark.parametrize("name", CROWDS)
def test_a_crowd_is_refused_for_its_number_and_leaves_its_entry(home: World, name: str) -> None:
    """They took up to 0.7 s of processor time each, most of it in one step that nobody else could interrupt."""
    unit = CROWDS[name]
    body = b'{"title":"t","input":{"a":[' + unit * (MEGABYTE // len(unit)) + b"1]}}"
    worker = home.agent("worker")
    refused = home.call(worker, "submit_work", body)
    assert (refused.code, refused.message) == ("validation", f"the body holds more than {MOST_VALUES} values")
    assert home.entry(refused.decision_id)["outcome"] == "validation"
    assert within(0.06, lambda: crowded(body))
