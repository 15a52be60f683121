"""Commands out of a file: a shell history as bash or zsh writes it, or JSON lines. They are text here, never run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from pathlib import Path

from guardhouse.errors import InvalidInput

MOST_COMMANDS = 20_000
"""How many commands of a file are sent; the rest is left out, and said so."""

MOST_BYTES = 64_000_000
"""How large a file is read."""

MOST_CHARACTERS = 65_536
"""How long one command may be; a longer one is left out, and counted."""

VERDICTS = ("allow", "warn", "ask", "block")

_ZSH = re.compile(r": \d{9,11}:\d+;")
_BASH_TIME = re.compile(r"#\d{9,11}\s*\Z")
_META = 0x83
"""The byte before which zsh keeps a byte that is special to it, with bit 5 turned over."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One command, and the verdict that whoever made the file expects, or ""."""

    text: str
    expected: str = ""


@dataclass(frozen=True, slots=True)
class Samples:
    """What a file holds: its name and form, its commands in order, and what was left out."""

    name: str
    form: str
    samples: tuple[Sample, ...]
    too_long: int = 0
    cut: bool = False


def shipped() -> Samples:
    """The everyday commands that travel with the package."""
    data = files("guardhouse.surfaces.demo").joinpath("everyday.txt").read_bytes()
    return parse("everyday.txt (shipped)", data)


def read(path: Path) -> Samples:
    """Read a file; InvalidInput says what is wrong with it and where."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"`{path}` cannot be read: {(error.strerror or 'unknown').lower()}") from error
    if len(data) > MOST_BYTES:
        raise InvalidInput(f"`{path}` is larger than {MOST_BYTES} bytes; give a part of it")
    return parse(path.name, data)


def parse(name: str, data: bytes) -> Samples:
    """The commands in a file's bytes, its form found out by looking; InvalidInput when there is none."""
    lines = data.decode("utf-8", "replace").split("\n")
    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith("{") and first.endswith("}") and '"command"' in first:
        form, found = "json lines", _json_lines(name, lines)
    elif any(_ZSH.match(line) for line in lines):
        form, found = "zsh history", _zsh(_unmetafied(data).decode("utf-8", "replace").split("\n"))
    elif any(_BASH_TIME.match(line) for line in lines):
        form, found = "bash history", _bash(lines)
    else:
        form, found = "one a line", _plain(lines)
    taken = list(islice((one for one in found if one.text.strip()), MOST_COMMANDS + 1))
    if not taken:
        raise InvalidInput(f"`{name}` holds no command")
    kept = taken[:MOST_COMMANDS]
    fitting = tuple(one for one in kept if len(one.text) <= MOST_CHARACTERS)
    return Samples(name, form, fitting, len(kept) - len(fitting), len(taken) > MOST_COMMANDS)


def _json_lines(name: str, lines: Iterable[str]) -> Iterator[Sample]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            text, expected = value["command"], value.get("expected") or ""
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidInput(f"`{name}` line {number} is no JSON object with a `command`") from error
        if not isinstance(text, str) or (expected and expected not in VERDICTS):
            raise InvalidInput(f"`{name}` line {number}: `command` is text, `expected` one of {', '.join(VERDICTS)}")
        yield Sample(text, expected)


def _plain(lines: Iterable[str]) -> Iterator[Sample]:
    return (Sample(text) for text in _joined(lines) if not text.lstrip().startswith("#"))


def _bash(lines: Iterable[str]) -> Iterator[Sample]:
    """With times: all lines up to the next time are one command. Before the first time: one a line."""
    before: list[str] = []
    held: list[str] | None = None
    for line in lines:
        if _BASH_TIME.match(line):
            if held is None:
                yield from _plain(before)
            else:
                yield Sample("\n".join(held).strip("\n"))
            held = []
        else:
            (before if held is None else held).append(line)
    if held is not None:
        yield Sample("\n".join(held).strip("\n"))


def _zsh(lines: Iterable[str]) -> Iterator[Sample]:
    """zsh puts one backslash before each newline of a command, whatever stands before it."""
    held = ""
    for line in lines:
        if line.endswith("\\"):
            held += line[:-1] + "\n"
            continue
        text, held = held + line, ""
        mark = _ZSH.match(text)
        yield Sample(text[mark.end() :] if mark else text)
    if held:
        mark = _ZSH.match(held)
        yield Sample((held[mark.end() :] if mark else held).rstrip("\n"))


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """Lines, with those that end in an unescaped backslash continued; the newline between them stays."""
    held: list[str] = []
    for line in lines:
        bare = line.rstrip("\r")
        if (len(bare) - len(bare.rstrip("\\"))) % 2:
            held.append(bare)
            continue
        yield "\n".join([*held, bare])
        held.clear()
    if held:
        yield "\n".join(held)


def _unmetafied(data: bytes) -> bytes:
    made, position = bytearray(), 0
    while (mark := data.find(_META, position)) >= 0 and mark + 1 < len(data):
        made += data[position:mark]
        made.append(data[mark + 1] ^ 0x20)
        position = mark + 2
    return bytes(made + data[position:])
