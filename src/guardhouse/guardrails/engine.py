"""The engine over pattern packs: every pattern in one pass, then spans for those that hit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import re2

from guardhouse.guardrails.packs import KINDS, PatternRule, read_packs
from guardhouse.guardrails.text import Examined, Explained, Rule
from guardhouse.model.facts import Finding

MOST_FINDINGS = 50
MOST_SPANS = 5
"""Spans noted for one rule in one text; more would say nothing new."""


class _KindSet:
    """The patterns for one kind of text as one RE2 set."""

    def __init__(self, rules: tuple[PatternRule, ...]) -> None:
        self.rules = rules
        self._set = re2.Set.SearchSet()
        for rule in rules:
            self._set.Add(rule.source)
        if rules:
            self._set.Compile()

    def hits(self, text: str) -> list[PatternRule]:
        """The rules that match somewhere, in the order of the packs."""
        if not self.rules:
            return []
        return [self.rules[number] for number in sorted(self._set.Match(text) or ())]


class PatternPacks:
    """Loaded packs. See `guardrails.text.Packs` for the contract."""

    def __init__(self, rules: tuple[PatternRule, ...], digest: str) -> None:
        self.digest = digest
        self._by_id = {made.rule.id: made for made in rules}
        self.rules: Mapping[str, Rule] = {name: made.rule for name, made in self._by_id.items()}
        self._kinds = {kind: _KindSet(tuple(made for made in rules if kind in made.kinds)) for kind in KINDS}
        self._secrets = _KindSet(tuple(made for made in rules if made.redact))

    def examine(self, texts: tuple[Examined, ...]) -> tuple[Finding, ...]:
        """Every rule that matches, with its first spans."""
        findings: list[Finding] = []
        for text in texts:
            ours: list[Finding] = []
            for made in self._kinds[text.kind if text.kind in self._kinds else "auto"].hits(_searchable(text)):
                for number, match in enumerate(made.pattern.finditer(_searchable(text))):
                    if number == MOST_SPANS:
                        break
                    ours.append(_finding(made, text.field, *match.span()))
            findings.extend(sorted(ours, key=lambda finding: (finding.start, finding.end, finding.rule)))
        return tuple(findings[:MOST_FINDINGS])

    def explain(self, texts: tuple[Examined, ...], findings: tuple[Finding, ...]) -> tuple[Explained, ...]:
        """The same findings in words, secrets cut from the matched text."""
        by_field = {text.field: _searchable(text) for text in texts}
        explained = []
        for finding in findings:
            made = self._by_id[finding.rule]
            text = by_field.get(finding.field, "")
            explained.append(
                Explained(
                    rule=finding.rule,
                    pack=finding.pack,
                    category=finding.category,
                    severity=finding.severity,
                    min_trust=finding.min_trust,
                    field=finding.field,
                    start=finding.start,
                    end=finding.end,
                    matched_text=self._cut(text, finding.start, finding.end),
                    reason=made.rule.reason,
                    alternative=made.rule.alternative,
                )
            )
        return tuple(explained)

    def _cut(self, text: str, start: int, end: int) -> str:
        """A span of a text with every secret in or across it replaced, recognised by its surroundings."""
        made, at = [], start
        for first, last, rule in self._secret_spans(text):
            if last <= at or first >= end:
                continue
            made.append(text[at : max(at, first)])
            made.append(f"[redacted:{rule}]")
            at = min(last, end)
        made.append(text[at:end])
        return "".join(made)

    def _secret_spans(self, text: str) -> list[tuple[int, int, str]]:
        found: list[tuple[int, int, str]] = []
        for made in self._secrets.hits(text):
            found.extend((*match.span(), made.rule.id) for match in made.pattern.finditer(text))
        return sorted(found)

    def redact(self, value: Any) -> Any:
        """A plain JSON value with every caught secret replaced by `[redacted:RULE]`."""
        if isinstance(value, str):
            return self._cut(value, 0, len(value)) if self._secrets.hits(value) else value
        if isinstance(value, list):
            return [self.redact(item) for item in value]
        if isinstance(value, dict):
            return {self.redact(key): self.redact(item) for key, item in value.items()}
        return value


def _searchable(text: Examined) -> str:
    return text.text


def _finding(made: PatternRule, field: str, start: int, end: int) -> Finding:
    rule = made.rule
    return Finding(
        rule=rule.id,
        pack=rule.pack,
        category=rule.category,
        severity=rule.severity,
        min_trust=rule.min_trust,
        field=field,
        start=start,
        end=end,
        protects=rule.protects,
    )


def load_packs(files: Mapping[str, bytes]) -> PatternPacks:
    """Load and prove all packs; LawFault lists every problem with its file and line."""
    rules, digest = read_packs(files)
    return PatternPacks(rules, digest)
