"""Many patterns tried at once."""

from __future__ import annotations

import re2

from guardhouse.guardrails.packs import LoadedRule


class PatternSet:
    """Patterns as one RE2 set."""

    def __init__(self, rules: list[LoadedRule]) -> None:
        self.rules = rules
        self._set = re2.Set.SearchSet()
        for made in rules:
            self._set.Add(made.source)
        if rules:
            self._set.Compile()

    def hits(self, text: str) -> list[LoadedRule]:
        """The rules that match somewhere, in the order of the packs."""
        return [self.rules[number] for number in sorted(self._set.Match(text) or ())] if self.rules else []
