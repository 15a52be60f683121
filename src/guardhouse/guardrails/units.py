"""What reading a shell text yields: commands that would run, events that no argv shows, and what flows between them."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field

from tree_sitter import Node

from guardhouse.guardrails.programs import Arguments
from guardhouse.guardrails.words import Word

MOST_DEPTH = 8
"""Wrappers and texts within texts; deeper is told as the event `depth`."""
NOTHING: frozenset[str] = frozenset()
ALONE = frozenset({"own", "known_pid"})
"""Kinds that tell what *all* of a text is: they go where something else joins it."""


@dataclass(slots=True)
class Flow:
    """What comes out of a command: its text where that is known, and what kind of thing it carries. Never changed, as words."""

    text: str | None = None
    kinds: frozenset[str] = NOTHING


SILENT = Flow("")
SOMETHING = Flow(None)


@dataclass(slots=True)
class Unit:
    """One command that would run, or one effect of it (`<read>`, `<write>`, `<append>`, `<delete>`, `<send>`, `<assign>`)."""

    program: str
    args: list[Word]
    start: int
    end: int
    via: tuple[str, ...] = ()
    cwd: str = ""
    feed: Flow | None = None
    trial: bool = False
    given: Arguments | None = None
    """Its arguments told apart, where the reader did so already."""
    gets: Flow | None = None
    """Of a `<write>` or `<append>`: what goes into the file, where that is seen."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something seen that no argv shows; rules subscribe to it by name."""

    name: str
    start: int
    end: int
    via: tuple[str, ...] = ()
    detail: str = ""


class Spent(Exception):
    """The work allowed for one text is used up."""


Place = tuple[bytes, int, tuple[int, int] | None, bool]
"""A text as bytes, where it begins in the original, the one place of all that is in it, and whether it is ASCII."""


@dataclass(slots=True)
class State:
    """What earlier commands of the same text left behind."""

    variables: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)
    functions: dict[str, tuple[Node, Place]] = field(default_factory=dict)
    """A function's body with the text it stands in: its offsets mean nothing in another one."""
    called: set[str] = field(default_factory=set)
    locals: dict[str, tuple[str, frozenset[str]] | None] = field(default_factory=dict)
    """Names that the function which is being called keeps to itself, with what they were before."""
    aliases: dict[str, str] = field(default_factory=dict)
    files: dict[str, Flow] = field(default_factory=dict)
    trees: dict[str, bool] = field(default_factory=dict)
    """Folders that fetched archives were unpacked into, and whether each was named for that."""
    clones: set[str] = field(default_factory=set)
    copies: dict[str, str] = field(default_factory=dict)
    """Where programs were copied or linked to, each with the program's own name."""
    opened: dict[str, Word] = field(default_factory=dict)
    """What `exec 4> file` opened for writing, by the number; what it opened for reading is the file `/dev/fd/4`."""
    cwd: str = ""


def base_name(text: str) -> str:
    """A program's name without its folder and without `.exe`."""
    return posixpath.basename(text).removesuffix(".exe") if "/" in text or "." in text else text
