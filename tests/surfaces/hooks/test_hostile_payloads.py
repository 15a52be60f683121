"""Payloads made to be costly: reading one takes work in proportion to its size, before anybody knows whose it is."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardhouse.guardrails import patching
from guardhouse.surfaces.hooks import places
from guardhouse.surfaces.hooks.reading import Reading, TooMuch, read
from tests.effort import within

OLD_MARKED = re.compile(r"(?i)^\s*\*\*\* ?(add|update|delete) file: ?(.+?)\s*$")
"""What a name in a patch is; as a pattern it takes a time with the square of the blanks."""


def payload(tool: str, given: Any) -> dict[str, Any]:
    return {"hook_event_name": "PreToolUse", "tool_name": tool, "session_id": "s", "cwd": "/w", "tool_input": given}


def once(tool: str, given: Any) -> Reading | str:
    try:
        return read("claude-code", payload(tool, given))
    except TooMuch as told:
        return str(told)


COSTLY: dict[str, tuple[str, Any]] = {
    "numbers": ("sensor", {"a": [1] * 200_000}),
    "texts": ("sensor", {"a": ["b"] * 100_000}),
    "lists": ("sensor", {"a": [[] for _ in range(100_000)]}),
    "names": ("mcp__a__b", {f"k{number}": number for number in range(60_000)}),
    "files by patterns": ("grep", {"paths": [f"p{n}" for n in range(4_000)], "glob": [f"g{n}" for n in range(4_000)]}),
    "blanks after a file's mark": ("apply_patch", {"input": "*** Add File: " + " " * 100_000 + "x"}),
    "blanks after a move's mark": ("apply_patch", {"input": "*** Add File: a\n*** move to: " + " " * 100_000 + "x"}),
}


@pytest.mark.parametrize("name", COSTLY)
def test_no_payload_takes_more_work_than_its_size(name: str) -> None:
    """They took 1 to 40 seconds each, on the event loop; a tenth of one is far above what they take now."""
    tool, given = COSTLY[name]
    assert within(0.1, lambda: once(tool, given))


def test_values_are_counted_before_they_are_looked_at() -> None:
    most = places.MOST_VALUES
    assert isinstance(once("sensor", {"a": [1] * (2 * most)}), Reading), "plain numbers tell nothing"
    assert once("sensor", {"a": [[]] * most}) == f"the tool's input holds more than {most} values"
    assert len([*places.leaves(["b"] * (most - 1))]) == most - 1
    with pytest.raises(places.TooMany):
        [*places.leaves({"pid": [1] * (most + 1)})]
    assert [*places.leaves({"pid": [1, 2], "a": [3, "b", None, ["c"]]})] == [
        ("pid", "1"), ("pid", "2"), ("a", "b"), ("a", "c"),
    ]  # fmt: skip


def test_files_below_patterns_are_counted_before_they_are_named() -> None:
    assert once("glob", {"paths": ["a"] * 300, "pattern": "/etc/*"}) != "the tool's input names more than 256 files"
    many = [f"p{number}" for number in range(300)]
    assert once("glob", {"paths": many, "glob": many}) == "the tool's input names more than 256 files"


@given(
    st.text("aA:* \t\r\u00a0", max_size=8), st.sampled_from(["*** Add File:", " ***delete file:", "*** update file"])
)
def test_names_in_a_patch_end_where_they_did(rest: str, mark: str) -> None:
    found = OLD_MARKED.match(mark + rest)
    assert [one.path for one in patching.changes(mark + rest)] == ([found[2]] if found else [])
