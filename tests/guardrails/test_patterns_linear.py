"""No pattern of the guardrails takes long on a text that repeats itself: each is timed by itself, wherever it stands in the code."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import guardhouse.guardrails
from guardhouse.guardrails.blanks import flat, squeezed
from tests.effort import within

SIZE = 4_000
SECONDS = 0.08
"""Of processor time for one text: a pattern that reads each letter a few times needs one or two, some twenty, and one that looks from each
letter to the end needs a hundred."""
BOUNDED = {
    "arithmetic": "matched at one place each time, in texts of 200 letters",
    "blanks": "the second pattern sees what the first one left; timed below",
}
"""Modules whose patterns never meet a long text, and why."""
SQUEEZED = frozenset(
    {"code", "coding", "constants", "folding", "hooking", "literals", "powershell", "quoting", "sending", "sql"}
)
"""Modules that read code, of which long rows of blanks were shortened before."""
PLACE = Path(guardhouse.guardrails.__path__[0])
UNITS = [
    "\n", " ", "\t\n", " \n", "\r\n", "'", '"', '\\"', "\\'", "\\a", "\\", "\\\n", "`", "a", "a ", "a\n", "=", "a=", "a = ", "~x", "(", ")", "[", "[a", "]", "{", "}", "<",
    "<<", "<<E\n", "0", "0\n", "0 ", "1,", "--\n", "-- ", "-", "- ", "-a ", "/*", "/", "a/", "../", ".", "a.", ",", ", ", "'a',", "'a', ", ";", ":", "a:", "$", "${", "$(", "$a ",
    "|", "| a", "&", "#", "!", "%", "*", "?", "+", "'+'", "_", "^", "@", "a@b", "'a'", "''", "a'", "f(", "os.", "import ", "EXECUTE ", "DELETE FROM ", "UPDATE a SET ", "http://",
    "system(", "system ", "system\n", "print", "s/", "at a ", "> ", "`a", "&#", "{a,", "\u200b",
]  # fmt: skip
BEFORE = ["", "x ", 'f("']


SOURCES = {path.stem: path.read_text() for path in sorted(PLACE.glob("*.py"))}
_USED = {
    key: {how for _, how in found}
    for key in {
        name for text in SOURCES.values() for name in re.findall(r"\b([A-Z_]{2,})\.(?:match|fullmatch|search)\(", text)
    }
    if (found := [one for text in SOURCES.values() for one in re.findall(rf"\b({key})\.(\w+)\b", text)])
}
"""How each pattern is used that has a name: one that is only matched at one place need not be quick at every other."""


def _whole(pattern: re.Pattern[Any]) -> Callable[[Any], None]:
    def looked(text: Any) -> None:
        for _ in pattern.finditer(text):
            pass

    return looked


def _at_once(pattern: re.Pattern[Any]) -> Callable[[Any], None]:
    def looked(text: Any) -> None:
        pattern.match(text)
        pattern.fullmatch(text)

    return looked


def _made(name: str) -> Iterator[tuple[str, re.Pattern[Any], Callable[[Any], None]]]:
    """The patterns of one module, with how they are looked for: those that it holds, and those that stand in its functions."""
    for key, value in vars(importlib.import_module(f"guardhouse.guardrails.{name}")).items():
        several = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else [value]
        for one in several:
            for part in one if isinstance(one, tuple) else (one,):
                if isinstance(part, re.Pattern):
                    anchored = _USED.get(key, {"search"}) <= {"match", "fullmatch"}
                    yield key, part, _at_once(part) if anchored else _whole(part)
    for node in ast.walk(ast.parse(SOURCES[name])):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="re"), attr=how), args=[ast.Constant(value=str() as text), *_]
            ):
                if how == "compile":
                    continue
                part = re.compile(text)
                yield f"line {node.lineno}", part, _at_once(part) if how in ("match", "fullmatch") else _whole(part)
            case _:
                pass


NAMES = [name for name in SOURCES if name not in BOUNDED]


@pytest.mark.parametrize("name", NAMES)
def test_no_pattern_takes_long_on_a_text_that_repeats_itself(name: str) -> None:
    slow: list[tuple[str, str]] = []
    for called, pattern, looked in _made(name):
        for text in (before + unit * (SIZE // len(unit)) + "\x01" for before in BEFORE for unit in UNITS):
            shown = squeezed(text) if name in SQUEEZED else text
            asked = shown if isinstance(pattern.pattern, str) else shown.encode()
            if not within(SECONDS, lambda looked=looked, asked=asked: looked(asked), tries=6):  # type: ignore[misc]
                slow.append((called, text[:20]))
                break
    assert slow == []


@pytest.mark.parametrize("unit", UNITS)
def test_rows_of_blanks_are_shortened_in_one_pass(unit: str) -> None:
    text = unit * (8 * SIZE // len(unit)) + "x"
    assert within(SECONDS, lambda: (squeezed(text), flat(text.encode())))
    assert len(flat(text.encode())) == len(text.encode())
