"""Long rows of blanks made short: patterns look at each blank more than once, and the shell's grammar at each line's end."""

from __future__ import annotations

import re

_LONG = 512
"""Letters from which on it is worth the time."""
_WIDE = re.compile(r"([^\S\n]{64})[^\S\n]++")
_EMPTY = re.compile(r"\n(?:[^\S\n]*+\n){7,}+")
_LINES = re.compile(rb"(?<=\n)(?:[ \t\r]*+\n){8,}+")


def squeezed(code: str) -> str:
    """The code with no more than 64 blanks in a row, and eight empty lines or more as one."""
    return code if len(code) < _LONG else _EMPTY.sub("\n", _WIDE.sub(r"\1", code))


def flat(data: bytes) -> bytes:
    """The same text of a shell, as long as it was, with many empty lines as one long line of blanks.

    The line's end before them stays, and the last of them: before it may stand a backslash or a mark, behind it one.
    """
    if len(data) < _LONG:
        return data
    return _LINES.sub(lambda match: b" " * (len(match[0]) - 1) + b"\n", data)
