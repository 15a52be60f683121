"""Findings in words for people: drawn under the command, the way a compiler shows errors."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from guardhouse.guardrails.text import Explained

MOST_LINES = 4
"""Lines shown of a finding that goes over several."""
MOST_WIDTH = 160
"""Characters shown of a longer line, around what was found."""
_SAYS = {"block": "blocked", "approval_required": "needs approval", "warn": "warning", "log": "noted"}
_RANK = {"block": 3, "approval_required": 2, "warn": 1, "log": 0}


def plain(text: str) -> str:
    """Text on one line with nothing in it that could move a cursor or hide a letter."""
    return "".join(letter if letter.isprintable() else " " if letter in "\n\t\r" else "�" for letter in text)


def worst(explained: Sequence[Explained]) -> Explained | None:
    """The strictest finding, the first of equals."""
    return max(explained, key=lambda one: _RANK.get(one.severity, 3), default=None)


def draw(explained: Sequence[Explained], text: str) -> str:
    """The findings under the lines they stand in, the way a compiler shows errors. `text` MUST be redacted as the spans allow."""
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    made: list[str] = []
    for one in sorted(explained, key=lambda each: (-_RANK.get(each.severity, 3), each.start)):
        number = max(at for at in range(len(lines)) if starts[at] <= one.start)
        last = max(at for at in range(number, len(lines)) if at == number or starts[at] < one.end)
        gutter = " " * len(str(min(last, number + MOST_LINES - 1) + 1))
        made.append(f"{_SAYS.get(one.severity, 'blocked')}[{plain(one.rule)}]: {plain(one.reason)}")
        made.append(f"{gutter}--> {one.field}:{number + 1}:{one.start - starts[number] + 1}")
        made.append(f"{gutter} |")
        for at in range(number, min(last + 1, number + MOST_LINES)):
            made += _marked(lines[at], one.start - starts[at], one.end - starts[at], f"{at + 1:>{len(gutter)}}")
        if last >= number + MOST_LINES:
            made.append(f"{gutter} | … and {last - number - MOST_LINES + 1} more lines")
        if one.via:
            made.append(f"{gutter} = run by: {plain(' > '.join(one.via))}")
        if one.alternative:
            made.append(f"{gutter} = instead: {plain(one.alternative)}")
        if one.exempted_by:
            made.append(f"{gutter} = exempted by: {plain(', '.join(one.exempted_by))}")
        elif one.severity in ("block", "approval_required"):
            made.append(f"{gutter} = allowed by: {plain(one.allowed_by) or _needed(one)}")
        made.append("")
    return "\n".join(made).rstrip("\n") + "\n" if made else "nothing found\n"


def _marked(line: str, start: int, end: int, number: str) -> list[str]:
    """One line, or the part of it around what was found, with that part of it underlined."""
    begin, end = max(0, start), min(end, len(line))
    first = max(0, begin - MOST_WIDTH // 2) if len(line) > MOST_WIDTH else 0
    shown = line[first : first + MOST_WIDTH]
    found = shown[begin - first : max(begin, end) - first]
    gap, width = _cells(shown[: begin - first]), max(1, _cells(found))
    return [f"{number} | {plain(shown)}", f"{' ' * len(number)} | {' ' * gap}{'^' * width}"]


def _cells(text: str) -> int:
    """How many columns of a terminal a text takes once it is plain (Unicode Standard Annex 11: wide and fullwidth are two)."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in plain(text)
    )


def _needed(one: Explained) -> str:
    """What would allow it where nobody knows who asks."""
    return f"trust {one.min_trust} or more, or a person's grant" if one.min_trust <= 4 else "a person's grant"
