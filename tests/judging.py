"""Calls, facts and decisions for tests that judge without a database."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from guardhouse.app import actions
from guardhouse.bundle import Bundle
from guardhouse.bundle.load import load_files, read_directory, shipped_directory
from guardhouse.gateway.decide import decide
from guardhouse.model.call import Call, Resource
from guardhouse.model.decision import Decision
from guardhouse.model.facts import ApprovalFact, Facts, Finding, Observation, Principal, WorkspaceFacts
from guardhouse.model.instants import DAY, HOUR, Micros

NOW: Micros = 1_790_000_000_000_000
ACTIONS = actions()
SHIPPED = read_directory(shipped_directory())
ASKING = (
    b'@id("ask") @effect("approval") @advice("ask the release team.")\n'
    b'forbid (principal, action == Action::"acquire_lock", resource);'
)


@lru_cache
def law(extra: tuple[tuple[str, bytes], ...] = ()) -> Bundle:
    """The shipped law with files put over it, compiled once."""
    return load_files(SHIPPED | dict(extra), ACTIONS)


def asking() -> Bundle:
    """The shipped law under which a lock needs a person's approval."""
    return law((("cedar/site.cedar", ASKING),))


def call(operation: str = "acquire_lock", **changes: Any) -> Call:
    declared = ACTIONS[operation]
    made = Call("dec_1", operation, declared.category, Resource("Lock", "res:a"), "http", "127.0.0.1", 10, "hmac:1")
    return replace(made, governs=declared.governs, **changes)


def agent(trust: int = 2, **changes: Any) -> Principal:
    return replace(Principal("agent", "agt_1", role="developer", trust=trust, effective_trust=trust), **changes)


def person(*roles: str, **changes: Any) -> Principal:
    return replace(Principal("person", "per_1", roles=roles), **changes)


def facts(who: Principal | None = None, bundle: Bundle | None = None, **changes: Any) -> Facts:
    return replace(Facts(NOW, who or agent(), WorkspaceFacts("wsp_1"), law=(bundle or law()).law), **changes)


def found(severity: str = "block", min_trust: int = 4, **changes: Any) -> Finding:
    return replace(Finding("git.x", "git", "git", severity, min_trust, "operation_text", 0, 3), **changes)


def guarded(severity: str = "block") -> Finding:
    """A finding of the pack that protects Guardhouse itself."""
    return found(severity, 5, rule="guardhouse.files", pack="guardhouse", category="guardhouse", protects=True)


def observing(*scopes: tuple[str, str], until: Micros = NOW + HOUR) -> WorkspaceFacts:
    return WorkspaceFacts("wsp_1", observations=tuple(Observation(kind, name, until) for kind, name in scopes))


def approval(bundle: Bundle, state: str = "granted", **changes: Any) -> ApprovalFact:
    return replace(ApprovalFact("apr_1", state, True, True, bundle.law, NOW + DAY, NOW + HOUR, NOW - HOUR), **changes)


def judged(made: Call, known: Facts, bundle: Bundle | None = None) -> Decision:
    return decide(made, known, bundle or law())
