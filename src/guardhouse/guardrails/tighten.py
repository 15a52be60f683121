"""Tightenings: what a repository's own `.guardhouse.yaml` may ask for. It can make a verdict stricter and nothing else."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import yaml

from guardhouse.guardrails import paths
from guardhouse.guardrails.text import Explained, Rule
from guardhouse.model.facts import Finding

FILE_NAME = ".guardhouse.yaml"
FIELD = "tighten"
"""The input field that carries the file's text."""
MOST_BYTES = 64 * 1024
MOST_DEPTH = 8
MOST_EVENTS = 20_000
MOST_TIGHTENINGS = 200
LEVELS = ("log", "warn", "approval_required", "block")
UNREAD = "tightening.unread"
"""The rule of the finding that a file with faults makes: a person must look, since what it wants is not known."""
_KEYS = frozenset({"rule", "category", "set", "paths", "reason"})
_REASON = "The repository's .guardhouse.yaml cannot be applied, so what it forbids is not known"


@dataclass(frozen=True, slots=True)
class Tightening:
    """One wish: findings of a rule (shell globs) or a category, where their paths are of a class, are at least `level`."""

    level: str
    rule: str
    category: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """What a file says: tightenings, or the first fault in it with its line."""

    tightenings: tuple[Tightening, ...] = ()
    fault: str = ""
    line: int = 0


def tightened(findings: Sequence[Finding], text: str, rules: Mapping[str, Rule]) -> tuple[Finding, ...]:
    """The findings with the floors that a repository's file sets, and one more where it has a fault. Pure; never raises.

    `rules` are those of the loaded packs. A file never takes a finding away and never lowers one.
    """
    if not text.strip():
        return tuple(findings)
    read = read_tighten(text)
    fault = read.fault or _unknown(read.tightenings, rules)
    if fault:
        return (*findings, _unread())
    return tuple(_floored(finding, read.tightenings) for finding in findings)


def explain(findings: Sequence[Finding], text: str, rules: Mapping[str, Rule]) -> tuple[Explained, ...]:
    """The words for the finding of a file with faults; the packs explain every other."""
    made = next((finding for finding in findings if finding.rule == UNREAD), None)
    if made is None:
        return ()
    read = read_tighten(text)
    fault = read.fault or _unknown(read.tightenings, rules)
    where = f"{FILE_NAME}:{read.line or 1}" if read.fault else FILE_NAME
    return (
        Explained(
            rule=made.rule,
            pack=made.pack,
            category=made.category,
            severity=made.severity,
            min_trust=made.min_trust,
            field=made.field,
            start=0,
            end=0,
            matched_text="",
            reason=f"{_REASON} ({where}: {fault}).",
            alternative=f"mend {FILE_NAME} and ask again",
        ),
    )


def _unread() -> Finding:
    return Finding(UNREAD, "tightening", "tightening", "approval_required", 5, FIELD, 0, 0)


@lru_cache(maxsize=64)
def read_tighten(text: str) -> Read:
    """The tightenings of a file's text, or of several files' as YAML documents: all of them count.

    Bounded in size, depth and parts; a fault is told, never raised.
    """
    if len(text) > MOST_BYTES or len(text.encode("utf-8", "replace")) > MOST_BYTES:
        return Read(fault=f"the file is longer than {MOST_BYTES} bytes")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        fault = _bounded(text, loader)
        if fault:
            return fault
        documents = [
            (node, yaml.constructor.SafeConstructor().construct_document(node))
            for node in yaml.compose_all(text, Loader=loader)
            if node is not None
        ]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        return Read(fault="it is not YAML", line=line)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, OverflowError):
        return Read(fault="it is not YAML that can be read")
    made: list[Tightening] = []
    for node, value in documents:
        read = _read(value, _lines(node))
        if read.fault:
            return read
        made += read.tightenings
    return Read(tuple(made))


def _lines(node: Any) -> list[int]:
    """The line of each tightening of one document, for its fault."""
    if not isinstance(node, yaml.MappingNode):
        return []
    return [
        item.start_mark.line + 1
        for key, part in node.value
        if key.value == "tighten" and isinstance(part, yaml.SequenceNode)
        for item in part.value
    ]


def _bounded(text: str, loader: Any) -> Read | None:
    """Walk the parser's events, which costs no stack, before anything is built."""
    depth = 0
    for seen, event in enumerate(yaml.parse(text, Loader=loader)):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            return Read(fault="anchors and aliases are not read here; write the value out", line=line)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MOST_DEPTH or seen > MOST_EVENTS:
            return Read(fault="it nests too deep or holds too much", line=line)
    return None


def _read(value: Any, lines: Sequence[int]) -> Read:
    if not isinstance(value, dict):
        return Read(fault="the file is a mapping with a list `tighten`", line=1)
    unknown = sorted(str(key) for key in value if key != "tighten")
    if unknown:
        return Read(fault="it has a key that is not known; known is `tighten`", line=1)
    listed = value.get("tighten")
    if listed is None:
        return Read()
    if not isinstance(listed, list) or len(listed) > MOST_TIGHTENINGS:
        return Read(fault=f"`tighten` is a list of at most {MOST_TIGHTENINGS}", line=1)
    made: list[Tightening] = []
    for number, item in enumerate(listed):
        line = lines[number] if number < len(lines) else 1
        fault = _fault(item)
        if fault:
            return Read(fault=fault, line=line)
        made.append(
            Tightening(item["set"], item.get("rule") or "", item.get("category") or "", tuple(item.get("paths") or ()))
        )
    return Read(tuple(made))


def _fault(item: Any) -> str:
    """What is wrong with one tightening, in words of ours only: the file's text may hold anything."""
    if not isinstance(item, dict):
        return "a tightening is a mapping with `rule` or `category`, and `set`"
    if any(key not in _KEYS for key in item):
        return "a tightening has " + ", ".join(f"`{key}`" for key in sorted(_KEYS)) + " and nothing else"
    if item.get("set") in (False, "off"):
        return "a repository can only tighten: `set: off` belongs into policies/guardrails/overrides.yaml"
    if item.get("set") not in LEVELS:
        return "`set` is one of " + ", ".join(LEVELS)
    named = [item[key] for key in ("rule", "category") if key in item]
    if len(named) != 1 or not isinstance(named[0], str) or not named[0] or len(named[0]) > 200:
        return "a tightening names either a `rule` or a `category`"
    classes = item.get("paths", [])
    if not isinstance(classes, list) or any(not isinstance(one, str) or one not in paths.CLASSES for one in classes):
        return "`paths` is a list of " + ", ".join(sorted(paths.CLASSES))
    if not isinstance(item.get("reason", ""), str):
        return "`reason` is text"
    return ""


def _unknown(tightenings: Sequence[Tightening], rules: Mapping[str, Rule]) -> str:
    """What names no rule of these packs, or would lower every rule it names."""
    for one in tightenings:
        named = [
            rule
            for rule in rules.values()
            if (one.rule and fnmatch.fnmatchcase(rule.id, one.rule)) or (one.category and rule.category == one.category)
        ]
        if not named:
            return "a `rule` or `category` of it is not one of the packs in force"
        if one.rule and all(_rank(rule.severity) > _rank(one.level) for rule in named):
            return "a repository can only tighten, and a rule of it is stricter already than it asks for"
    return ""


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def _floored(finding: Finding, tightenings: Sequence[Tightening]) -> Finding:
    floor = ""
    for one in tightenings:
        covers = fnmatch.fnmatchcase(finding.rule, one.rule) if one.rule else finding.category == one.category
        there = not one.paths or any(name in one.paths for name in finding.path_classes)
        if covers and there and (not floor or _rank(one.level) > _rank(floor)):
            floor = one.level
    return replace(finding, floor=floor) if floor else finding
