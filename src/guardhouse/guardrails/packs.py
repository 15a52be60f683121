"""Packs: rules in YAML that prove themselves when they load. A pack whose examples fail does not load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import re2
import yaml

from guardhouse.errors import LawFault, LawProblem
from guardhouse.guardrails.text import Rule
from guardhouse.model import canonical

SEVERITIES = ("log", "warn", "approval_required", "block")
KINDS = ("shell", "sql", "file", "prose", "auto")
DEFAULT_KINDS = ("shell", "sql", "auto")
_PACK_KEYS = frozenset({"pack", "category", "description", "protects", "rules"})
_RULE_KEYS = frozenset(
    {
        "id",
        "pattern",
        "kinds",
        "severity",
        "min_trust",
        "reason",
        "alternative",
        "redact",
        "must_match",
        "must_pass",
        "category",
    }
)


@dataclass(frozen=True, slots=True)
class PatternRule:
    """A rule that is one RE2 pattern. `redact`: what it catches is a secret and is never recorded."""

    rule: Rule
    pattern: Any
    source: str
    kinds: frozenset[str]
    redact: bool = False


@dataclass(slots=True)
class _Reader:
    """One file being read; every problem is noted, so that all are told at once."""

    path: str
    problems: list[LawProblem] = field(default_factory=list)
    lines: dict[int, int] = field(default_factory=dict)

    def note(self, line: int, message: str, remedy: str = "") -> None:
        self.problems.append(LawProblem(self.path, line, message, remedy))


def _compose(path: str, data: bytes) -> tuple[Any, list[int]]:
    """The file's value, and the line of each item of `rules`."""
    try:
        text = data.decode("utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise LawFault([LawProblem(path, 0, "aliases are not read here", "write the value out")])
        value = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise LawFault([LawProblem(path, 0, "the file is not UTF-8", "save it as UTF-8")]) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise LawFault([LawProblem(path, line, f"not YAML: {error.problem}", "mend the syntax")]) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise LawFault([LawProblem(path, 0, "not YAML that can be read", "mend the syntax")]) from error
    lines: list[int] = []
    if isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            if key.value == "rules" and isinstance(item, yaml.SequenceNode):
                lines = [one.start_mark.line + 1 for one in item.value]
    return value, lines


def read_packs(files: Mapping[str, bytes]) -> tuple[tuple[PatternRule, ...], str]:
    """All rules of all packs in order of path, and one digest over what they say. LawFault lists every problem."""
    rules: list[PatternRule] = []
    problems: list[LawProblem] = []
    seen: dict[str, str] = {}
    said: dict[str, Any] = {}
    for path in sorted(files):
        if not path.endswith((".yaml", ".yml")) or path.endswith("overrides.yaml"):
            continue
        try:
            value, lines = _compose(path, files[path])
        except LawFault as fault:
            problems.extend(fault.problems)
            continue
        reader = _Reader(path)
        for made, line in _rules(reader, value, lines):
            if made.rule.id in seen:
                reader.note(
                    line,
                    f"the rule `{made.rule.id}` stands in {seen[made.rule.id]} already",
                    "give it an id of its own",
                )
                continue
            seen[made.rule.id] = f"{path}:{line}"
            _examples(reader, line, made, value["rules"][lines.index(line)])
            rules.append(made)
        problems.extend(reader.problems)
        said[path] = value
    if problems:
        raise LawFault(problems)
    return tuple(rules), canonical.digest(canonical.encode(said))


def _rules(reader: _Reader, value: Any, lines: list[int]) -> list[tuple[PatternRule, int]]:
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
            made.append((rule, line))
    return made


def _rule(reader: _Reader, line: int, item: Any, pack: str, category: str, *, protects: bool) -> PatternRule | None:
    before = len(reader.problems)
    if not isinstance(item, dict):
        reader.note(line, "a rule is a mapping")
        return None
    for key in item.keys() - _RULE_KEYS:
        reader.note(line, f"unknown key `{key}`", f"known: {', '.join(sorted(_RULE_KEYS))}")
    for key in ("id", "pattern", "severity", "reason"):
        if not isinstance(item.get(key), str) or not item[key].strip():
            reader.note(line, f"the rule lacks `{key}`", f"add `{key}` as text")
    if item.get("severity") not in SEVERITIES:
        reader.note(line, "`severity` is not one of " + ", ".join(SEVERITIES))
    trust = item.get("min_trust", 4)
    if not isinstance(trust, int) or isinstance(trust, bool) or not 0 <= trust <= 5:
        reader.note(line, "`min_trust` lies between 0 and 4, or is 5 for nobody")
    kinds = item.get("kinds", list(DEFAULT_KINDS))
    if not isinstance(kinds, list) or not kinds or any(kind not in KINDS for kind in kinds):
        reader.note(line, "`kinds` is a list of " + ", ".join(KINDS))
    if len(reader.problems) > before:
        return None
    try:
        pattern = re2.compile(item["pattern"])
    except re2.error as error:
        reader.note(
            line, f"not an RE2 pattern: {error.args[0]!s}"[:200], "RE2 has no look-around and no back-references"
        )
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
    return PatternRule(rule, pattern, item["pattern"], frozenset(kinds), item.get("redact") is True)


def _examples(reader: _Reader, line: int, made: PatternRule, item: Mapping[str, Any]) -> None:
    """Run a rule's own examples: at least two that must match and two that must pass."""
    for key, wanted in (("must_match", True), ("must_pass", False)):
        examples = item.get(key, [])
        if not isinstance(examples, list) or len(examples) < 2 or any(not isinstance(one, str) for one in examples):
            reader.note(
                line, f"`{made.rule.id}` needs at least two texts under `{key}`", "a rule proves itself when it loads"
            )
            continue
        for example in examples:
            if bool(made.pattern.search(example)) is not wanted:
                verb = "does not match" if wanted else "matches"
                reader.note(line, f"`{made.rule.id}` {verb} its example `{example}`", "mend the pattern or the example")
