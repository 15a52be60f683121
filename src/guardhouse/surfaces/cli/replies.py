"""Telling a reply: what came back, for people or programs, and the status it means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from guardhouse.surfaces.cli import exits, render

if TYPE_CHECKING:
    from guardhouse.surfaces.cli.door import Reply


def tell(reply: Reply, json: bool, show: Callable[[Mapping[str, Any]], None] | None = None) -> int:
    """Print a reply, what was performed by `show` (default: a field a line), anything else as an error; its status."""
    if json:
        render.print_json(reply.body)
    elif reply.performed:
        if show is None:
            render.record("", reply.result, skip=("decision_id",))
        else:
            show(reply.result)
    else:
        explain(reply)
    if reply.performed:
        return exits.OK
    from guardhouse.surfaces import problem

    return problem.exit_code(reply.code)


_BESIDE = {"reason": "reason", "domain": "domain", "rule": "rule", "needed": "needed", "bucket": "used up"}
"""What the envelope says beside the code of some refusals and the message does not, as a person reads it."""


def explain(reply: Reply) -> None:
    """Say on standard error what stopped a call, and what can be done."""
    told = reply.error.get("error", {})
    render.say(f"{reply.code}: {reply.message}", "bold red", stderr=True)
    for fault in told.get("fields", ()):
        render.say(f"  {render.plain(fault.get('field'))}: {render.plain(fault.get('problem'))}", stderr=True)
    if told.get("rule_ids"):
        render.say(f"  rules: {render.plain(told['rule_ids'])}", stderr=True)
    for name, label in _BESIDE.items():
        if told.get(name):
            render.say(f"  {label}: {render.plain(told[name])}", stderr=True)
    for line in told.get("advice", ()):
        render.say(f"  advice: {render.plain(line)}", stderr=True)
    if told.get("approval_id"):
        render.say(f"  a person can answer with: guardhouse approvals grant {told['approval_id']}", stderr=True)
    if told.get("retry_after_seconds"):
        render.say(f"  try again in {told['retry_after_seconds']} s", stderr=True)
    if reply.decision_id:
        render.say(f"  decision: {reply.decision_id}", "dim", stderr=True)
