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
from guardhouse.guardrails.turns import turn

NOT_UNDERSTOOD = frozenset({"size", "depth", "syntax", "program", "code", "hidden", "wrapper"})
"""The events that only say that a text is no plain command, as prose never is."""
MOST_PIECES = 6_000
"""How many different pieces of one report are read; one with more is not understood."""

Piece = tuple[int, int, str, bool]
"""Where a piece stands in the report, how it is read, no longer than the span, so that places hold in it, and whether it
is marked as code: fenced, between backticks or behind a prompt. A line that is not may be words that only begin like
a command (`batch 12 of 24`, `kill the old flag`), so of such a line what would merely be asked about is left out.
A piece without text is a block that is too long to be understood as a whole."""

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
_SHELLS = frozenset({"sh", "bash", "zsh", "shell"})
_RUN = _SHELLS | frozenset({"sql", "mysql", "postgres", "postgresql", "psql", "sqlite"})
"""Languages of a fence whose lines hang together when they are run; a console's lines are commands and what they said."""
_HANGS = re.compile(
    r"(?m)^[ \t]*(?:[$>%][ \t]+)?(?:(?:export|declare|local|readonly)\s+)?(?:\w+=|(?:cd|pushd|set|read|alias|for|while|until|if|case|function)\s|\w+\s*\(\)\s*\{)|<<"
)
"""What a later line of a shell's could hang on."""


def pieces(text: str) -> Iterator[Piece]:
    """What is read of a report, each different piece once, in order; nothing of it is left out."""
    seen: set[tuple[str, bool]] = set()
    for start, end, piece, marked in _all(text):
        turn()
        if not piece and end - start > MOST_SHELL:
            yield start, end, piece, marked
        elif (piece, marked) not in seen and _LETTER.search(piece):
            seen.add((piece, marked))
            yield start, end, piece, marked


def _all(text: str) -> Iterator[Piece]:
    fence, opened, passage, said = "", 0, 0, ""
    for start, end in _lines(text):
        turn()
        line = text[start:end]
        mark = _FENCE.match(line)
        if mark and not fence:
            yield from _passage(text, passage, start)
            fence, opened, said = mark[1], end + 1, line[mark.end() :].strip().lower()
        elif mark and mark[1].startswith(fence) and not line[mark.end() :].strip():
            yield from _block(text, opened, start, said)
            fence, passage = "", end + 1
        elif not fence and not line.strip():
            yield from _passage(text, passage, start)
            passage = end + 1
        yield from _line(text, start, end, fenced=bool(fence))
    yield from _block(text, opened, len(text), said) if fence else _passage(text, passage, len(text))


def hangs(block: str) -> bool:
    """Whether a later line of a block could do what it does by an earlier one, so that lines by themselves tell too little."""
    return _HANGS.search(block) is not None


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
        if text.endswith("\\", start, end) and at <= len(text):
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
    if signs is None or ">" in signs[0] or "|" in signs[0]:
        # Other signs are no words of a shell's that anything could be run by.
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


def _block(text: str, start: int, end: int, said: str) -> Iterator[Piece]:
    """A fenced block as a whole; one that is too long for that in halves that overlap, and told as such if it hangs together."""
    if end - start <= MOST_SHELL:
        if end > start:
            yield start, end, text[start:end], True
        return
    block, language = text[start:end], said.split()[0].strip("{}.") if said else ""
    bare = sql.bare(block)
    if sql.starts(bare) or (language in _RUN and language not in _SHELLS):
        yield start, end, bare if len(bare) <= MOST_SHELL else "", True
    elif language in _RUN or (not language and hangs(block)):
        yield start, end, "", True
    at = start
    while at < end:
        last = min(at + MOST_SHELL, end)
        last = last if last == end else max(text.rfind("\n", at, last) + 1, at + MOST_SHELL // 2)
        yield at, last, text[at:last], True
        if last == end:
            break
        at = max(text.find("\n", at + MOST_SHELL // 2, last) + 1, at + MOST_SHELL // 2)


def _passage(text: str, start: int, end: int) -> Iterator[Piece]:
    """A passage that is a statement of SQL is one over several lines, whatever comments stand among them."""
    passage = text[start:end]
    if "--" in passage or "/*" in passage:
        passage = sql.bare(passage)
    if passage and sql.starts(passage) and not _sentence(passage):
        yield start, end, passage if len(passage) <= MOST_SHELL else "", True
