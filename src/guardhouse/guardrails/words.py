"""Words as a shell would make them: quotes, escapes, variables, braces. What cannot be known holds `UNKNOWN`."""

from __future__ import annotations

import re
from dataclasses import dataclass

UNKNOWN = "\x00"
"""Stands in a word's text for a part that only running would tell."""
UNTOLD = "\x00\x00"
"""Stands for the words that nobody tells."""
SPLIT = "\x01"
OPEN, COMMA, CLOSE = "\x02", "\x03", "\x04"
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


_BRACES = re.compile("\x02([^\x02\x04]*)\x04")
_RANGE = re.compile(r"(?:(-?\d{1,9})\.\.(-?\d{1,9})|([a-zA-Z])\.\.([a-zA-Z]))(?:\.\.-?(\d{1,9}))?")


def expand(text: str) -> list[str]:
    """Split an unquoted word at its blanks and expand its brace lists.

    Of more than `MOST_WORDS` the first are told, and as the last one `UNTOLD`: the caller MUST raise its doubt.
    """
    if SPLIT not in text and OPEN not in text:
        return [_plain(text)]
    made: list[str] = []
    waiting = [text]
    while waiting:
        one = waiting.pop(0)
        match = _BRACES.search(one)
        if match is None:
            # Braces first, then blanks, as shells do.
            made += map(_plain, one.split(SPLIT))
            continue
        if len(made) + len(waiting) > MOST_WORDS:
            made.append(UNTOLD)
            break
        inside = _inside(match[1])
        if inside is None:
            waiting.insert(0, f"{one[: match.start()]}{{{match[1]}}}{one[match.end() :]}")
        else:
            waiting = [one[: match.start()] + item + one[match.end() :] for item in inside] + waiting
    return [one for one in made if one]


def _inside(text: str) -> list[str] | None:
    if COMMA in text:
        return text.split(COMMA)
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    first, last = (int(match[1]), int(match[2])) if match[1] else (ord(match[3]), ord(match[4]))
    way = 1 if first <= last else -1
    numbers = range(first, last + way, way * (int(match[5] or 1) or 1))
    told = [str(n) if match[1] else chr(n) for n in numbers[:MOST_COUNTED]]
    return told if len(numbers) <= MOST_COUNTED else [*told, UNKNOWN]


def _plain(text: str) -> str:
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
