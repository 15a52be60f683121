"""The native engine: rules in YAML with Cedar's semantics, default deny and forbid wins."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from guardhouse.gates.policy.ruling import OVERRIDE, Answer, Entity, Ruling
from guardhouse.gates.reading import Problems, nearest

_KEYS = ("id", "effect", "why", "actions", "principal", "resource", "context", "advice")
_PRINCIPAL = ("kind", "roles", "trust_at_least", "trust_at_most", "profiles")
_RESOURCE = ("types", "ids", "repositories", "categories", "severities", "path_classes", "trust_reaches_rule")
_CONTEXT = ("surfaces", "hour_at_least", "hour_at_most", "risk_at_least", "labels")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. An empty condition does not restrict; lists mean "any of these"."""

    id: str
    effect: str
    actions: frozenset[str]
    principal: Mapping[str, Any]
    resource: Mapping[str, Any]
    context: Mapping[str, Any]
    advice: str = ""


class Native:
    """All native rules, and the groups of each action."""

    def __init__(self, rules: tuple[Rule, ...], groups: Mapping[str, frozenset[str]]) -> None:
        self._rules = rules
        self._groups = groups
        self._named = frozenset(name for rule in rules for name in rule.resource.get("ids", ()))

    def looks_further(self, principal: str, action: str) -> bool:
        """Whether a permit asks anything of the resource beyond its type, or anything of the context."""
        groups = self._groups.get(action, frozenset())
        return any(
            rule.effect == "permit"
            and (not rule.actions or bool(rule.actions & groups))
            and rule.principal.get("kind", principal.lower()) == principal.lower()
            and bool(rule.context or rule.resource.keys() - {"types"})
            for rule in self._rules
        )

    def tells_apart(self, resource: Entity) -> bool:
        """Whether a rule names this resource."""
        return resource.id in self._named

    def authorize(self, principal: Entity, action: str, resource: Entity, context: dict[str, Any]) -> Ruling:
        """Apply every rule; deny on any error, as with Cedar."""
        groups = self._groups.get(action)
        if groups is None:
            return Ruling(Answer.DENY, errors=("unknown action",))
        try:
            hits = [rule for rule in self._rules if _applies(rule, principal, groups, resource, context)]
        except (KeyError, TypeError) as error:
            return Ruling(Answer.DENY, errors=(type(error).__name__,))
        permits = tuple(sorted(rule.id for rule in hits if rule.effect == "permit"))
        against = sorted((rule for rule in hits if rule.effect != "permit"), key=lambda rule: rule.id)
        if not against:
            return Ruling(Answer.ALLOW if permits else Answer.DENY, permits)
        lifted = bool(permits) and all(rule.effect == "approval" for rule in against)
        return Ruling(
            Answer.HOLD if lifted else Answer.DENY,
            tuple(rule.id for rule in against),
            advice=tuple(rule.advice for rule in against if rule.advice),
        )


def _applies(rule: Rule, principal: Entity, groups: frozenset[str], resource: Entity, context: dict[str, Any]) -> bool:
    if rule.actions and not rule.actions & groups:
        return False
    who = rule.principal
    if who:
        if "kind" in who and principal.type.lower() != who["kind"]:
            return False
        if "roles" in who and not {name for _, name in principal.parents} & set(who["roles"]):
            return False
        if "profiles" in who and principal.attributes["profile"] not in who["profiles"]:
            return False
        if "trust_at_least" in who and not principal.attributes["trust_level"] >= who["trust_at_least"]:
            return False
        if "trust_at_most" in who and not principal.attributes["trust_level"] <= who["trust_at_most"]:
            return False
    return _touches(rule.resource, principal, resource) and _within(rule.context, context)


def _touches(what: Mapping[str, Any], principal: Entity, resource: Entity) -> bool:
    if not what:
        return True
    if "types" in what and resource.type not in what["types"]:
        return False
    if "ids" in what and resource.id not in what["ids"]:
        return False
    if "categories" in what and not {name for _, name in resource.parents} & set(what["categories"]):
        return False
    if "repositories" in what and resource.attributes["repository"] not in what["repositories"]:
        return False
    if "severities" in what and resource.attributes["severity"] not in what["severities"]:
        return False
    if "path_classes" in what and not set(resource.attributes["path_classes"]) & set(what["path_classes"]):
        return False
    if what.get("trust_reaches_rule"):
        return bool(principal.attributes["trust_level"] >= resource.attributes["min_trust"])
    return True


def _within(when: Mapping[str, Any], context: dict[str, Any]) -> bool:
    return not (
        ("surfaces" in when and context["surface"] not in when["surfaces"])
        or ("hour_at_least" in when and context["hour"] < when["hour_at_least"])
        or ("hour_at_most" in when and context["hour"] > when["hour_at_most"])
        or ("risk_at_least" in when and context["risk"] < when["risk_at_least"])
        or ("labels" in when and not set(context["labels"]) & set(when["labels"]))
    )


def compile_rules(
    files: Mapping[str, bytes],
    groups: Mapping[str, frozenset[str]],
    known: Mapping[str, Collection[str]] | None = None,
) -> Native:
    """Compile `native/*.yaml`; LawFault listing every problem.

    `groups`: each action's own name and its groups. `known`: by condition, such as `types`, every word that it can
    ever meet; another word would make a rule that never binds, which is a fault. What is not in it is not held to it.
    """
    problems = Problems()
    rules: list[Rule] = []
    seen: set[str] = set()
    words = frozenset().union(*groups.values()) if groups else frozenset()
    met = known or {}
    for file in sorted(files):
        if not (file.startswith("native/") and file.endswith(".yaml")):
            continue
        read = problems.read(file, files[file])
        if read is None:
            continue
        value, lines = read
        top = problems.keys(value, lines, (), ("rules",))
        items = top.get("rules") or []
        if not isinstance(items, list):
            problems.add(lines, ("rules",), "a list of rules is needed here", "begin each with `- id:`")
            items = []
        for index, item in enumerate(items):
            path = ("rules", index)
            given = problems.keys(item, lines, path, _KEYS)
            name, effect = problems.name(given.get("id"), lines, path, seen), given.get("effect")
            if name is None:
                continue
            if effect not in ("permit", "forbid", "approval"):
                problems.add(lines, (*path, "effect"), "the effect is `permit`, `forbid` or `approval`")
            actions = frozenset(problems.words(given.get("actions", []), lines, (*path, "actions")))
            for action in sorted(actions - words):
                problems.add(lines, (*path, "actions"), f"`{action}` is no operation or group", nearest(action, words))
            parts = []
            for key, conditions in (("principal", _PRINCIPAL), ("resource", _RESOURCE), ("context", _CONTEXT)):
                part = problems.keys(given.get(key, {}), lines, (*path, key), conditions)
                for inner, content in part.items():
                    if inner.endswith(("_least", "_most")):
                        problems.number(content, lines, (*path, key, inner), 0, 100)
                    elif inner == "kind":
                        if content not in ("agent", "person"):
                            problems.add(lines, (*path, key, inner), "the kind is `agent` or `person`")
                    elif inner == "trust_reaches_rule":
                        if content is not True or actions != {OVERRIDE}:
                            problems.add(lines, (*path, key, inner), f"only `true`, only for `{OVERRIDE}`")
                    else:
                        for word in problems.words(content, lines, (*path, key, inner)):
                            if inner in met and word not in met[inner]:
                                message = f"`{word}` is nothing that `{inner}` can meet, so the rule would never bind"
                                problems.add(lines, (*path, key, inner), message, nearest(word, met[inner]))
                parts.append({k: [v] if isinstance(v, str) and k != "kind" else v for k, v in part.items()})
            agents_only = {"trust_at_least", "trust_at_most", "profiles"} & parts[0].keys()
            if (agents_only or parts[1].get("trust_reaches_rule")) and parts[0].get("kind") != "agent":
                problems.add(lines, path, "trust and profiles are an agent's", "add `kind: agent`")
            rules.append(Rule(name, str(effect), actions, parts[0], parts[1], parts[2], str(given.get("advice", ""))))
    problems.stop()
    return Native(tuple(rules), groups)
