"""Forged identity and caller-supplied standing have no effect; secrets never reach the ledger."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from sqlalchemy import inspect, text

from tests.world import World


@pytest.mark.parametrize("field", ["agent_id", "session_id", "sender", "from", "principal"])
def test_a_claimed_identity_that_is_not_the_tokens_is_refused(home: World, field: str) -> None:
    victim, forger = home.agent("victim"), home.agent("forger")
    outcome = home.call(forger, "acquire_lock", {"key": "res:a", field: victim.id})
    assert outcome.code == "sender_mismatch"
    assert home.entry(outcome.decision_id)["principal"]["id"] == forger.id
    assert home.done(victim, "check_locks", {"key": "res:a"})["locks"] == []


def test_ones_own_identity_may_be_named(home: World) -> None:
    agent = home.agent("honest")
    assert home.call(agent, "acquire_lock", {"key": "res:a", "agent_id": agent.id}).performed


@pytest.mark.parametrize(
    "claim",
    [
        {"trust": 4},
        {"trust_level": 4},
        {"roles": ["operator"]},
        {"grants": ["acquire_lock"]},
        {"risk": 0},
        {"now": 1},
        {"context": {"surface": "cli"}},
        {"__entity": {"type": "Person", "id": "x"}},
    ],
)
def test_caller_supplied_standing_has_no_effect(home: World, claim: dict[str, Any]) -> None:
    low = home.agent("low", trust=1)
    outcome = home.call(low, "acquire_lock", {"key": "res:a"} | claim)
    assert not outcome.performed
    assert home.done(low, "check_locks", {"key": "res:a"})["locks"] == []


def test_an_agent_cannot_govern_whatever_its_trust(home: World) -> None:
    agent = home.agent("ambitious", trust=4, role="orchestrator")
    for operation in home.gateway.catalog:
        if operation.people_only:
            outcome = home.call(agent, operation.name, {})
            assert not outcome.performed, operation.name


def test_trust_zero_is_denied_everything(home: World) -> None:
    agent = home.agent("nobody", trust=0)
    for operation in home.gateway.catalog:
        assert home.call(agent, operation.name, {}).code in ("suspended", "people_only"), operation.name


def test_a_token_of_another_workspace_leads_nowhere_here(home: World) -> None:
    made = home.done(home.operator, "create_workspace", {"slug": "other", "person_name": "second"})
    outcome = home.call(made["token"], "query_audit", {})
    assert outcome.workspace_id != home.workspace_id


def _everything_stored(home: World) -> str:
    with home.store.reading() as connection:
        parts = []
        for table in inspect(connection).get_table_names():
            for row in connection.execute(text(f'SELECT * FROM "{table}"')):
                parts.extend(bytes(v).decode("latin-1") if isinstance(v, (bytes, memoryview)) else str(v) for v in row)
    return "\n".join(parts)


def test_tokens_and_caught_secrets_are_stored_nowhere(home: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    agent = home.agent("leaky", trust=3)
    aws = "AKIA" + "Q3EGRWJ7QZ5XVB2M"
    github = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    own = agent.token
    for secret in (aws, github, own):
        home.call(agent, "check_guardrails", {"operation_text": f"export KEY={secret} && run"})
        home.call(agent, "acquire_lock", {"key": f"res:{secret}", "reason": f"with {secret}"})
        home.call(agent, "acquire_lock", {"key": "res:a", "metadata": {"note": secret}})
        home.call(agent, secret.lower()[:60], {})
        home.call(agent, "check_locks", {secret: secret})
        home.call(agent, "check_locks", {}, request_id=secret[:60], idempotency_key=secret)
    stored = _everything_stored(home)
    for secret in (aws, github, own):
        assert secret not in caplog.text
        assert secret not in stored
