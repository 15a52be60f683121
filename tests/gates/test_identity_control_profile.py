"""The gates that bind before any policy: identity, control and profile, code by code and edge by edge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardhouse.errors import LawFault
from guardhouse.gates import control, identity, profile
from guardhouse.model.facts import Control
from guardhouse.model.instants import HOUR
from tests.judging import ACTIONS, NOW, agent, call, facts, law, person

IDENTITY = [
    ({"token_revoked_at": NOW}, "token_revoked"),
    ({"token_revoked_at": 1}, "token_revoked"),
    ({"token_revoked_at": NOW + 1}, "known"),
    ({"token_expires_at": NOW}, "token_expired"),
    ({"token_expires_at": NOW + 1}, "known"),
    ({"session_revoked_at": NOW}, "session_revoked"),
    ({"session_revoked_at": NOW + 1}, "known"),
    ({"session_expires_at": NOW}, "session_expired"),
    ({"session_expires_at": NOW + 1}, "known"),
    ({"disabled": True}, "disabled"),
    ({"token_revoked_at": NOW, "disabled": True}, "token_revoked"),
]


def test_identity_trivially_false():
    assert identity.check(call("check_locks"), facts(agent(0)), None, ()).code == "suspended"


@pytest.mark.parametrize(("changes", "code"), IDENTITY)
@pytest.mark.parametrize("who", [agent(4), person("operator")], ids=["agent", "person"])
def test_identity(who, changes, code):
    step = identity.check(call("check_locks"), facts(replace(who, **changes)), None, ())
    assert (step.code, step.effect) == (code, "allow" if code == "known" else "deny")


def test_another_identity_in_the_body_is_refused_and_ones_own_is_not():
    for claim, code in (("other", "sender_mismatch"), ("own", "known"), ("none", "known")):
        assert identity.check(call(), facts(claim=claim), None, ()).code == code


def test_trust_is_the_least_along_the_delegation():
    assert identity.check(call(), facts(agent(4, effective_trust=0)), None, ()).code == "suspended"


@pytest.mark.parametrize("operation", sorted(name for name, declared in ACTIONS.items() if declared.governs))
def test_only_people_govern(operation):
    assert identity.check(call(operation), facts(agent(4)), None, ()).code == "people_only"
    assert identity.check(call(operation), facts(person()), None, ()).code == "known"


def orders(*made):
    return replace(facts().workspace, controls=made)


def test_control_trivially_false():
    known = facts(workspace=orders(Control("workspace", "wsp_1", "stopped")))
    assert control.check(call("check_locks"), known, None, ()).effect == "deny"


@pytest.mark.parametrize("subject", [("agent", "agt_1"), ("agent", "agt_boss"), ("workspace", "wsp_1")])
@pytest.mark.parametrize("state", ["paused", "suspended", "stopped", "unheard_of"])
@pytest.mark.parametrize(
    "operation", ["check_locks", "acquire_lock", "release_lock", "renew_lock", "renew_session", "pause_agent"]
)
def test_every_state_over_every_category(subject, state, operation):
    known = facts(agent(delegation=("agt_boss",)), workspace=orders(Control(*subject, state)))
    step = control.check(call(operation), known, None, ())
    keeps = state == "paused" and operation not in ("acquire_lock", "pause_agent")
    assert step.effect == ("allow" if keeps else "deny")
    if not keeps:
        assert step.code == ("workspace_not_active" if subject[0] == "workspace" else f"agent_{state}")


@pytest.mark.parametrize(("until", "effect"), [(0, "deny"), (NOW + 1, "deny"), (NOW, "allow"), (1, "allow")])
def test_an_order_ends_by_itself(until, effect):
    known = facts(workspace=orders(Control("agent", "agt_1", "stopped", until)))
    assert control.check(call(), known, None, ()).effect == effect


def test_the_heaviest_order_decides():
    made = (
        Control("agent", "agt_1", "paused"),
        Control("agent", "agt_1", "stopped"),
        Control("agent", "agt_1", "suspended"),
    )
    for order in (made, made[::-1]):
        assert control.check(call(), facts(workspace=orders(*order)), None, ()).code == "agent_stopped"


def test_an_order_on_another_does_not_bind():
    known = facts(workspace=orders(Control("agent", "agt_2", "stopped")))
    assert control.check(call(), known, None, ()).code == "running"


@pytest.mark.parametrize(
    ("operation", "effect"),
    [("resume_workspace", "allow"), ("check_locks", "allow"), ("acquire_lock", "deny"), ("revoke_locks", "allow")],
)
def test_people_can_still_govern_a_stopped_workspace(operation, effect):
    known = facts(person("operator"), workspace=orders(Control("workspace", "wsp_1", "stopped")))
    assert control.check(call(operation), known, None, ()).effect == effect


PROFILES = b"""
profiles:
  default: {limits: {calls_per_hour: 10, held_locks: 2, files_per_task: 3, payload_bytes: 100}}
  low: {trust_ceiling: 1}
  reader: {allowed: [read, release_lock]}
  halting: {blocked: [write], allowed: [read, write]}
  one: {blocked: [acquire_lock]}
  open: {}
"""
RULES = profile.parse({"profiles.yaml": PROFILES})


def test_profile_trivially_false():
    assert profile.check(call("check_locks"), facts(agent(4, profile="none")), RULES, ()).code == "unknown_profile"


@pytest.mark.parametrize(
    ("name", "operation", "code"),
    [
        ("open", "pause_agent", "in_profile"),
        ("reader", "check_locks", "in_profile"),
        ("reader", "release_lock", "in_profile"),
        ("reader", "acquire_lock", "operation_not_in_profile"),
        ("halting", "acquire_lock", "operation_not_in_profile"),
        ("halting", "check_locks", "in_profile"),
        ("one", "acquire_lock", "operation_not_in_profile"),
        ("one", "renew_lock", "in_profile"),
        ("low", "acquire_lock", "trust_too_low"),
        ("low", "check_locks", "in_profile"),
    ],
)
def test_operations_by_profile(name, operation, code):
    assert profile.check(call(operation), facts(agent(4, profile=name)), RULES, ()).code == code


@pytest.mark.parametrize(
    ("quota", "operation", "size", "code"),
    [
        ((("calls_per_hour", 9),), "check_locks", 1, "in_profile"),
        ((("calls_per_hour", 10),), "check_locks", 1, "quota_exhausted"),
        ((("held_locks", 1),), "acquire_lock", 1, "in_profile"),
        ((("held_locks", 2),), "acquire_lock", 1, "limit_reached"),
        ((("files_per_task", 3),), "acquire_lock", 1, "limit_reached"),
        ((("held_locks", 9), ("files_per_task", 9)), "release_lock", 1, "in_profile"),
        ((), "check_locks", 100, "in_profile"),
        ((), "check_locks", 101, "payload_too_large"),
    ],
)
def test_limits_at_their_edge(quota, operation, size, code):
    assert profile.check(call(operation, size=size), facts(quota=quota), RULES, ()).code == code


def test_the_wait_is_to_the_next_hour_and_never_nothing():
    full = (("calls_per_hour", 10),)
    for now, seconds in ((NOW - NOW % HOUR, 3600), (NOW - NOW % HOUR + HOUR - 1, 1)):
        step = profile.check(call(), facts(quota=full, now=now), RULES, ())
        assert f"retry after {seconds} seconds" in step.message


def test_people_have_no_profile():
    assert profile.check(call(size=10**9), facts(person()), RULES, ()).code == "not_an_agent"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "profiles: []",
        "profiles: {other: {}}",
        "profiles: {default: 3}",
        "profiles: {default: {trust_ceiling: 5}}",
        "profiles: {default: {trust_ceiling: true}}",
        "profiles: {default: {limits: {held_locks: -1}}}",
        "profiles: {default: {limits: {lives: 9}}}",
        "profiles: {default: {limits: 3}}",
        "profiles: {default: {allowed: {a: b}}}",
        "profiles: {default: {surprise: 1}}",
    ],
)
def test_profiles_that_cannot_be_read_are_a_fault(text):
    with pytest.raises(LawFault) as caught:
        profile.parse({"profiles.yaml": text.encode()})
    assert caught.value.problems[0].file == "profiles.yaml"


def test_every_shipped_gate_has_its_rules():
    assert set(law().rules) == {"identity", "control", "profile", "policy", "network", "guardrails", "approval"}
