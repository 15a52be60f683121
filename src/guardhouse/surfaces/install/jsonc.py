"""JSON as people write it, with comments and trailing commas, read into nodes that know where in the text they stand.

Nothing is ever written back from these nodes: an edit cuts and pastes at their offsets, so that every other byte stays.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

MOST_DEPTH = 100
_TRIVIA = re.compile(r"[ \t\r\n]+|//[^\r\n]*|/\*.*?\*/", re.S)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_SCALAR = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")


class Unreadable(ValueError):
    """The text is not JSON, even with comments and trailing commas. `line` and `column` count from 1."""

    def __init__(self, problem: str, text: str, at: int) -> None:
        self.problem = problem
        self.line = text.count("\n", 0, at) + 1
        self.column = at - (text.rfind("\n", 0, at) + 1) + 1
        super().__init__(f"{self.line}:{self.column}: {problem}")


@dataclass(slots=True)
class Node:
    """A value and where it stands: `text[start:end]`. A child's own comma is at `commas[i]`, None where it has none.

    For an object, `names[i]` and `name_starts[i]` belong to `children[i]`.
    """

    kind: str
    start: int
    end: int = 0
    value: Any = None
    names: list[str] = field(default_factory=list)
    name_starts: list[int] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)
    commas: list[int | None] = field(default_factory=list)

    def plain(self) -> Any:
        """The value as Python has it; of a name that stands twice, the last one counts, as clients read it."""
        if self.kind == "object":
            return {name: child.plain() for name, child in zip(self.names, self.children, strict=True)}
        if self.kind == "array":
            return [child.plain() for child in self.children]
        return self.value

    def first(self, index: int) -> int:
        """Where child `index` begins, its name included."""
        return self.name_starts[index] if self.kind == "object" else self.children[index].start


def trivia(text: str, at: int) -> int:
    """The offset after every blank and comment that begins at `at`."""
    while True:
        found = _TRIVIA.match(text, at)
        if found is None:
            if text.startswith("/*", at):
                raise Unreadable("a comment that never ends", text, at)
            return at
        at = found.end()


def comments(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Where comments stand between two offsets that hold nothing but blanks and comments."""
    return [found.span() for found in _TRIVIA.finditer(text, start, end) if text[found.start()] == "/"]


def parse(text: str) -> Node | None:
    """The text's one value; None when it holds blanks and comments alone. Raises Unreadable."""
    at = trivia(text, 0)
    if at == len(text):
        return None
    root = _value(text, at, 0)
    rest = trivia(text, root.end)
    if rest != len(text):
        raise Unreadable("something stands after the end", text, rest)
    return root


def _value(text: str, at: int, depth: int) -> Node:
    if depth > MOST_DEPTH:
        raise Unreadable(f"nested more than {MOST_DEPTH} deep", text, at)
    mark = text[at : at + 1]
    if mark == "{":
        return _container(text, at, depth, "object", "}")
    if mark == "[":
        return _container(text, at, depth, "array", "]")
    if mark == '"':
        end = _string(text, at)
        return Node("scalar", at, end, json.loads(text[at:end]))
    found = _SCALAR.match(text, at)
    if found is None:
        raise Unreadable("a value is missing here" if mark else "the end comes too early", text, at)
    if len(found[0]) > 4000:
        raise Unreadable("a number that is too long", text, at)
    return Node("scalar", at, found.end(), json.loads(found[0]))


def _container(text: str, at: int, depth: int, kind: str, close: str) -> Node:
    node = Node(kind, at)
    here = trivia(text, at + 1)
    while text[here : here + 1] != close:
        if kind == "object":
            end = _string(text, here)
            node.names.append(json.loads(text[here:end]))
            node.name_starts.append(here)
            here = trivia(text, end)
            if text[here : here + 1] != ":":
                raise Unreadable("a colon is missing here", text, here)
            here = trivia(text, here + 1)
        child = _value(text, here, depth + 1)
        node.children.append(child)
        here = trivia(text, child.end)
        if text[here : here + 1] == ",":
            node.commas.append(here)
            here = trivia(text, here + 1)
        else:
            node.commas.append(None)
            if text[here : here + 1] != close:
                raise Unreadable(f"a comma or `{close}` is missing here", text, here)
    node.end = here + 1
    return node


def _string(text: str, at: int) -> int:
    found = _STRING.match(text, at)
    if found is None:
        wanted = "a text in double quotes is missing here" if text[at : at + 1] != '"' else "a text that never ends"
        raise Unreadable(wanted, text, at)
    return found.end()
