"""Whose a task is: who may cancel it, and who may undo a cancellation.

A task may be cancelled by whoever submitted or holds it, and by an orchestrator: a person, an agent that people
registered with the role `orchestrator`, or one trusted to act on other agents (trust 3, see `agents.admin` in the
shipped law). What was cancelled stays so for whoever could not have cancelled it. `check_policy` and the calls
themselves ask the same functions here.
"""

from __future__ import annotations

from guardhouse.bundle import Bundle
from guardhouse.errors import Refusal
from guardhouse.gates import profile
from guardhouse.model.facts import Principal
from guardhouse.services import queue
from guardhouse.services.queue.states import CANCELLED
from guardhouse.storage.store import Transaction

ORCHESTRATOR = "orchestrator"
"""The role of agents that run others. Only people give roles, so it is grounds for a permit."""
_TRUST = 3


def orchestrates(who: Principal, bundle: Bundle) -> bool:
    """Whether a principal may decide about others' work."""
    if who.kind != "agent" or who.role == ORCHESTRATOR:
        return True
    kept = bundle.rules[profile.NAME].profiles.get(who.profile or "default")
    return min(who.effective_trust, kept.trust_ceiling if kept is not None else _TRUST) >= _TRUST


def cancelling(tx: Transaction, workspace_id: str, who: Principal, bundle: Bundle, task_id: str) -> Refusal | None:
    """Why this principal may not cancel a task, or None. Refusals: `not_author`, `not_found`."""
    row = queue.get(tx, workspace_id, task_id)
    if who.id in (row["created_by"], row["holder_id"]) or orchestrates(who, bundle):
        return None
    return Refusal("not_author", f"task `{task_id}` is neither yours nor held by you; an orchestrator cancels it")


def reopening(tx: Transaction, workspace_id: str, who: Principal, bundle: Bundle, task_id: str) -> Refusal | None:
    """Why this principal may not reopen a task, or None: a cancellation binds. Refusals: `not_author`, `not_found`."""
    row = queue.get(tx, workspace_id, task_id)
    if row["status"] != CANCELLED or who.id in (row["created_by"], row["ended_by"]) or orchestrates(who, bundle):
        return None
    return Refusal(
        "not_author",
        f"task `{task_id}` was cancelled: whoever submitted or cancelled it, or an orchestrator, reopens it",
    )
