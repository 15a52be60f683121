"""Offer: which operations a principal is shown, by the pure decision alone. Leaves no entry and binds nobody.

A list is shown before anything is asked, so what is offered is decided for no particular resource, and
passing things (a pause, a spent quota) take nothing off it: the call itself is judged, with its reasons.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from guardhouse.bundle import Bundle, versions
from guardhouse.catalog import Operation
from guardhouse.gates import identity, policy
from guardhouse.gates.policy.ruling import RESOURCE_TYPES
from guardhouse.gateway.decide import decide
from guardhouse.governance import standing
from guardhouse.ledger import entries
from guardhouse.model.call import Call, Category, Resource
from guardhouse.model.decision import Decision, Effect
from guardhouse.model.facts import Facts, Principal, WorkspaceFacts
from guardhouse.model.instants import Clock, Micros

_KEPT = 1_024
_NOWHERE = "*"
_OTHER_TYPES = tuple(kind for kind in RESOURCE_TYPES if kind != "Workspace")


@dataclass(frozen=True, slots=True)
class Stood:
    """How a token stands at one instant: its principal, the workspace's orders, and the law in force."""

    principal: Principal
    workspace: WorkspaceFacts
    bundle: Bundle
    now: Micros

    @property
    def refused(self) -> str:
        """Why this token may not speak at all now (a code of the identity gate), or ""."""
        call = Call("", "", Category.READ, Resource("", ""), "", "", 0, "")
        living = replace(self.principal, trust=1, effective_trust=1)
        step = identity.check(call, Facts(self.now, living, self.workspace), identity.Rules(), ())
        return step.code if step.effect is Effect.DENY else ""


class Onlooker:
    """Reads how tokens stand beside the corridor, and keeps it for as long as the workspace's standing-version holds."""

    def __init__(self, bundles: versions.BundleCache, clock: Clock) -> None:
        self._bundles = bundles
        self._clock = clock
        self._guard = threading.Lock()
        self._kept: OrderedDict[str, tuple[int, Stood]] = OrderedDict()

    def look(self, connection: Connection, workspace_id: str, token_hash: str) -> Stood | None:
        """How a token stands now, or None when it leads to nobody. One statement where nothing has changed."""
        head = entries.read_head(connection, workspace_id)
        version, last_at = (head.standing_version, head.last_at) if head is not None else (-1, 0)
        now = max(self._clock(), last_at)
        with self._guard:
            kept = self._kept.get(token_hash)
        if kept is not None and kept[0] == version:
            return replace(kept[1], now=now)
        found = standing.read_principals(connection, workspace_id, [token_hash]).get(token_hash)
        if found is None:
            return None
        workspace, _key = standing.read_workspace(connection, workspace_id)
        digest, _law = versions.active(connection, workspace_id)
        bundle = self._bundles.known(digest) or self._bundles.load(connection, workspace_id, digest)
        stood = Stood(found, workspace, bundle, now)
        with self._guard:
            # The version was read first: what was read after it is at least as new.
            self._kept[token_hash] = (version, stood)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return stood


def offered(operations: Iterable[Operation], stood: Stood, surface: str) -> tuple[str, ...]:
    """The names of the operations that the law does not deny this principal whatever it would touch."""
    workspace = replace(stood.workspace, controls=())
    facts = Facts(now=stood.now, principal=stood.principal, workspace=workspace, law=stood.bundle.law)
    return tuple(declared.name for declared in operations if _offers(declared, facts, stood.bundle, surface))


def _offers(declared: Operation, facts: Facts, bundle: Bundle, surface: str) -> bool:
    decision = _decided(declared, Resource("Workspace", facts.workspace.id), facts, bundle, surface)
    step = decision.step(policy.NAME)
    if decision.effect is not Effect.DENY or step is None or step.effect is not Effect.DENY:
        return decision.effect is not Effect.DENY
    rules = bundle.rules[policy.NAME]
    if step.code == "policy_not_permitted" and rules.looks_further(facts.principal.kind, declared.name):
        return True
    return any(
        _decided(declared, Resource(kind, _NOWHERE), facts, bundle, surface).effect is not Effect.DENY
        for kind in _OTHER_TYPES
    )


def _decided(declared: Operation, resource: Resource, facts: Facts, bundle: Bundle, surface: str) -> Decision:
    call = Call(
        id="",
        operation=declared.name,
        category=declared.category,
        resource=resource,
        surface=surface,
        address="",
        size=0,
        digest="",
        governs=declared.people_only,
    )
    return decide(call, facts, bundle)
