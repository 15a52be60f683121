"""Must hold 9: whose call it is, is what the token says, at every door; what a caller says of itself has no effect.

One world behind one listening door: `/v1`, the tasks' path, MCP and the hooks, each spoken to by raw requests.
"""

from __future__ import annotations

import hashlib
import json
import logging
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text

from tests.surfaces.doors import Answer, Listening, listening, parse, request
from tests.world import Member, World, world

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}},
}
HOOK = {
    "hook_event_name": "PreToolUse",
    "tool_name": "Bash",
    "tool_input": {"command": "ls"},
    "session_id": "s",
    "cwd": "/",
}
DOORS: dict[str, tuple[str, str, Any]] = {
    "call": ("POST", "/v1/check_locks", {}),
    "task": ("GET", "/api/v1/tasks/tsk_00000000000000000000000000", None),
    "mcp": ("POST", "/mcp", INITIALIZE),
    "hook": ("POST", "/v1/hooks/claude-code", HOOK),
}
SECRET = "AKIA" + "Q3EGRWJ7QZ5XVB2M"


class House:
    """A world, its door, and all that ever came out of it."""

    def __init__(self, home: World, door: Listening) -> None:
        self.world, self.door = home, door
        self.said: list[bytes] = []

    def send(self, method: str, path: str, body: Any, *authorization: str, **headers: str) -> Answer:
        data = b"" if body is None else json.dumps(body).encode()
        named = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        raw = request(method, path, data, **named)
        for value in authorization:
            raw = raw.replace(b"\r\n", b"\r\nAuthorization: " + value.encode() + b"\r\n", 1)
        answer = self.door.raw(raw)
        self.said.append(answer)
        return parse(answer)

    def knock(self, door: str, *authorization: str, **headers: str) -> tuple[bool, str]:
        """(whether it was let in, all that was said)."""
        answer = self.send(*DOORS[door], *authorization, **headers)
        said = answer.body.decode()
        if door == "hook":
            return "deny" not in said, said
        return answer.status in (200, 404), said

    def mcp(self, who: Member, name: str, arguments: Any, meta: Any = None, opened: str = "") -> Any:
        """One tool call in a session of one's own."""
        bearer = f"Bearer {who.token}"
        own = opened or self.send("POST", "/mcp", INITIALIZE, bearer).headers["mcp-session-id"]
        begun = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        self.send("POST", "/mcp", begun, bearer, Mcp_Session_Id=own)
        params = {"name": name, "arguments": arguments} | ({"_meta": meta} if meta else {})
        asked = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
        return self.send("POST", "/mcp", asked, bearer, Mcp_Session_Id=own).json["result"]


@pytest.fixture
def house(store: Any, clock: Any, ids: Any, tmp_path: Path) -> Iterator[House]:
    with world(store, clock, ids) as made, listening(made.gateway, tmp_path / "home") as door:
        yield House(made, door)


def _token_id(home: World, who: Member) -> str:
    listed = home.done(home.operator, "list_tokens", {})["tokens"]
    return next(str(item["token_id"]) for item in listed if item["principal_id"] == who.id)


def test_no_door_lets_in_who_has_no_good_token(house: House) -> None:
    home = house.world
    honest, old, gone = home.agent("honest"), home.agent("old"), home.agent("gone")
    home.done(home.operator, "revoke_token", {"token_id": _token_id(home, gone)})
    made = home.done(home.operator, "create_workspace", {"slug": "other", "person_name": "second"})
    good = f"Bearer {honest.token}"
    strangers: dict[str, tuple[str, ...]] = {
        "missing": (),
        "empty": ("",),
        "no scheme": (honest.token,),
        "another scheme": (f"Basic {honest.token}",),
        "unknown": ("Bearer gdh_agent_nobody_0000000000000000000000000000000000000000000",),
        "cut": (good[:-1],),
        "longer": (good + "x",),
        "two in one": (f"{good}, {good}",),
        "twice": (good, good),
        "two": (good, f"Bearer {gone.token}"),
        "the id": (f"Bearer {honest.id}",),
        "the session": (f"Bearer {honest.session_id}",),
        "the token's id": (f"Bearer {_token_id(home, honest)}",),
    }
    before = home.count()
    for door in DOORS:
        for name, sent in strangers.items():
            assert not house.knock(door, *sent)[0], (door, name)
    assert home.count() == before, "a stranger leaves no entry"
    for door in DOORS:
        assert house.knock(door, good)[0], door
        let_in, said = house.knock(door, f"Bearer {gone.token}")
        assert not let_in, door
        assert "revoked" in said, (door, said)
    # Another workspace's token is good there, and shows and changes nothing here.
    home.done(honest, "acquire_lock", {"key": "res:a"})
    here = home.count()
    other = house.send("POST", "/v1/check_locks", {"key": "res:a"}, f"Bearer {made['token']}")
    assert (other.status, other.json["locks"]) == (200, [])
    assert home.count() == here
    home.later(91 * 86_400)
    for door in DOORS:
        let_in, said = house.knock(door, f"Bearer {old.token}")
        assert not let_in, door
        assert "expired" in said, (door, said)


HEADERS = {
    "Agent_Id": "{victim}", "X_Agent_Id": "{victim}", "X_Guardhouse_Agent": "{victim}", "Guardhouse_Agent": "{victim}",
    "Trust": "4", "X_Trust_Level": "4", "Guardhouse_Trust": "4", "Guardhouse_Time": "2001-01-01T00:00:00Z",
    "Date": "Mon, 01 Jan 2001 00:00:00 GMT", "Guardhouse_Risk": "0", "Guardhouse_Grant": "acquire_lock",
    "X_Forwarded_For": "127.0.0.1", "X_Forwarded_User": "olga", "X_Real_Ip": "127.0.0.1", "Guardhouse_Surface": "cli",
    "Guardhouse_Workspace": "other", "Cookie": "token={token}",
}  # fmt: skip
META = {
    "guardhouse/agent": "{victim}", "guardhouse/trust": 4, "trust_level": 4, "guardhouse/time": "2001-01-01T00:00:00Z",
    "guardhouse/risk": 0, "guardhouse/grant": "acquire_lock", "guardhouse/token": "{token}", "agent_id": "{victim}",
}  # fmt: skip
CLAIMS: list[dict[str, Any]] = [
    {"agent": "{victim}"}, {"agent_id": "{victim}"}, {"session_id": "{session}"}, {"trust": 4}, {"trust_level": 4},
    {"time": 1}, {"now": 1}, {"at": "2001-01-01T00:00:00Z"}, {"risk": 0}, {"grant": "acquire_lock"}, {"grants": ["*"]},
    {"session_grants": ["acquire_lock"]}, {"role": "operator"}, {"context": {"surface": "cli"}}, {"token": "{token}"},
    {"approval": "apr_1"}, {"__entity": {"type": "Agent", "id": "{victim}"}},
]  # fmt: skip


def filled(value: Any, victim: Member) -> Any:
    words = json.dumps(value)
    for name, real in (("victim", victim.id), ("token", victim.token), ("session", victim.session_id)):
        words = words.replace("{" + name + "}", real)
    return json.loads(words)


def judged(entry: dict[str, Any]) -> dict[str, Any]:
    """What an entry says but its own place, id and salt, and how many calls went before."""
    apart = ("sequence", "id", "request", "payload_digest", "at")
    facts = {name: value for name, value in entry["facts"].items() if name != "quota"}
    return {name: value for name, value in entry.items() if name not in apart} | {"facts": facts}


def test_what_a_caller_says_of_itself_has_no_effect_at_any_door(house: House) -> None:
    home = house.world
    victim, low = home.agent("victim", trust=4, role="orchestrator"), home.agent("low", trust=1)
    bearer, lock = f"Bearer {low.token}", {"key": "res:a"}
    plain = house.send("POST", "/v1/acquire_lock", lock, bearer)
    assert (plain.status, plain.code) == (403, "policy_not_permitted")
    honest = home.entries()[-1]
    claimed = house.send("POST", "/v1/acquire_lock", lock, bearer, **filled(HEADERS, victim))
    assert (claimed.status, claimed.code) == (403, "policy_not_permitted")
    assert judged(home.entries()[-1]) == judged(honest)
    assert home.entries()[-1]["at"] == honest["at"], "time is the gateway's"

    opened = house.mcp(low, "acquire_lock", lock)
    assert opened["isError"] is True
    honest = home.entries()[-1]
    assert house.mcp(low, "acquire_lock", lock, filled(META, victim))["isError"] is True
    assert judged(home.entries()[-1]) == judged(honest)

    for claim in CLAIMS:
        made = filled(claim, victim)
        answer = house.send("POST", "/v1/acquire_lock", lock | made, bearer)
        assert answer.code in ("validation", "sender_mismatch"), claim
        assert house.mcp(low, "acquire_lock", lock | made)["isError"] is True, claim
        entry = home.entries()[-1]
        assert (entry["principal"]["id"], entry["session"]) == (low.id, low.session_id), claim
        # A hook's payload may name a part of its own agent, which stands below it; it is never anybody else.
        house.send("POST", "/v1/hooks/claude-code", HOOK | made, bearer)
        entry = home.entries()[-1]
        assert low.id in (entry["principal"]["id"], *entry.get("delegation", ())), claim
        assert victim.id not in (entry["principal"]["id"], *entry.get("delegation", ())), claim
    assert home.done(victim, "check_locks", {"key": "res:a"})["locks"] == []


def test_anothers_approval_is_worth_nothing_at_any_door(house: House) -> None:
    home = house.world
    builder, thief = home.agent("builder"), home.agent("thief")
    publish = {"operation_text": "npm publish"}
    approval = home.done(builder, "check_guardrails", publish)["approval_id"]
    home.done(home.operator, "grant_approval", {"approval_id": approval})
    bearer = f"Bearer {thief.token}"
    shown = house.send("POST", "/v1/check_guardrails", publish, bearer, Guardhouse_Approval=approval)
    assert (shown.status, shown.json["verdict"]) == (200, "ask")
    told = house.mcp(thief, "check_guardrails", publish, {"guardhouse/approval": approval})
    assert told["structuredContent"]["verdict"] == "ask"
    hook = HOOK | {"tool_input": {"command": "npm publish"}}
    answer = house.send("POST", "/v1/hooks/claude-code", hook, bearer, Guardhouse_Approval=approval)
    assert '"allow"' not in answer.body.decode()
    mine = house.send("POST", "/v1/check_guardrails", publish, f"Bearer {builder.token}", Guardhouse_Approval=approval)
    assert mine.json["verdict"] in ("allow", "warn"), "the owner's grant was not spent by the thief"


def test_a_session_of_one_token_is_closed_to_every_other(house: House) -> None:
    owner, thief = house.world.agent("owner"), house.world.agent("thief", trust=4)
    own = house.send("POST", "/mcp", INITIALIZE, f"Bearer {owner.token}").headers["mcp-session-id"]
    before = house.world.count()
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "check_locks", "arguments": {}}}
    for token in (thief.token, house.world.operator.token):
        assert house.send("POST", "/mcp", call, f"Bearer {token}", Mcp_Session_Id=own).status == 404
    assert house.send("POST", "/mcp", call, Mcp_Session_Id=own).status == 401
    assert house.world.count() == before


def _stored(home: World) -> bytes:
    """Every value of every table but the tokens' own, where their digests stand to be compared."""
    parts = []
    with home.store.reading() as connection:
        for table in set(inspect(connection).get_table_names()) - {"token"}:
            for row in connection.execute(text(f'SELECT * FROM "{table}"')):
                parts += [bytes(v) if isinstance(v, (bytes, memoryview)) else str(v).encode() for v in row]
    return b"\n".join(parts)


def _traces(secret: str) -> dict[str, bytes]:
    """A secret and everything that anybody who guesses it could compare with."""
    data = secret.encode()
    found = {
        "itself": data,
        "in base64": b64encode(data)[:20],
        "reversed": data[::-1],
        "half of it": data[len(data) // 2 :],
    }
    for name in ("md5", "sha1", "sha256", "sha512", "blake2b", "sha3_256"):
        digest = hashlib.new(name, data).digest()
        found |= {name: digest, f"{name} hex": digest.hex().encode(), f"{name} base64": b64encode(digest)[:20]}
    return found


def test_no_token_and_no_secret_is_left_anywhere_nor_a_digest_of_one(
    house: House, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    home = house.world
    leaky, other = home.agent("leaky", trust=3), home.agent("other")
    bearer = f"Bearer {leaky.token}"
    for secret in (SECRET, leaky.token, other.token):
        for body in ({"operation_text": f"export KEY={secret}"}, {"operation_text": secret}, {secret: secret}):
            house.send("POST", "/v1/check_guardrails", body, bearer)
            house.mcp(leaky, "check_guardrails", body)
        house.send("POST", "/v1/acquire_lock", {"key": f"res:{secret}", "reason": secret}, bearer)
        house.send("POST", f"/v1/{secret}", {}, bearer)
        house.send("GET", f"/api/v1/tasks/{secret}", None, bearer)
        house.send("POST", "/v1/check_locks", {}, bearer, Idempotency_Key=secret)
        house.send("POST", "/v1/check_locks", {}, bearer, Guardhouse_Approval=secret)
        house.send("POST", "/v1/hooks/claude-code", HOOK | {"tool_input": {"command": f"echo {secret}"}}, bearer)
        house.mcp(leaky, secret, {})
        house.mcp(leaky, "check_locks", {}, {"guardhouse/approval": secret, "guardhouse/idempotency-key": secret})
    for door in DOORS:
        house.knock(door, f"Bearer {other.token}x")
    stored, log = _stored(home), caplog.text.encode()
    said = b"\n".join(house.said)
    files = b"\n".join(path.read_bytes() for path in sorted((tmp_path / "home").rglob("*")) if path.is_file())
    assert b"check_guardrails" in stored
    found = [
        (where, secret[:4], name)
        for where, text_ in (("stored", stored), ("log", log), ("said", said), ("files", files))
        for secret in (SECRET, leaky.token, other.token)
        for name, trace in _traces(secret).items()
        if trace in text_
    ]
    assert found == []
