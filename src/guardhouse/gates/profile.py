"""Does this kind of agent do such things, at this trust, and is there quota left?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from guardhouse.gates.source import Source, raise_all
from guardhouse.model.call import Call, Category
from guardhouse.model.decision import Step, allow, deny
from guardhouse.model.facts import Facts
from guardhouse.model.instants import HOUR, rfc3339

NAME = "profile"

LIMITS = ("calls_per_hour", "held_locks", "files_per_task", "payload_bytes")
_CATEGORIES = frozenset(str(category) for category in Category)
_KEYS = frozenset({"description", "allow", "block", "limits", "max_trust", "extends"})


@dataclass(frozen=True, slots=True)
class Profile:
    """What one kind of agent may do: `allow` and `block` hold operation names and categories; a limit absent is no limit."""

    name: str
    description: str = ""
    allow: frozenset[str] = frozenset()
    block: frozenset[str] = frozenset()
    limits: Mapping[str, int] = field(default_factory=dict)
    max_trust: int = 4


@dataclass(frozen=True, slots=True)
class Rules:
    """All profiles by name, and the one that agents without a profile have."""

    profiles: Mapping[str, Profile]
    default: str


def parse(files: Mapping[str, bytes]) -> Rules:
    """Read `profiles.yaml`; LawFault with every problem in it. Without the file nobody has a profile."""
    if "profiles.yaml" not in files:
        return Rules({}, "")
    source = Source("profiles.yaml", files["profiles.yaml"])
    top = source.mapping(source.value, {"default", "profiles"}, {"default", "profiles"}, "profiles.yaml")
    default = source.items(top, "default", str, "")
    profiles: dict[str, Profile] = {}
    declared = source.items(top, "profiles", dict, {})
    for name, value in declared.items():
        source.mapping(value, _KEYS, (), f"profile `{name}`")
        if isinstance(value, dict):
            profiles[name] = _profile(source, name, value, profiles)
    if default and default not in profiles:
        source.fault(top, "default", f"the default profile `{default}` is not among the profiles", "name one of them")
    raise_all([source])
    return Rules(profiles, default)


def _profile(source: Source, name: str, value: dict[str, object], known: Mapping[str, Profile]) -> Profile:
    base = Profile(name)
    if "extends" in value:
        parent = source.items(value, "extends", str, "")
        if parent in known:
            base = known[parent]
        else:
            source.fault(value, "extends", f"profile `{name}` extends `{parent}`, which does not stand above it")
    limits = dict(base.limits)
    for limit, amount in source.items(value, "limits", dict, {}).items():
        if limit not in LIMITS:
            source.fault(value, "limits", f"no limit is called `{limit}`", f"limits: {', '.join(LIMITS)}")
        elif not isinstance(amount, int) or isinstance(amount, bool) or amount < 0:
            source.fault(value, "limits", f"limit `{limit}` must be a whole number, 0 or more")
        else:
            limits[limit] = amount
    trust = source.items(value, "max_trust", int, base.max_trust)
    if not 0 <= trust <= 4:
        source.fault(value, "max_trust", "`max_trust` lies between 0 and 4")
    return Profile(
        name=name,
        description=source.items(value, "description", str, base.description),
        allow=frozenset(source.words(value, "allow")) if "allow" in value else base.allow,
        block=frozenset(source.words(value, "block")) | base.block,
        limits=limits,
        max_trust=trust,
    )


def profile_of(facts: Facts, rules: Rules) -> Profile | None:
    """The caller's profile: its own by name, else the default; None when the named one is not in the law."""
    return rules.profiles.get(facts.principal.profile or rules.default)


def check(call: Call, facts: Facts, rules: Rules, so_far: tuple[Step, ...]) -> Step:
    """The profile's operations, its trust ceiling and its limits. People have none."""
    del so_far
    if facts.principal.kind == "person":
        return allow(NAME, "person")
    profile = profile_of(facts, rules)
    if profile is None:
        name = facts.principal.profile or rules.default
        return deny(
            NAME, "operation_not_in_profile", f"profile `{name}` is not in the active policy; ask security to add it"
        )
    rule = (f"profile.{profile.name}",)
    names = {call.operation, str(call.category)}
    if names & profile.block or (profile.allow and not names & profile.allow):
        return deny(
            NAME, "operation_not_in_profile", f"profile `{profile.name}` does not include `{call.operation}`", rule
        )
    if facts.principal.trust > profile.max_trust:
        return deny(
            NAME, "trust_above_profile", f"profile `{profile.name}` is for trust {profile.max_trust} at the most", rule
        )
    limits = profile.limits
    if "payload_bytes" in limits and call.size > limits["payload_bytes"]:
        return deny(
            NAME,
            "payload_too_large",
            f"the body is larger than the {limits['payload_bytes']} bytes of this profile",
            rule,
        )
    if "calls_per_hour" in limits and facts.used("calls_per_hour") >= limits["calls_per_hour"]:
        resets = rfc3339(facts.now - facts.now % HOUR + HOUR)
        return deny(
            NAME,
            "quota_exhausted",
            f"all {limits['calls_per_hour']} calls of this hour are used; they come back at {resets}",
            rule,
        )
    measured = dict(facts.quota)
    for limit in ("held_locks", "files_per_task"):
        if limit in limits and limit in measured and measured[limit] >= limits[limit]:
            return deny(
                NAME, "limit_reached", f"`{limit}` is at its limit of {limits[limit]}; give something back first", rule
            )
    return allow(NAME, "within_profile", rules=rule)
