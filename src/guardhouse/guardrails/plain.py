"""Plain text: commands of words that no shell expands, told apart without the grammar, which would say the same of them.

Most of what agents run is so: `git status`, `npm test -- --watch=false 2>&1 | head`. A text with one sign more than these
(a variable, a brace, a backslash, a comment, a letter beyond ASCII) is left to the grammar whole. What is told here MUST
be what the grammar tells: a test reads every sample, and texts made up for it, both ways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from guardhouse.guardrails.words import Word

_LETTER = r"[A-Za-z0-9_./:@%+,=~^*?-]"
_BARE = re.compile(rf" *+(?!=){_LETTER}++(?: ++(?!=){_LETTER}++)*+ *+")
_BETWEEN_BLANKS = re.compile(r"[^ ]+")
_WORD = rf"""(?!=)(?:{_LETTER}++|'[ -&(-~]*+'|"[ !#%-\[\]-_a-~]*+")++(?![<>(])"""
_TOKEN = re.compile(
    rf"""[ \t]*+(?:(?P<copy>[0-9]?>&[0-9](?![^ \t\n;&|]))|(?P<sign>&>>?|[0-9]?>>?)[ \t]*+(?P<target>{_WORD})"""
    rf"""|(?P<word>{_WORD})|(?P<mark>&&|\|\||[|;\n](?![|&;])|&[ \t\n]*+\Z))"""
)
_QUOTES = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_RESERVED = frozenset(
    ["if", "then", "elif", "else", "fi", "for", "in", "while", "until", "do", "done", "case", "esac", "select",
     "function", "time", "coproc", "export", "declare", "typeset", "local", "readonly", "unset", "unsetenv"]
)  # fmt: skip
"""First words that make another thing of a command than its words."""
MOST_PLAIN = 2048
"""Characters; what is longer is rare, and the grammar's own bounds hold for it."""
_CONTINUES = frozenset(["|", "&&", "||"])


@dataclass(slots=True)
class Plain:
    """One command: its words, where its output goes (as `Redirection` has it), and whether the next one reads the rest."""

    words: list[Word]
    into: list[tuple[str, Word, bool]]
    piped: bool = False
    redirected: bool = False


def read(text: str, base: int, fixed: tuple[int, int] | None) -> list[Plain] | None:
    """The commands of a plain text in order, or None where it is not plain.

    The words' places are counted from `base`, unless all of them are `fixed` at one.
    """
    if len(text) > MOST_PLAIN:
        return None
    if _BARE.fullmatch(text):
        words = [_placed(one[0], one.start(), one.end(), base, fixed) for one in _BETWEEN_BLANKS.finditer(text)]
        first = words[0].text
        return None if "=" in first or first in _RESERVED else [Plain(words, [])]
    made: list[Plain] = []
    command = Plain([], [])
    mark = ""
    at = 0
    while (match := _TOKEN.match(text, at)) is not None:
        kind, at = match.lastgroup, match.end()
        if kind == "word":
            raw = match["word"]
            if command.redirected or (not command.words and ("=" in raw or raw in _RESERVED)):
                return None
            command.words.append(_placed(_unquoted(raw), match.start("word"), at, base, fixed))
        elif kind != "mark":
            if not command.words or (match["copy"] or "1")[-1] not in "012" or (match["sign"] or "1")[0] not in "12&>":
                return None  # the numbers of files that `exec` opened are followed by the grammar's reader
            command.redirected = True
            if kind == "target":
                sign = match["sign"]
                word = _placed(_unquoted(match["target"]), match.start("target"), at, base, fixed)
                command.into.append(("<append>" if sign[-2:] == ">>" else "<write>", word, sign[0] in ">&1"))
        elif command.words:
            mark = match["mark"]
            command.piped = mark == "|"
            made.append(command)
            command = Plain([], [])
        elif match["mark"] != "\n" or mark in _CONTINUES:
            return None
    if text[at:].strip(" \t"):
        return None
    if command.words:
        made.append(command)
    elif mark in _CONTINUES:
        return None
    return made or None


def _unquoted(raw: str) -> str:
    if "'" in raw or '"' in raw:
        return _QUOTES.sub(lambda match: match[1] or match[2] or "", raw)
    return raw


def _placed(text: str, start: int, end: int, base: int, fixed: tuple[int, int] | None) -> Word:
    if fixed is not None:
        return Word(text, *fixed)
    return Word(text, base + start, base + end)
