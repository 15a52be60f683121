"""The account of a play: what was to happen at each step, what was seen, and whether the two agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from guardhouse.surfaces.cli import render


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the act it belongs to, what was told beforehand, what was seen, and whether it went so."""

    act: str
    told: str
    seen: str
    ok: bool


@dataclass(slots=True)
class Account:
    """Every step in order, and what the sample and the ledger came to. A quiet one prints nothing while it grows."""

    quiet: bool = False
    steps: list[Step] = field(default_factory=list)
    sample: Mapping[str, Any] = field(default_factory=dict)
    ledger: Mapping[str, Any] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    _act: str = ""

    def act(self, name: str, shows: str) -> None:
        """Begin an act; `shows` is what it shows when all of it goes as told."""
        self._act = name
        self.shown[name] = shows
        if not self.quiet:
            render.say(f"\n{name}", "bold")

    def step(self, told: str, ok: bool, seen: str = "") -> bool:
        """Note a step; gives back whether it went as told."""
        self.steps.append(Step(self._act, told, seen, ok))
        if not self.quiet:
            mark, style = ("ok   ", "") if ok else ("FAIL ", "bold red")
            render.say(f"  {mark} {told}" + (f": {seen}" if seen else ""), style)
        return ok

    @property
    def failed(self) -> list[Step]:
        """The steps that did not go as told."""
        return [step for step in self.steps if not step.ok]

    @property
    def ok(self) -> bool:
        """Whether there were steps, and every one went as told."""
        return bool(self.steps) and not self.failed

    def to_json(self) -> dict[str, Any]:
        """The whole account for a program."""
        return {
            "ok": self.ok,
            "steps": [asdict(step) for step in self.steps],
            "sample": dict(self.sample),
            "ledger": dict(self.ledger),
        }


def tell(account: Account, seconds: float) -> None:
    """The summary: an act a line, the sample, the ledger, and what failed."""
    acts: dict[str, list[Step]] = {}
    for step in account.steps:
        acts.setdefault(step.act, []).append(step)
    rows = [
        {
            "act": act,
            "as_told": f"{sum(step.ok for step in steps)} of {len(steps)}",
            "it_showed": account.shown.get(act, "") if all(step.ok for step in steps) else "NOT AS TOLD, see below",
        }
        for act, steps in acts.items()
    ]
    render.say("")
    render.table("Summary", ("act", "as_told", "it_showed"), rows, "nothing was played")
    for step in account.failed:
        render.say(f"not as told, {step.act}: {step.told}: {step.seen}", "bold red")
    if account.ok:
        render.say(f"Everything went as told: {len(account.steps)} steps in {seconds:.0f} s.", "bold green")
    else:
        render.say(f"{len(account.failed)} of {len(account.steps)} steps did not go as told.", "bold red")
