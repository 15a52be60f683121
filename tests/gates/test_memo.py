"""A ruling is found again only for the very same question under the very same rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardhouse.bundle.load import load_files
from guardhouse.gates.policy import PolicyRules
from guardhouse.gates.policy.memo import Memo
from guardhouse.gates.policy.ruling import Answer, Entity, Ruling
from guardhouse.gateway.decide import decide
from guardhouse.model.call import Resource
from guardhouse.model.instants import HOUR, SECOND
from tests.judging import ACTIONS, ASKING, NOW, SHIPPED, agent, call, facts, law

WHO = Entity("Agent", "a", {"trust_level": 2, "session_grants": ["x"], "role": ""}, (("Role", "developer"),))
WHAT = Entity("Lock", "x", {"repository": ""})
WHERE = {"surface": "http", "address": "", "at": 1, "hour": 1, "risk": 0, "labels": ["a"]}


class Counting:
    """An engine that answers with what it was asked, and how often."""

    def __init__(self, errors=()):
        self.asked = 0
        self.errors = errors

    def tells_apart(self, resource):
        return True

    def authorize(self, principal, action, resource, context):
        self.asked += 1
        return Ruling(Answer.ALLOW, (repr((principal, action, resource, sorted(context.items()))),), self.errors)


OTHERS = {
    "principal's type": (replace(WHO, type="Person"), "read", WHAT, WHERE),
    "principal's id": (replace(WHO, id="b"), "read", WHAT, WHERE),
    "trust": (replace(WHO, attributes=WHO.attributes | {"trust_level": 3}), "read", WHAT, WHERE),
    "trust of another type": (replace(WHO, attributes=WHO.attributes | {"trust_level": "2"}), "read", WHAT, WHERE),
    "trust that equals in Python": (replace(WHO, attributes=WHO.attributes | {"trust_level": 2.0}), "read", WHAT, WHERE),
    "grants": (replace(WHO, attributes=WHO.attributes | {"session_grants": []}), "read", WHAT, WHERE),
    "an attribute less": (replace(WHO, attributes={"trust_level": 2}), "read", WHAT, WHERE),
    "role": (replace(WHO, parents=(("Role", "reviewer"),)), "read", WHAT, WHERE),
    "no role": (replace(WHO, parents=()), "read", WHAT, WHERE),
    "action": (WHO, "write", WHAT, WHERE),
    "resource's type": (WHO, "read", replace(WHAT, type="File"), WHERE),
    "resource's id": (WHO, "read", replace(WHAT, id="y"), WHERE),
    "repository": (WHO, "read", replace(WHAT, attributes={"repository": "r"}), WHERE),
    "category": (WHO, "read", replace(WHAT, parents=(("Category", "git"),)), WHERE),
    "unknown standing": (WHO, "read", replace(WHAT, known=False), WHERE),
    **{key: (WHO, "read", WHAT, WHERE | {key: value}) for key, value in
       {"surface": "cli", "address": "::1", "at": 2, "hour": 2, "risk": 1, "labels": []}.items()},
}  # fmt: skip


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_whatever_differs_is_asked_anew(other):
    engine = Counting()
    rules = PolicyRules(engine, None, {})
    first = rules.authorize(WHO, "read", WHAT, WHERE)
    assert rules.authorize(WHO, "read", WHAT, dict(WHERE)) is first
    assert engine.asked == 1
    assert rules.authorize(*other) == Counting().authorize(*other)
    assert engine.asked == 2


NAMING = {
    "a scope": """@id("n") forbid (principal, action, resource == Task::"tsk_named");""",
    "a condition": """@id("n") forbid (principal, action, resource is Task) when { resource == Task::"tsk_named" };""",
    "a group": """@id("n") forbid (principal, action, resource in Task::"tsk_named");""",
    "a set": """@id("n") forbid (principal, action, resource is Task)
        when { [Task::"tsk_other", Task::"tsk_named"].contains(resource) };""",
    "unless": """@id("n") forbid (principal, action == Action::"complete_work", resource is Task)
        unless { resource != Task::"tsk_named" };""",
    "an escape": """@id("n") forbid (principal, action, resource == Task::"tsk_\\u{6e}amed");""",
}
LISTED = b"rules:\n- {id: n, effect: forbid, resource: {types: [Task], ids: [tsk_named]}}\n"


@pytest.mark.parametrize("engine", ["cedar", "native", "both"])
@pytest.mark.parametrize("naming", NAMING)
def test_a_resource_that_a_rule_names_is_told_apart_from_those_that_none_names(naming, engine):
    files = {"cedar/n.cedar": NAMING[naming].encode(), "native/n.yaml": LISTED}
    files["gateway.yaml"] = f"engine: {engine}\n".encode()
    bundle, fresh = law(tuple(files.items())), load_files(SHIPPED | files, ACTIONS)
    codes = []
    names = ["tsk_a", "tsk_named", "tsk_b", "tsk_named", "tsk_a", "Task", "is", ""]
    for name in names:
        asked = call("complete_work", resource=Resource("Task", name))
        decided = decide(asked, facts(bundle=bundle), bundle)
        fresh.rules["policy"].memo._rulings.clear()
        assert decided == decide(asked, facts(bundle=fresh), fresh), name
        codes.append(decided.code)
    assert [name for name, code in zip(names, codes, strict=True) if code == "policy_forbidden"] == ["tsk_named"] * 2
    assert len(bundle.rules["policy"].memo) < len(set(names)), "those that nobody names are asked about once"


def test_agents_and_guardrail_rules_are_always_told_apart():
    engine = law().rules["policy"].engine
    for kind in ("Agent", "Person", "Role", "Category", "Rule", "Action", "Unheard"):
        assert engine.tells_apart(Entity(kind, "nobody-names-this", {}))
    assert not engine.tells_apart(Entity("Task", "nobody-names-this", {}))


def test_other_rules_begin_with_nothing_remembered():
    rules = PolicyRules(Counting(), None, {})
    rules.authorize(WHO, "read", WHAT, WHERE)
    assert len(rules.memo) == 1
    assert len(replace(rules, engine=Counting()).memo) == len(PolicyRules(Counting(), None, {}).memo) == 0


def test_an_error_is_not_remembered():
    engine = Counting(("MemoryError",))
    rules = PolicyRules(engine, None, {})
    for _ in range(2):
        rules.authorize(WHO, "read", WHAT, WHERE)
    assert engine.asked == 2


def test_what_has_no_canonical_form_is_asked_each_time():
    engine = Counting()
    rules = PolicyRules(engine, None, {})
    for value in (object(), 2**70, "\ud800"):
        rules.authorize(replace(WHO, attributes={"trust_level": value}), "read", WHAT, WHERE)
    assert (engine.asked, len(rules.memo)) == (3, 0)


def test_the_shadow_is_remembered_with_its_answer():
    class No(Counting):
        def authorize(self, principal, action, resource, context):
            return replace(super().authorize(principal, action, resource, context), answer=Answer.DENY)

    shadow = No()
    rules = PolicyRules(Counting(), shadow, {})
    for _ in range(2):
        assert rules.authorize(WHO, "read", WHAT, WHERE).divergence == "deny"
    assert shadow.asked == 1


def test_the_one_longest_not_asked_for_is_given_up():
    memo, ruling = Memo(kept=2), Ruling(Answer.ALLOW)
    memo.put(b"a", ruling)
    memo.put(b"b", ruling)
    assert memo.get(b"a") is ruling
    memo.put(b"c", ruling)
    assert (memo.get(b"a"), memo.get(b"b"), memo.get(b"c")) == (ruling, None, ruling)
    memo.put(b"x" * 10_000, ruling)
    assert len(memo) == 2


def test_a_decision_changes_at_once_with_trust_hour_and_law():
    late = b'@id("late") forbid (principal, action == Action::"acquire_lock", resource) when { context.hour == 3 };'
    bundle = law((("cedar/late.cedar", late),))
    three = NOW - NOW % (24 * HOUR) + 3 * HOUR
    for _ in range(2):
        assert decide(call(), facts(bundle=bundle, now=three - SECOND), bundle).effect == "allow"
        assert decide(call(), facts(bundle=bundle, now=three), bundle).code == "policy_forbidden"
        assert decide(call(), facts(agent(1), bundle, now=three - SECOND), bundle).code == "policy_not_permitted"
        assert decide(call(), facts(bundle=law(), now=three), law()).effect == "allow"
        asks = law((("cedar/site.cedar", ASKING),))
        assert decide(call(), facts(bundle=asks, now=three - SECOND), asks).effect == "hold"
