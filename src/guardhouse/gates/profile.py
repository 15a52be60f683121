"""Does this agent's profile cover the operation, and is there room left in its limits?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from guardhouse.gates.reading import Problems, read_yaml
from guardhouse.model.call import Call, Category
from guardhouse.model.decision import Step, allow, deny
from guardhouse.model.facts import Facts, Principal
from guardhouse.model.instants import HOUR, SECOND

NAME = "profile"
FILE = "profiles.yaml"
LIMITS = ("calls_per_hour", "held_locks", "files_per_task", "payload_bytes")
_CEILING = 1_000_000_000
FLOOR = {Category.READ: 1, Category.WRITE: 2, Category.ADMIN: 3}
"""The trust that a call of each category takes at least, where a profile caps it."""

_LOCK_LIMITS = ("held_locks", "files_per_task")


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile. Empty `allowed` means everything; `blocked` wins; a limit that is absent does not bind."""

    name: str
    trust_ceiling: int = 4
    allowed: frozenset[str] = frozenset()
    blocked: frozenset[str] = frozenset()
    limits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rules:
    """All profiles by name; `default` is used where an agent names none."""

    profiles: Mapping[str, Profile]


def parse(files: Mapping[str, bytes]) -> Rules:
    """Profiles from `profiles.yaml`; LawFault when it is absent, wrong or has no `default`."""
    problems = Problems()
    value, lines = read_yaml(FILE, files.get(FILE, b""))
    top = problems.keys(value, lines, (), ("profiles",))
    profiles: dict[str, Profile] = {}
    entries = top.get("profiles")
    if not isinstance(entries, dict) or "default" not in entries:
        problems.add(lines, ("profiles",), "`profiles` needs an entry `default`", "add it")
        entries = {}
    for name, item in entries.items():
        path = ("profiles", name)
        known = ("description", "trust_ceiling", "allowed", "blocked", "limits")
        given = problems.keys(item, lines, path, known)
        limits = problems.keys(given.get("limits", {}), lines, (*path, "limits"), LIMITS)
        profiles[name] = Profile(
            name,
            problems.number(given.get("trust_ceiling", 4), lines, (*path, "trust_ceiling"), 0, 4),
            frozenset(problems.words(given.get("allowed", []), lines, (*path, "allowed"))),
            frozenset(problems.words(given.get("blocked", []), lines, (*path, "blocked"))),
            MappingProxyType(
                {
                    limit: problems.number(amount, lines, (*path, "limits", limit), 0, _CEILING)
                    for limit, amount in limits.items()
                }
            ),
        )
    problems.stop()
    return Rules(MappingProxyType(profiles))


def limited(rules: Rules, profile: str) -> frozenset[str]:
    """The limits that a profile sets: what is worth measuring before deciding. Empty for an unknown profile."""
    found = rules.profiles.get(profile or "default")
    return frozenset(found.limits) if found is not None else frozenset()


CALLS_PER_HOUR = "calls_per_hour"


def hour_of(delegator: str) -> str:
    """The name under which a delegate's facts hold what the hour of one of its delegators has used."""
    return f"{CALLS_PER_HOUR}:{delegator}"


def hours(who: Principal, rules: Rules) -> list[tuple[str, int]]:
    """Every hourly limit that binds an agent's call, as (the name of what is used of it, the limit), its own first.

    A delegate's call is a call of each of its delegators too, so that no agent has more hours for having sub-agents.
    """
    named = [(CALLS_PER_HOUR, who.profile)]
    named += [(hour_of(one), kept) for one, kept in zip(who.delegation, who.delegation_profiles, strict=False)]
    found = ((name, rules.profiles.get(kept or "default")) for name, kept in named)
    return [(name, kept.limits[CALLS_PER_HOUR]) for name, kept in found if kept and CALLS_PER_HOUR in kept.limits]


def hour_is_spent(facts: Facts, rules: Rules) -> Step | None:
    """The deny of an agent that has no call of this hour left; None while it has, or has no such limit."""
    if facts.principal.kind != "agent":
        return None
    for name, hourly in hours(facts.principal, rules):
        if facts.used(name) >= hourly:
            whose = "" if name == CALLS_PER_HOUR else " of the agent that this one acts for"
            resets = (HOUR - facts.now % HOUR + SECOND - 1) // SECOND
            told = f"`calls_per_hour` of {hourly}{whose} is used; retry after {resets} seconds"
            return deny(NAME, "quota_exhausted", told)
    return None


def check(call: Call, facts: Facts, rules: Rules, so_far: tuple[Step, ...]) -> Step:
    """Judge an agent by its profile; people have none. What is used is what was used before this call."""
    del so_far
    who = facts.principal
    if who.kind != "agent":
        return allow(NAME, "not_an_agent")
    profile = rules.profiles.get(who.profile or "default")
    if profile is None:
        return deny(NAME, "unknown_profile", "the law has no profile of this agent's name; ask an operator")
    words = {call.operation, str(call.category)}
    if words & profile.blocked or (profile.allowed and not words & profile.allowed):
        return deny(NAME, "operation_not_in_profile", f"the profile `{profile.name}` does not cover this operation")
    if profile.trust_ceiling < min(FLOOR[call.category], who.effective_trust):
        return deny(NAME, "trust_too_low", f"the profile `{profile.name}` caps trust at {profile.trust_ceiling}")
    limits = profile.limits
    if call.size > limits.get("payload_bytes", _CEILING):
        return deny(NAME, "payload_too_large", f"at most {limits['payload_bytes']} bytes a call in this profile")
    spent = hour_is_spent(facts, rules)
    if spent is not None:
        return spent
    if call.operation == "acquire_lock":
        for name in _LOCK_LIMITS:
            if name in limits and facts.used(name) >= limits[name]:
                return deny(NAME, "limit_reached", f"`{name}` of {limits[name]} is used; retry after releasing a lock")
    return allow(NAME, "in_profile")
