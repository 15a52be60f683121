"""What may still be worked out of one text, or of all the pieces of a report together."""

from __future__ import annotations

from dataclasses import dataclass

MOST_WORKED = 20
"""Conditions of SQL that are worked out in one text."""
MOST_WHERE = 240
"""Characters of all the conditions that are worked out in one text."""
MOST_PARSED = 6 * 1024
"""Characters of SQL in one text that are read by its grammar; the rest is read by patterns."""
MOST_REPORT = 45_000
"""Nodes of all pieces of a report, with `PIECE_COST` for each and what the grammars' own work comes to."""
PIECE_COST = 12
"""What a piece of a report costs however short it is, in nodes, and what each finding in it costs."""


@dataclass(slots=True)
class Budget:
    """Work left. It is only ever taken from.

    `short` says that SQL was left out for the lack of it, `cut` that the last shell text was not read to its end.
    """

    conditions: int = MOST_WORKED
    where: int = MOST_WHERE
    parsed: int = MOST_PARSED
    nodes: int = MOST_REPORT
    short: bool = False
    cut: bool = False

    def parses(self, characters: int) -> bool:
        """Take the reading of so much SQL by its grammar, if it is left."""
        self.nodes -= characters // 3
        if self.short or characters > self.parsed:
            return False
        self.parsed -= characters
        return True

    def works(self, characters: int) -> bool:
        """Take the working out of one condition of so many characters, if it is left."""
        self.conditions -= 1
        self.where -= characters
        if self.conditions < 0 or self.where < 0:
            self.short = True
        return not self.short
