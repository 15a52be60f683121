"""Whose a hook's question is: the client's session, its sub-agent's delegate, and nobody by default."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.server import guardhouse
from tests.surfaces.hooks.payloads import GIVEN, PAYLOADS, refused
from tests.surfaces.hooks.test_hooks import CLIENTS, Hooked, hooked

__all__ = ["hooked"]

SESSION_FIELDS = {
    "claude-code": "session_id",
    "codex": "session_id",
    "gemini": "session_id",
    "cursor": "conversation_id",
    "copilot": "sessionId",
    "opencode": "sessionID",
}


def asks(client: str, session: str, use: str = "shell.allow", **more: Any) -> dict[str, Any]:
    kind = use.partition(".")[0]
    return PAYLOADS[client](kind, GIVEN[use]) | {SESSION_FIELDS[client]: session} | more


def entry(hooked: Hooked, client: str, payload: dict[str, Any], token: str | None = None) -> dict[str, Any]:
    """Ask, and read the decision's entry."""
    status, _, decision = hooked.ask(client, payload, token)
    assert (status, decision[:4]) == (200, "dec_")
    found = hooked.operate("query_audit", decision_id=decision)["entries"]
    assert len(found) == 1
    return dict(found[0])


@pytest.mark.parametrize("client", CLIENTS)
def test_each_client_session_is_a_session_of_the_tokens_agent(hooked: Hooked, client: str) -> None:
    one = entry(hooked, client, asks(client, f"one-{client}"))
    again = entry(hooked, client, asks(client, f"one-{client}"))
    two = entry(hooked, client, asks(client, f"two-{client}"))
    assert one["session"] == again["session"] != two["session"]
    assert {told["principal"]["id"] for told in (one, again, two)} == {hooked.agent_id}
    assert {told["surface"] for told in (one, again, two)} == {"hook"}


@pytest.mark.parametrize("client", ["claude-code", "codex"])
def test_a_sub_agent_is_a_delegate_that_its_agents_trust_caps(hooked: Hooked, client: str) -> None:
    told = entry(hooked, client, asks(client, f"sub-{client}", agent_id="a1", agent_type="Explore"))
    assert told["principal"]["id"] != hooked.agent_id
    assert told["delegation"] == [hooked.agent_id]
    main = entry(hooked, client, asks(client, f"sub-{client}", agent_type="Explore"))
    assert main["principal"]["id"] == hooked.agent_id, "a type without an agent is the client itself"
    hooked.operate("set_trust", agent_id=told["principal"]["id"], trust=4)
    push = asks(client, f"sub-{client}", "shell.deny", agent_id="a1", agent_type="Explore")
    assert refused(client, hooked.told(client, push)) == "deny"


def test_a_sub_agent_that_a_person_suspended_is_stopped_alone(hooked: Hooked) -> None:
    sub = asks("claude-code", "s-9", agent_id="a9", agent_type="Plan")
    told = entry(hooked, "claude-code", sub)
    hooked.operate("suspend_agent", agent_id=told["principal"]["id"], reason="too eager")
    assert refused("claude-code", hooked.told("claude-code", sub)) == "deny"
    assert refused("claude-code", hooked.told("claude-code", asks("claude-code", "s-9"))) == ""
    hooked.operate("reinstate_agent", agent_id=told["principal"]["id"], reason="calm again")


def test_sessions_opened_at_once_are_one(hooked: Hooked) -> None:
    before = hooked.entries()
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: hooked.ask("codex", asks("codex", "at-once")), range(8)))
    assert all(status == 200 for status, _, _ in told)
    assert hooked.entries() - before == 8 + 1 + 1, "eight questions, one session opened, our own look"


@pytest.mark.parametrize("client", CLIENTS)
def test_revoking_the_token_binds_the_very_next_question_of_an_open_session(hooked: Hooked, client: str) -> None:
    env = hooked.env
    added = json.loads(guardhouse(env, "agents", "add", f"gone-{client}", "--trust", "2", "--json").stdout)
    payload = asks(client, f"gone-{client}")
    assert refused(client, hooked.told(client, payload, added["token"])) == ""
    hooked.operate("revoke_token", token_id=added["token_id"])
    for _ in range(2):
        told = hooked.told(client, payload, added["token"])
        assert refused(client, told) == "deny"
        assert f"guardhouse install {client}" in json.dumps(told)


def test_a_persons_token_is_no_agents(hooked: Hooked) -> None:
    token = (hooked.home / "operator.token").read_text().strip()
    told = hooked.told("codex", asks("codex", "mine"), token)
    assert refused("codex", told) == "deny"
    assert "guardhouse install codex" in json.dumps(told)


@pytest.mark.parametrize("name", ["x" * 5000, "a\nb\x00c", "Ж😀", "../../etc"])
def test_whatever_a_session_is_called_it_is_one(hooked: Hooked, name: str) -> None:
    payload = asks("gemini", name.replace("\x00", ""), agent_id=name.replace("\x00", ""), agent_type=name[:50])
    assert refused("gemini", hooked.told("gemini", payload)) == "" or "\x00" in name
