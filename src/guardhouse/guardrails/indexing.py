"""Which rules may concern a command: forms by program and first subcommand, so that ten times the rules cost little more."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from guardhouse.guardrails.match import Form, Parsed, Patterns
from guardhouse.guardrails.packs import LoadedRule

_KEPT = 4096
"""Programs whose bucket is kept; a text names a few, and hostile texts could name any number."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule that a form would hit, with those of its exceptions and escalations that speak of the same program."""

    made: LoadedRule
    unless: tuple[Form, ...]
    escalate: tuple[tuple[Form, str], ...]


Entries = tuple[tuple[Form, tuple[Candidate, ...]], ...]
"""A form that several rules share is tried once for all of them."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """All that rules say of one program: forms to try always, and those to try behind one first subcommand."""

    always: Entries
    behind: Mapping[str, Entries]
    flags: frozenset[str]
    patterns: Patterns

    def entries(self, parsed: Parsed) -> Entries:
        """The forms that may fit this command."""
        if not self.behind:
            return self.always
        # The same two readings of what is a positional that matching has.
        heads = {positionals[0].text for positionals in (parsed.given.positionals, parsed.loose) if positionals}
        made = self.always
        for head in sorted(heads):
            made += self.behind.get(head, ())
        return made


class Index:
    """The buckets of all programs, made when a program is first seen."""

    def __init__(self, rules: Iterable[LoadedRule]) -> None:
        self._exact: dict[str, list[LoadedRule]] = {}
        self._globs: list[tuple[str, LoadedRule]] = []
        self._flags: dict[str, frozenset[str]] = {}
        self._buckets: dict[str, Bucket | None] = {}
        for made in rules:
            for name in dict.fromkeys(name for form in made.forms for name in form.programs):
                if _is_glob(name):
                    self._globs.append((name, made))
                else:
                    self._exact.setdefault(name, []).append(made)
            for form in (*made.forms, *made.unless):
                for name in form.programs:
                    self._flags[name] = self._flags.get(name, frozenset()) | form.flags

    def bucket(self, program: str) -> Bucket | None:
        """What rules say of this program; None where they say nothing."""
        if program in self._buckets:
            return self._buckets[program]
        made = self._made(program)
        if len(self._buckets) < _KEPT:
            self._buckets[program] = made
        return made

    def _made(self, program: str) -> Bucket | None:
        rules = [*self._exact.get(program, ())]
        rules += [made for name, made in self._globs if fnmatch.fnmatchcase(program, name)]
        if not rules:
            return None
        always: dict[Form, list[Candidate]] = {}
        behind: dict[str, dict[Form, list[Candidate]]] = {}
        asked: list[Form] = []
        for made in dict.fromkeys(rules):
            one = Candidate(
                made,
                tuple(form for form in made.unless if names(form, program)),
                tuple((form, to) for form, to in made.escalate if names(form, program)),
            )
            asked += [*one.unless, *(form for form, _ in one.escalate)]
            for form in made.forms:
                if not names(form, program):
                    continue
                asked.append(form)
                heads = form.heads
                if not heads or any(_is_glob(head) for head in heads):
                    always.setdefault(form, []).append(one)
                else:
                    for head in heads:
                        behind.setdefault(head, {}).setdefault(form, []).append(one)
        return Bucket(
            _entries(always),
            {head: _entries(forms) for head, forms in behind.items()},
            self._flags.get(program, frozenset()),
            Patterns(source for form in asked for source in form.patterns),
        )


def names(form: Form, program: str) -> bool:
    """Whether a form speaks of this program."""
    return any(name == program or (_is_glob(name) and fnmatch.fnmatchcase(program, name)) for name in form.programs)


def _is_glob(name: str) -> bool:
    return "*" in name or "?" in name


def _entries(forms: Mapping[Form, list[Candidate]]) -> Entries:
    return tuple((form, tuple(candidates)) for form, candidates in forms.items())
