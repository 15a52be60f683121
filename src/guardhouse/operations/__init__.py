"""What can be asked: one thin module a service. `CATALOG` is all of it, in the order that people read."""

from __future__ import annotations

from guardhouse.catalog import Catalog
from guardhouse.operations import (
    agents,
    approvals,
    audit,
    backlog,
    checks,
    control,
    handoffs,
    locks,
    memory,
    modes,
    outcomes,
    people,
    playbooks,
    policy,
    presence,
    profile,
    queue,
    sessions,
    tokens,
    tools,
    workspaces,
)

CATALOG = Catalog.of(
    locks.OPERATIONS,
    queue.OPERATIONS,
    backlog.OPERATIONS,
    handoffs.OPERATIONS,
    memory.OPERATIONS,
    presence.OPERATIONS,
    playbooks.OPERATIONS,
    checks.OPERATIONS,
    tools.OPERATIONS,
    profile.OPERATIONS,
    outcomes.OPERATIONS,
    agents.OPERATIONS,
    people.OPERATIONS,
    tokens.OPERATIONS,
    sessions.OPERATIONS,
    control.OPERATIONS,
    modes.OPERATIONS,
    approvals.OPERATIONS,
    workspaces.OPERATIONS,
    policy.OPERATIONS,
    audit.OPERATIONS,
)
