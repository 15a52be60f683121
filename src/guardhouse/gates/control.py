"""Has anybody paused, suspended or stopped this agent, one it acts for, or the whole workspace?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from guardhouse.model.call import Call, Category
from guardhouse.model.decision import Step, allow, deny
from guardhouse.model.facts import Control, Facts
from guardhouse.model.instants import rfc3339

NAME = "control"

ALLOWED_WHILE_PAUSED = frozenset(
    {"renew_lock", "release_lock", "renew_session", "heartbeat", "renew_lease", "release_task", "write_handoff"}
)
"""What a paused agent may still do: keep or give back what it holds, and hand over."""

_STRONGEST = {"stopped": 3, "suspended": 2, "paused": 1}


@dataclass(frozen=True, slots=True)
class Rules:
    """Control has no rules of a site's own: an order binds everywhere, in every mode."""


def parse(files: Mapping[str, bytes]) -> Rules:
    """Nothing of `policies/` speaks of control."""
    del files
    return Rules()


def check(call: Call, facts: Facts, rules: Rules, so_far: tuple[Step, ...]) -> Step:
    """The strongest order in force at `facts.now` on the caller, its delegators or the workspace.

    People are never bound by a workspace order: somebody must be able to lift it.
    """
    del rules, so_far
    if facts.principal.kind == "person":
        return allow(NAME, "running")
    subjects = {facts.principal.id, *facts.principal.delegation}
    orders = [
        order
        for order in facts.workspace.controls
        if (not order.until or facts.now < order.until)
        and (order.subject_kind == "workspace" or order.subject_id in subjects)
    ]
    if not orders:
        return allow(NAME, "running")
    order = max(orders, key=lambda one: (_STRONGEST.get(one.state, 9), one.subject_kind == "workspace"))
    if order.state == "paused" and (call.category is Category.READ or call.operation in ALLOWED_WHILE_PAUSED):
        return allow(NAME, "paused_but_allowed", _say(order), warn=True)
    if order.subject_kind == "workspace":
        return deny(NAME, "workspace_not_active", _say(order))
    return deny(NAME, f"agent_{order.state}", _say(order))


def _say(order: Control) -> str:
    who = "the workspace is" if order.subject_kind == "workspace" else "this agent, or one it acts for, is"
    until = f" until {rfc3339(order.until)}" if order.until else " until a person lifts it"
    by = f" by {order.by}" if order.by else ""
    return f"{who} {order.state}{by}{until}"
