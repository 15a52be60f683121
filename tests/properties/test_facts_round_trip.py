"""What an entry records is what was judged: facts and calls come back from canonical JSON, and are decided alike."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardhouse.gates.policy.ruling import RESOURCE_TYPES
from guardhouse.gates.profile import LIMITS
from guardhouse.gateway.decide import decide
from guardhouse.model.call import Call, Fault, Resource
from guardhouse.model.canonical import decode, encode
from guardhouse.model.decision import Effect
from guardhouse.model.facts import (
    ApprovalFact,
    Control,
    DomainFinding,
    Facts,
    Finding,
    GrantFact,
    Observation,
    Principal,
    WorkspaceFacts,
)
from guardhouse.model.instants import DAY
from tests.judging import ACTIONS, NOW, asking, law

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
FLAG = st.booleans()
INSTANT = st.sampled_from([0, 1, NOW - DAY, NOW, NOW + 1, NOW + DAY]) | st.integers(0, 2**62)
COUNT = st.integers(0, 2**62)
WORDS = st.lists(TEXT, max_size=2).map(tuple)
TRUST = st.integers(0, 4)
# What allows is drawn as often as what denies, so that decisions reach the gates behind.
NEVER = st.just(0) | INSTANT
AGENT = st.builds(
    Principal, st.just("agent"), st.just("agt_1") | TEXT, role=st.just("developer") | TEXT, trust=TRUST, effective_trust=TRUST,
    profile=st.sampled_from(["", "default", "codex", "none"]), owner=TEXT, delegation=WORDS, grants=WORDS, token_id=TEXT,
    token_expires_at=NEVER, token_revoked_at=NEVER, session_id=TEXT, session_expires_at=NEVER, session_revoked_at=NEVER,
    repository=TEXT,
)  # fmt: skip
PERSON = st.builds(
    Principal, st.just("person"), TEXT, disabled=FLAG,
    roles=st.lists(st.sampled_from(["operator", "security", "auditor"]), unique=True).map(tuple),
)  # fmt: skip
CONTROL = st.builds(
    Control, st.sampled_from(["agent", "workspace"]), TEXT, st.sampled_from(["paused", "suspended", "stopped"]), INSTANT, TEXT
)  # fmt: skip
OBSERVATION = st.builds(
    Observation, st.sampled_from(["workspace", "agent", "role", "pack"]), st.sampled_from(["agt_1", "developer", "git"]), INSTANT
)  # fmt: skip
WORKSPACE = st.builds(
    WorkspaceFacts, TEXT, FLAG, st.lists(CONTROL, max_size=1).map(tuple), st.lists(OBSERVATION, max_size=2).map(tuple),
    COUNT, COUNT,
)  # fmt: skip
FINDING = st.builds(
    Finding, TEXT, st.just("git") | TEXT, TEXT, st.sampled_from(["log", "warn", "approval_required", "block"]),
    st.integers(0, 5), TEXT, COUNT, COUNT, FLAG, WORDS, st.sampled_from(["", "", "log", "approval_required", "block"]),
)  # fmt: skip
DOMAIN = st.builds(DomainFinding, TEXT, st.sampled_from(["allow", "deny"]), TEXT, TEXT)
APPROVAL = st.builds(
    ApprovalFact, TEXT, st.sampled_from(["pending", "granted", "refused", "spent"]), FLAG, FLAG,
    st.sampled_from([law().law, asking().law]) | TEXT, INSTANT, INSTANT, INSTANT,
)  # fmt: skip
GRANT = st.builds(
    GrantFact, TEXT, st.lists(st.tuples(TEXT, st.sampled_from(["warn", "approval_required", "block"])), max_size=2).map(tuple),
    st.just(law().law) | TEXT, FLAG, INSTANT,
)  # fmt: skip
FACTS = st.builds(
    Facts, st.just(NOW), AGENT | PERSON, WORKSPACE,
    claim=st.sampled_from(["none", "own", "other"]),
    # By name and once each: so they are read, and so they are recorded.
    quota=st.dictionaries(st.sampled_from(LIMITS), COUNT, max_size=2).map(lambda used: tuple(sorted(used.items()))),
    findings=st.lists(FINDING, max_size=2).map(tuple), domains=st.lists(DOMAIN, max_size=1).map(tuple),
    approval=st.none() | APPROVAL, pending_approvals=st.integers(0, 30), law=st.just(law().law) | TEXT,
    question=TEXT, open_ended=FLAG, grant=st.none() | GRANT, registered_repository=TEXT, repeats=st.just("") | TEXT, repeat_differs=FLAG,
)  # fmt: skip


@st.composite
def calls(draw):
    operation = draw(st.sampled_from(sorted(ACTIONS)) | st.sampled_from(["acquire_lock", "check_guardrails"]))
    return Call(
        draw(TEXT), operation, ACTIONS[operation].category,
        Resource(draw(st.sampled_from(RESOURCE_TYPES)), draw(TEXT), draw(TEXT)),
        draw(st.sampled_from(["http", "cli"])), draw(TEXT), draw(st.integers(0, 10**9)), draw(TEXT),
        approval_id=draw(TEXT), idempotency=draw(TEXT),
        fault=draw(st.none() | st.builds(Fault, TEXT, TEXT)),
        governs=ACTIONS[operation].governs, labels=draw(WORDS),
    )  # fmt: skip


def entry(call):
    """The parts of an entry's body that a call is read from, as the ledger keeps them."""
    body = {
        "id": call.id,
        "operation": call.operation,
        "category": call.category,
        "resource": call.resource.to_json(),
        "surface": call.surface,
        "call": call.to_json(),
    }
    return decode(encode(body))


def recorded(facts):
    """Facts as an entry and the standing beside it keep them."""
    return Facts.from_json(
        decode(encode(facts.to_json("sha256:p", "sha256:w"))),
        facts.now,
        Principal.from_json(decode(encode(facts.principal.to_json()))),
        WorkspaceFacts.from_json(decode(encode(facts.workspace.to_json()))),
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(calls(), FACTS, st.sampled_from([law(), asking()]))
def test_what_is_recorded_is_what_was_judged(call, facts, bundle):
    assert recorded(facts) == facts
    assert Call.from_entry(entry(call)) == call
    assert decide(Call.from_entry(entry(call)), recorded(facts), bundle) == decide(call, facts, bundle)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(calls(), FACTS, st.sampled_from([law(), asking()]))
def test_a_decision_is_recorded_and_never_raised(call, facts, bundle):
    decision = decide(call, facts, bundle)
    assert all(decode(encode(step.to_json()))["code"] == step.code for step in decision.steps)
    assert decision.effect is not Effect.NOT_REACHED
    assert (decision.code == "gate_error") is False


def test_what_is_wrong_with_a_field_is_not_recorded_and_not_judged():
    call = Call(
        "dec_1", "acquire_lock", ACTIONS["acquire_lock"].category, Resource("Lock", "x"), "http", "", 1, "hmac:1",
        fault=Fault("validation", "`key` is not text", (("key", "secret"),)),
    )  # fmt: skip
    kept = Call.from_entry(entry(call))
    assert kept == replace(call, fault=Fault("validation", "`key` is not text"))
    facts = Facts(NOW, Principal("agent", "agt_1", trust=2, effective_trust=2), WorkspaceFacts("wsp_1"), law=law().law)
    assert decide(kept, facts, law()) == decide(call, facts, law())
