"""Reading law's YAML strictly: no aliases, tags or duplicate keys, bounded depth, a line for every complaint."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

import yaml

from guardhouse.errors import LawFault, LawProblem

DEPTH = 32
LONGEST_ID = 200
_FEW = 20
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML was built with it, as its wheels are: a tenth of the time."""

_LARGEST = 2**63 - 1
_SCALARS = {
    "tag:yaml.org,2002:str",
    "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:bool",
    "tag:yaml.org,2002:null",
    "tag:yaml.org,2002:float",
}


def text_of(file: str, data: bytes) -> str:
    """The file as text; LawFault for what is not UTF-8 or hides characters from a reader."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise LawFault([LawProblem(file, line, "the file is not UTF-8", "save it as UTF-8")]) from error
    for number, line_text in enumerate(text.split("\n"), 1):
        if "\x00" in line_text:
            raise LawFault([LawProblem(file, number, "the line holds a NUL character", "remove it")])
        if not line_text.isascii() and not _BIDI.isdisjoint(line_text):
            raise LawFault(
                [LawProblem(file, number, "the line holds a character that turns the direction of text", "remove it")]
            )
    return text


class Lines:
    """Where each mapping key and list item stands, by path."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._lines: dict[tuple[Any, ...], int] = {}

    def put(self, path: tuple[Any, ...], line: int) -> None:
        self._lines[path] = line

    def at(self, *path: Any) -> int:
        """The line of the nearest known ancestor of `path`."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return self._lines.get((), 1)


def nearest(word: str, known: Collection[str]) -> str:
    """What to write instead of a word that is not known: the one most like it, or some of those there are."""
    begun = [one for one in sorted(known) if len(word) > 2 and one.startswith(word)]
    near = begun or difflib.get_close_matches(word, sorted(known), 1, 0.6)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"use {', '.join(sorted(known))}" if 0 < len(known) <= _FEW else ""


class Problems:
    """Collects every problem of a file set; `stop` raises them together."""

    def __init__(self) -> None:
        self.found: list[LawProblem] = []

    def add(self, lines: Lines, path: tuple[Any, ...], message: str, remedy: str = "") -> None:
        self.found.append(LawProblem(lines.file, lines.at(*path), message, remedy))

    def stop(self) -> None:
        """Raise LawFault when anything was found."""
        if self.found:
            raise LawFault(sorted(self.found, key=lambda problem: (problem.file, problem.line, problem.message)))

    def keys(self, value: Any, lines: Lines, path: tuple[Any, ...], known: Collection[str]) -> Mapping[str, Any]:
        """`value` as a mapping with no key outside `known`; an empty one when it is not a mapping."""
        if not isinstance(value, dict):
            self.add(lines, path, "a mapping is needed here", f"use the keys {', '.join(sorted(known))}")
            return {}
        for key in value:
            if key not in known:
                self.add(lines, (*path, key), f"`{key}` is not a key here", f"use {', '.join(sorted(known))}")
        return {key: item for key, item in value.items() if key in known}

    def read(self, file: str, data: bytes) -> tuple[Any, Lines] | None:
        """What `read_yaml` makes of a file; None, its problems noted, where that is nothing."""
        try:
            return read_yaml(file, data)
        except LawFault as fault:
            self.found.extend(fault.problems)
            return None

    def name(self, value: Any, lines: Lines, path: tuple[Any, ...], seen: set[str]) -> str | None:
        """`value` as an id of its own, and put among those `seen`; None when it cannot be one.

        Ids stand in every entry that they determine, so what a database cannot keep or a reader
        cannot see is no id.
        """
        if (
            not isinstance(value, str)
            or not value
            or len(value) > LONGEST_ID
            or not value.isprintable()
            or value in seen
        ):
            self.add(lines, path, "each rule needs an `id` of its own", f"at most {LONGEST_ID} printable characters")
            return None
        seen.add(value)
        return value

    def words(self, value: Any, lines: Lines, path: tuple[Any, ...]) -> tuple[str, ...]:
        """`value` as a list of words, or one word alone."""
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.add(lines, path, "a list of words is needed here")
            return ()
        return tuple(value)

    def number(self, value: Any, lines: Lines, path: tuple[Any, ...], low: int, high: int) -> int:
        """`value` as a whole number from `low` to `high`."""
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.add(lines, path, f"a whole number from {low} to {high} is needed here")
            return low
        return value


def read_yaml(file: str, data: bytes) -> tuple[Any, Lines]:
    """One document of plain mappings, lists and scalars, and where everything stands; LawFault otherwise."""
    text = text_of(file, data)
    lines = Lines(file)
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            line = event.start_mark.line + 1 if event.start_mark else 0
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise LawFault([LawProblem(file, line, "anchors and aliases are not taken", "write the value out")])
            if getattr(event, "tag", None):
                raise LawFault([LawProblem(file, line, "tags are not taken", "remove what begins with `!`")])
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEPTH:
                    raise LawFault([LawProblem(file, line, f"nested deeper than {DEPTH} levels", "flatten it")])
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
        loader = _LOADER(text)
        try:
            node = loader.get_single_node()
            value = _value(file, loader, node, lines, ()) if node is not None else None
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "this is not YAML"
        raise LawFault([LawProblem(file, mark.line + 1 if mark else 0, str(problem), "mend the syntax")]) from error
    return value, lines


def _value(file: str, loader: Any, node: Any, lines: Lines, path: tuple[Any, ...]) -> Any:
    line = node.start_mark.line + 1
    lines.put(path, line)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            at = key_node.start_mark.line + 1
            if key_node.tag != "tag:yaml.org,2002:str":
                raise LawFault([LawProblem(file, at, "every key must be a word", "put it in quotes")])
            key = key_node.value
            if key in result:
                raise LawFault([LawProblem(file, at, f"`{key}` is given twice", "keep one of the two")])
            result[key] = _value(file, loader, value_node, lines, (*path, key))
            lines.put((*path, key), at)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_value(file, loader, item, lines, (*path, index)) for index, item in enumerate(node.value)]
    if node.tag not in _SCALARS:
        raise LawFault([LawProblem(file, line, f"the form `{node.tag}` is not taken", "put the value in quotes")])
    value = loader.construct_object(node)
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise LawFault([LawProblem(file, line, "the value holds half a character", "write the whole character")])
    if isinstance(value, str) and "\x00" in value:
        raise LawFault([LawProblem(file, line, "the value holds a NUL character", "remove it")])
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise LawFault([LawProblem(file, line, f"the number is larger than {_LARGEST}", "write a smaller one")])
    return value
