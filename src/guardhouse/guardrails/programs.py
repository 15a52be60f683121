"""What we know of programs: which options take values, what they run, read, write and send. A table, read from YAML."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from guardhouse.guardrails.words import Word

RUNS = ("", "rest", "shell", "join", "texts", "find", "xargs", "code", "eval", "source")
PATHS = ("", "all", "first", "rest", "init", "last")


@dataclass(frozen=True, slots=True)
class Program:
    """How one program treats its arguments. `run` says how they become commands; see docs/guardrails.md."""

    run: str = ""
    values: frozenset[str] = frozenset()
    skip: int = 0
    sub: frozenset[str] = frozenset()
    code: tuple[str, ...] = ()
    lang: str = "shell"
    stdin: str = ""
    assigns: bool = False
    reads: str = ""
    writes: str = ""
    deletes: str = ""
    read_flags: tuple[str, ...] = ()
    write_flags: tuple[str, ...] = ()
    send_flags: tuple[str, ...] = ()
    flow: str = ""
    sink: bool = False
    data: bool = False
    clusters: bool = True
    after: tuple[str, ...] = ()
    dashes: bool = False
    deeper: bool = False
    settings: tuple[str, ...] = ()
    configures: tuple[str, ...] = ()
    fed: bool = False
    queries: str = ""
    moves: str = ""
    where: frozenset[str] = frozenset()
    bundled: bool = False
    package: bool = False
    touches: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    """What it does to paths: the effect, which positionals, which options. Gathered from the keys above."""
    below: frozenset[str] = frozenset()
    """Its subcommands that have rows of their own, where it is `deeper`. Gathered from the other rows."""


UNSPECIFIED = Program()
_SETS = {"values", "sub", "where"}
_LISTS = {"code", "read_flags", "write_flags", "send_flags", "after", "settings", "configures"}


def read_program(value: Any) -> Program:
    """One row of the table. Raises ValueError with what is wrong."""
    if value is None:
        return UNSPECIFIED
    if not isinstance(value, dict):
        raise ValueError("a program is a mapping")  # noqa: TRY004  one error for all that is wrong with a row
    made: dict[str, Any] = {}
    for key, item in value.items():
        if key not in Program.__slots__ or key in ("touches", "below"):
            raise ValueError(f"unknown key `{key}`")
        if key in _SETS or key in _LISTS:
            words = item if isinstance(item, list) else str(item).split()
            made[key] = frozenset(map(str, words)) if key in _SETS else tuple(map(str, words))
        else:
            made[key] = item
    if made.get("run", "") not in RUNS:
        raise ValueError("`run` is one of " + ", ".join(filter(None, RUNS)))
    if any(made.get(key, "") not in PATHS for key in ("reads", "writes", "deletes", "queries", "moves")):
        raise ValueError("paths are one of " + ", ".join(filter(None, PATHS)))
    program = Program(**made)
    effects = (
        ("<read>", program.reads, program.read_flags),
        ("<write>", program.writes, program.write_flags),
        ("<delete>", program.deletes, ()),
        ("<move>", program.moves, ()),
        ("<send>", "", program.send_flags),
    )
    return replace(program, touches=tuple(one for one in effects if one[1] or one[2]))


@dataclass(slots=True)
class Arguments:
    """Arguments told apart: what stands alone, and options with their values, in order of writing. Never changed, as words."""

    positionals: tuple[Word, ...]
    options: tuple[tuple[str, Word | None], ...]
    ended: bool = False

    def value(self, names: Collection[str]) -> list[Word]:
        """The values given to any of these options."""
        if not names or not self.options:
            return []
        return [word for name, word in self.options if name in names and word is not None]


def arguments(args: list[Word], program: Program, *, stop: bool = False) -> Arguments:
    """Tell options from positionals. `stop`: at the first positional, all that follows is positional (a wrapper's way)."""
    positionals: list[Word] = []
    options: list[tuple[str, Word | None]] = []
    values = program.values
    if program.bundled and args and args[0].text[:1] not in ("-", "") and args[0].text.isalnum():
        # `tar xzf a.tgz`: the first word is a cluster of options without its dash.
        first = args[0]
        args = [Word("-" + first.text, first.start, first.end, first.kinds), *args[1:]]
    count, at, ended = len(args), 0, False
    while at < count:
        word = args[at]
        text = word.text
        at += 1
        if len(text) < 2 or text[0] not in "-+" or (text[0] == "+" and "+" not in values):
            positionals.append(word)
            if stop:
                positionals.extend(args[at:])
                break
            continue
        if text == "--":
            ended = True
            positionals.extend(args[at:])
            break
        if text.startswith("--") or not program.clusters:
            name, equals, value = text.partition("=")
            if equals:
                options.append((name, Word(value, word.start, word.end, word.kinds)))
            elif name in values and at < count:
                options.append((name, args[at]))
                at += 1
            else:
                options.append((name, None))
            continue
        if len(text) > 2 and text in values:
            options.append((text, args[at] if at < count else None))
            at += 1
            continue
        for place in range(1, len(text)):
            name = "-" + text[place]
            if name in values:
                rest = text[place + 1 :]
                if rest:
                    options.append((name, Word(rest.removeprefix("="), word.start, word.end, word.kinds)))
                elif at < count:
                    options.append((name, args[at]))
                    at += 1
                else:
                    options.append((name, None))
                break
            options.append((name, None))
        if len(text) > 2:
            options.append((text.partition("=")[0], None))
    return Arguments(tuple(positionals), tuple(options), ended)


Programs = Mapping[str, Program]


def joined(programs: dict[str, Program]) -> None:
    """Tell every row that has rows for its subcommands which these are."""
    for name, program in programs.items():
        if program.deeper:
            below = frozenset(one[len(name) + 1 :] for one in programs if one.startswith(f"{name}-"))
            programs[name] = replace(program, below=below)
