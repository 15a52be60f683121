"""What a change to a client's configuration leaves of our entries, under hostile files and edits: bounded, and never raising."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from guardhouse.gateway.disk import Disk
from guardhouse.gateway.surroundings import placed
from guardhouse.guardrails.kept import MOST, applied, kept
from guardhouse.guardrails.patching import named, patched
from guardhouse.guardrails.surroundings import NOWHERE
from guardhouse.guardrails.text import Examined
from tests.effort import within

FULL = json.dumps({"hooks": {"PreToolUse": [{"command": "guardhouse hook claude-code"}]}})
HOSTILE: dict[str, Callable[[int], str]] = {
    "backslashes and quotes": lambda size: '\\"' * (size // 2),
    "comments that do not end": lambda size: "/*" * (size // 2),
    "stars": lambda size: "/*" + "*" * size,
    "strings": lambda size: "[" + '"",' * (size // 3) + '""]',
    "objects": lambda size: "[" + "{}," * (size // 3) + "{}]",
    "our entries": lambda size: '{"hooks":[' + '{"c":"guardhouse"},' * (size // 19) + "1]}",
    "nested": lambda size: '{"a":' * (size // 6) + "1" + "}" * (size // 6),
    "commas": lambda size: "[" + ",\n" * (size // 2),
    "lines": lambda size: "\n" * size,
    "dots": lambda size: "a" + ".a" * (size // 2) + "=1",
    "tables": lambda size: "\n".join(f"[a{number}]" for number in range(size // 8)),
    "a list": lambda size: "a=[" + "1," * (size // 2) + "]",
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", ["settings.json", "config.toml"])
def test_a_hostile_configuration_takes_bounded_work(name: str, kind: str) -> None:
    """16 KB of backslashes and quotes took over two seconds, and as many dots as long."""
    for size in (1_000, 16_000, 256_000):
        text = HOSTILE[kind](size)
        assert within(0.1, lambda text=text: kept(name, FULL, text))  # type: ignore[misc]  # a default, so that each has its own
        assert kept(name, FULL, text) != "same"


def test_edits_that_double_a_text_end_at_what_may_be_held() -> None:
    """Twenty-six of them made 64 MB of one letter, thirty-six ended the process."""
    doubling = (("", "a", False), *((("a", "aa", True),) * 40))
    assert within(0.1, lambda: applied(None, doubling))
    assert applied(None, doubling) is None
    assert applied("x", (("x", "y" * MOST, False),)) == "y" * MOST
    assert applied("x", (("x", "y" * (MOST + 1), False),)) is None
    assert applied("ab" * 1_000, (("ab", "abc", True),) * 20) is not None
    many = (("a", "b", False), ("b", "a", False)) * 2_000
    assert within(0.1, lambda: applied("a" + "x" * 100_000, many))
    assert applied("a" + "x" * 100_000, many) is None
    assert patched("a\n" + "x" * 100_000, (("a\n", "b\n", False), ("b\n", "a\n", False)) * 2_000) is None


def test_an_edit_that_is_more_than_can_be_told_asks_and_raises_nothing(tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text("")
    around = replace(NOWHERE, hooks=(str(settings),))
    edits = (("", "a", False), *((("a", "aa", True),) * 36))
    text = Examined("t", "", "file", cwd=str(tmp_path), file_paths=("settings.json",), act="edit", edits=edits)
    (one,) = placed((text,), around, Disk())
    assert one.kept == ""


def test_blank_lines_of_a_patch_are_read_once() -> None:
    assert within(0.1, lambda: list(named("diff --git\n" + "\n" * 100_000)))
    assert list(named("\n" * 50 + "*** Begin Patch\n*** Add File: a.py\n+x\n*** End Patch")) == [("a.py", False)]
