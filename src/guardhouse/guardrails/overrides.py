"""Overrides: what a site changes in shipped rules, as data. Pure: the clock is handed in."""

from __future__ import annotations

import datetime
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from guardhouse.errors import LawProblem
from guardhouse.guardrails.text import Rule
from guardhouse.model.facts import Finding

LEVELS = ("off", "log", "warn", "approval_required", "block")
_KEYS = frozenset({"rule", "category", "set", "agents", "roles", "paths", "repositories", "reason", "owner", "expires"})


@dataclass(frozen=True, slots=True)
class Override:
    """One change. `expires` is in microseconds since the epoch, 0 for never (only a tightening may last for ever)."""

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

    def covers(self, finding: Finding) -> bool:
        return fnmatch.fnmatchcase(finding.rule, self.rule) if self.rule else finding.category == self.category


def read_overrides(
    path: str, value: Any, line: int, rules: Mapping[str, Rule]
) -> tuple[tuple[Override, ...], list[LawProblem]]:
    """All overrides of a file, and what is wrong with it."""
    problems: list[LawProblem] = []
    made: list[Override] = []
    listed = value.get("overrides") if isinstance(value, dict) else None
    if listed is None and not value:
        return (), []
    if not isinstance(listed, list):
        return (), [LawProblem(path, line, "a list `overrides` is missing", "see docs/guardrails.md")]
    for number, item in enumerate(listed, 1):
        if isinstance(item, dict) and item.get("set") is False:
            # YAML reads a bare `off` as false.
            item = {**item, "set": "off"}
        wrong = _faults(item, rules)
        problems.extend(LawProblem(path, line, f"override {number}: {message}", remedy) for message, remedy in wrong)
        if not wrong:
            made.append(_made(item))
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


def _made(item: Mapping[str, Any]) -> Override:
    def texts(key: str) -> tuple[str, ...]:
        value = item.get(key) or ()
        return (value,) if isinstance(value, str) else tuple(map(str, value))

    return Override(
        level=item["set"],
        rule=str(item.get("rule") or ""),
        category=str(item.get("category") or ""),
        agents=texts("agents"),
        roles=texts("roles"),
        paths=texts("paths"),
        repositories=texts("repositories"),
        reason=item["reason"].strip(),
        owner=item["owner"].strip(),
        expires=_instant(item.get("expires")) or 0,
    )


def apply(
    findings: Sequence[Finding],
    overrides: Sequence[Override],
    *,
    now: int,
    agent: str = "",
    role: str = "",
    path: str = "",
    repository: str = "",
) -> tuple[Finding, ...]:
    """The findings as the site's overrides have them; `off` takes one away. The last override that covers one wins.

    `now` is in microseconds. `repository` MUST be a registered one, `agent` and `role` the authenticated caller's:
    nothing an agent claims may loosen. Findings of a pack that protects Guardhouse are never loosened.
    """
    made: list[Finding] = []
    for finding in findings:
        level = finding.severity
        for one in overrides:
            if (one.expires and one.expires <= now) or not one.covers(finding):
                continue
            scopes = ((one.agents, agent), (one.roles, role), (one.paths, path), (one.repositories, repository))
            if all(
                not names or (value and any(fnmatch.fnmatchcase(value, name) for name in names))
                for names, value in scopes
            ):
                level = one.level
        if finding.protects and LEVELS.index(level) < LEVELS.index(finding.severity):
            level = finding.severity
        if level != "off":
            made.append(finding if level == finding.severity else replace(finding, severity=level))
    return tuple(made)
