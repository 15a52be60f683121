"""Patches: which files one touches and what it does to each, and the text that it leaves of a file.

Two forms are read. The one that begins with `*** Begin Patch` says all that is needed to know its result; of a unified
diff only the names are read. What could be applied in more than one way is not applied here: then the result is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from guardhouse.guardrails.kept import MOST, MOST_REPLACED
from guardhouse.guardrails.turns import turn

_MARKED = re.compile(r"(?i)^\s*\*\*\* ?(add|update|delete) file:(.+)")
_MOVED = re.compile(r"(?i)^\s*\*\*\* ?move to:(.+)")
_OTHER = re.compile(r"^\s*\*\*\* ?(?:begin patch|end patch|end of file|environment)", re.I)
_DIFFED = re.compile(
    r"^(?=[-+rcdI])(?:(?:---|\+\+\+)[ \t]+(?P<file>[^\t\n]+)|(?:rename|copy) (?:from|to) (?P<moved>[^\n]+)"
    r"|diff --git (?P<first>\"[^\"]+\"|\S+) (?P<second>\"[^\"]+\"|\S+)|Index: (?P<index>[^\n]+))",
    re.M,
)
Act = Literal["add", "update", "delete"]


@dataclass(frozen=True, slots=True)
class Change:
    """What a patch does to one file. `hunks` are (old lines, new lines); None where they cannot be told for certain.

    An added file has one hunk without old lines. `moved` is the name that an updated file gets, else empty.
    """

    path: str
    act: Act
    hunks: tuple[tuple[str, str], ...] | None = ()
    moved: str = ""


def changes(text: str) -> tuple[Change, ...]:
    """Every file that a `*** Begin Patch` names, in its order; none for another text."""
    made: list[Change] = []
    lines: list[str] = []
    for line in [*text.split("\n"), "*** Add File: end"]:
        turn()
        found = _MARKED.match(line) if "***" in line else None
        if found is None:
            if made:
                lines.append(line.removesuffix("\r"))
            continue
        if made:
            made[-1] = _filled(made[-1], lines)
        lines = []
        act: Act = "add" if found[1].lower() == "add" else "update" if found[1].lower() == "update" else "delete"
        made.append(Change(_called(found[2]), act))
    return tuple(made[:-1])


def _called(rest: str) -> str:
    """The name after a mark, without the blank before it and those behind it: cut here, since a pattern tries each blank."""
    text = rest[1:] if rest[0] == " " and len(rest) > 1 else rest
    return text.rstrip() or text[0]


def _filled(change: Change, lines: list[str]) -> Change:
    moved = next((_called(found[1]) for line in lines if (found := _MOVED.match(line))), "")
    body = [line for line in lines if not _MOVED.match(line) and not _OTHER.match(line)]
    if change.act == "add":
        told = "".join(f"{line[1:]}\n" for line in body if line[:1] == "+")
        return Change(change.path, "add", (("", told),))
    if change.act == "delete":
        return change
    hunks: list[tuple[str, str]] | None = []
    old: list[str] = []
    new: list[str] = []
    for line in [*body, "@@"]:
        if line.startswith("@@"):
            if (old or new) and hunks is not None:
                hunks.append(("".join(old), "".join(new)))
            old, new = [], []
            if line.strip(" @"):
                hunks = None  # it says where to begin: the same lines could be meant elsewhere
        elif line[:1] in ("-", "+", " ", ""):
            if line[:1] != "+":
                old.append(f"{line[1:]}\n")
            if line[:1] != "-":
                new.append(f"{line[1:]}\n")
        else:
            hunks = None
    return Change(change.path, "update", None if hunks is None else tuple(hunks), moved)


def patched(text: str | None, hunks: tuple[tuple[str, str, bool], ...]) -> str | None:
    """A file's text after the hunks, or None where one does not fit in exactly one place, in their order."""
    if len(hunks) == 1 and not hunks[0][0]:
        return hunks[0][1] if text is None or not text else None
    made = "\n" + (text or "").replace("\r\n", "\n")
    made = made if made.endswith("\n") else made + "\n"
    at = looked = 0
    for old, new, _everywhere in hunks:
        turn()
        looked += len(made)
        if len(made) > MOST or looked > MOST_REPLACED:
            return None
        before = old.rstrip("\n") and old
        if not before or made.count("\n" + before) != 1:
            return None
        place = made.index("\n" + before) + 1
        if place < at:
            return None
        made = made[:place] + new + made[place + len(before) :]
        at = place + len(new)
    return made[1:]


def named(text: str) -> Iterator[tuple[str, bool]]:
    """Every path that a patch of either form names, as it stands there and without its first part; whether it is removed."""
    if len(text) > 1024 * 1024 or (
        "***" not in text and "---" not in text and "+++" not in text and "diff" not in text
    ):
        return
    for change in changes(text):
        yield change.path, change.act == "delete" or bool(change.moved)
        if change.moved:
            yield change.moved, False
    for match in _DIFFED.finditer(text):
        for path in match.groups():
            if path is None or path.startswith("/dev/null"):
                continue
            plain = path.strip().strip('"')
            yield plain, False
            if "/" in plain.lstrip("/"):
                yield plain.lstrip("/").partition("/")[2], False
