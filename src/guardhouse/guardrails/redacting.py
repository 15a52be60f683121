"""Secrets in texts: where they stand, and the same text without them."""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate
from typing import Any

from guardhouse.guardrails.packs import LoadedRule
from guardhouse.guardrails.patterns import PatternSet
from guardhouse.guardrails.turns import turn

Span = tuple[int, int, str]
"""Where a secret begins and ends, and the rule that caught it."""
SURROGATES = re.compile("[\ud800-\udfff]")
_SHORT = 80
_KEPT_CLEAN = 4_096
_STEP = 64
"""Secrets found between two turns."""


class Secrets:
    """The rules that catch secrets, as one set."""

    def __init__(self, rules: list[LoadedRule]) -> None:
        self._rules = PatternSet(rules)
        self._clean: set[str] = set()  # short texts that hold no secret: field names and resources come again and again

    def spans(self, text: str) -> list[Span]:
        """Every secret in a text, in order; they may overlap."""
        if text in self._clean:
            return []
        found: list[Span] = []
        for made in self._rules.hits(text):
            for number, match in enumerate(made.pattern.finditer(text)):
                if number % _STEP == 0:
                    turn()
                found.append((*match.span(match.lastindex or 0), made.rule.id))
        if not found and len(text) <= _SHORT:
            if len(self._clean) >= _KEPT_CLEAN:
                self._clean.clear()
            self._clean.add(text)
        return sorted(found)

    def cut(self, text: str) -> str:
        """The text with `[redacted:RULE]` for every secret."""
        spans = self.spans(text)
        return Marks(spans).excerpt(text, 0, len(text)) if spans else text

    def redact(self, value: Any) -> Any:
        """A plain JSON value with every caught secret replaced by `[redacted:RULE]`."""
        if isinstance(value, str):
            if value in self._clean:
                return value
            return self.cut(SURROGATES.sub("\ufffd", value))
        if isinstance(value, list):
            return [self.redact(item) for item in value]
        if isinstance(value, dict):
            return {self.redact(key): self.redact(item) for key, item in value.items()}
        return value


class Marks:
    """A text's secrets in order, to quote from it again and again without going through all of them each time."""

    def __init__(self, secrets: list[Span]) -> None:
        self._secrets = secrets
        self._reach = list(accumulate((last for _first, last, _rule in secrets), max))

    def excerpt(self, text: str, start: int, end: int, most: int = 0) -> str:
        """A span of the text with every secret in or across it replaced; `most` bounds what is quoted beside the marks (0: all)."""
        cut = bool(most) and end - start > most
        if cut:
            end = start + most
        made, at = [], start
        for number in range(bisect_right(self._reach, start), len(self._secrets)):
            first, last, rule = self._secrets[number]
            if first >= end:
                break
            if last <= at:
                continue
            made.append(text[at : max(at, first)])
            made.append(f"[redacted:{rule}]")
            at = min(last, end)
        made.append(text[at:end])
        return "".join(made) + ("…" if cut else "")
