"""Adding an entry to a JSON text and taking entries out again, by cutting and pasting at offsets.

What is added is kept as splices, so that taking out is their exact undoing, wherever else the text was changed since.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from guardhouse.surfaces.install.jsonc import Node, Unreadable, comments, parse, trivia

CONTEXT = 48
"""How much text on each side of a splice finds it again after the file was changed elsewhere."""


@dataclass(frozen=True, slots=True)
class Splice:
    """`text` was put between `before` and `after`."""

    before: str
    text: str
    after: str


@dataclass(frozen=True, slots=True)
class Edit:
    """A text after an edit, and the splices that made it, in the order to undo them."""

    text: str
    splices: tuple[Splice, ...] = ()


def add(text: str, path: Sequence[str], entry: Any, *, last: bool = True) -> Edit:
    """Add `entry` at the end of the array at `path`, with every object on the way; with `last` False, set a member.

    Raises Unreadable where something on the way is no object or array, or a name on the way stands twice.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    root = parse(text)
    if root is None:
        return fresh(text, _nested(path, entry, last))
    if root.kind != "object":
        raise Unreadable("the file holds no JSON object", text, root.start)
    unit = _unit(text, root)
    flat = bool(root.children) and "\n" not in text[root.start : root.end]
    node, depth = root, 0
    for number, name in enumerate(path):
        found = [index for index, one in enumerate(node.names) if one == name]
        if len(found) > 1:
            raise Unreadable(f"`{name}` stands twice in the same object", text, node.name_starts[found[1]])
        if not found:
            value = _nested(path[number + 1 :], entry, last)
            member = f"{json.dumps(name)}: {_shown(value, unit, newline, depth + 1, flat)}"
            return _apply(text, _into(text, node, member, unit, newline, depth, flat))
        child = node.children[found[0]]
        wanted = "array" if last and number == len(path) - 1 else "object"
        if child.kind != wanted and (last or number < len(path) - 1):
            raise Unreadable(f"`{name}` is no {wanted}", text, child.start)
        node, depth = child, depth + 1
    if not last:
        return Edit(text)
    return _apply(text, _into(text, node, _shown(entry, unit, newline, depth + 1, flat), unit, newline, depth, flat))


def fresh(text: str, value: Any) -> Edit:
    """A text of blanks and comments alone, with a value after them."""
    newline = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text or text.endswith(("\n", "\r")) else newline
    return _apply(text, [(len(text), gap + _written(value, "  ", newline, 0) + newline)])


def _nested(path: Sequence[str], entry: Any, last: bool) -> Any:
    value = [entry] if last else entry
    for name in reversed(path):
        value = {name: value}
    return value


def _shown(value: Any, unit: str, newline: str, depth: int, flat: bool) -> str:
    return json.dumps(value, ensure_ascii=False) if flat else _written(value, unit, newline, depth)


def _written(value: Any, unit: str, newline: str, depth: int) -> str:
    lines = json.dumps(value, ensure_ascii=False, indent=unit).split("\n")
    return (newline + unit * depth).join(lines)


def _unit(text: str, root: Node) -> str:
    """The file's own indent."""
    if root.children:
        lead = text[text.rfind("\n", 0, root.first(0)) + 1 : root.first(0)]
        if "\n" in text[root.start : root.first(0)] and lead and not lead.strip(" \t"):
            return lead
    return "  "


def _into(text: str, node: Node, made: str, unit: str, newline: str, depth: int, flat: bool) -> list[tuple[int, str]]:
    """The pastes (offset, text) by which `made` becomes the last child of `node`."""
    close = node.end - 1
    if not node.children:
        told = comments(text, node.start + 1, close)
        at = told[-1][1] if told else node.start + 1
        if flat and not told:
            return [(at, made)]
        tail = "" if "\n" in text[at:close] else newline + unit * depth
        return [(at, newline + unit * (depth + 1) + made + tail)]
    last = len(node.children) - 1
    end, comma = node.children[last].end, node.commas[last]
    pastes = [] if comma is not None else [(end, ",")]
    at = _line_end(text, end if comma is None else comma + 1, close)
    if flat:
        return [*pastes, (at, " " + made)]
    start = node.first(last)
    lead = text[text.rfind("\n", 0, start) + 1 : start]
    own_line = "\n" in text[node.start : start] and not lead.strip(" \t")
    indent = lead if own_line else unit * (depth + 1)
    tail = "" if "\n" in text[at:close] else newline + unit * depth
    return [*pastes, (at, newline + indent + made + tail)]


def _line_end(text: str, at: int, close: int) -> int:
    """After the comments that follow on the same line, which belong to what stands before them."""
    for start, end in comments(text, at, close):
        if "\n" in text[at:start]:
            break
        at = end
    return at


def _apply(text: str, pastes: list[tuple[int, str]]) -> Edit:
    """Paste from the end on; the splices are told as they stand in the final text, to be undone in their order."""
    made, splices = text, []
    for at, piece in sorted(pastes, key=lambda one: one[0]):
        shift = len(made) - len(text)
        made = made[: at + shift] + piece + made[at + shift :]
    place = 0
    for at, piece in sorted(pastes, key=lambda one: one[0]):
        start = at + place
        end = start + len(piece)
        splices.append(Splice(made[max(0, start - CONTEXT) : start], piece, made[end : end + CONTEXT]))
        place += len(piece)
    return Edit(made, tuple(splices))


def undo(text: str, splices: Sequence[Splice]) -> str | None:
    """The text without what the splices put in; None where one of them is not found as it was, once."""
    cuts: list[tuple[int, int]] = []
    for one in splices:
        whole = one.before + one.text + one.after
        at = text.find(whole)
        if at < 0 or text.find(whole, at + 1) >= 0:
            return None
        start = at + len(one.before)
        cuts.append((start, start + len(one.text)))
    cuts.sort()
    if any(first[1] > second[0] for first, second in itertools.pairwise(cuts)):
        return None
    for start, end in reversed(cuts):
        text = text[:start] + text[end:]
    return text


def remove(text: str, ours: Callable[[Any], bool], under: str) -> str:
    """The text without every array element below member `under` that is ours, and without what that left empty.

    For a file that was changed since by hand or by a formatter. Raises Unreadable.
    """
    while True:
        root = parse(text)
        found = _first_ours(root, ours, under) if root is not None else None
        if found is None:
            return text
        trail, index = found
        node = trail[-1][0]
        text = _without(text, node, index)
        if len(node.children) == 1:
            text = _drop_empty(text, [place for _, place in trail[:-1]])


def _first_ours(root: Node, ours: Callable[[Any], bool], under: str) -> tuple[list[tuple[Node, int]], int] | None:
    """The nodes from the root to the array that holds an entry of ours, each with the index taken in it."""
    if root.kind != "object":
        return None
    for number, name in enumerate(root.names):
        work = [([(root, number)], root.children[number])] if name == under else []
        while work:
            trail, node = work.pop()
            if node.kind == "array":
                for index, child in enumerate(node.children):
                    if ours(child.plain()):
                        return [*trail, (node, index)], index
                    work.append(([*trail, (node, index)], child))
            elif node.kind == "object":
                work.extend(([*trail, (node, index)], child) for index, child in enumerate(node.children))
    return None


def _drop_empty(text: str, places: list[int]) -> str:
    """Take away the emptied array and every object above it that has become empty, but never the root."""
    while places:
        node = parse(text)
        for place in places[:-1]:
            if node is None:
                return text
            node = node.children[place]
        if node is None:
            return text
        child = node.children[places[-1]]
        if child.children or comments(text, child.start + 1, child.end - 1):
            return text
        text = _without(text, node, places[-1])
        places = places[:-1]
    return text


def _without(text: str, node: Node, index: int) -> str:
    """The text without one child, its comma, and the blanks before it."""
    start, end = node.first(index), node.children[index].end
    before = node.start + 1 if index == 0 else (node.commas[index - 1] or 0) + 1
    told = comments(text, before, start)
    lead = told[-1][1] if told else before
    comma = node.commas[index]
    if comma is not None:
        # The comma goes with its entry; a comment between the two stays.
        rest = text[end:comma] + text[comma + 1 :]
    elif index == 0:
        close = trivia(text, end)
        blank = "" if not text[end:close].strip() and not told else text[end:close]
        rest = blank + text[close:]
    else:
        rest = text[end:]
    if told and text.startswith("//", told[-1][0]) and not rest.startswith(("\n", "\r")):
        # The line that a `//` ends with is what keeps it from swallowing the rest.
        rest = ("\r\n" if text.startswith("\r\n", lead) else text[lead]) + rest
    previous = node.commas[index - 1] if index and comma is None else None
    return (text[:lead] if previous is None else text[:previous] + text[previous + 1 : lead]) + rest


def theirs(value: Any, ours: Callable[[Any], bool]) -> Any:
    """A value without our entries and without what is empty: what must be the same before and after we were there."""
    if isinstance(value, dict):
        made = {name: theirs(part, ours) for name, part in value.items()}
        return {name: part for name, part in made.items() if part not in ({}, [])}
    if isinstance(value, list):
        return [theirs(one, ours) for one in value if not ours(one)]
    return value


_MARK = re.compile(r"(?i)guardhouse")
_LINES = ("command", "bash")


def marked(value: Any) -> bool:
    """Whether an entry is ours: it runs our shim, under whatever path; or it is a group of nothing but such."""
    if not isinstance(value, dict):
        return False
    for name in _LINES:
        line = value.get(name)
        if isinstance(line, str) and _MARK.search(line) and "hooks/run" in line:
            return True
    group = value.get("hooks")
    return isinstance(group, list) and bool(group) and all(marked(one) for one in group)
