"""The MCP door over streamable HTTP as the wire shows it: whose sessions are, where requests come from, what is no call."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from guardhouse.surfaces.mcp.seats import MOST_A_TOKEN, Seats
from guardhouse.surfaces.mcp.streamable import Places
from tests.surfaces.doors import Answer, parse, request
from tests.surfaces.mcp.clients import code_of, over_http, run, text_of
from tests.surfaces.mcp.conftest import Place
from tests.world import Member

_ACCEPT = "application/json, text/event-stream"
_OPEN = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}},
}


def send(place: Place, token: str, message: Any, *, path: str = "/mcp", method: str = "POST", **headers: str) -> Answer:
    """One HTTP request as it is written, with a token and a JSON body."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    named = {"Content-Type": "application/json", "Accept": _ACCEPT, "Authorization": f"Bearer {token}"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    return parse(place.door.raw(request(method, path, body, **{name: text for name, text in named.items() if text})))


def session(place: Place, who: Member) -> str:
    """A session opened by hand; its id."""
    opened = send(place, who.token, _OPEN)
    assert opened.status == 200, opened.body
    own = opened.headers["mcp-session-id"]
    begun = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert send(place, who.token, begun, Mcp_Session_Id=own).status == 202
    return own


def call(name: Any, arguments: Any, number: int = 2) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


def test_a_session_serves_only_the_token_that_opened_it(place: Place) -> None:
    owner, thief = place.world.agent("owner"), place.world.agent("thief", trust=4)
    own = session(place, owner)
    before = place.world.count()
    for token, status in ((thief.token, 404), (place.world.operator.token, 404), ("gdh_agent_x_y", 401), ("", 401)):
        stolen = send(
            place, token, call("acquire_lock", {"key": "res:a"}), Mcp_Session_Id=own, Authorization=f"Bearer {token}"
        )
        assert stolen.status == status, stolen.body
        assert send(place, token, b"", method="DELETE", Mcp_Session_Id=own).status == status
    assert place.world.count() == before
    mine = send(place, owner.token, call("acquire_lock", {"key": "res:a"}), Mcp_Session_Id=own)
    assert mine.json["result"]["isError"] is False
    assert place.world.count() == before + 1
    assert send(place, owner.token, b"", method="DELETE", Mcp_Session_Id=own).status == 200
    assert send(place, owner.token, call("check_locks", {}), Mcp_Session_Id=own).status == 404


def test_a_session_of_another_process_is_opened_anew(place: Place) -> None:
    agent = place.world.agent("worker")
    assert send(place, agent.token, call("check_locks", {}), Mcp_Session_Id="f" * 32).status == 404


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"name": "acquire_lock", "arguments": ["res:a"]}, "validation"),
        ({"name": "acquire_lock", "arguments": "res:a"}, "validation"),
        ({"name": ["acquire_lock"], "arguments": {"key": "res:a"}}, "unknown_operation"),
        ({"arguments": {"key": "res:a"}}, "unknown_operation"),
        ({"name": "acquire_lock", "arguments": {"key": "res:a"}, "_meta": "x"}, "validation"),
        ({"name": "../acquire_lock", "arguments": {"key": "res:a"}}, "unknown_operation"),
        ({"name": "acquire_lock", "arguments": {"key": "\ud800"}}, "validation"),
        (["acquire_lock"], "unknown_operation"),
    ],
)
def test_a_malformed_call_of_a_known_principal_is_recorded_and_refused(place: Place, params: Any, code: str) -> None:
    agent = place.world.agent("worker")
    own = session(place, agent)
    before = place.world.count()
    message = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
    answer = send(place, agent.token, message, Mcp_Session_Id=own)
    if answer.status == 400:
        # Not a JSON-RPC request at all: there was no call.
        assert answer.json["error"]["code"] in (-32602, -32600, -32700), answer.body
        assert place.world.count() == before
        return
    assert answer.json["result"]["isError"], answer.body
    assert answer.json["result"]["structuredContent"]["error"]["code"] == code
    assert place.world.count() == before + 1
    assert place.world.done(agent, "check_locks", {})["locks"] == []


def test_a_message_that_is_too_long_is_recorded_and_answered_413(place: Place) -> None:
    agent = place.world.agent("worker")
    own = session(place, agent)
    before = place.world.count()
    answer = send(place, agent.token, b"x" * 3_000_000, Mcp_Session_Id=own)
    assert answer.status == 413, answer.body
    assert place.world.count() == before + 1
    assert place.world.entry(answer.json["error"]["data"]["error"]["decision_id"])["surface"] == "mcp"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"jsonrpc": "2.0"}',
        b"[" * 50_000,
        b'{"jsonrpc":"2.0","id":1,"method":1}',
    ],
)
def test_what_is_no_message_is_no_call(place: Place, body: bytes) -> None:
    agent = place.world.agent("worker")
    before = place.world.count()
    answer = send(place, agent.token, body)
    assert answer.status == 400, answer.body
    assert "error" in answer.json
    assert place.world.count() == before


@pytest.mark.parametrize(
    ("path", "method", "headers", "status"),
    [
        ("/mcp", "GET", {}, 405),
        ("/mcp", "PUT", {}, 405),
        ("/mcp/other", "POST", {}, 404),
        ("/mcp?tools=", "POST", {}, 200),
        ("/mcp/?tools=guard", "POST", {}, 200),
        ("/mcp?tools=every", "POST", {}, 400),
        ("/mcp?tools=core&tools=x%00", "POST", {}, 400),
        ("/mcp", "POST", {"Host": "rebound.example.com"}, 400),
        ("/mcp", "POST", {"Origin": "http://localhost:6274"}, 200),
        ("/mcp", "POST", {"Origin": "https://evil.example.com"}, 403),
        ("/mcp", "POST", {"Origin": "null"}, 403),
        ("/mcp", "POST", {"Origin": "http://localhost.evil.example.com"}, 403),
        ("/mcp", "POST", {"Authorization": "Basic eDp5"}, 401),
        ("/mcp", "POST", {"Content-Type": "text/plain"}, 400),
    ],
)
def test_who_may_knock_and_how(place: Place, path: str, method: str, headers: dict[str, str], status: int) -> None:
    agent = place.world.agent("worker")
    before = place.world.count()
    answer = send(place, agent.token, _OPEN, path=path, method=method, **headers)
    assert answer.status == status, answer.body
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert place.world.count() == before


def test_a_rebound_name_is_refused(place: Place) -> None:
    agent = place.world.agent("worker")
    message = json.dumps(_OPEN).encode()
    lines = f"POST /mcp HTTP/1.1\r\nHost: rebound.example.com\r\nAuthorization: Bearer {agent.token}\r\n"
    lines += f"Content-Type: application/json\r\nAccept: {_ACCEPT}\r\nConnection: close\r\nContent-Length: {len(message)}\r\n\r\n"
    answer = parse(place.door.raw(lines.encode() + message))
    assert answer.status == 421, answer.body


@pytest.mark.parametrize(
    ("listening", "listed", "host", "origin", "status"),
    [
        ("127.0.0.1", "", "localhost:8420", None, None),
        ("127.0.0.1", "", "[::1]:8420", None, None),
        ("127.0.0.1", "", "127.1.2.3", "http://127.0.0.1:3000", None),
        ("127.0.0.1", "", "gate.example.com", None, 421),
        ("127.0.0.1", "", "", None, 421),
        ("127.0.0.1", "", "localhost.example.com", None, 421),
        ("127.0.0.1", "https://gate.example.com", "gate.example.com", "https://gate.example.com", None),
        ("127.0.0.1", "https://gate.example.com", "gate.example.com", "https://other.example.com", 403),
        ("0.0.0.0", "", "gate.example.com", None, None),
        ("0.0.0.0", "", "gate.example.com", "https://gate.example.com", 403),
        ("0.0.0.0", "", "localhost", "http://localhost:3000", 403),
        ("0.0.0.0", "https://a.example.com, https://B.example.com/", "gate", "https://b.example.com", None),
    ],
)
def test_hosts_and_origins(listening: str, listed: str, host: str, origin: str | None, status: int | None) -> None:
    headers = {b"host": host} | ({b"origin": origin} if origin is not None else {})
    found = Places(listening, listed).strange(headers, ())
    assert (found[0] if found else None) == status


def test_initialize_ping_and_lists_leave_no_entry(place: Place) -> None:
    agent = place.world.agent("worker")
    before = place.world.count()

    async def work() -> None:
        async with over_http(place.address, agent.token) as client:
            await client.list_tools()
            await client.list_resources()
            await client.list_resource_templates()

    run(work)
    own = session(place, agent)
    pinged = send(place, agent.token, {"jsonrpc": "2.0", "id": 9, "method": "ping"}, Mcp_Session_Id=own)
    assert (pinged.status, pinged.json["result"]) == (200, {})
    assert place.world.count() == before


def test_entries_equal_calls_when_many_clients_call_at_once(place: Place) -> None:
    """Twelve clients, some of one agent, a mix of good, denied, malformed and unknown: not one entry more or less."""
    agents = [place.world.agent(f"worker{number}", trust=1 + number % 3) for number in range(4)]
    before = place.world.count()

    async def one(number: int) -> list[str]:
        codes = []
        mode = "legacy" if number % 2 else "auto"
        async with over_http(place.address, agents[number % 4].token, mode=mode) as client:
            for turn in range(10):
                for name, arguments in (
                    ("check_locks", {}),
                    ("acquire_lock", {"key": f"res:{turn % 3}"}),
                    ("no_such_tool", {}),
                    ("acquire_lock", {"key": 7}),
                ):
                    answer = await client.call_tool(name, arguments)
                    codes.append(code_of(answer) if answer.is_error else "performed")
        return codes

    async def work() -> list[list[str]]:
        return await asyncio.gather(*(one(number) for number in range(12)))

    codes = [code for found in run(work) for code in found]
    assert len(codes) == 480
    assert {"performed", "held", "unknown_operation", "validation", "policy_not_permitted"} >= set(codes)
    assert place.world.count() - before == 480


def test_waiting_for_a_person_holds_the_line(place: Place) -> None:
    agent = place.world.agent("worker")

    async def work() -> None:
        async with over_http(place.address, agent.token) as client:
            asked = (await client.call_tool("check_guardrails", {"operation_text": "npm publish"})).structured_content
            assert asked is not None
            waiting = asyncio.create_task(
                client.call_tool("wait_approval", {"approval_id": asked["approval_id"], "timeout_seconds": 30})
            )
            await asyncio.sleep(0)
            place.world.done(place.world.operator, "grant_approval", {"approval_id": asked["approval_id"]})
            told = (await waiting).structured_content
            assert told is not None
            assert told["state"] == "granted", told

    run(work)


def test_a_caller_who_hangs_up_is_still_carried(place: Place) -> None:
    agent = place.world.agent("worker")
    own = session(place, agent)
    before = place.world.count()
    body = json.dumps(call("acquire_lock", {"key": "res:a"})).encode()
    headers = {"Content-Type": "application/json", "Accept": _ACCEPT, "Authorization": f"Bearer {agent.token}"}
    with socket.create_connection((place.door.host, place.door.port), timeout=10) as line:
        line.sendall(request("POST", "/mcp", body, **headers, **{"Mcp-Session-Id": own}))
    for _ in range(200):
        if place.world.count() > before:
            break
        assert send(place, agent.token, {"jsonrpc": "2.0", "id": 9, "method": "ping"}, Mcp_Session_Id=own).status == 200
    assert place.world.count() == before + 1


def test_a_gateway_that_cannot_record_says_so_as_a_tool_result(place: Place) -> None:
    agent = place.world.agent("worker")

    async def work() -> None:
        async with over_http(place.address, agent.token) as client:
            await client.call_tool("check_locks", {})
            place.world.gateway.close()
            answer = await client.call_tool("acquire_lock", {"key": "res:a"})
            assert code_of(answer) == "not_performed"
            assert "\nNext: Call `acquire_lock` again" in text_of(answer)

    run(work)


def test_a_token_has_so_many_sessions_and_the_one_idle_longest_gives_way(place: Place) -> None:
    many, other = place.world.agent("many"), place.world.agent("other")
    beside = session(place, other)
    opened = [session(place, many) for _ in range(MOST_A_TOKEN)]
    assert send(place, many.token, call("check_locks", {}), Mcp_Session_Id=opened[0]).status == 200
    opened.append(session(place, many))
    # The first was used a moment ago, so the second gave way.
    status = {
        name: send(place, who.token, call("check_locks", {}), Mcp_Session_Id=name).status
        for who, names in ((many, opened), (other, [beside]))
        for name in names
    }
    assert [name for name, seen in status.items() if seen != 200] == [opened[1]]
    assert send(place, many.token, b"", method="DELETE", Mcp_Session_Id=opened[2]).status == 200
    session(place, many)
    assert send(place, many.token, call("check_locks", {}), Mcp_Session_Id=opened[3]).status == 200


def test_a_busy_session_gives_way_to_none() -> None:
    seats = Seats(most=2)
    for name in ("one", "two"):
        seats.opened("token", name)
        seats.enter("token", name)
    assert seats.surplus("token") is None
    seats.leave("two")
    assert seats.surplus("token") == "two"
    seats.leave("one")
    assert seats.surplus("token") == "one"
    seats.closed("token", "one")
    assert seats.surplus("token") == ""
    assert seats.surplus("another") == ""


@pytest.mark.parametrize(
    "text",
    [
        '{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "acquire_lock", "arguments": %s}}',
        '{"jsonrpc": "2.0", "method": "ping", "id": 7, "method": "tools/call", "params": {"name": "acquire_lock", "arguments": %s}}',
    ],
)
def test_a_message_that_names_a_field_twice_is_refused_as_over_http(place: Place, text: str) -> None:
    agent = place.world.agent("worker")
    own = session(place, agent)
    before = place.world.count()
    body = (text % '{"key": "res:a", "key": "res:b"}').encode()
    refused = send(place, agent.token, body, Mcp_Session_Id=own)
    result = refused.json["result"]
    assert (refused.json["id"], result["isError"]) == (7, True)
    error = result["structuredContent"]["error"]
    assert (error["code"], "twice" in error["message"]) == ("validation", True)
    assert place.world.count() == before + 1
    assert place.world.entry(result["_meta"]["guardhouse/decision"])["operation"] == "acquire_lock"
    assert place.world.done(agent, "check_locks", {})["locks"] == []
    listed = send(
        place, agent.token, b'{"jsonrpc": "2.0", "id": 8, "id": 9, "method": "tools/list"}', Mcp_Session_Id=own
    )
    assert (listed.status, listed.json["error"]["code"]) == (400, -32600)


def test_a_message_of_too_many_values_is_refused_before_it_is_read(place: Place) -> None:
    """Two megabytes of small values took the SDK and the door some tenths of a second on the event loop."""
    agent = place.world.agent("worker")
    own = session(place, agent)
    before = place.world.count()
    arguments = b'{"title": "t", "input": {"a": [' + b"[]," * 300_000 + b"1]}}"
    body = (
        b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "submit_work", "arguments": '
        + arguments
        + b"}}"
    )
    refused = send(place, agent.token, body, Mcp_Session_Id=own)
    assert (refused.status, refused.json["error"]["code"]) == (400, -32600)
    told = refused.json["error"]["data"]["error"]
    assert (told["code"], told["message"]) == ("validation", "a message holds at most 20000 values")
    assert place.world.count() == before + 1
    assert place.world.entry(told["decision_id"])["outcome"] != "performed"
    assert place.world.done(agent, "check_locks", {})["locks"] == []
