"""The gates that judge by the law: policy, guardrails and approval, and that none of them allows by default."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardhouse.bundle.load import _groups
from guardhouse.gates import approval, guardrails, policy
from guardhouse.gates.policy import PolicyRules, cedar, native
from guardhouse.gates.policy.ruling import Answer, Entity
from guardhouse.gateway.decide import decide
from tests.judging import ACTIONS, NOW, SHIPPED, agent, asking, call, facts, found, guarded, law, person
from tests.judging import approval as approved

EMPTY = {"schema.cedarschema": SHIPPED["schema.cedarschema"]}
GROUPS = _groups(ACTIONS)
NOTHING = {engine: policy.parse(EMPTY, engine, GROUPS) for engine in policy.ENGINES}
HELD = asking().rules["policy"]


@pytest.mark.parametrize("engine", policy.ENGINES)
@pytest.mark.parametrize("operation", sorted(ACTIONS))
def test_policy_trivially_false(engine, operation):
    for who in (agent(4), person("auditor", "operator", "security")):
        step = policy.check(call(operation), facts(who), NOTHING[engine], ())
        assert (step.effect, step.code, step.rules) == ("deny", "policy_not_permitted", ())


@pytest.mark.parametrize("engine", policy.ENGINES)
@pytest.mark.parametrize("severity", ["approval_required", "block", "unheard_of"])
def test_guardrails_trivially_false(engine, severity):
    rules = guardrails.join(law().packs, NOTHING[engine])
    step = guardrails.check(call(), facts(agent(4), findings=(found(severity, 0),)), rules, ())
    assert step.effect == ("hold" if severity == "approval_required" else "deny")
    step = guardrails.check(call(), facts(person("security"), findings=(guarded(),)), law().rules["guardrails"], ())
    assert (step.effect, step.code) == ("deny", "guardrail_blocked")


def test_approval_trivially_false():
    held = policy.check(call(), facts(agent(4)), HELD, ())
    assert held.effect == "hold"
    assert approval.check(call(), facts(), None, (held,)).code == "approval_pending"
    unbound = facts(approval=approved(law(), bound=False))
    assert approval.check(call(approval_id="apr_1"), unbound, None, (held,)).effect == "deny"
    assert approval.check(call(approval_id="apr_1"), facts(), None, ()).code == "approval_mismatch"
    for state in ("pending", "refused", "spent", "unheard_of"):
        step = approval.check(call(), facts(approval=approved(law(), state)), None, (held,))
        assert step.effect != "allow"


@pytest.mark.parametrize(
    ("gate", "known", "rules"),
    [
        ("policy", facts(agent(4)), None),
        ("guardrails", facts(agent(4), findings=(found(),)), None),
        # This gate has no rules to fail by: an approval that is none makes it raise.
        ("approval", facts(agent(4), findings=(found("approval_required", 5),), approval=object()), approval.Rules()),
    ],
)
def test_a_gate_that_raises_has_refused(gate, known, rules):
    decision = decide(call(), known, replace(law(), rules=dict(law().rules) | {gate: rules}))
    assert (decision.effect, decision.code) == ("deny", "gate_error")
    assert decision.step(gate).code == "gate_error"


@pytest.mark.parametrize("compiled", [cedar.compile_policies(SHIPPED, GROUPS), native.compile_rules(SHIPPED, GROUPS)])
@pytest.mark.parametrize(
    ("who", "context"),
    [
        (Entity("Agent", "a", {}), {}),
        (Entity("Agent", "a", {"trust_level": "four"}), {"surface": 3}),
        (Entity("Nobody", "a", {}), {}),
        (Entity("Agent", "a", {"trust_level": object()}), {}),
    ],
)
def test_an_engine_that_is_asked_nonsense_denies(compiled, who, context):
    ruling = compiled.authorize(who, "acquire_lock", Entity("Lock", "x", {}), context)
    assert ruling.answer is Answer.DENY


def test_both_engines_have_to_know_the_action():
    for rules in (law().rules["policy"], PolicyRules(native.compile_rules(SHIPPED, GROUPS), None, {})):
        who = Entity("Person", "p", {"roles": ["operator"]}, (("Role", "operator"),))
        context = {"surface": "http", "address": "", "at": NOW // 10**6, "hour": 1, "risk": 0, "labels": []}
        assert rules.authorize(who, "fly", Entity("Lock", "x", {"repository": ""}), context).answer is Answer.DENY
