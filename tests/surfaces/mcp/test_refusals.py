"""Every way a call can fail, in every way it can come: the answer is a tool result, and the entries equal the calls."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult

from tests.server import guardhouse
from tests.surfaces.mcp.clients import code_of, run, text_of
from tests.surfaces.mcp.conftest import Place
from tests.world import Member

_NEEDS_A_PERSON = """\
@id("site.production_needs_a_person")
@effect("approval")
@advice("say in the reason what you deploy")
forbid (principal is Agent, action == Action::"acquire_lock", resource is Lock)
when { resource == Lock::"res:deploy/production" };
"""
_LANE = {"key": "res:deploy/production", "reason": "release 7"}


def refused(result: CallToolResult, code: str, *, entry: bool = True) -> dict[str, Any]:
    """A refusal as documented: an error result whose text says what, why and next, with the envelope beside it."""
    assert code_of(result) == code, text_of(result)
    body: dict[str, Any] = result.structured_content  # type: ignore[assignment]  # code_of has looked into it
    told = text_of(result)
    assert f"({code})" in told.splitlines()[0]
    assert "\nWhy: " in told
    assert "\nNext: " in told
    assert bool(body["error"]["decision_id"]) is entry
    return dict(body["error"])


def test_what_is_wrong_with_a_call_is_told_and_recorded(place: Place, way: str) -> None:
    """Unknown tool, wrong fields, claims of identity, too much, denied by policy, held by another, an unknown thing."""
    agent, reader, other = place.world.agent("worker"), place.world.agent("reader", trust=1), place.world.agent("other")
    place.world.done(other, "acquire_lock", {"key": "res:taken"})
    before = place.world.count()

    async def work() -> int:
        async with place.client(way, agent) as client:
            refused(await client.call_tool("no_such_tool", {}), "unknown_operation")
            wrong = refused(await client.call_tool("acquire_lock", {"key": 5, "colour": "red"}), "validation")
            assert {fault["field"] for fault in wrong["fields"]} == {"key", "colour"}
            refused(await client.call_tool("check_locks", {"agent_id": other.id}), "sender_mismatch")
            refused(await client.call_tool("acquire_lock", {"key": "a" * 1_100_000}), "payload_too_large")
            refused(await client.call_tool("acquire_lock", {"key": "a\x00b"}), "validation")
            refused(await client.call_tool("acquire_lock", {"key": 10**30}), "validation")
            held = await client.call_tool("acquire_lock", {"key": "res:taken"})
            assert refused(held, "held")["retryable"]
            assert "\nInstead: " in text_of(held)
            refused(await client.call_tool("get_approval", {"approval_id": "apr_none"}), "not_found")
            unkeyed = await client.call_tool("check_locks", {}, meta={"guardhouse/idempotency-key": 7})
            refused(unkeyed, "validation")
        async with place.client(way, reader) as client:
            denied = refused(await client.call_tool("acquire_lock", {"key": "res:b"}), "policy_not_permitted")
            assert denied["status"] == 403
            assert "acquire_lock" not in {tool.name for tool in (await client.list_tools()).tools}
        return 10

    assert run(work) == place.world.count() - before


def test_a_held_call_is_granted_and_asked_again_with_the_grant_in_meta(place: Place, light_way: str) -> None:
    place.enact("site", _NEEDS_A_PERSON)
    agent = place.world.agent("worker")

    async def work() -> None:
        async with place.client(light_way, agent) as client:
            held = await client.call_tool("acquire_lock", _LANE)
            asked = refused(held, "approval_pending")
            assert "say in the reason what you deploy" in text_of(held).lower()
            assert asked["approval_id"] in text_of(held)
            assert (
                refused(await client.call_tool("acquire_lock", _LANE), "approval_pending")["approval_id"]
                == asked["approval_id"]
            )
            place.world.done(place.world.operator, "grant_approval", {"approval_id": asked["approval_id"]})
            presented = {"guardhouse/approval": asked["approval_id"]}
            refused(
                await client.call_tool("acquire_lock", _LANE | {"reason": "x"}, meta=presented), "approval_mismatch"
            )
            taken = await client.call_tool("acquire_lock", _LANE, meta=presented)
            assert not taken.is_error, text_of(taken)
            await client.call_tool("release_lock", {"key": _LANE["key"]})
            refused(await client.call_tool("acquire_lock", _LANE, meta=presented), "approval_spent")

    run(work)


def test_a_grant_for_a_checked_command_is_spent_by_naming_it(place: Place) -> None:
    agent = place.world.agent("worker")
    command = {"operation_text": "npm publish"}

    async def work() -> None:
        async with place.client("http", agent) as client:
            asked = (await client.call_tool("check_guardrails", command)).structured_content
            assert asked is not None
            assert asked["verdict"] == "ask", asked
            place.world.done(place.world.operator, "grant_approval", {"approval_id": asked["approval_id"]})
            again = await client.call_tool("check_guardrails", command | {"approval_id": asked["approval_id"]})
            assert again.structured_content is not None
            assert again.structured_content["safe"], again.structured_content

    run(work)


def test_the_same_key_repeats_the_first_outcome(place: Place, light_way: str) -> None:
    agent = place.world.agent("worker")
    keyed = {"guardhouse/idempotency-key": "once"}

    async def work() -> None:
        async with place.client(light_way, agent) as client:
            first = await client.call_tool("acquire_lock", {"key": "res:a"}, meta=keyed)
            again = await client.call_tool("acquire_lock", {"key": "res:a"}, meta=keyed)
            assert first.structured_content is not None
            assert again.structured_content is not None
            assert first.structured_content["fence"] == again.structured_content["fence"]
            assert again.meta is not None
            assert again.meta["guardhouse/repeats"] == first.structured_content["decision_id"]
            refused(await client.call_tool("acquire_lock", {"key": "res:b"}, meta=keyed), "idempotency_conflict")

    run(work)


def test_a_pause_and_a_spent_quota_are_told_with_how_long(place: Place, light_way: str) -> None:
    agent, greedy = place.world.agent("worker"), place.world.agent("greedy", profile="limited")

    async def work() -> None:
        async with place.client(light_way, agent) as client:
            shown = {tool.name for tool in (await client.list_tools()).tools}
            place.world.done(place.world.operator, "pause_agent", {"agent_id": agent.id, "seconds": 600, "reason": "x"})
            paused = await client.call_tool("acquire_lock", {"key": "res:a"})
            assert refused(paused, "agent_paused")["retry_after_seconds"] > 0
            assert {tool.name for tool in (await client.list_tools()).tools} == shown
            place.world.done(place.world.operator, "suspend_agent", {"agent_id": agent.id, "reason": "x"})
            refused(await client.call_tool("check_locks", {}), "agent_suspended")
        async with place.client(light_way, greedy) as client:
            for _ in range(40):
                assert not (await client.call_tool("check_locks", {})).is_error
            before = place.world.count()
            spent = refused(await client.call_tool("check_locks", {}), "quota_exhausted")
            assert spent["retry_after_seconds"] > 0
            quiet = refused(await client.call_tool("check_locks", {}), "quota_exhausted", entry=False)
            assert quiet["suppressed"]
            assert place.world.count() == before + 1

    run(work)


def opened(problem: BaseException) -> str:
    """What a client is told whose connection was refused, past the groups that carry it."""
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    assert isinstance(problem, MCPError), problem
    return str(problem)


def connecting(place: Place, way: str, who: Member | str) -> str:
    """The words with which a connection is refused."""

    async def work() -> str:
        try:
            async with place.client(way, who) as client:
                await client.list_tools()
        except BaseException as error:  # noqa: BLE001  # a transport wraps it in groups of its own
            return opened(error)
        raise AssertionError("the connection was opened")

    return run(work)


def test_a_token_that_is_unknown_expired_or_revoked_opens_nothing(place: Place, light_way: str) -> None:
    old, gone = place.world.agent("old"), place.world.agent("gone")
    before = place.world.count()
    assert "unauthenticated" in connecting(place, light_way, "gdh_agent_nobody_00000000000000000000000000000000")
    token_id = next(
        item["token_id"]
        for item in place.world.done(place.world.operator, "list_tokens", {})["tokens"]
        if item["principal_id"] == gone.id
    )
    place.world.done(place.world.operator, "revoke_token", {"token_id": token_id})
    assert "token_revoked" in connecting(place, light_way, gone)
    place.world.later(91 * 86_400)
    assert "token_expired" in connecting(place, light_way, old)
    assert place.world.count() == before + 2


def test_a_token_that_ends_meanwhile_refuses_the_next_call(place: Place, light_way: str) -> None:
    agent = place.world.agent("worker")
    listed = place.world.done(place.world.operator, "list_tokens", {})["tokens"]
    token_id = next(item["token_id"] for item in listed if item["principal_id"] == agent.id)

    async def work() -> None:
        async with place.client(light_way, agent) as client:
            assert not (await client.call_tool("check_locks", {})).is_error
            place.world.done(place.world.operator, "revoke_token", {"token_id": token_id})
            before = place.world.count()
            refused(await client.call_tool("check_locks", {}), "token_revoked")
            assert place.world.count() == before + 1
            with pytest.raises(MCPError, match="token_revoked"):
                await client.list_tools()

    run(work)


@pytest.mark.parametrize("way", ["forwarded", "local"])
def test_without_a_token_the_command_says_what_to_do(place: Place, way: str) -> None:
    done = guardhouse(place.environment(way, ""), "mcp", check=False)
    assert (done.returncode, done.stdout) == (77, "")
    assert "GUARDHOUSE_TOKEN is not set" in done.stderr


def test_without_a_token_http_answers_401(place: Place) -> None:
    assert "unauthenticated" in connecting(place, "http", "")


def test_no_tool_set_of_another_name(place: Place, way: str) -> None:
    agent = place.world.agent("worker")
    if way in ("forwarded", "local"):
        done = guardhouse(place.environment(way, agent.token, GUARDHOUSE_MCP_TOOLS="every"), "mcp", check=False)
        assert done.returncode == 69
        assert "GUARDHOUSE_MCP_TOOLS: there is no tool set `every`; choose `guard`, `core` or `all`" in done.stderr
        return

    async def work() -> Client:
        async with place.client(way, agent, tools="every") as client:
            return client

    with pytest.raises((MCPError, BaseExceptionGroup)) as caught:
        run(work)
    assert "there is no tool set `every`; choose `guard`, `core` or `all`" in opened(caught.value)


def test_what_stands_beside_a_refusal_is_the_same_at_every_door(place: Place, light_way: str) -> None:
    """Who paused it, why and until when; which host and which rule: in the structured content, over HTTP, on the command line."""
    agent, fetches = place.world.agent("worker"), place.world.agent("fetches")
    paused = {"agent_id": agent.id, "seconds": 600, "reason": "a release is being cut"}
    place.world.done(place.world.operator, "pause_agent", paused)
    url = {"action": "fetch", "url": "https://nowhere.invalid/x"}
    cases = (
        (agent, "acquire_lock", {"key": "a"}, "agent_paused", ("state", "by", "by_alias", "reason", "until")),
        (fetches, "check_tool", url, "network_denied", ("domain", "rule", "domains")),
        (agent, "list_agents", {}, "people_only", ("needed",)),
    )

    async def work() -> None:
        for who, operation, body, code, beside in cases:
            if code == "people_only":
                place.world.done(place.world.operator, "resume_agent", {"agent_id": agent.id})
            async with place.client(light_way, who) as client:
                at_mcp = refused(await client.call_tool(operation, body), code)
            async with httpx.AsyncClient() as plain:
                bearer = {"Authorization": f"Bearer {who.token}"}
                answer = await plain.post(f"{place.address}/v1/{operation}", json=body, headers=bearer)
            at_http = answer.json()["error"]
            expected = {name: at_http[name] for name in beside}
            assert expected == {name: at_mcp[name] for name in beside}, code
            if code == "agent_paused":
                assert (expected["by"], expected["reason"]) == (place.world.operator.id, "a release is being cut")
            if code == "network_denied":
                assert expected["domain"] == "nowhere.invalid"
            if light_way != "forwarded":
                continue
            given = [f"{name}={value}" for name, value in body.items()]
            env = place.environment("forwarded", who.token)
            said = await asyncio.to_thread(guardhouse, env, "call", operation, *given, "--json", check=False)
            shown = json.loads(said.stdout)["error"]
            assert expected == {name: shown[name] for name in beside}, code
            read = await asyncio.to_thread(guardhouse, env, "call", operation, *given, check=False)
            for word in (at_http.get("reason"), at_http.get("domain"), at_http.get("by")):
                assert not word or word in read.stderr, (code, read.stderr)

    run(work)
