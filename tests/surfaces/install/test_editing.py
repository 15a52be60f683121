"""An entry goes in and comes out again, and not one byte of anybody else's is touched: for files of every shape."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardhouse.surfaces.install import editing
from guardhouse.surfaces.install.jsonc import Unreadable, parse
from tests.surfaces.install import shapes

PATH = ("hooks", "PreToolUse")
ENTRY = {"matcher": "*", "hooks": [{"type": "command", "command": "python /home/u/guardhouse/hooks/run codex"}]}


def _value(text: str) -> Any:
    node = parse(text)
    return None if node is None else node.plain()


@settings(max_examples=60, deadline=None)
@given(shapes.settings())
def test_what_went_in_comes_out_byte_for_byte(text: str) -> None:
    made = editing.add(text, PATH, ENTRY)
    assert _value(made.text)["hooks"]["PreToolUse"][-1] == ENTRY
    assert editing.theirs(_value(made.text), editing.marked) == editing.theirs(_value(text), editing.marked)
    assert editing.undo(made.text, made.splices) == text


@settings(max_examples=60, deadline=None)
@given(shapes.settings(), st.data())
def test_a_file_that_was_changed_since_loses_our_entry_and_nothing_else(text: str, data: st.DataObject) -> None:
    made = editing.add(text, PATH, ENTRY)
    added = {"matcher": "Bash", "hooks": [{"type": "command", "command": data.draw(st.text(max_size=5))}]}
    later = editing.add(made.text, data.draw(st.sampled_from([PATH, ("hooks", "Stop"), ("other",)])), added)
    left = editing.remove(later.text, editing.marked, "hooks")
    assert editing.theirs(_value(left), editing.marked) == editing.theirs(_value(later.text), editing.marked)
    assert "hooks/run codex" not in left
    outside = editing.undo(later.text, made.splices)
    assert outside is None or "hooks/run codex" not in outside


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet='{}[]",:/*\n\\ a1tnu', max_size=30))
def test_no_text_is_too_strange_to_be_edited_or_refused(text: str) -> None:
    with contextlib.suppress(Unreadable):
        editing.add(text, PATH, ENTRY)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"hooks": []}', "1:11"),
        ('{\n "hooks": {"PreToolUse": {}}}', "2:26"),
        ('{"hooks": {}, "hooks": {}}', "1:15"),
        ('{"a": 1', "1:8"),
        ('{"a" 1}', "1:6"),
        ("[]", "1:1"),
        ('{"a": 1} x', "1:10"),
        ('{"a": "b\n"}', "1:7"),
        ("{'a': 1}", "1:2"),
        ("/* never", "1:1"),
        ("[" * 5000, "1:102"),
    ],
)
def test_what_cannot_be_edited_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(Unreadable) as caught:
        editing.add(text, PATH, ENTRY)
    assert str(caught.value).startswith(place + ":")


def test_the_file_keeps_its_own_manner() -> None:
    tabs = '{\r\n\t"model": "x" // mine\r\n}\r\n'
    made = editing.add(tabs, ("a",), 1, last=False).text
    assert made == '{\r\n\t"model": "x", // mine\r\n\t"a": 1\r\n}\r\n'
    assert editing.add('{"b": 2}', ("hooks", "X"), 1).text == '{"b": 2, "hooks": {"X": [1]}}'
    assert editing.add("", ("hooks", "X"), 1).text == '{\n  "hooks": {\n    "X": [\n      1\n    ]\n  }\n}\n'
    deep = '{\n    "hooks": {\n        "X": [\n            1, // one\n        ]\n    }\n}'
    assert editing.add(deep, ("hooks", "X"), 2).text == deep.replace("// one\n", "// one\n            2\n")


def test_what_others_left_empty_stays() -> None:
    text = '{"hooks": {"Stop": [], "PreToolUse": []}, "env": {}}'
    made = editing.add(text, PATH, ENTRY)
    assert editing.undo(made.text, made.splices) == text


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "text",
    [
        '{"hooks":{// why\n"PreToolUse":[OURS]}}',
        '{"hooks":{"Stop":[],// why\n"PreToolUse":[OURS]}, "a": 1}',
        '{"hooks":{"PreToolUse":[{"b": 2},// why\nOURS]}}',
        '{"hooks":{"PreToolUse":[// why\nOURS, {"b": 2}]}}',
        '{"hooks":{"PreToolUse":[// why\nOURS /* so */, {"b": 2}]}}',
    ],
)
def test_a_line_comment_before_our_entry_swallows_nothing_behind_it(text: str, newline: str) -> None:
    whole = text.replace("\n", newline).replace("OURS", json.dumps(ENTRY))
    left = editing.remove(whole, editing.marked, "hooks")
    assert "hooks/run codex" not in left
    assert f"// why{newline}" in left
    assert editing.theirs(_value(left), editing.marked) == editing.theirs(_value(whole), editing.marked)
