"""The fold over all gates: what binds, what only leaves a trace, and what every approval is worth."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardhouse.gates import GATES
from guardhouse.gateway.decide import decide
from guardhouse.model.call import Fault
from guardhouse.model.decision import Effect, Verdict
from guardhouse.model.facts import Control, DomainFinding
from guardhouse.model.instants import DAY, HOUR
from tests.judging import (
    ASKING,
    NOW,
    agent,
    approval,
    asking,
    call,
    facts,
    found,
    guarded,
    judged,
    law,
    observing,
    person,
)

SCOPES = [("workspace", "wsp_1"), ("agent", "agt_1"), ("role", "developer")]
UNLISTED = (DomainFinding("url", "deny", "not_listed"),)


def effects(decision):
    return {step.gate: step.effect for step in decision.steps}


def test_an_ordinary_call_is_allowed_by_every_gate():
    decision = judged(call(), facts())
    assert (decision.effect, decision.code, decision.enforced, decision.mode) == ("allow", "allowed", True, "enforce")
    assert [step.gate for step in decision.steps] == [gate.NAME for gate in GATES]
    assert decision.step("policy").rules == ("agents.write",)


def test_the_first_deny_stops_and_the_rest_is_not_reached():
    decision = judged(call(), facts(agent(1), domains=UNLISTED, findings=(found(),)))
    assert (decision.effect, decision.code) == ("deny", "policy_not_permitted")
    assert [step.effect for step in decision.steps] == [*["allow"] * 3, "deny", *["not_reached"] * 3]


def test_a_hold_then_a_later_deny_is_a_deny():
    bundle = asking()
    decision = judged(call(), facts(bundle=bundle, domains=UNLISTED), bundle)
    assert (decision.effect, decision.code) == ("deny", "network_denied")
    assert decision.step("policy").effect is Effect.HOLD
    assert decision.step("approval").effect is Effect.NOT_REACHED


def test_a_grant_does_not_lift_a_deny():
    bundle = asking()
    known = facts(bundle=bundle, findings=(found(),), approval=approval(bundle))
    decision = judged(call(approval_id="apr_1"), known, bundle)
    assert (decision.effect, decision.code) == ("deny", "guardrail_blocked")


@pytest.mark.parametrize("gate", [gate.NAME for gate in GATES])
@pytest.mark.parametrize("observed", [False, True])
def test_a_gate_that_raises_has_refused_in_every_mode(gate, observed):
    bundle = replace(law(), rules=dict(law().rules) | {gate: None})
    scopes = SCOPES if observed else []
    decision = decide(call(), facts(findings=(found(),), workspace=observing(*scopes)), bundle)
    if gate in ("identity", "control", "network", "approval"):
        # These read no rules for this call, so they cannot be made to fail by taking theirs away.
        bundle = replace(law(), rules={name: made for name, made in law().rules.items() if name != gate})
        decision = decide(call(), facts(workspace=observing(*scopes)), bundle)
    assert (decision.effect, decision.code, decision.enforced) == ("deny", "gate_error", True)
    assert decision.step(gate).code == "gate_error"


# Faults and repeats


def test_a_fault_is_judged_after_identity_and_control():
    broken = call(fault=Fault("validation", "`key` is not text"))
    decision = judged(broken, facts())
    assert (decision.effect, decision.code, decision.message) == ("deny", "validation", "`key` is not text")
    assert [step.gate for step in decision.steps[:3]] == ["identity", "control", "prepare"]
    assert {step.effect for step in decision.steps[3:]} == {Effect.NOT_REACHED}
    assert judged(broken, facts(agent(0))).code == "suspended"
    stopped = replace(facts().workspace, controls=(Control("agent", "agt_1", "stopped"),))
    assert judged(broken, facts(workspace=stopped)).code == "agent_stopped"


def test_a_fault_binds_in_observe_mode():
    decision = judged(call(fault=Fault("validation", "no")), facts(workspace=observing(*SCOPES)))
    assert (decision.effect, decision.enforced) == ("deny", True)


def test_a_repeat_is_answered_before_the_law_is_asked():
    decision = judged(call(), facts(agent(1), repeats="dec_0"))
    assert (decision.effect, decision.code) == ("allow", "repeated")
    assert effects(decision)["policy"] is Effect.NOT_REACHED
    assert judged(call(), facts(agent(0), repeats="dec_0")).code == "suspended"


def test_a_repeat_that_differs_is_a_conflict():
    decision = judged(call(), facts(repeats="dec_0", repeat_differs=True))
    assert (decision.effect, decision.code) == ("deny", "idempotency_conflict")


# Approvals


def test_a_policy_that_asks_holds_the_call():
    decision = judged(call(), facts(bundle=asking()), asking())
    assert (decision.effect, decision.message) == ("hold", "ask the release team.")
    assert decision.step("approval").effect is Effect.HOLD
    assert decision.step("policy").advice == ("ask the release team.",)


def test_a_policy_that_asks_denies_where_no_permit_applies():
    decision = judged(call(), facts(agent(1), bundle=asking()), asking())
    assert (decision.effect, decision.code) == ("deny", "policy_forbidden")


def test_a_grant_lifts_every_hold():
    bundle = asking()
    known = facts(bundle=bundle, findings=(found("approval_required"),), approval=approval(bundle))
    decision = judged(call(approval_id="apr_1"), known, bundle)
    assert (decision.effect, decision.code) == ("allow", "allowed")
    assert decision.step("approval").code == "approved"
    assert [decision.step(gate).effect for gate in ("policy", "guardrails")] == ["hold", "hold"]


APPROVALS = {
    "granted": ({}, "allow", "approved"),
    "found": ({"presented": False}, "allow", "approved"),
    "pending": ({"state": "pending"}, "hold", "approval_pending"),
    "refused": ({"state": "refused"}, "deny", "approval_refused"),
    "refused, found": ({"state": "refused", "presented": False}, "deny", "approval_refused"),
    "refused until now": ({"state": "refused", "decided_at": NOW - DAY + 1}, "deny", "approval_refused"),
    "refused a day ago": ({"state": "refused", "decided_at": NOW - DAY}, "hold", None),
    "spent": ({"state": "spent"}, "deny", "approval_spent"),
    "spent, found": ({"state": "spent", "presented": False}, "hold", None),
    "grant over": ({"grant_until": NOW}, "deny", "approval_expired"),
    "grant nearly over": ({"grant_until": NOW + 1}, "allow", "approved"),
    "question over": ({"state": "pending", "pending_until": NOW}, "deny", "approval_expired"),
    "question over, found": ({"state": "pending", "pending_until": NOW, "presented": False}, "hold", None),
    "a granted one outlives its question": ({"pending_until": NOW - 1}, "allow", "approved"),
    "another law": ({"law": "sha256:other"}, "deny", "approval_stale"),
    "another law, found": ({"law": "sha256:other", "presented": False}, "hold", None),
    "another law, pending": ({"law": "sha256:other", "state": "pending"}, "deny", "approval_stale"),
    "another call": ({"bound": False}, "deny", "approval_mismatch"),
    "another call, found": ({"bound": False, "presented": False}, "hold", None),
    "an unknown state": ({"state": "granted!"}, "deny", "approval_expired"),
}


@pytest.mark.parametrize("name", APPROVALS)
def test_what_each_approval_is_worth(name):
    changes, effect, code = APPROVALS[name]
    bundle = asking()
    given = approval(bundle, **changes)
    decision = judged(
        call(approval_id="apr_1" if given.presented else ""), facts(bundle=bundle, approval=given), bundle
    )
    step = decision.step("approval")
    assert decision.effect == step.effect == effect
    assert code in (None, step.code)


@pytest.mark.parametrize("bundle", [law(), asking()], ids=["not needed", "needed"])
def test_a_presented_id_that_names_nothing_is_denied_whether_needed_or_not(bundle):
    decision = judged(call(approval_id="apr_none"), facts(bundle=bundle), bundle)
    assert (decision.effect, decision.code) == ("deny", "approval_mismatch")


def test_an_approval_of_another_call_is_denied_though_none_is_needed():
    given = approval(law(), bound=False)
    decision = judged(call(approval_id="apr_1"), facts(approval=given), law())
    assert (decision.effect, decision.code) == ("deny", "approval_mismatch")


def test_a_grant_that_is_not_needed_is_not_used():
    decision = judged(call(approval_id="apr_1"), facts(approval=approval(law())))
    assert (decision.effect, decision.step("approval").code) == ("allow", "not_needed")


def test_the_twenty_first_question_is_not_asked():
    bundle = asking()
    assert judged(call(), facts(bundle=bundle, pending_approvals=19), bundle).effect is Effect.HOLD
    decision = judged(call(), facts(bundle=bundle, pending_approvals=20), bundle)
    assert decision.effect is Effect.DENY
    assert decision.step("approval").code == decision.code


# Observe


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(
    ("known", "gate", "would"),
    [
        ({"principal": agent(1)}, "policy", "deny"),
        ({"domains": UNLISTED}, "network", "deny"),
        ({"findings": (found(),)}, "guardrails", "deny"),
        ({"findings": (found("approval_required"),)}, "guardrails", "hold"),
        ({"principal": agent(2, profile="reviewer")}, "profile", "deny"),
    ],
)
def test_what_is_observed_allows_and_says_what_would_have_been(scope, known, gate, would):
    assert judged(call(), facts(**known)).effect == would
    decision = judged(call(), facts(**known, workspace=observing(scope)))
    assert (decision.effect, decision.would, decision.enforced, decision.mode) == ("allow", would, False, "observe")
    assert decision.step(gate).effect == would
    assert decision.code == judged(call(), facts(**known)).code


def test_observe_shows_every_gate_after_the_first_deny():
    known = facts(agent(1), domains=UNLISTED, findings=(found(),), workspace=observing(("workspace", "wsp_1")))
    decision = judged(call(), known)
    shown = effects(decision)
    assert [shown[gate] for gate in ("policy", "network", "guardrails")] == ["deny"] * 3


@pytest.mark.parametrize("scope", SCOPES)
def test_a_mode_ends_by_itself(scope):
    for until, effect in ((NOW + 1, "allow"), (NOW, "deny"), (NOW - 1, "deny")):
        assert judged(call(), facts(agent(1), workspace=observing(scope, until=until))).effect == effect


@pytest.mark.parametrize(
    "scope", [("agent", "agt_2"), ("role", "reviewer"), ("role", ""), ("pack", "policy"), ("x", "wsp_1")]
)
def test_a_mode_for_others_does_not_bind_here(scope):
    decision = judged(call(), facts(agent(1), workspace=observing(scope)))
    assert (decision.effect, decision.enforced) == ("deny", True)


def test_a_role_or_agent_mode_is_not_a_persons():
    scopes = (("agent", "per_1"), ("role", ""), ("role", "operator"))
    assert judged(call(), facts(person("auditor"), workspace=observing(*scopes))).effect is Effect.DENY


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"principal": agent(0)}, "suspended"),
        ({"principal": agent(2, token_revoked_at=NOW)}, "token_revoked"),
        ({"claim": "other"}, "sender_mismatch"),
    ],
)
def test_identity_binds_in_every_mode(changes, code):
    decision = judged(call(), facts(**changes, workspace=observing(*SCOPES)))
    assert (decision.effect, decision.code, decision.enforced) == ("deny", code, True)


def test_control_binds_in_every_mode():
    known = replace(observing(*SCOPES), controls=(Control("agent", "agt_1", "paused"),))
    assert judged(call(), facts(workspace=known)).code == "agent_paused"


@pytest.mark.parametrize("scopes", [SCOPES, [("pack", "guardhouse")], [*SCOPES, ("pack", "guardhouse")]])
@pytest.mark.parametrize(("severity", "effect"), [("block", "deny"), ("approval_required", "hold")])
def test_the_pack_that_protects_guardhouse_binds_in_every_mode(scopes, severity, effect):
    decision = judged(call(), facts(agent(4), findings=(guarded(severity),), workspace=observing(*scopes)))
    assert (decision.effect, decision.enforced, decision.would) == (effect, True, None)


def test_a_pack_is_observed_alone():
    known = facts(findings=(found(),), workspace=observing(("pack", "git")))
    decision = judged(call(), known)
    assert (decision.effect, decision.would, decision.enforced) == ("allow", "deny", False)
    other = found(rule="db.x", pack="database", category="database")
    decision = judged(call(), replace(known, findings=(found(), other)))
    assert (decision.effect, decision.code, decision.enforced) == ("deny", "guardrail_blocked", True)
    assert judged(call(), replace(known, domains=UNLISTED)).code == "network_denied"


def test_an_unknown_approval_does_not_bind_in_observe_mode():
    decision = judged(call(approval_id="apr_none"), facts(workspace=observing(*SCOPES)))
    assert (decision.effect, decision.would) == ("allow", "deny")


# Guardrails: override by trust, and the examination


def test_enough_trust_overrides_and_leaves_a_trace():
    assert judged(call(), facts(agent(3), findings=(found(min_trust=4),))).effect is Effect.DENY
    decision = judged(call(), facts(agent(4), findings=(found(min_trust=4),)))
    step = decision.step("guardrails")
    assert (decision.effect, step.code, step.warn, step.rules) == (
        "allow",
        "overridden",
        True,
        ("git.x", "guardrails.trusted"),
    )


def test_nobody_overrides_what_protects_guardhouse():
    everyone = (("cedar/all.cedar", b'@id("all") permit(principal, action, resource);'),)
    decision = judged(call(), facts(agent(4), findings=(replace(guarded(), min_trust=0),)), law(everyone))
    assert (decision.effect, decision.code) == ("deny", "guardrail_blocked")


def test_a_profiles_ceiling_holds_for_overrides_too():
    low = b"profiles:\n  default: {}\n  low: {trust_ceiling: 3}\n"
    known = facts(agent(4, profile="low"), findings=(found(min_trust=4),))
    assert judged(call(), known, law((("profiles.yaml", low),))).code == "guardrail_blocked"


VERDICTS = [
    ((), 2, "allow"),
    ((found("log"),), 2, "allow"),
    ((found("warn"),), 2, "warn"),
    ((found("approval_required"),), 2, "ask"),
    ((found(),), 2, "block"),
    ((found(),), 4, "warn"),
    ((found("warn"), found(rule="b"), found("approval_required", rule="c")), 2, "block"),
    ((found("unheard_of"),), 2, "block"),
    ((guarded(),), 4, "block"),
]


@pytest.mark.parametrize(("findings", "trust", "verdict"), VERDICTS)
def test_an_examination_answers_with_a_verdict_and_is_never_denied_for_it(findings, trust, verdict):
    decision = judged(call("check_guardrails"), facts(agent(trust), findings=findings))
    assert (decision.effect, decision.verdict, decision.enforced) == ("allow", verdict, True)
    assert judged(call(), facts(agent(trust), findings=findings)).verdict is None


def test_an_examination_uses_a_grant_only_when_its_id_is_presented():
    asks = (found("approval_required"),)
    for presented, verdict, code in ((True, "warn", "approved"), (False, "ask", "not_needed")):
        given = approval(law(), presented=presented)
        made = call("check_guardrails", approval_id="apr_1" if presented else "")
        decision = judged(made, facts(findings=asks, approval=given))
        assert (decision.verdict, decision.step("approval").code) == (verdict, code)


def test_an_examination_is_told_of_an_approval_that_does_not_fit():
    known = facts(findings=(found("approval_required"),), approval=approval(law(), bound=False))
    for made in (known, replace(known, approval=None)):
        decision = judged(call("check_guardrails", approval_id="apr_1"), made)
        step = decision.step("approval")
        assert (decision.effect, decision.verdict) == ("allow", Verdict.ASK)
        assert (step.code, step.warn) == ("approval_mismatch", True)


def test_no_grant_turns_a_block_into_less():
    known = facts(findings=(found(),), approval=approval(law()))
    assert judged(call("check_guardrails", approval_id="apr_1"), known).verdict is Verdict.BLOCK


def test_an_observed_examination_keeps_its_verdict_and_says_it_would_not_bind():
    known = facts(findings=(found(),), workspace=observing(("workspace", "wsp_1")))
    decision = judged(call("check_guardrails"), known)
    assert (decision.verdict, decision.would, decision.enforced) == ("block", "deny", False)
    decision = judged(call("check_guardrails"), replace(known, findings=(found(), guarded())))
    assert (decision.verdict, decision.would, decision.enforced) == ("block", None, True)


# Two engines

_ALL_ACTIONS = b"rules: [{id: open, effect: permit}]\n"


def test_a_shadow_that_disagrees_leaves_a_step_that_says_so():
    both = (("gateway.yaml", b"engine: both\n"), ("native/open.yaml", _ALL_ACTIONS))
    step = judged(call(), facts(agent(1)), law(both)).step("policy")
    assert (step.effect, step.warn) == (Effect.DENY, True)
    assert "`allow`" in step.message
    assert "open" in step.rules


def test_a_shadow_that_disagrees_about_an_override_leaves_a_trace():
    both = (("gateway.yaml", b"engine: both\n"), ("native/open.yaml", _ALL_ACTIONS))
    for operation in ("acquire_lock", "check_guardrails"):
        decision = judged(call(operation), facts(agent(2), findings=(found(),)), law(both))
        step = decision.step("guardrails")
        assert step.warn
        assert "native rules" in step.message
        assert "open" in step.rules


def test_an_approval_policy_means_the_same_in_both_languages():
    native = b"rules: [{id: ask, effect: approval, actions: [acquire_lock], advice: ask the release team.}]\n"
    both = law((("gateway.yaml", b"engine: both\n"), ("cedar/s.cedar", ASKING), ("native/s.yaml", native)))
    for trust, effect in ((1, "deny"), (2, "hold"), (4, "hold")):
        decision = judged(call(), facts(agent(trust), both), both)
        assert (decision.effect, decision.step("policy").warn) == (effect, False)


def test_the_quota_message_names_the_next_hour():
    known = facts(quota=(("calls_per_hour", 1200),), now=NOW - NOW % HOUR + HOUR - 1)
    decision = judged(call(), known)
    assert (decision.code, "retry after 1 seconds" in decision.message) == ("quota_exhausted", True)
