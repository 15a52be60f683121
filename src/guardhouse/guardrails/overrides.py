"""Overrides: what a site changes in shipped rules, as data. Pure: the clock is handed in."""

from __future__ import annotations

import datetime
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from guardhouse.errors import LawProblem
from guardhouse.guardrails import paths
from guardhouse.guardrails.text import Rule
from guardhouse.model.facts import Finding

LEVELS = ("off", "log", "warn", "approval_required", "block")
_KEYS = frozenset({"rule", "category", "set", "agents", "roles", "paths", "repositories", "reason", "owner", "expires"})


@dataclass(frozen=True, slots=True)
class Override:
    """One change. `expires` is in microseconds since the epoch, 0 for never (only a tightening may last for ever).

    `agents` are agents' ids, `roles` agents' roles, `paths` path classes, `repositories` registered ones. Shell
    globs are read in all but `paths`. What is left empty does not narrow. `place` is its file and line.
    """

    level: str
    rule: str = ""
    category: str = ""
    agents: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    reason: str = ""
    owner: str = ""
    expires: int = 0
    place: str = ""

    def covers(self, finding: Finding) -> bool:
        return fnmatch.fnmatchcase(finding.rule, self.rule) if self.rule else finding.category == self.category


def read_overrides(
    path: str, value: Any, lines: Sequence[int], rules: Mapping[str, Rule]
) -> tuple[tuple[Override, ...], list[LawProblem]]:
    """All overrides of a file, and what is wrong with it. `lines` says where each one begins."""
    problems: list[LawProblem] = []
    made: list[Override] = []
    listed = value.get("overrides") if isinstance(value, dict) else None
    if listed is None and not value:
        return (), []
    if not isinstance(listed, list):
        return (), [LawProblem(path, 1, "a list `overrides` is missing", "see docs/guardrails.md")]
    problems.extend(
        LawProblem(path, 1, f"unknown key `{key}`", "known: overrides") for key in value if key != "overrides"
    )
    for number, item in enumerate(listed, 1):
        line = lines[number - 1] if number <= len(lines) else 1
        if isinstance(item, dict) and item.get("set") is False:
            # YAML reads a bare `off` as false.
            item = {**item, "set": "off"}
        wrong = _faults(item, rules)
        problems.extend(LawProblem(path, line, f"override {number}: {message}", remedy) for message, remedy in wrong)
        if not wrong:
            made.append(_made(item, f"{path.rpartition('/')[2]}:{line}"))
    return tuple(made), problems


def _faults(item: Any, rules: Mapping[str, Rule]) -> list[tuple[str, str]]:
    if not isinstance(item, dict):
        return [("an override is a mapping", "")]
    wrong = [(f"unknown key `{key}`", f"known: {', '.join(sorted(_KEYS))}") for key in sorted(item.keys() - _KEYS)]
    if item.get("set") not in LEVELS:
        wrong.append(("`set` is not one of " + ", ".join(LEVELS), ""))
    targets = [
        rule
        for rule in rules.values()
        if (item.get("rule") and fnmatch.fnmatchcase(rule.id, str(item["rule"])))
        or (item.get("category") and rule.category == item["category"])
    ]
    if bool(item.get("rule")) is bool(item.get("category")) or not targets:
        wrong.append(("`rule` or `category` names no shipped rule", "name one rule, or one category"))
    wrong.extend(
        (f"`{key}` is missing", "say why, and who answers for it")
        for key in ("reason", "owner")
        if not isinstance(item.get(key), str) or not item[key].strip()
    )
    loosens = (
        any(LEVELS.index(str(item.get("set"))) < LEVELS.index(rule.severity) for rule in targets)
        if item.get("set") in LEVELS
        else False
    )
    for key in ("agents", "roles", "paths", "repositories"):
        given = item.get(key)
        if given is not None and not (isinstance(given, str) or _named(given)):
            wrong.append((f"`{key}` is not a text or a list of texts", "take it away where it should not narrow"))
    # A handle may be given to another agent later, and no gate knows it; what never matches would be a silent gap.
    wrong.extend(
        (f"`{name}` is no agent's id", "ids begin with `agt_`; `guardhouse agents list` shows them")
        for name in _texts(item.get("agents"))
        if not name.startswith(("agt_", "*"))
    )
    wrong.extend(
        (f"no path class `{name}`", f"known: {', '.join(sorted(paths.CLASSES))}")
        for name in _texts(item.get("paths"))
        if name not in paths.CLASSES
    )
    if loosens and any(rule.protects for rule in targets):
        wrong.append(("a rule that protects Guardhouse cannot be loosened", "take the override away"))
    if loosens and item.get("expires") is None:
        wrong.append(("what loosens needs `expires`", "add a date such as 2030-01-31"))
    if item.get("expires") is not None and _instant(item["expires"]) is None:
        wrong.append(("`expires` is not a date", "write 2030-01-31"))
    return wrong


def _instant(value: Any) -> int | None:
    try:
        if isinstance(value, str):
            value = datetime.datetime.fromisoformat(value)
        if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
            value = datetime.datetime.combine(value, datetime.time())
        if not isinstance(value, datetime.datetime):
            return None
        return int(value.replace(tzinfo=value.tzinfo or datetime.UTC).timestamp()) * 1_000_000
    except ValueError:
        return None


def _named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) and one for one in value)


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if _named(value) else ()


def _made(item: Mapping[str, Any], place: str) -> Override:
    return Override(
        level=item["set"],
        rule=str(item.get("rule") or ""),
        category=str(item.get("category") or ""),
        agents=_texts(item.get("agents")),
        roles=_texts(item.get("roles")),
        paths=_texts(item.get("paths")),
        repositories=_texts(item.get("repositories")),
        reason=item["reason"].strip(),
        owner=item["owner"].strip(),
        expires=_instant(item.get("expires")) or 0,
        place=place,
    )


def apply(
    findings: Sequence[Finding],
    overrides: Sequence[Override],
    *,
    now: int,
    agent: str = "",
    role: str = "",
    delegation: Sequence[str] = (),
    repository: str = "",
) -> tuple[Finding, ...]:
    """The findings as `applied` leaves them."""
    return applied(findings, overrides, now=now, agent=agent, role=role, delegation=delegation, repository=repository)[
        0
    ]


def applied(
    findings: Sequence[Finding],
    overrides: Sequence[Override],
    *,
    now: int,
    agent: str = "",
    role: str = "",
    delegation: Sequence[str] = (),
    repository: str = "",
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """The findings as the site's overrides have them, and the places of the overrides that loosened one.

    `off` takes a finding away. The last override that covers one wins; none goes below a finding's `floor`.

    `now` is in microseconds. `repository` MUST be a registered one, `agent`, `role` and `delegation` (ids) the
    authenticated caller's: nothing an agent claims may loosen. Findings of a pack that protects Guardhouse are never
    loosened, and what has no end loosens nothing, a rule that escalated included.
    """
    made: list[Finding] = []
    places: set[str] = set()
    for finding in findings:
        level, place = finding.severity, ""
        for one in overrides:
            if (one.expires and one.expires <= now) or not one.covers(finding):
                continue
            loosens = _rank(one.level) < _rank(finding.severity)
            if loosens and (finding.protects or not one.expires):
                continue
            if (
                _for_agent(one, agent, role, delegation, loosens=loosens)
                and (not one.repositories or _like(repository, one.repositories))
                and _there(one.paths, finding.path_classes, loosens=loosens)
            ):
                level, place = one.level, one.place if loosens else ""
        if finding.floor and _rank(level) < _rank(finding.floor):
            level, place = finding.floor, ""
        if place:
            places.add(place)
        if level != "off":
            made.append(finding if level == finding.severity else replace(finding, severity=level))
    return tuple(made), tuple(sorted(places))


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def _like(value: str, names: Sequence[str]) -> bool:
    return bool(value) and any(fnmatch.fnmatchcase(value, name) for name in names)


def _for_agent(one: Override, agent: str, role: str, delegation: Sequence[str], *, loosens: bool) -> bool:
    """Whether the caller is meant. Work that another agent handed on is loosened only where that one is meant too."""
    if one.agents and not _like(agent, one.agents):
        return False
    if one.roles and not _like(role, one.roles):
        return False
    if not loosens or not delegation:
        return True
    # A delegator's role is not known here, so a loosening for roles alone does not reach what was handed on.
    return all(_like(name, one.agents) for name in delegation) if one.agents else not one.roles


def _there(wanted: Sequence[str], classes: Sequence[str], *, loosens: bool) -> bool:
    """Any class tightens; to loosen, every class that the finding's paths have must be named, since others stand beside."""
    if not wanted:
        return True
    if loosens:
        return bool(classes) and all(name in wanted for name in classes)
    return any(name in wanted for name in classes)
