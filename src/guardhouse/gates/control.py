"""Has a person paused, suspended or stopped this agent, a delegator of it, or the workspace?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from guardhouse.model.call import Call, Category
from guardhouse.model.decision import Step, allow, deny
from guardhouse.model.facts import Control, Facts
from guardhouse.model.instants import rfc3339

NAME = "control"

_WHILE_PAUSED = frozenset(
    {"renew_lock", "release_lock", "renew_lease", "release_task", "heartbeat", "write_handoff", "renew_session"}
)
_NOT_WHILE_PAUSED = frozenset({"check_tool"})
"""Reads that a pause refuses: a paused agent whose hook said nothing would work on."""
_WEIGHT = {"paused": 1, "suspended": 2, "stopped": 3}


@dataclass(frozen=True, slots=True)
class Rules:
    """Nothing to configure: an order of a person binds whatever the policies say."""


def parse(files: Mapping[str, bytes]) -> Rules:
    """The gate reads no file."""
    del files
    return Rules()


def check(call: Call, facts: Facts, rules: Rules, so_far: tuple[Step, ...]) -> Step:
    """Deny by the heaviest order in force (the house tidies whatever is stopped); a paused agent may still read, keep and hand over what it holds."""
    del rules, so_far
    who = facts.principal
    if who.kind == "system":
        return allow(NAME, "housekeeping")
    order = binding(call, facts)
    if order is None:
        return allow(NAME, "running")
    reads = call.category is Category.READ and call.operation not in _NOT_WHILE_PAUSED
    if order.state == "paused" and (reads or call.operation in _WHILE_PAUSED):
        return allow(NAME, "paused_but_permitted")
    until = f"until {rfc3339(order.until)}" if order.until else "until a person lifts it"
    by = f" by {order.by}" if order.by else ""
    if order.subject_kind == "workspace":
        return deny(NAME, "workspace_not_active", f"the workspace is {order.state}{by} {until}")
    whose = "this agent" if order.subject_id == who.id else "an agent that delegated to this one"
    return deny(NAME, f"agent_{order.state}", f"{whose} is {order.state}{by} {until}")


def orders(call: Call, facts: Facts) -> list[Control]:
    """Every order in force that concerns this call. People go on governing whatever the workspace is."""
    who = facts.principal
    bound = [order for order in facts.workspace.controls if _binds(order, facts)]
    if who.kind == "person" and (call.governs or call.category in (Category.READ, Category.ADMIN)):
        bound = [order for order in bound if order.subject_kind != "workspace"]
    return bound


def binding(call: Call, facts: Facts) -> Control | None:
    """The heaviest order that concerns this call: the one that the gate judges by, and names."""
    return max(
        orders(call, facts),
        key=lambda item: (_WEIGHT.get(item.state, 3), item.subject_kind, item.subject_id, item.until),
        default=None,
    )


def _binds(order: Control, facts: Facts) -> bool:
    if order.until and order.until <= facts.now:
        return False
    if order.subject_kind == "workspace":
        return True
    return order.subject_id == facts.principal.id or order.subject_id in facts.principal.delegation
