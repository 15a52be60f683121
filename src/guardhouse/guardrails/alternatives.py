"""The safer command that a finding proposes, with the caller's own words in it as a shell would need them written."""

from __future__ import annotations

import fnmatch
import re
import shlex
from collections.abc import Mapping

from guardhouse.guardrails.match import Parsed, Patterns, fits
from guardhouse.guardrails.packs import LoadedRule
from guardhouse.guardrails.programs import UNSPECIFIED, Arguments, Program, arguments
from guardhouse.guardrails.units import Unit
from guardhouse.guardrails.words import UNKNOWN

_PLACE = re.compile(r"\{(program|args|where|rest|last|\d)\}")
_PLAIN = re.compile(r"[\w@%+=:,./~^*?…\[\]-]+")
"""Words that mean the same with and without quotes, or that were meant as a pattern or a home."""
_HIDDEN = "…"
"""Stands for what only running would tell, and for what has no place in one line."""


def propose(made: LoadedRule, unit: Unit | None, programs: Mapping[str, Program]) -> str:
    """The alternative of a rule for one command: the first of its `instead` that fits, or else its `alternative`.

    `{program}`, `{args}` (all arguments), `{where}` (the options that say where it acts, such as `-C` or `--context`), `{1}`
    (a positional; a subcommand counts), `{rest}` (positionals from the second on) and `{last}` are filled in, each word
    quoted where a shell would read it as more than a word.
    """
    template = made.rule.alternative
    if unit is None:
        return _spaced(_PLACE.split(template), {})
    program = programs.get(unit.program, UNSPECIFIED)
    for form, say in made.instead:
        named = any(fnmatch.fnmatchcase(unit.program, one) for one in form.programs)
        if named and fits(form, Parsed(unit, program, "", form.flags, Patterns(form.patterns))) is not None:
            template = say
            break
    if "{" not in template:
        return template
    given = unit.given or arguments(unit.args, program)
    words = [_quoted(word.text) for word in given.positionals]
    known = {str(number): word for number, word in enumerate(words[:9], 1)}
    known |= {
        "program": unit.program,
        "args": " ".join(_quoted(word.text) for word in unit.args),
        "where": _where(given, program),
        "rest": " ".join(words[1:]),
        "last": words[-1] if words else _HIDDEN,
    }
    return _spaced(_PLACE.split(template), known)


def _spaced(parts: list[str], known: Mapping[str, str]) -> str:
    """Text and names of places in turn, put together; the blank before a place that stays empty goes with it."""
    made = parts[0]
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        word = known.get(name, "")
        made = made + word if word else made.rstrip(" ")
        made += text
    return made


def _quoted(text: str) -> str:
    text = text.replace(UNKNOWN, _HIDDEN)
    if not text.isprintable():
        return _HIDDEN
    return text if _PLAIN.fullmatch(text) else shlex.quote(text)


def _where(given: Arguments, program: Program) -> str:
    made = []
    for name, word in given.options:
        if name in program.where:
            joint = "=" if name.startswith("--") or not program.clusters else " "
            made.append(name if word is None else f"{name}{joint}{_quoted(word.text)}")
    return " ".join(made)
