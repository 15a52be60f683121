"""What may still be worked out of one text, or of all the pieces of a report together."""

from __future__ import annotations

from dataclasses import dataclass

MOST_NODES = 4_400
"""Work on one text, in nodes of a shell's tree: about five microseconds each on a common machine, all that follows
from a node included. Every grammar that reads a part of the text takes from the same, so that no text can spend the
most of each. 8 KiB of ordinary script take 2,000 to 4,300."""
CROWDED_NODES = 2_600
"""The same for a text with more names than are looked up: that took its time, and it is asked about in any case."""
WHOLE, BROKEN = 8, 2
"""Characters that a shell's grammar reads for a node; and those of a text that it gives up."""
BROKEN_COST, FAULT_COST = 30, 44
"""What recovering from faults counts for besides: in any text that has some, and from each, as long scripts have up to
thirty that nobody meant and texts made to keep the grammar at work a hundred."""
MOST_LOOKED = 1_500
"""Nodes that are looked at for faults."""
PARSE_COST = 40
"""What reading a text within a text by the grammar counts for besides, and what a piece of interpreter code or SQL does."""
CODE_LETTERS = 6
"""Letters of interpreter code for a node."""
UNIT_COST, UNIT_LETTERS = 2, 64
"""What holding a command against the rules and the guard's own state counts for, and the letters of its words for one more."""
STEPS, LOOKED = 4, 40
"""Steps of SQL's grammar for a node, and characters of SQL that patterns look at for one."""
LOOK_COST, WORK_COST = 15, 40
"""What one piece of SQL costs however short it is, and working out one condition, in nodes."""
MOST_WORKED = 20
"""Conditions of SQL that are worked out in one text."""
MOST_WHERE = 240
"""Characters of all the conditions that are worked out in one text."""
MOST_PARSED = 6 * 1024
"""Characters of SQL in one text that are read by its grammar; the rest is read by patterns."""
MOST_STEPS = 9_000
"""Steps of SQL's grammar in one text: as many characters of ordinary statements take 4,000 to 8,000."""
MOST_REPORT = 60_000
"""Nodes of all pieces of a report, with `PIECE_COST` for each."""
PIECE_COST = 12
"""What a piece of a report costs however short it is, in nodes, and what each finding in it costs."""


@dataclass(slots=True)
class Budget:
    """Work left. It is only ever taken from.

    `nodes` are those of the text in hand, `left` those of all pieces of a report. `short` says that SQL was left out for
    the lack of either, `cut` that the last shell text was not read to its end.
    """

    conditions: int = MOST_WORKED
    where: int = MOST_WHERE
    parsed: int = MOST_PARSED
    steps: int = MOST_STEPS
    nodes: int = MOST_NODES
    left: int = MOST_REPORT
    short: bool = False
    cut: bool = False
    _given: int = MOST_NODES

    def opens(self, cost: int) -> bool:
        """Begin the next piece of a report, which costs so much before it is read; False when nothing is left for it."""
        self.left -= self._given - self.nodes + cost
        self.nodes = self._given = max(0, min(MOST_NODES, self.left))
        self.cut = False
        return self.left >= 0

    def looks(self, characters: int) -> None:
        """Take the reading of so much SQL by patterns, which is done whatever is left."""
        self.nodes -= LOOK_COST + characters // LOOKED

    def parses(self, characters: int) -> int:
        """The steps that reading so much SQL by its grammar may take; 0 where none are left for it."""
        if self.short or characters > self.parsed:
            return 0
        self.parsed -= characters
        return max(0, min(self.steps, self.nodes * STEPS))

    def parsing(self, steps: int) -> None:
        """Take the steps that it took."""
        self.steps -= steps
        self.nodes -= steps // STEPS

    def works(self, characters: int) -> bool:
        """Take the working out of one condition of so many characters, if it is left."""
        self.nodes -= WORK_COST
        self.conditions -= 1
        self.where -= characters
        if self.conditions < 0 or self.where < 0:
            self.short = True
        return not self.short
