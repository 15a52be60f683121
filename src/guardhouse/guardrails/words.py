"""Words as a shell would make them: quotes, escapes, variables, braces. What cannot be known holds `UNKNOWN`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

UNKNOWN = "\x00"
"""Stands in a word's text for a part that only running would tell."""
UNTOLD = "\x00\x00"
"""Stands for the words that nobody tells."""
SPLIT = "\x01"
OPEN, COMMA, CLOSE = "\x02", "\x03", "\x04"
MOST_BRACES = 64
MOST_WORDS = 256
"""Words that the braces of one word become; what is left out is told as `UNKNOWN`."""
MOST_COUNTED = 64
"""Numbers that a range tells one by one; those behind are told as one that is not known."""
MOST_TEXT = 16_384

_CONTROL = re.compile("[\x00-\x08]")
_ANSI = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "v": "\v"}
_ANSI_PART = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|[0-7]{1,3}|c.|.)", re.S)
_ESCAPED = re.compile(r"\\(\n|.)", re.S)
_ESCAPED_IN_QUOTES = re.compile(r'\\(\n|["\\$`])')


_NOTHING: frozenset[str] = frozenset()


@dataclass(slots=True)
class Word:
    """One word of a command: its text (with `UNKNOWN` in it where it is not known), what flowed into it, and where.

    Never changed once made. It is not frozen, since to make a frozen one costs three times as much, and words are many.
    """

    text: str
    start: int = 0
    end: int = 0
    kinds: frozenset[str] = _NOTHING

    @property
    def dynamic(self) -> bool:
        return UNKNOWN in self.text


def clean(text: str) -> str:
    """The text without the control characters that mark our own words; lengths stay."""
    return _CONTROL.sub("�", text)


def unescape(text: str) -> str:
    """An unquoted word's backslashes taken away."""
    return _ESCAPED.sub(lambda m: "" if m[1] == "\n" else m[1], text) if "\\" in text else text


def unescape_quoted(text: str) -> str:
    """The same inside double quotes, where a backslash escapes four characters only."""
    return _ESCAPED_IN_QUOTES.sub(lambda m: "" if m[1] == "\n" else m[1], text) if "\\" in text else text


def ansi(text: str) -> str:
    """The inside of `$'…'`, and what `printf` and `echo -e` read."""

    def one(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] in "xuU" and len(code) > 1:
            number = int(code[1:], 16)
            return chr(number) if 8 < number < 0xD800 or 0xDFFF < number < 0x110000 else "�"
        if code[0] in "01234567":
            number = int(code, 8) & 255
            return chr(number) if number > 8 else "�"
        if code[0] == "c" and len(code) == 2:
            return " "
        return _ANSI.get(code) or (code if code in "\\'\"?\n" else match[0])

    return _ANSI_PART.sub(one, text) if "\\" in text else text


def marked(text: str) -> str:
    """An unquoted literal, its braces marked so that they may be expanded."""
    if "{" not in text and "}" not in text and "," not in text:
        return unescape(text)
    parts = re.split(r"(\\.)", text, flags=re.S)
    return "".join(
        unescape(part) if part.startswith("\\") else part.replace("{", OPEN).replace(",", COMMA).replace("}", CLOSE)
        for part in parts
    )


_RANGE = re.compile(r"(-?\d{1,9})\.\.(-?\d{1,9})(?:\.\.(-?\d{1,9}))?|([a-zA-Z])\.\.([a-zA-Z])(?:\.\.(-?\d{1,9}))?")
_EMPTY = re.compile(OPEN + CLOSE)
_MARKS = re.compile(f"[{OPEN}{COMMA}{CLOSE}]")


def expand(text: str) -> list[str]:
    """Expand an unquoted word's brace lists and split it at its blanks, in this order, as shells do.

    Of more than `MOST_WORDS` the first are told, and as the last one `UNTOLD`: the caller MUST raise its doubt. So it is with
    more than `MOST_BRACES`, since each of them is looked for to the end.
    """
    if SPLIT not in text and OPEN not in text:
        return [literal(text)]
    if text.count(OPEN) > MOST_BRACES:
        return [literal(text), UNTOLD]
    made = [one for whole in _braced(text) for one in map(literal, whole.split(SPLIT)) if one]
    return made if len(made) <= MOST_WORDS else [*made[:MOST_WORDS], UNTOLD]


def _braced(text: str) -> list[str]:
    """The words of all brace lists, from the left and from outside; a brace that makes no list stays what it is."""
    at = text.find(OPEN)
    while at >= 0:
        close, parts = _inside(text, at)
        if close:
            items = [one for part in parts for one in _braced(part)] if len(parts) > 1 else _ranged(parts[0])
            if items:
                tails = _braced(text[close + 1 :])
                made = (text[:at] + item + tail for item in items for tail in tails)
                return list(islice(made, MOST_WORDS + 1))
        at = text.find(OPEN, at + 1)
    return [text]


def _inside(text: str, at: int) -> tuple[int, list[str]]:
    """Where the brace that opens at `at` closes (0: nowhere), and what its own commas part."""
    depth, last, parts = 0, at + 1, []
    pairs = {one.start() for one in _EMPTY.finditer(text, at + 1)}
    for match in _MARKS.finditer(text, at):
        mark = match[0]
        if match.start() in pairs or match.start() - 1 in pairs:  # `{}` is no list within another
            continue
        if mark == OPEN:
            depth += 1
        elif mark == COMMA:
            if depth == 1:
                parts.append(text[last : match.start()])
                last = match.end()
        else:
            if depth == 1 and not parts and not _ranged(text[last : match.start()]):
                continue  # without a comma before it this one closes nothing
            depth -= 1
            if depth == 0:
                return match.start(), [*parts, text[last : match.start()]]
    return 0, []


def _ranged(text: str) -> list[str]:
    match = _RANGE.fullmatch(text)
    if match is None:
        return []
    numbers = match[1] is not None
    first, last = (int(match[1]), int(match[2])) if numbers else (ord(match[4]), ord(match[5]))
    way = 1 if first <= last else -1
    steps = range(first, last + way, way * (abs(int(match[3] or match[6] or "1")) or 1))
    padded = numbers and any(one.lstrip("-")[:1] == "0" and len(one.lstrip("-")) > 1 for one in (match[1], match[2]))
    width = max(len(match[1]), len(match[2])) if padded else 0
    told = [f"{one:0{width}d}" if numbers else chr(one) for one in steps[:MOST_COUNTED]]
    return told if len(steps) <= MOST_COUNTED else [*told, UNKNOWN]


def literal(text: str) -> str:
    """A text whose braces make no list, since it stands where none is made."""
    return text.replace(OPEN, "{").replace(COMMA, ",").replace(CLOSE, "}")


_BLANK = re.compile(r"[ \t\n]+")


def unquoted(value: str, separators: str | None = None) -> str:
    """A variable's value where it stands without quotes: blanks split it, or what `IFS` was set to.

    Where that is not known, neither is the value.
    """
    if separators is None:
        return _BLANK.sub(SPLIT, value) if " " in value or "\t" in value or "\n" in value else value
    if UNKNOWN in separators:
        return UNKNOWN
    return re.sub(f"[{re.escape(separators)}]+", SPLIT, value) if separators else value
