"""Packs: rules in YAML that prove themselves when they load. A pack whose examples fail does not load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import re2
import yaml

from guardhouse.errors import LawFault, LawProblem
from guardhouse.guardrails import watch
from guardhouse.guardrails.match import QUIET, Form, parse_form
from guardhouse.guardrails.overrides import Override, read_overrides
from guardhouse.guardrails.programs import Program, joined, read_program
from guardhouse.guardrails.text import Rule
from guardhouse.model import canonical

SEVERITIES = ("log", "warn", "approval_required", "block")
KINDS = ("shell", "sql", "file", "prose", "auto")
DEFAULT_KINDS = ("shell", "sql", "auto")
PLACES = ("text", "units", "code")
EVENTS = watch.EVENTS | frozenset(
    [
        "size",
        "depth",
        "syntax",
        "program",
        "code",
        "stdin",
        "fetched",
        "unpacked",
        "decoded",
        "bomb",
        "reverse",
        "exfil",
        "exfil.variable",
        "exfil.bulk",
        "secret.read",
        "hidden",
        "wrapper",
        "escape",
        "setuid",
        "sql.drop",
        "sql.drop.database",
        "sql.truncate",
        "sql.unbounded",
        "sql.role",
        "sql.grant",
        "sql.program",
        "sql.server",
        "sql.replace",
        "sql.alter",
        "sql.temporary",
        "sql.detach",
        "sql.unread",
    ]
)
_PACK_KEYS = frozenset({"pack", "category", "description", "protects", "rules", "programs"})
_RULE_KEYS = frozenset(
    [
        "id",
        "pattern",
        "in",
        "argv",
        "unless",
        "escalate",
        "instead",
        "event",
        "kinds",
        "severity",
        "min_trust",
        "reason",
        "alternative",
        "redact",
        "must_match",
        "must_pass",
        "category",
    ]
)


@dataclass(frozen=True, slots=True)
class LoadedRule:
    """A rule and how it recognises: one of a pattern, forms of argv, or events.

    `place`: where a pattern looks: the raw `text`, the `units` that would run, or interpreter `code`.
    `instead`: alternatives for some of its forms, which `rule.alternative` does not suit.
    `redact`: what the pattern catches is a secret and is never recorded: the group that took part, or all of it.
    """

    rule: Rule
    kinds: frozenset[str]
    pattern: Any = None
    source: str = ""
    place: str = "text"
    forms: tuple[Form, ...] = ()
    unless: tuple[Form, ...] = ()
    escalate: tuple[tuple[Form, str], ...] = ()
    instead: tuple[tuple[Form, str], ...] = ()
    events: frozenset[str] = frozenset()
    redact: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """A text that a rule must or must not match, and where it stands."""

    path: str
    line: int
    rule: LoadedRule
    text: str
    wanted: bool


@dataclass(slots=True)
class Loaded:
    """Everything that the files say."""

    rules: list[LoadedRule] = field(default_factory=list)
    programs: dict[str, Program] = field(default_factory=dict)
    overrides: tuple[Override, ...] = ()
    examples: list[Example] = field(default_factory=list)
    problems: list[LawProblem] = field(default_factory=list)
    digest: str = ""


class _Reader:
    """One file being read; every problem is noted, so that all are told at once."""

    def __init__(self, path: str, problems: list[LawProblem]) -> None:
        self.path = path
        self.problems = problems

    def note(self, line: int, message: str, remedy: str = "") -> None:
        self.problems.append(LawProblem(self.path, line, message, remedy))


def _compose(path: str, data: bytes) -> tuple[Any, list[int]]:
    """The file's value, and the line of each item of its `rules` or `overrides`."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = data.decode("utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=loader)):
            raise LawFault([LawProblem(path, 0, "aliases are not read here", "write the value out")])
        node = yaml.compose(text, Loader=loader)
        value = yaml.constructor.SafeConstructor().construct_document(node) if node is not None else None
    except UnicodeDecodeError as error:
        raise LawFault([LawProblem(path, 0, "the file is not UTF-8", "save it as UTF-8")]) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise LawFault([LawProblem(path, line, f"not YAML: {error.problem}", "mend the syntax")]) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise LawFault([LawProblem(path, 0, "not YAML that can be read", "mend the syntax")]) from error
    twice = _twice(node)
    if twice is not None:
        key, line = twice
        raise LawFault([LawProblem(path, line, f"`{key}` is given twice", "keep one of the two")])
    lines: list[int] = []
    if isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            if key.value in ("rules", "overrides") and isinstance(item, yaml.SequenceNode):
                lines = [one.start_mark.line + 1 for one in item.value]
    return value, lines


def _twice(node: Any) -> tuple[str, int] | None:
    """The first key that a mapping anywhere in the document has twice, of which YAML would silently take the last."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, yaml.SequenceNode):
            waiting += reversed(one.value)
        elif isinstance(one, yaml.MappingNode):
            seen = set()
            for key, _ in one.value:
                if isinstance(key.value, str):
                    if key.value in seen:
                        return key.value, key.start_mark.line + 1
                    seen.add(key.value)
            waiting += [value for _, value in reversed(one.value)]
    return None


def read_packs(files: Mapping[str, bytes]) -> Loaded:
    """Everything in the files in order of path, with every problem noted (examples are not run here)."""
    loaded = Loaded()
    seen: dict[str, str] = {}
    said: dict[str, Any] = {}
    overrides: list[tuple[str, Any, list[int]]] = []
    for path in sorted(files):
        if not path.endswith((".yaml", ".yml")):
            continue
        try:
            value, lines = _compose(path, files[path])
        except LawFault as fault:
            loaded.problems.extend(fault.problems)
            continue
        said[path] = value
        if path.endswith("overrides.yaml"):
            overrides.append((path, value, lines))
            continue
        reader = _Reader(path, loaded.problems)
        if isinstance(value, dict) and "programs" in value:
            _programs(reader, value["programs"], loaded.programs)
            if "rules" not in value:
                continue
        for made, line, item in _rules(reader, value, lines):
            if made.rule.id in seen:
                reader.note(
                    line,
                    f"the rule `{made.rule.id}` stands in {seen[made.rule.id]} already",
                    "give it an id of its own",
                )
                continue
            seen[made.rule.id] = f"{path}:{line}"
            _examples(reader, line, made, item, loaded.examples)
            loaded.rules.append(made)
    joined(loaded.programs)
    known = {made.rule.id: made.rule for made in loaded.rules}
    for path, value, lines in overrides:
        ours, problems = read_overrides(path, value, lines, known)
        loaded.overrides += ours
        loaded.problems.extend(problems)
    if not loaded.problems:
        loaded.digest = canonical.digest(canonical.encode(_plain(said)))
    return loaded


def _plain(value: Any) -> Any:
    """Dates (YAML reads them) as text, so that the value is plain JSON."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _programs(reader: _Reader, value: Any, programs: dict[str, Program]) -> None:
    if not isinstance(value, dict):
        reader.note(1, "`programs` is a mapping of names to what they do")
        return
    for names, item in value.items():
        try:
            made = read_program(item)
        except (ValueError, TypeError) as error:
            reader.note(1, f"the program `{names}`: {error}", "see docs/guardrails.md")
            continue
        for name in str(names).split():
            if name in programs:
                reader.note(1, f"the program `{name}` has two rows", "keep one of the two")
            programs[name] = made


def _rules(reader: _Reader, value: Any, lines: list[int]) -> list[tuple[LoadedRule, int, Mapping[str, Any]]]:
    if not isinstance(value, dict) or not isinstance(value.get("rules"), list):
        reader.note(1, "a pack is a mapping with `pack`, `category` and `rules`", "see docs/guardrails.md")
        return []
    for key in value.keys() - _PACK_KEYS:
        reader.note(1, f"unknown key `{key}`", f"known: {', '.join(sorted(_PACK_KEYS))}")
    pack, category = value.get("pack"), value.get("category")
    if not isinstance(pack, str) or not isinstance(category, str):
        reader.note(1, "`pack` and `category` must be text", "name them")
        return []
    made = []
    for item, line in zip(value["rules"], lines, strict=True):
        rule = _rule(reader, line, item, pack, category, protects=value.get("protects") is True)
        if rule is not None:
            made.append((rule, line, item))
    return made


def _rule(reader: _Reader, line: int, item: Any, pack: str, category: str, *, protects: bool) -> LoadedRule | None:
    before = len(reader.problems)
    if not isinstance(item, dict):
        reader.note(line, "a rule is a mapping")
        return None
    for key in item.keys() - _RULE_KEYS:
        reader.note(line, f"unknown key `{key}`", f"known: {', '.join(sorted(_RULE_KEYS))}")
    for key in ("id", "severity", "reason"):
        if not isinstance(item.get(key), str) or not item[key].strip():
            reader.note(line, f"the rule lacks `{key}`", f"add `{key}` as text")
    if sum(key in item for key in ("pattern", "argv", "event")) != 1:
        reader.note(line, "a rule has one of `pattern`, `argv` and `event`", "keep one")
    if item.get("severity") not in SEVERITIES:
        reader.note(line, "`severity` is not one of " + ", ".join(SEVERITIES))
    trust = item.get("min_trust", 4)
    if not isinstance(trust, int) or isinstance(trust, bool) or not 0 <= trust <= 5:
        reader.note(line, "`min_trust` lies between 0 and 4, or is 5 for nobody")
    kinds = item.get("kinds", list(DEFAULT_KINDS))
    if not isinstance(kinds, list) or not kinds or any(kind not in KINDS for kind in kinds):
        reader.note(line, "`kinds` is a list of " + ", ".join(KINDS))
    if item.get("in", "text") not in PLACES:
        reader.note(line, "`in` is one of " + ", ".join(PLACES))
    if len(reader.problems) > before:
        return None
    rule = Rule(
        id=item["id"],
        pack=pack,
        category=item.get("category", category),
        severity=item["severity"],
        min_trust=trust,
        reason=" ".join(item["reason"].split()),
        alternative=str(item.get("alternative", "")),
        protects=protects,
    )
    shared: dict[str, Any] = {"rule": rule, "kinds": frozenset(kinds), "redact": item.get("redact") is True}
    try:
        if "pattern" in item:
            return LoadedRule(
                **shared,
                pattern=re2.compile(str(item["pattern"]), options=QUIET),
                source=str(item["pattern"]),
                place=item.get("in", "text"),
            )
        if "event" in item:
            names = frozenset(_texts(item["event"]))
            if names - EVENTS:
                reader.note(line, f"no event `{min(names - EVENTS)}`", "known: " + ", ".join(sorted(EVENTS)))
                return None
            return LoadedRule(**shared, events=names)
        return LoadedRule(
            **shared,
            forms=tuple(map(parse_form, _texts(item["argv"]))),
            unless=tuple(map(parse_form, _texts(item.get("unless", [])))),
            escalate=tuple(_escalation(one) for one in item.get("escalate", [])),
            instead=tuple(_instead(one) for one in item.get("instead", [])),
        )
    except re2.error as error:
        reader.note(
            line, f"not an RE2 pattern: {error.args[0]!s}"[:200], "RE2 has no look-around and no back-references"
        )
    except (ValueError, TypeError, KeyError) as error:
        reader.note(line, f"`{item['id']}`: {error}"[:300], "see the grammar of forms in docs/guardrails.md")
    return None


def _texts(value: Any) -> list[str]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise ValueError("a text or a list of texts is wanted")
    return listed


def _escalation(value: Any) -> tuple[Form, str]:
    if not isinstance(value, dict) or value.keys() != {"when", "to"} or value["to"] not in SEVERITIES:
        raise ValueError("an escalation has `when` (a form) and `to` (a severity)")
    return parse_form(value["when"]), value["to"]


def _instead(value: Any) -> tuple[Form, str]:
    if not isinstance(value, dict) or value.keys() != {"when", "say"} or not isinstance(value["say"], str):
        raise ValueError("an `instead` has `when` (a form) and `say` (the alternative for what fits it)")
    return parse_form(value["when"]), value["say"]


def _examples(reader: _Reader, line: int, made: LoadedRule, item: Mapping[str, Any], into: list[Example]) -> None:
    """Note a rule's own examples: at least two that must match and two that must pass."""
    for key, wanted in (("must_match", True), ("must_pass", False)):
        examples = item.get(key, [])
        if not isinstance(examples, list) or len(examples) < 2 or any(not isinstance(one, str) for one in examples):
            reader.note(
                line, f"`{made.rule.id}` needs at least two texts under `{key}`", "a rule proves itself when it loads"
            )
            continue
        into.extend(Example(reader.path, line, made, text, wanted) for text in examples)
