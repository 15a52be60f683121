"""Both engines give the same answer and the same rules on every point of the shipped policies' matrix."""

from itertools import combinations

from guardhouse.bundle.load import ActionDecl, _groups, read_directory, schema_actions, shipped_directory
from guardhouse.gates.policy import cedar, native
from guardhouse.gates.policy.ruling import RESOURCE_TYPES, Answer, context_of, principal_of, resource_of
from guardhouse.model.call import Call, Category, Resource
from guardhouse.model.facts import Facts, Principal, WorkspaceFacts

FILES = read_directory(shipped_directory())
GROUPS = schema_actions(FILES["schema.cedarschema"].decode())
ACTIONS = {
    name: ActionDecl(Category(next(iter(groups - {"govern"}))), "govern" in groups)
    for name, groups in GROUPS.items()
    if groups
}
AGENTS = [Principal("agent", "a", role="developer", trust=t, effective_trust=t) for t in range(5)]
PEOPLE = [
    Principal("person", "p", roles=r) for n in range(4) for r in combinations(("auditor", "operator", "security"), n)
]


def ask(engine, who, action, kind):
    facts = Facts(10**15, who, WorkspaceFacts("w"))
    call = Call("d", action, ACTIONS[action].category, Resource(kind, "x"), "http", "", 1, "")
    return engine.authorize(principal_of(facts, {}), action, resource_of(call, facts), context_of(call, facts))


def test_both_engines_agree_on_the_whole_matrix():
    first, second = cedar.compile_policies(FILES), native.compile_rules(FILES, _groups(ACTIONS))
    for who in AGENTS + PEOPLE:
        for action in ACTIONS:
            for kind in RESOURCE_TYPES:
                one, two = ask(first, who, action, kind), ask(second, who, action, kind)
                assert (one.answer, one.rules, one.errors) == (two.answer, two.rules, two.errors), (who, action, kind)


def test_a_forbid_that_fails_to_evaluate_denies():
    failing = b'@id("x") forbid(principal is Agent, action, resource) when { principal.trust_level + 9223372036854775807 > 0 };'
    engine = cedar.compile_policies(FILES | {"cedar/x.cedar": failing})
    ruling = ask(engine, AGENTS[4], "check_locks", "Lock")
    assert ruling.answer is Answer.DENY
    assert ruling.errors


def test_an_approval_forbid_holds_only_where_a_permit_applies():
    asking = b'@id("x") @effect("approval") @advice("ask Ops.") forbid(principal, action == Action::"acquire_lock", resource);'
    engine = cedar.compile_policies(FILES | {"cedar/x.cedar": asking})
    held = ask(engine, AGENTS[2], "acquire_lock", "Lock")
    assert (held.answer, held.advice) == (Answer.HOLD, ("ask Ops.",))
    assert ask(engine, AGENTS[1], "acquire_lock", "Lock").answer is Answer.DENY
