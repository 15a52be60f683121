"""The report of a verification: what holds, what does not, and what was not proved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_MOST_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that does not hold. `sequence` is -1 where it is not about one entry."""

    sequence: int
    problem: str

    def __str__(self) -> str:
        return f"entry {self.sequence}: {self.problem}" if self.sequence >= 0 else self.problem


@dataclass(slots=True)
class Report:
    """What verifying came to. `not_proved` is said also when everything holds."""

    workspace_id: str
    tree_size: int = 0
    root_hash: str = ""
    faults: list[Fault] = field(default_factory=list)
    erased: int = 0
    checkpoints: int = 0
    outside_checkpoints: int = 0
    newer_than_outside: int = 0
    sealed: list[tuple[int, int, str]] = field(default_factory=list)
    not_proved: list[str] = field(default_factory=list)
    formats: dict[int, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.faults

    def fault(self, sequence: int, problem: str) -> None:
        """Note a fault; after twenty only their number would grow."""
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(Fault(sequence, problem))

    def doubt(self, sentence: str) -> None:
        """Note once what was not proved."""
        if sentence not in self.not_proved:
            self.not_proved.append(sentence)

    def to_json(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "ok": self.ok,
            "workspace_id": self.workspace_id,
            "tree_size": self.tree_size,
            "root_hash": self.root_hash,
            "faults": [{"sequence": fault.sequence, "problem": fault.problem} for fault in self.faults],
            "erased": self.erased,
            "checkpoints": self.checkpoints,
            "outside_checkpoints": self.outside_checkpoints,
            "newer_than_outside_checkpoint": self.newer_than_outside,
            "sealed": [{"first": first, "last": last, "location": where} for first, last, where in self.sealed],
            "not_proved": list(self.not_proved),
            "formats": {str(version): count for version, count in self.formats.items()},
        }
