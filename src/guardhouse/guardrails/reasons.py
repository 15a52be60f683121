"""Reasons: what a model reads when it is refused. Plain text of one form, so that models and hooks may rely on it."""

from __future__ import annotations

from collections.abc import Sequence

from guardhouse.guardrails.explain import plain, worst
from guardhouse.guardrails.text import Explained

MOST_REASON = 700
"""Characters of a whole reason."""
_MOST_RULE = 100
_MOST_NEXT = 240
_LEAST_WHY = 100
_FIXED = " This is a decision, not a fault: do not retry it, rephrase it or reach the same result another way. "  # the words of the specification; agents' instructions may name them
_BLOCKED = "Report it as blocked"


def native_reason(explained: Sequence[Explained], *, decision_id: str, next_step: str = "", times: int = 1) -> str:
    """One line of at most `MOST_REASON` characters, always in the same order; empty when nothing was found.

    `Guardhouse blocked this (RULE, decision ID): WHY. Instead: SAFER COMMAND. This is a decision, not a fault: … NEXT.`
    The strictest of `explained` speaks. `next_step` is NEXT; empty means that it is to be reported. `times` is how
    often the session was refused this; from the second on it is said at the end. A reason that is too long is cut at a
    word; a safer command that has no room is left out whole, since half a command is another one.
    """
    one = worst(explained)
    if one is None:
        return ""
    head = f"Guardhouse blocked this ({_cut(_line(one.rule), _MOST_RULE)}, decision {_line(decision_id)}): "
    after = _cut(_line(next_step).rstrip(".") or _BLOCKED, _MOST_NEXT) + "."
    often = f" It was refused {times} times in this session." if times > 1 else ""
    room = MOST_REASON - len(head) - len(_FIXED) - len(after) - len(often)
    why = _line(one.reason).rstrip(".") + "."
    better = _line(one.alternative).rstrip(".")
    instead = f" Instead: {better}." if better else ""
    if len(instead) > room - min(len(why), _LEAST_WHY):
        instead = ""
    if len(why) > room - len(instead):
        why = _cut(why, room - len(instead))
    return head + why + instead + _FIXED + after + often


def denial(code: str, *, decision_id: str, why: str, next_step: str) -> str:
    """The same line for what no guardrail found but a gate denied: `code` stands where the rule does, and nothing is safer.

    `next_step` is told whole as far as a line can hold it, since half a command is another one; `why` gives way.
    """
    head = f"Guardhouse blocked this ({_cut(_line(code), _MOST_RULE)}, decision {_line(decision_id)}): "
    after = _cut(_line(next_step).rstrip("."), MOST_REASON - len(head) - len(_FIXED) - 2) + "."
    room = MOST_REASON - len(head) - len(_FIXED) - len(after)
    return head + _cut(_line(why).rstrip(".") + ".", room) + _FIXED + after


def next_step(decision_id: str, approval_id: str = "", state: str = "", *, protects: bool = False) -> str:
    """NEXT of a reason: how a person can allow it, that one was asked, or that it is to be reported.

    `state` is how the question `approval_id` stands; `protects`: a rule that guards Guardhouse itself, which nobody lifts.
    """
    if state == "too_many_pending":
        return "Too many questions of yours wait for a person already: go on with other work."
    if state == "refused":
        return f"A person was asked ({approval_id}) and said no: report it as blocked."
    if state == "granted":
        return f"A person said yes: ask again with the approval {approval_id}."
    if approval_id:
        return (
            f"A person was asked ({approval_id}) and has not answered yet: go on with other work; "
            f"they can allow it with `guardhouse approvals grant {approval_id}`."
        )
    if protects:
        return f"{_BLOCKED}; it guards Guardhouse itself, so no trust and no grant allows it."
    return f"{_BLOCKED}; a person can allow it with `guardhouse allow {decision_id} --once --reason WHY`."


def _line(text: str) -> str:
    """One line without control or hidden characters, runs of blanks as one."""
    return " ".join(plain(text).split())


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    kept = text[: max(0, most - 1)]
    return (kept.rpartition(" ")[0] or kept).rstrip(" .,;:") + "…"
