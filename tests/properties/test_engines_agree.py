"""Both engines give the same answer and the same rules on every point of the shipped policies' matrix."""

from __future__ import annotations

from itertools import combinations

import pytest

from guardhouse.app import actions
from guardhouse.bundle.load import _groups, read_directory, schema_actions, shipped_directory
from guardhouse.gates.policy import cedar, native
from guardhouse.gates.policy.ruling import (
    OVERRIDE,
    RESOURCE_TYPES,
    Answer,
    context_of,
    principal_of,
    resource_of,
    rule_of,
)
from guardhouse.model.call import Call, Resource
from guardhouse.model.facts import Facts, Finding, Principal, WorkspaceFacts
from guardhouse.operations import CATALOG

FILES = read_directory(shipped_directory())
ACTIONS = actions()
GROUPS = _groups(ACTIONS)
AGENTS = [
    Principal("agent", "a", role=role, trust=trust, effective_trust=trust)
    for trust in range(5)
    for role in ("developer", "")
]
PEOPLE = [
    Principal("person", "p", roles=r) for n in range(4) for r in combinations(("auditor", "operator", "security"), n)
]


def ask(engine, who, action, kind):
    facts = Facts(10**15, who, WorkspaceFacts("w"))
    call = Call("d", action, ACTIONS[action].category, Resource(kind, "x"), "http", "", 1, "")
    return engine.authorize(principal_of(facts, {}), action, resource_of(call, facts), context_of(call, facts))


def override(engine, who, severity, min_trust, category="git"):
    finding = Finding(f"{category}.x", category, category, severity, min_trust, "text", 0, 1)
    facts = Facts(10**15, who, WorkspaceFacts("w"), findings=(finding,))
    call = Call(
        "d", "check_guardrails", ACTIONS["check_guardrails"].category, Resource("Command", "x"), "cli", "", 1, ""
    )
    return engine.authorize(principal_of(facts, {}), OVERRIDE, rule_of(finding, facts), context_of(call, facts))


def test_the_matrix_is_over_the_real_catalog():
    assert {declared.name for declared in CATALOG} == ACTIONS.keys()
    assert schema_actions(FILES["schema.cedarschema"].decode()).keys() == ACTIONS.keys() | {OVERRIDE}


def test_both_engines_agree_on_the_whole_matrix():
    first, second = cedar.compile_policies(FILES, GROUPS), native.compile_rules(FILES, GROUPS)
    allowed = 0
    for who in AGENTS + PEOPLE:
        for action in ACTIONS:
            for kind in RESOURCE_TYPES:
                one, two = ask(first, who, action, kind), ask(second, who, action, kind)
                assert (one.answer, one.rules, one.errors) == (two.answer, two.rules, two.errors), (who, action, kind)
                allowed += one.answer is Answer.ALLOW
    assert allowed > 1_000


def test_both_engines_agree_on_every_override():
    first, second = cedar.compile_policies(FILES, GROUPS), native.compile_rules(FILES, GROUPS)
    for who in AGENTS + PEOPLE:
        for severity in ("warn", "approval_required", "block"):
            for trust in range(6):
                one, two = override(first, who, severity, trust), override(second, who, severity, trust)
                assert (one.answer, one.rules, one.errors) == (two.answer, two.rules, two.errors), (who, trust)


SITE = {
    "cedar/site.cedar": b"""
@id("site.releaser") permit (principal is Agent in Role::"releaser", action == Action::"override_guardrail", resource in Category::"git")
  when { principal.trust_level >= 1 && resource.severity == "approval_required" };
@id("site.never") forbid (principal is Agent, action == Action::"override_guardrail", resource in Category::"database")
  when { resource.severity == "block" };
""",
    "native/site.yaml": b"""
rules:
  - {id: site.releaser, effect: permit, why: tried, actions: [override_guardrail], principal: {kind: agent, roles: [releaser], trust_at_least: 1}, resource: {categories: [git], severities: [approval_required]}}
  - {id: site.never, effect: forbid, why: tried, actions: [override_guardrail], principal: {kind: agent}, resource: {categories: [database], severities: [block]}}
""",
}


def test_both_engines_agree_on_overrides_by_trust_severity_category_role_and_least_trust():
    first, second = cedar.compile_policies(FILES | SITE, GROUPS), native.compile_rules(FILES | SITE, GROUPS)
    seen = set()
    for trust in range(5):
        for role in ("developer", "releaser", ""):
            who = Principal("agent", "a", role=role, trust=trust, effective_trust=trust)
            for category in ("git", "database", "credentials"):
                for severity in ("log", "warn", "approval_required", "block"):
                    for least in range(6):
                        point = (who, severity, least, category)
                        one, two = override(first, *point), override(second, *point)
                        assert (one.answer, one.rules, one.errors) == (two.answer, two.rules, two.errors), point
                        forbidden = category == "database" and severity == "block"
                        named = role == "releaser" and category == "git" and severity == "approval_required" and trust
                        may = trust > 0 and not forbidden and (trust >= least or bool(named))
                        assert (one.answer is Answer.ALLOW) == may, point
                        seen.update(one.rules)
    assert seen == {"agents.suspended", "guardrails.trusted", "site.releaser", "site.never"}


HARD = b"""
@id("h.list") forbid (principal is Agent, action in [Action::"acquire_lock", Action::"admin"], resource is File)
  unless { principal.trust_level >= 4 };
@id("h.group") @effect("approval") forbid (principal, action in Action::"write", resource) when { context.hour < 24 && resource is Task };
@id("h.one") permit (principal == Agent::"a", action == Action::"revoke_locks", resource);
@id("h.role") forbid (principal in Role::"auditor", action, resource is Ledger);
@id("h.agent") forbid (principal is Agent in Role::"developer", action == Action::"check_policy", resource);
@id("h.fails") forbid (principal is Agent, action == Action::"renew_lock", resource) when { principal.trust_level + 9223372036854775807 > 0 };
"""


def test_putting_a_question_only_to_what_can_apply_changes_no_answer():
    files = FILES | {"cedar/hard.cedar": HARD}
    whole, sliced = cedar.compile_policies(files), cedar.compile_policies(files, GROUPS)
    seen = set()
    for who in AGENTS + PEOPLE:
        for action in ACTIONS:
            for kind in RESOURCE_TYPES:
                one = ask(whole, who, action, kind)
                assert one == ask(sliced, who, action, kind), (who, action, kind)
                seen |= {one.answer, *one.rules, *("error" for _ in one.errors)}
    assert {"h.list", "h.group", "h.one", "h.role", "h.agent", "error", "allow", "deny", "hold"} <= seen


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_a_forbid_that_fails_to_evaluate_denies(groups):
    failing = b'@id("x") forbid(principal is Agent, action, resource) when { principal.trust_level + 9223372036854775807 > 0 };'
    engine = cedar.compile_policies(FILES | {"cedar/x.cedar": failing}, groups)
    ruling = ask(engine, AGENTS[-1], "check_locks", "Lock")
    assert ruling.answer is Answer.DENY
    assert ruling.errors


def test_an_approval_forbid_holds_only_where_a_permit_applies():
    asking = b'@id("x") @effect("approval") @advice("ask Ops.") forbid(principal, action == Action::"acquire_lock", resource);'
    engine = cedar.compile_policies(FILES | {"cedar/x.cedar": asking}, GROUPS)
    held = ask(engine, AGENTS[4], "acquire_lock", "Lock")
    assert (held.answer, held.advice) == (Answer.HOLD, ("ask Ops.",))
    assert ask(engine, AGENTS[2], "acquire_lock", "Lock").answer is Answer.DENY
