"""Forms: a rule's argv pattern in one line, and whether a command fits it."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import re2

from guardhouse.guardrails import paths
from guardhouse.guardrails.programs import Arguments, Program, arguments
from guardhouse.guardrails.units import Unit
from guardhouse.guardrails.words import UNKNOWN, Word

QUIET = re2.Options()
QUIET.log_errors = False
_MANY = 8
_HELPLESS = frozenset(["find", "gfind", "dd", "gdd", "echo"])
"""Programs that know no `--help`, or not everywhere."""
_LEAST_PREFIX = 5
"""A long option may be cut short (`--har`), but not to less than two dashes and three letters."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One token of a form after its subcommands. `kind` is flag, value, path, target, arg, text, count, kinds."""

    kind: str
    names: tuple[str, ...] = ()
    wanted: Any = None
    negated: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """`PROGRAM|… SUB|… CONDITION …`: all must hold. The grammar stands in docs/guardrails.md."""

    source: str
    programs: tuple[str, ...]
    subs: tuple[tuple[str, ...], ...]
    conditions: tuple[Condition, ...]
    flags: frozenset[str] = field(default_factory=frozenset)


@cache
def parse_form(source: str) -> Form:
    """Read a form. Raises ValueError with what is wrong."""
    head, mark, pattern = re.match(r"(.*?)(?:(?<=\s)(!?~)(.*))?$", source, re.S).groups()  # type: ignore[union-attr]
    tokens = head.split() + ([mark + pattern] if mark else [])
    if not tokens:
        raise ValueError("a form names at least a program")
    subs: list[tuple[str, ...]] = []
    conditions: list[Condition] = []
    flags: set[str] = set()
    for token in tokens[1:]:
        negated = token.startswith("!") and len(token) > 1
        body = token[1:] if negated else token
        if body[0] == "-":
            names, equals, value = body.partition("=")
            listed = tuple(names.split("|"))
            if any(not name.startswith("-") for name in listed):
                raise ValueError(f"`{token}` mixes options and words; write them as two forms")
            flags.update(listed)
            conditions.append(
                Condition("value", listed, tuple(value.split("|")), negated)
                if equals
                else Condition("flag", listed, None, negated)
            )
        elif body[0] == "@":
            every = body.startswith("@@")
            classes = tuple(body.lstrip("@").split("|"))
            unknown = [name for name in classes if name.lstrip("^") not in paths.CLASSES]
            if unknown:
                raise ValueError(f"no path class `{unknown[0]}`")
            conditions.append(Condition("paths" if every else "path", classes, None, negated))
        elif body[0] == "=":
            conditions.append(Condition("arg", tuple(body[1:].split("|")), None, negated))
        elif body[0] == "~":
            try:
                conditions.append(Condition("text", (), re2.compile(body[1:], options=QUIET), negated))
            except re2.error as error:
                raise ValueError(f"not an RE2 pattern: `{body[1:]}`") from error
        elif body[0] == "#":
            if not re.fullmatch(r"#[<>=]?\d", body):
                raise ValueError(f"`{body}` is not a count such as `#0` or `#>1`")
            conditions.append(Condition("count", (body[1:].rstrip("0123456789") or "=",), int(body[-1]), negated))
        elif body[0] == "%":
            conditions.append(Condition("kinds", tuple(body[1:].split("|")), None, negated))
        elif any(name.startswith("-") and name != "-" for name in body.split("|")):
            raise ValueError(f"`{token}` mixes options and words; write them as two forms")
        elif negated:
            conditions.append(Condition("word", tuple(body.split("|")), None, True))
        elif conditions:
            conditions.append(Condition("word", tuple(body.split("|"))))
        else:
            subs.append(tuple(body.split("|")))
    return Form(source, tuple(tokens[0].split("|")), tuple(subs), tuple(conditions), frozenset(flags))


class Parsed:
    """A unit with its arguments told apart once for all forms that ask."""

    __slots__ = ("_given", "_loose", "_paths", "_text", "_union", "program", "unit", "workspace")

    def __init__(self, unit: Unit, program: Program, workspace: str) -> None:
        self.unit, self.program, self.workspace = unit, program, workspace
        self._given: Arguments | None = None
        self._loose: tuple[Word, ...] | None = None
        self._text: str | None = None
        self._paths: dict[str, frozenset[str]] = {}
        self._union: frozenset[str] | None = None

    @property
    def given(self) -> Arguments:
        if self._given is None:
            self._given = arguments(self.unit.args, self.program)
        return self._given

    @property
    def helps(self) -> bool:
        """Whether it only prints its help. What hands its arguments on does not: they are another's."""
        return (
            not self.program.run
            and any(word.text == "--help" for word in self.unit.args)
            and self.unit.program not in _HELPLESS
            and not self.unit.program.startswith("<")
            and any(option == "--help" for option, _ in self.given.options)
        )

    @property
    def loose(self) -> tuple[Word, ...]:
        """Positionals if every unknown option took the word behind it: a subcommand cannot hide behind one."""
        if self._loose is None:
            made, skip = [], False
            for word in self.unit.args:
                if skip:
                    skip = False
                elif word.text.startswith("-") and len(word.text) > 1:
                    skip = "=" not in word.text and word.text != "--"
                else:
                    made.append(word)
            self._loose = tuple(made)
        return self._loose

    @property
    def text(self) -> str:
        if self._text is None:
            self._text = " ".join(word.text for word in self.unit.args).replace(UNKNOWN, "$")
        return self._text

    @property
    def union(self) -> frozenset[str]:
        """The classes of all arguments together: says quickly what none of very many paths is."""
        if self._union is None:
            self._union = frozenset().union(*(self.classes(word.text) for word in self.unit.args))
        return self._union

    def classes(self, text: str) -> frozenset[str]:
        found = self._paths.get(text)
        if found is None:
            found = self._paths[text] = paths.classes(text, self.unit.cwd, self.workspace)
        return found


def fits(form: Form, parsed: Parsed, known: frozenset[str]) -> frozenset[str] | None:
    """The path classes that made it fit (often none), or None when it does not fit."""
    rest = _after(form, parsed)
    if rest is None:
        return None
    found: set[str] = set()
    for condition in form.conditions:
        hit = _holds(condition, parsed, rest, known, found)
        if hit is condition.negated:
            return None
    return frozenset(found)


def _after(form: Form, parsed: Parsed) -> tuple[Word, ...] | None:
    """The positionals behind the subcommands, or None where those are others."""
    if not form.subs:
        return parsed.given.positionals
    for positionals in (parsed.given.positionals, parsed.loose):
        if len(positionals) < len(form.subs):
            continue
        for names, word in zip(form.subs, positionals, strict=False):
            if not _like(names, plain=True)(word.text):
                break
        else:
            return positionals[len(form.subs) :]
    return None


@cache
def _like(globs: tuple[str, ...], *, plain: bool = False) -> Callable[[str], Any]:
    """Whether a text is like one of these globs; `plain`: only a star makes one a glob."""
    exact = frozenset(one for one in globs if not any(mark in one for mark in ("*" if plain else "*?[")))
    others = [fnmatch.translate(one) for one in globs if one not in exact]
    if not others:
        return exact.__contains__
    pattern = re.compile("|".join(others)).match
    return (lambda text: text in exact or pattern(text) is not None) if exact else pattern


def _holds(
    condition: Condition, parsed: Parsed, rest: tuple[Word, ...], known: frozenset[str], found: set[str]
) -> bool:
    kind = condition.kind
    if kind == "flag":
        return any(_flag(name, option, known) for option, _ in parsed.given.options for name in condition.names)
    if kind == "value":
        for option, value in parsed.given.options:
            named = value is not None and any(_flag(name, option, known) for name in condition.names)
            if named and value is not None and _like(condition.wanted)(value.text):
                return True
        words = parsed.unit.args
        for at, word in enumerate(words[:-1]):
            if word.text in condition.names and _like(condition.wanted)(words[at + 1].text):
                return True
        return any(
            word.text.startswith(name) and _like(condition.wanted)(word.text[len(name) :].removeprefix("="))
            for word in words
            if word.text[:1] in "-+"
            for name in condition.names
            if len(word.text) > len(name)
        )
    if kind == "path":
        if len(rest) > _MANY and not any(name[0] == "^" or name in parsed.union for name in condition.names):
            return False
        fitting = False
        for word in rest:
            have = parsed.classes(word.text)
            if any(name[1:] not in have if name.startswith("^") else name in have for name in condition.names):
                fitting = True
                if condition.negated:
                    break
                # Of every path that fits: whoever excepts a place must not except what stands beside it.
                found.update(have)
        return fitting
    if kind == "paths":
        if not rest:
            return False
        for word in rest:
            have = parsed.classes(word.text)
            if not any(name[1:] not in have if name.startswith("^") else name in have for name in condition.names):
                return False
        return True
    if kind == "arg":
        like = _like(condition.names)
        return any(like(word.text) for word in parsed.unit.args)
    if kind == "word":
        like = _like(condition.names, plain=True)
        return any(like(word.text) for word in rest)
    if kind == "text":
        return bool(condition.wanted.search(parsed.text))
    if kind == "count":
        sign, number = condition.names[0], len(rest)
        wanted: int = condition.wanted
        return number > wanted if sign == ">" else number < wanted if sign == "<" else number == wanted
    kinds = set(condition.names)
    feed = parsed.unit.feed
    return any(kinds & word.kinds for word in parsed.unit.args) or (feed is not None and bool(kinds & feed.kinds))


def _flag(name: str, option: str, known: frozenset[str]) -> bool:
    if name == option:
        return True
    if not option.startswith("--") or len(option) < _LEAST_PREFIX or not name.startswith("--"):
        return False
    return name.startswith(option) and option not in known
