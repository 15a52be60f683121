"""A decision: the answer of the gates and the trail to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any


class Effect(StrEnum):
    """What a gate says; `not_reached` marks the gates after a deny."""

    ALLOW = "allow"
    DENY = "deny"
    HOLD = "hold"
    NOT_REACHED = "not_reached"


class Verdict(StrEnum):
    """What an examination found, weakest first. It judges the text examined, never the call that asked."""

    ALLOW = "allow"
    WARN = "warn"
    ASK = "ask"
    BLOCK = "block"


VERDICT_ORDER = (Verdict.ALLOW, Verdict.WARN, Verdict.ASK, Verdict.BLOCK)


@dataclass(frozen=True, slots=True)
class Step:
    """One gate's answer.

    `code` is stable, `message` is for people and models and MUST NOT quote the payload, `rules` are
    the sorted ids of the rules that determined it, `warn` marks an allow with a remark, `advice` is
    what the rule's author wants the agent to read.
    """

    gate: str
    effect: Effect
    code: str
    message: str = ""
    rules: tuple[str, ...] = ()
    warn: bool = False
    advice: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The recorded form; what is empty, or `allow`, is left out, so that an entry stays small."""
        value: dict[str, Any] = {"gate": self.gate, "code": self.code}
        if self.effect is not Effect.ALLOW:
            value["effect"] = str(self.effect)
        if self.message and (self.effect is not Effect.ALLOW or self.warn):
            value["message"] = self.message
        if self.rules:
            value["rules"] = list(self.rules)
        if self.warn:
            value["warn"] = True
        if self.advice:
            value["advice"] = list(self.advice)
        return value


@lru_cache(maxsize=1024)  # most calls pass most gates with the same words
def allow(gate: str, code: str, message: str = "", rules: tuple[str, ...] = (), warn: bool = False) -> Step:
    """A step that lets the call go on."""
    return Step(gate, Effect.ALLOW, code, message, rules, warn)


def deny(gate: str, code: str, message: str, rules: tuple[str, ...] = (), advice: tuple[str, ...] = ()) -> Step:
    """A step that stops the call."""
    return Step(gate, Effect.DENY, code, message, rules, advice=advice)


def hold(gate: str, code: str, message: str, rules: tuple[str, ...] = (), advice: tuple[str, ...] = ()) -> Step:
    """A step that parks the call until a person says yes."""
    return Step(gate, Effect.HOLD, code, message, rules, advice=advice)


ENFORCE = "enforce"
"""The mode of a decision that binds; the other is `observe`."""


def written_out(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry's body with its mode and each step's effect named, as format 1 wrote them; a newer one leaves out the usual."""
    steps = [{"effect": str(Effect.ALLOW)} | step for step in entry["steps"]]
    return {"mode": ENFORCE, **entry, "steps": steps}


@dataclass(frozen=True, slots=True)
class Decision:
    """The fold of all steps.

    `effect` is what happens; in observe mode `enforced` is false and `would` is what would have
    happened. `code` and `message` are those of the step that determined the effect. `verdict` is set
    for operations that examine a text instead of carrying it.
    """

    effect: Effect
    steps: tuple[Step, ...]
    code: str
    message: str
    enforced: bool = True
    would: Effect | None = None
    mode: str = ENFORCE
    verdict: Verdict | None = None

    def step(self, gate: str) -> Step | None:
        """The step of one gate, or None."""
        for step in self.steps:
            if step.gate == gate:
                return step
        return None

    def to_json(self) -> dict[str, Any]:
        """The parts of an entry that deciding determines. What is most often so is left out: mode `enforce`."""
        value: dict[str, Any] = {
            "steps": [step.to_json() for step in self.steps],
            "effect": str(self.effect),
            "enforced": self.enforced,
        }
        if self.mode != ENFORCE:
            value["mode"] = self.mode
        if self.would is not None:
            value["would"] = str(self.would)
        if self.verdict is not None:
            value["verdict"] = str(self.verdict)
        return value

    @property
    def rules(self) -> tuple[str, ...]:
        """Every rule id in the trail, sorted, once."""
        return tuple(sorted({rule for step in self.steps for rule in step.rules}))
