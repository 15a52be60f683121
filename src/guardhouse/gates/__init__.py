"""Judges, all of one shape, all pure: `check(call, facts, rules, so_far) -> Step`.

A gate is a module with `NAME`, a frozen `Rules`, `parse(files) -> Rules` for its own part of
`policies/`, and `check`. The order is the tuple `GATES`; the docstring of each gate is the question
it answers. A gate that raises has refused: the fold in `gateway.decide` sees to that.
"""

from __future__ import annotations

from guardhouse.gates import approval, control, guardrails, identity, network, policy, profile

GATES = (identity, control, profile, policy, network, guardrails, approval)
"""The order in which a call is judged."""
