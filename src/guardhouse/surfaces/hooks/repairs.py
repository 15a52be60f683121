"""What a person runs when a hook's answer stops an agent, by the code of the decision; a hook and `guardhouse doctor` say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardhouse.guardrails.reasons import denial, next_step
from guardhouse.model.answer import Outcome

_ORDERS: Mapping[str, str] = {
    "agent_suspended": "guardhouse agents reinstate {whom}",
    "agent_stopped": "guardhouse agents reinstate {whom}",
    "agent_paused": "guardhouse agents resume {whom}",
    "workspace_not_active": "guardhouse workspaces resume",
    "suspended": "guardhouse agents trust {whom} 2",
}
"""What lifts an order that stands against an agent, one that it acts for, or the workspace."""


def lifting(code: str, error: Mapping[str, Any], agent: str) -> str:
    """The command that lifts what stands against an agent; empty where `code` is no such order, and where nothing lifts it.

    `error` is the detail of the refusal, which names whom the order is about; `agent` is named where it does not.
    """
    if code == "suspended" and error.get("subject") == "":
        return ""
    if code == "suspended" and error.get("state"):
        code = f"agent_{error['state']}"
    whom = error.get("subject_alias") or error.get("subject") or agent
    return _ORDERS.get(code, "").format(whom=whom)


def denied(outcome: Outcome) -> str:
    """The reason of a denial by a gate, in the form and length of every reason, with what a person can do about it."""
    why = outcome.message or outcome.code.replace("_", " ")
    return denial(outcome.code, decision_id=outcome.decision_id, why=why, next_step=_next(outcome))


def _next(outcome: Outcome) -> str:
    if outcome.code == "approval_pending":
        return next_step(outcome.decision_id, str(outcome.error.get("approval_id", "")))
    lifted = lifting(outcome.code, outcome.error, outcome.principal_id)
    if lifted:
        return f"Report it as blocked; a person can lift that with `{lifted}`"
    if outcome.code == "network_denied" and outcome.error.get("domain"):
        host, rule = outcome.error["domain"], outcome.error.get("rule")
        listed = f"take {host} out of rule `{rule}`" if rule else f"list {host} under `allow:`"
        return (
            f"Report it as blocked; a person can {listed} in `policies/network/*.yaml`, "
            "then run `guardhouse policy activate policies`"
        )
    return f"Report it as blocked; a person sees what would change it with `guardhouse why {outcome.decision_id}`"
