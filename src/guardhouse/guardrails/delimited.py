"""Texts between quotes, found in one pass: a pattern looks for the end of each quote anew, which is quadratic where none ends."""

from __future__ import annotations

import re
from collections.abc import Iterator

_MARK = {marks: re.compile(rf"(?<!\\)\\*+[{marks}]") for marks in ("'\"", "'\"`")}


def pairs(code: str, marks: str = "'\"`") -> Iterator[tuple[int, int]]:
    """Each quote that a later one of its kind ends, as the places of the two, the first by the first.

    A quote behind a backslash ends none, but may begin one: what is code is not known here. They overlap.
    """
    ends: dict[str, int] = {}
    found = []
    for match in reversed([*_MARK[marks].finditer(code)]):
        at = match.end() - 1
        mark = code[at]
        if mark in ends:
            found.append((at, ends[mark]))
        if (at - match.start()) % 2 == 0:
            ends[mark] = at
    return reversed(found)


def texts(code: str, marks: str = "'\"`", *, across: bool = True) -> Iterator[tuple[int, int]]:
    """The same one behind the other, without those that overlap; no text goes on `across` a line's end unless told so."""
    behind = 0
    for start, end in pairs(code, marks):
        if start >= behind and (across or "\n" not in code[start:end]):
            yield start, end
            behind = end + 1


def said(code: str) -> list[str]:
    """What stands between quotes, each within its line."""
    return [code[start + 1 : end] for start, end in texts(code, "'\"", across=False)]


def without(code: str) -> str:
    """The code with nothing in its quotes."""
    made, behind = [], 0
    for start, end in texts(code):
        made.append(code[behind:start])
        behind = end + 1
    return "''".join([*made, code[behind:]])
