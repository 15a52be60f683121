"""Forms: a rule's argv pattern in one line, and whether a command fits it."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import re2

from guardhouse.guardrails import paths
from guardhouse.guardrails.programs import Program, arguments
from guardhouse.guardrails.units import Unit
from guardhouse.guardrails.words import UNKNOWN, Word

QUIET = re2.Options()
QUIET.log_errors = False
_MANY = 8
_HELPLESS = frozenset(["find", "gfind", "dd", "gdd", "echo"])
"""Programs that know no `--help`, or not everywhere."""
_LEAST_PREFIX = 5
"""A long option may be cut short (`--har`), but not to less than two dashes and three letters."""


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """One token of a form after its subcommands: what must hold, for these names, and what they are compared with."""

    holds: Callable[[Condition, Parsed, tuple[Word, ...], set[str]], bool]
    names: tuple[str, ...] = ()
    wanted: Any = None
    negated: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """`PROGRAM|… SUB|… CONDITION …`: all must hold, the cheap ones first. The grammar stands in docs/guardrails.md."""

    source: str
    programs: tuple[str, ...]
    subs: tuple[Like, ...]
    heads: tuple[str, ...]
    conditions: tuple[Condition, ...]
    flags: frozenset[str] = field(default_factory=frozenset)

    @property
    def patterns(self) -> tuple[str, ...]:
        """The RE2 patterns that it looks for in the arguments."""
        return tuple(one.wanted for one in self.conditions if one.holds is _text)


class Like:
    """Texts that are one of these globs. `plain`: only a star makes one a glob."""

    __slots__ = ("_pattern", "exact")

    def __init__(self, globs: tuple[str, ...], *, plain: bool = False) -> None:
        marks = "*" if plain else "*?["
        self.exact = frozenset(one for one in globs if not any(mark in one for mark in marks))
        others = [fnmatch.translate(one) for one in globs if one not in self.exact]
        self._pattern = re.compile("|".join(others)).match if others else None

    def __call__(self, text: str) -> bool:
        return text in self.exact or (self._pattern is not None and self._pattern(text) is not None)

    def any(self, texts: Iterable[str]) -> bool:
        """Whether one of the texts is like this."""
        if not self.exact.isdisjoint(texts):
            return True
        pattern = self._pattern
        if pattern is not None:
            for text in texts:
                if pattern(text) is not None:
                    return True
        return False


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
                Condition(_value, listed, Like(tuple(value.split("|"))), negated)
                if equals
                else Condition(_flag, listed, frozenset(listed), negated)
            )
        elif body[0] == "@":
            every = body.startswith("@@")
            classes = tuple(body.lstrip("@").split("|"))
            unknown = [name for name in classes if name.lstrip("^") not in paths.CLASSES]
            if unknown:
                raise ValueError(f"no path class `{unknown[0]}`")
            conditions.append(Condition(_paths if every else _path, classes, None, negated))
        elif body[0] == "=":
            conditions.append(Condition(_arg, (), Like(tuple(body[1:].split("|"))), negated))
        elif body[0] == "~":
            try:
                re2.compile(body[1:], options=QUIET)
            except re2.error as error:
                raise ValueError(f"not an RE2 pattern: `{body[1:]}`") from error
            conditions.append(Condition(_text, (), body[1:], negated))
        elif body[0] == "#":
            if not re.fullmatch(r"#[<>=]?\d", body):
                raise ValueError(f"`{body}` is not a count such as `#0` or `#>1`")
            conditions.append(Condition(_count, (body[1:].rstrip("0123456789") or "=",), int(body[-1]), negated))
        elif body[0] == "%":
            conditions.append(Condition(_kinds, (), frozenset(body[1:].split("|")), negated))
        elif any(name.startswith("-") and name != "-" for name in body.split("|")):
            raise ValueError(f"`{token}` mixes options and words; write them as two forms")
        elif negated:
            conditions.append(Condition(_word, (), Like(tuple(body.split("|")), plain=True), negated=True))
        elif conditions:
            conditions.append(Condition(_word, (), Like(tuple(body.split("|")), plain=True)))
        else:
            subs.append(tuple(body.split("|")))
    return Form(
        source,
        tuple(tokens[0].split("|")),
        tuple(Like(names, plain=True) for names in subs),
        subs[0] if subs else (),
        tuple(sorted(conditions, key=lambda one: _CHEAP_FIRST.index(one.holds))),
        frozenset(flags),
    )


class Patterns:
    """RE2 patterns looked for together; made ready when first asked."""

    __slots__ = ("_set", "_sources")

    def __init__(self, sources: Iterable[str]) -> None:
        self._sources = tuple(dict.fromkeys(sources))
        self._set: Any = None

    def found(self, text: str) -> frozenset[str]:
        """Those that match somewhere in the text."""
        if not self._sources:
            return frozenset()
        if self._set is None:
            made = re2.Set.SearchSet(QUIET)
            for source in self._sources:
                made.Add(source)
            made.Compile()
            self._set = made
        return frozenset(self._sources[number] for number in self._set.Match(text) or ())


class Parsed:
    """A unit with its arguments told apart once for all forms that ask.

    `known` are the options that rules name for this program, `patterns` all that its rules look for in the arguments.
    """

    __slots__ = ("_excepts", "_loose", "_meant", "_paths", "_shown", "_text", "_union", "behind", "given", "head", "known", "options", "patterns", "program", "short", "unit", "words", "workspace")  # fmt: skip

    def __init__(self, unit: Unit, program: Program, workspace: str, known: frozenset[str], patterns: Patterns) -> None:
        self.unit, self.program, self.workspace, self.known, self.patterns = unit, program, workspace, known, patterns
        self.given = unit.given or arguments(unit.args, program)
        positionals = self.given.positionals
        self.head = positionals[0].text if positionals else None
        self.behind = positionals[1:]
        self.words = [word.text for word in unit.args]
        self.options = {option for option, _ in self.given.options}
        # A long option may be cut short (`--har`), but not to what is another option of the same program.
        self.short = [one for one in self.options if one[:2] == "--" and len(one) >= _LEAST_PREFIX and one not in known]
        self._excepts: dict[Form, bool] = {}
        self._meant: Parsed | None = None
        self._loose: tuple[Word, ...] | None = None
        self._text: str | None = None
        self._shown: frozenset[str] | None = None
        self._paths: dict[str, frozenset[str]] = {}
        self._union: frozenset[str] | None = None

    @property
    def helps(self) -> bool:
        """Whether it only prints its help. What hands its arguments on does not: they are another's."""
        return (
            "--help" in self.options
            and "--help" in self.words
            and (self.meant is self or "--help" in self.meant.words)
            and (not self.program.run or self.plain_sub)
            and self.unit.program not in _HELPLESS
            and not self.unit.program.startswith("<")
        )

    @property
    def plain_sub(self) -> bool:
        """Whether it hands arguments on behind some subcommands only, and this is none of them."""
        given, sub = self.given.positionals, self.program.sub
        return bool(sub and given) and not any(
            word.text in sub or word.dynamic for word in (*given[:1], *self.loose[:1])
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
            self._text = " ".join(self.words).replace(UNKNOWN, "$")
        return self._text

    @property
    def shown(self) -> frozenset[str]:
        """Those of the program's patterns that match the arguments."""
        if self._shown is None:
            self._shown = self.patterns.found(self.text)
        return self._shown

    @property
    def union(self) -> frozenset[str]:
        """The classes of all arguments together: says quickly what none of very many paths is."""
        if self._union is None:
            self._union = frozenset().union(*(map(self.classes, self.words)))
        return self._union

    def excepts(self, form: Form) -> bool:
        """Whether a form of an exception or escalation fits; rules share them, so that each is tried once."""
        known = self._excepts.get(form)
        if known is None:
            known = self._excepts[form] = fits(form, self) is not None
        return known

    def exempts(self, form: Form) -> bool:
        """Whether a form of an exception fits, of the options that hold: not those switched off again (`--dry-run=none`)."""
        return self.meant.excepts(form)

    @property
    def meant(self) -> Parsed:
        """The same without the options that are switched off; itself where none is."""
        if self._meant is None:
            kept = _meant(self.unit.args)
            self._meant = self
            if len(kept) < len(self.unit.args) or any(
                one is not other for one, other in zip(kept, self.unit.args, strict=False)
            ):
                unit = replace(self.unit, args=kept, given=None)
                self._meant = Parsed(unit, self.program, self.workspace, self.known, self.patterns)
        return self._meant

    def classes(self, text: str) -> frozenset[str]:
        found = self._paths.get(text)
        if found is None:
            found = self._paths[text] = paths.classes(text, self.unit.cwd, self.workspace)
        return found


_OFF = frozenset({"none", "false", "no", "off", "0", "f", "n", ""})
_TRIES = re.compile(r"-{1,2}dry[-_]?run|-{1,2}help|-{1,2}(?:check|preview|simulate|noop|no-act|just-print|whatif|test)")
"""Options by which a program only tells what it would do."""


def _meant(args: list[Word]) -> list[Word]:
    """The arguments without those options that another one switches off, or their own value."""
    off: set[str] = set()
    for word, follows in zip(args, [*args[1:], Word("")], strict=False):
        text = word.text
        if text[:1] != "-":
            continue
        name, equals, value = text.partition("=")
        if equals:
            if value.strip("\"'").casefold() in _OFF and _TRIES.fullmatch(name):
                off.add(name.lstrip("-"))
        elif text[:5] == "--no-":
            off.update({text[5:]} if len(text) > 5 else ())
            if "dry-run".startswith(text[5:]) and len(text) > 5:
                off.update(("dry-run", "dryrun", "dry_run", "n"))
        elif follows.text.casefold() == "false" and _TRIES.fullmatch(name):
            off.add(name.lstrip("-"))
    if not off:
        return args
    kept = []
    for word in args:
        text = word.text
        name = text.partition("=")[0].lstrip("-")
        if text[:1] == "-" and name in off:
            continue
        if "n" in off and text[:1] == "-" and text[:2] != "--" and text[1:].isalpha():
            text = "-" + text[1:].replace("n", "")
            if text == "-":
                continue
            word = Word(text, word.start, word.end, word.kinds)
        kept.append(word)
    return kept


def fits(form: Form, parsed: Parsed) -> frozenset[str] | None:
    """The path classes that made it fit (often none), or None when it does not fit."""
    rest = parsed.given.positionals
    subs = form.subs
    if subs:
        if len(subs) == 1 and parsed.head in subs[0].exact:  # nearly always: one subcommand, plainly written
            rest = parsed.behind
        else:
            after = _after(form, parsed)
            if after is None:
                return None
            rest = after
    found: set[str] = set()
    for condition in form.conditions:
        if condition.holds(condition, parsed, rest, found) is condition.negated:
            return None
    return frozenset(found)


def _after(form: Form, parsed: Parsed) -> tuple[Word, ...] | None:
    """The positionals behind the subcommands, or None where those are others."""
    for positionals in (parsed.given.positionals, parsed.loose):
        if len(positionals) < len(form.subs):
            continue
        for like, word in zip(form.subs, positionals, strict=False):
            if not like(word.text):
                break
        else:
            return positionals[len(form.subs) :]
    return None


# -- what a condition may say -----------------------------------------------------------------------------------------


def _flag(condition: Condition, parsed: Parsed, _rest: tuple[Word, ...], _found: set[str]) -> bool:
    if not condition.wanted.isdisjoint(parsed.options):
        return True
    return bool(parsed.short) and _shortened(condition, parsed.short)


def _shortened(condition: Condition, options: Iterable[str]) -> bool:
    return any(name.startswith(option) for option in options for name in condition.names)


def _value(condition: Condition, parsed: Parsed, _rest: tuple[Word, ...], _found: set[str]) -> bool:
    names, like = condition.names, condition.wanted
    for option, value in parsed.given.options:
        named = option in names or (option in parsed.short and _shortened(condition, (option,)))
        if named and value is not None and like(value.text):
            return True
    words = parsed.words
    for at, text in enumerate(words):
        if text[:1] != "-":
            continue
        if text in names and at + 1 < len(words) and like(words[at + 1]):
            return True
        for name in names:
            if len(text) > len(name) and text.startswith(name) and like(text[len(name) :].removeprefix("=")):
                return True
    return False


def _path(condition: Condition, parsed: Parsed, rest: tuple[Word, ...], found: set[str]) -> bool:
    if len(rest) > _MANY and not any(name[0] == "^" or name in parsed.union for name in condition.names):
        return False
    fitting = False
    for word in rest:
        have = parsed.classes(word.text)
        if _of_class(condition, have):
            fitting = True
            if condition.negated:
                break
            # Of every path that fits: whoever excepts a place must not except what stands beside it.
            found.update(have)
    return fitting


def _paths(condition: Condition, parsed: Parsed, rest: tuple[Word, ...], _found: set[str]) -> bool:
    return bool(rest) and all(_of_class(condition, parsed.classes(word.text)) for word in rest)


def _of_class(condition: Condition, have: frozenset[str]) -> bool:
    return any(name in have or (name[0] == "^" and name[1:] not in have) for name in condition.names)


def _arg(condition: Condition, parsed: Parsed, _rest: tuple[Word, ...], _found: set[str]) -> bool:
    return bool(condition.wanted.any(parsed.words))


def _word(condition: Condition, _parsed: Parsed, rest: tuple[Word, ...], _found: set[str]) -> bool:
    return bool(rest) and bool(condition.wanted.any([word.text for word in rest]))


def _text(condition: Condition, parsed: Parsed, _rest: tuple[Word, ...], _found: set[str]) -> bool:
    return condition.wanted in parsed.shown


def _count(condition: Condition, _parsed: Parsed, rest: tuple[Word, ...], _found: set[str]) -> bool:
    sign, number = condition.names[0], len(rest)
    wanted: int = condition.wanted
    return number > wanted if sign == ">" else number < wanted if sign == "<" else number == wanted


def _kinds(condition: Condition, parsed: Parsed, _rest: tuple[Word, ...], _found: set[str]) -> bool:
    kinds: frozenset[str] = condition.wanted
    feed = parsed.unit.feed
    if feed is not None and not kinds.isdisjoint(feed.kinds):
        return True
    return any(not kinds.isdisjoint(word.kinds) for word in parsed.unit.args)


_CHEAP_FIRST = (_flag, _count, _word, _arg, _kinds, _value, _path, _paths, _text)
