"""The normal form of a text: what a person's leave is bound to. Two texts share it only when one merely reformats the other."""

from __future__ import annotations

import json
import re
from typing import Any

from guardhouse.guardrails.budget import MOST_NODES
from guardhouse.guardrails.reading import MOST_SHELL, tree
from guardhouse.guardrails.text import Examined

_OPENED = frozenset(
    ["program", "list", "pipeline", "command", "command_name", "redirected_statement", "file_redirect", "subshell",
     "compound_statement", "negated_command", "if_statement", "elif_clause", "else_clause", "for_statement",
     "while_statement", "do_group"]
)  # fmt: skip
"""Nodes whose parts are compared one by one; anything else is compared as it is written."""
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,-][A-Za-z0-9_./:@%+,=-]*")
"""A word that every shell takes as it stands, quoted or not. MUST NOT hold what a shell would expand or cut at."""
_BLANK = re.compile(r"(?:[ \t]|\\\n)*")
_LINES = re.compile(r"(?:[ \t\n]|\\\n)*")
_LOOSE = frozenset([";", "|", "&&", "||", "&"])
"""Signs that mean the same with and without blanks around them."""

Form = tuple[str, ...]


def normal_form(text: Examined) -> tuple[Form, bool]:
    """The form of one text and everything that changes what it would do, and whether more than it says decides that.

    Blanks between words, line continuations, line ends for `;` and quotes around plain words do not count; every other
    letter does, comments and quoted blanks included, since other shells read them otherwise. A text that cannot be read
    is its own form. The second value is true where variables or substitutions leave open what would run.
    """
    shell = text.kind in ("shell", "auto")
    said = _shell(text.text) if shell else None
    kind = "shell" if shell else text.kind
    parts = (
        kind,
        json.dumps(said) if said is not None else text.text,
        "read" if said is not None else "written",
        _folder(text.cwd),
        json.dumps(text.file_paths),
        "" if text.act == "run" else text.act,  # `run` says how to look at it, not what is done
        json.dumps(text.edits),
    )
    return parts, shell and _open_ended(text.text)


def _folder(path: str) -> str:
    return path.rstrip("/") or path[:1]


def _open_ended(text: str) -> bool:
    """Whether anything outside single quotes is expanded when it runs. Quotes that cannot be told apart count as none."""
    if "$" not in text and "`" not in text:
        return False
    outside = re.sub(r"'[^']*'", "", text) if '"' not in text and "\\" not in text else text
    return "$" in outside or "`" in outside


def _shell(text: str) -> list[Any] | None:
    """The words and signs of a shell text in order, or None where it cannot be read without doubt."""
    if "<<" in text or len(text) > MOST_SHELL or not text.isascii():
        return None
    data = text.encode()
    read = tree(data)
    if read is None or read.root_node.has_error:
        return None
    made: list[Any] = []
    at = 0
    waiting = [read.root_node]
    looked = 0
    while waiting:
        node = waiting.pop()
        looked += 1
        if looked > MOST_NODES or node.is_missing or node.start_byte < at:
            return None
        if node.type in _OPENED and node.children:
            waiting.extend(reversed(node.children))
            continue
        if not _gap(made, text[at : node.start_byte]):
            return None
        made.append(_token(node, text[node.start_byte : node.end_byte]))
        at = node.end_byte
    if not _gap(made, text[at:]):
        return None
    return _tidy(made)


def _gap(made: list[Any], gap: str) -> bool:
    """Note what stands between two parts; False for anything but blanks and line ends."""
    if not gap:
        return True
    if _BLANK.fullmatch(gap):
        made.append(" ")
    elif _LINES.fullmatch(gap):
        made.append(";")
    else:
        return False
    return True


def _token(node: Any, raw: str) -> Any:
    if not node.is_named:
        return ";" if raw == "\n" else raw if raw in _LOOSE else ["sign", raw]
    kind = node.type
    if kind in ("word", "number") and _PLAIN.fullmatch(raw):
        return ["word", raw]
    if kind in ("raw_string", "string") and len(raw) > 2 and _PLAIN.fullmatch(raw[1:-1]):
        return ["word", raw[1:-1]]
    return [kind, raw]


def _tidy(made: list[Any]) -> list[Any]:
    """Without blanks beside signs that need none, repeated line ends, and those at the ends."""
    tidy: list[Any] = []
    for part in made:
        last = tidy[-1] if tidy else ";"
        if part == " " and (isinstance(last, str)):
            continue
        if isinstance(part, str) and part != " " and tidy and tidy[-1] == " ":
            tidy.pop()
            last = tidy[-1] if tidy else ";"
        if part == ";" and last == ";":
            continue
        tidy.append(part)
    while tidy and tidy[-1] in (";", " "):
        tidy.pop()
    return tidy
