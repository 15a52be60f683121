"""Who sees what of the ledger: an agent of little trust its own entries, people and trust 3 everybody's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.world import World, world


@pytest.fixture
def here(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def whose(answer: dict[str, Any]) -> set[str]:
    return {entry["principal"]["id"] for entry in answer["entries"]}


@pytest.mark.parametrize("trust", [1, 2])
def test_an_agent_of_little_trust_finds_its_own_entries_only(here: World, trust: int) -> None:
    curious, other = here.agent("curious", trust), here.agent("other")
    theirs = here.call(other, "acquire_lock", {"key": "res:theirs", "reason": "nobody else's business"})
    here.done(curious, "check_locks")
    here.done(here.operator, "list_agents")

    assert whose(here.done(curious, "query_audit")) == {curious.id}
    assert here.done(curious, "query_audit", {"agent_id": curious.id})["entries"]
    for asked in ({"decision_id": theirs.decision_id}, {"text": "business"}, {"resource": "res:theirs"}):
        assert here.done(curious, "query_audit", asked)["entries"] == [], asked
    for asked in ({"agent_id": other.id}, {"person_id": here.operator.id}):
        refused = here.call(curious, "query_audit", asked)
        assert refused.code == "forbidden_scope", asked
        assert here.entry(refused.decision_id)["outcome"] == "forbidden_scope"


def test_pages_of_ones_own_entries_lead_to_all_of_them_and_to_no_others(here: World) -> None:
    curious, other = here.agent("curious"), here.agent("other")
    for _ in range(5):
        here.done(curious, "check_locks")
        here.done(other, "check_locks")
    found, cursor = [], ""
    while True:
        page = here.done(curious, "query_audit", {"operation": "check_locks", "limit": 2, "cursor": cursor})
        found += page["entries"]
        cursor = page["next"]
        if not page["more"]:
            break
    assert len(found) == 5
    assert {entry["principal"]["id"] for entry in found} == {curious.id}


def test_trust_lent_by_a_delegator_of_little_trust_shows_no_more(here: World) -> None:
    low = here.agent("low", 2)
    lent = here.agent("lent", 4, delegated_by=low.id)
    here.done(low, "check_locks")
    here.done(lent, "check_locks")
    assert whose(here.done(lent, "query_audit")) == {lent.id}
    assert here.call(lent, "verify_audit").code == "policy_forbidden"


def test_an_observed_agent_sees_no_more_than_before(here: World) -> None:
    curious = here.agent("curious")
    here.done(here.operator, "set_mode", {"scope": "agent", "id": curious.id, "seconds": 600})
    here.done(curious, "check_locks")
    assert whose(here.done(curious, "query_audit")) == {curious.id}
    assert here.call(curious, "query_audit", {"person_id": here.operator.id}).code == "forbidden_scope"


def test_trust_three_and_people_with_a_role_see_everybodys(here: World) -> None:
    low, trusted = here.agent("low", 1), here.agent("trusted", 3)
    here.done(low, "check_locks")
    people = [here.person(role, role) for role in ("auditor", "security", "operator")]
    for who in (trusted, *people):
        assert low.id in whose(here.done(who, "query_audit"))
        assert whose(here.done(who, "query_audit", {"agent_id": low.id})) == {low.id}
        assert here.done(who, "verify_audit")["ok"] is True
    nobody = here.person("nobody")
    for operation in ("query_audit", "verify_audit"):
        assert here.call(nobody, operation).code == "policy_not_permitted"
        assert here.call(low, "verify_audit").code == "policy_forbidden"
    assert here.call(here.agent("two", 2), "verify_audit").code == "policy_forbidden"


def test_letting_people_decide_their_own_questions_needs_the_security_role(here: World) -> None:
    plain, both = here.person("plain", "operator"), here.person("both", "operator", "security")
    refused = here.call(plain, "set_workspace", {"single_person": True})
    assert refused.code == "wrong_role"
    assert here.done(plain, "set_workspace", {"approval_grant_seconds": 60})["single_person"] is False
    assert here.done(both, "set_workspace", {"single_person": True})["single_person"] is True
    assert here.done(plain, "set_workspace", {"single_person": False})["single_person"] is False
