"""Reports: words for people with commands in them, such as what a worker says that it did, or a task's description.

Nobody runs a report as it stands, so what cannot be understood in it is prose, not a fault. What could be copied
out of it and run is read as a command: each line, without the sign that it is listed, quoted or prompted
with, what stands between backticks, and each fenced block as a whole. The whole text is read, however long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from guardhouse.guardrails import sql
from guardhouse.guardrails.reading import MOST_SHELL

NOT_UNDERSTOOD = frozenset({"size", "depth", "syntax", "program", "code", "hidden", "wrapper"})
"""The events that only say that a text is no plain command, as prose never is."""
MOST_PIECES = 6_000
"""How many different pieces of one report are read; one with more is not understood."""

Piece = tuple[int, int, str, bool]
"""Where a piece stands in the report, how it is read, as long as the span, so that places hold in it, and whether it
is marked as code: fenced, between backticks or behind a prompt. A line that is not may be words that only begin like
a command (`batch 12 of 24`, `kill the old flag`), so of such a line what would merely be asked about is left out."""

_FENCE = re.compile(r"[ \t>]*(`{3,}|~{3,})")
_SIGNS = re.compile(
    r"\s*(?:(?:[-*+>|$#%\u276f\u279c\u2022]|\d{1,4}[.)]|\[[ xX]\]|PS [^>\n]*>|[\w.@~:/-]*[$#%])\s+|[+-](?=\w))+"
)
"""List points, quotes, diff marks and prompts before what a line says."""
_PROMPT = re.compile(r"[$%\u276f\u279c]\s|PS [^>\n]*>")
_SPAN = re.compile(r"(?<!`)(`{1,3})([^`\n]+)\1")
_WITHIN = re.compile(r"(?<=\w)['\u2019](?=\w)")
_FRAME = re.compile(r"\s*at (?:[\w$.<>/\[\]]+ )*[\w$.<>/]+ ?\([^\s()]*\)\s*")
"""A frame of a stack trace, which is no use of the program `at`."""
_TOLD = re.compile(
    r"(?i)\b(?:the|an?|its|their|our|this|that|these|those|which|when|after|before|while|if|unless|because|is|are|was|were|should|must|no longer)\b"
)
_WRITTEN = re.compile(r"(?:^|\s)-|[/~|&;<>$`()\"=*\\{}\[\]]")
"""What a command has and a sentence seldom: an option, a path, a sign of the shell's or of SQL's."""
_LETTER = re.compile(r"[A-Za-z]{2}|:\(\)")


def pieces(text: str) -> Iterator[Piece]:
    """What is read of a report, each different piece once, in order; nothing of it is left out."""
    seen: set[tuple[str, bool]] = set()
    for start, end, piece, marked in _all(text):
        if (piece, marked) not in seen and _LETTER.search(piece):
            seen.add((piece, marked))
            yield start, end, piece, marked


def _all(text: str) -> Iterator[Piece]:
    fence, opened, passage = "", 0, 0
    for start, end in _lines(text):
        line = text[start:end]
        mark = _FENCE.match(line)
        if mark and not fence:
            yield from _passage(text, passage, start)
            fence, opened = mark[1], end + 1
        elif mark and mark[1].startswith(fence) and not line[mark.end() :].strip():
            yield from _block(text, opened, start)
            fence, passage = "", end + 1
        elif not fence and not line.strip():
            yield from _passage(text, passage, start)
            passage = end + 1
        yield from _line(text, start, end, fenced=bool(fence))
    yield from _block(text, opened, len(text)) if fence else _passage(text, passage, len(text))


def _sentence(text: str) -> bool:
    """Whether words that begin like a command only tell of one: `truncate the log table when it is full`."""
    return _TOLD.search(text) is not None and _WRITTEN.search(text) is None


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """Spans of lines, those that a backslash continues as one."""
    start = at = 0
    while at <= len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        at = end + 1
        if text[start:end].endswith("\\") and at <= len(text):
            continue
        yield start, end
        start = at


def _line(text: str, start: int, end: int, *, fenced: bool) -> Iterator[Piece]:
    line = text[start:end]
    signs = _SIGNS.match(line)
    prompted = signs is not None and _PROMPT.search(signs[0]) is not None
    said = line[signs.end() :] if signs else line
    if _FRAME.fullmatch(line) or not (fenced or prompted or not _sentence(said)):
        return
    yield start, end, line, fenced
    for span in _SPAN.finditer(line):
        yield start + span.start(2), start + span.end(2), span[2], True
    marked = fenced or prompted
    if signs:
        start += signs.end()
        line = said
        yield start, end, line, marked
    # An apostrophe is no quote, and what stands between backticks was read by itself.
    yield start, end, _unpaired(_WITHIN.sub("_", line.replace("`", " "))), marked


def _unpaired(line: str) -> str:
    """A line without the quotes that open what nothing closes."""
    for quote in "'\"":
        if line.count(quote) % 2:
            line = line.replace(quote, " ")
    return line


def _block(text: str, start: int, end: int) -> Iterator[Piece]:
    if 0 < end - start <= MOST_SHELL:
        yield start, end, text[start:end], True


def _passage(text: str, start: int, end: int) -> Iterator[Piece]:
    """A passage that is a statement of SQL is one over several lines."""
    if 0 < end - start <= MOST_SHELL and sql.starts(text[start:end]) and not _sentence(text[start:end]):
        yield start, end, text[start:end], True
