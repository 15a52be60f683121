"""Each client's exact payloads, over a real socket through a real gateway: what is blocked is blocked in its own terms."""

from __future__ import annotations

import http.client
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.server import guardhouse
from tests.surfaces.hooks.payloads import ACCEPTED, GIVEN, PAYLOADS, accepted, refused

GOLDEN = Path(__file__).parents[2] / "golden" / "hooks"
RENEW = os.environ.get("GUARDHOUSE_RENEW_GOLDEN") == "1"
CLIENTS = tuple(PAYLOADS)
NEVER_ASKS = {"codex", "gemini"}
TELLS_WARNINGS = {"claude-code", "gemini", "opencode"}


@dataclass
class Hooked:
    """A gateway, an agent's token, and the operator's."""

    home: Path
    port: int
    token: str
    agent_id: str
    env: dict[str, str]

    def ask(self, client: str, payload: Any, token: str | None = None, **headers: str) -> tuple[int, bytes, str]:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        token = self.token if token is None else token
        sent = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {}) | headers
        try:
            body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
            line.request("POST", f"/v1/hooks/{client}", body, sent)
            answer = line.getresponse()
            return answer.status, answer.read(), answer.headers.get("Guardhouse-Decision", "")
        finally:
            line.close()

    def told(self, client: str, payload: Any, token: str | None = None) -> dict[str, Any]:
        """The client's answer as it parses it; silence is empty."""
        status, body, _ = self.ask(client, payload, token)
        assert status == 200
        return dict(json.loads(body)) if body else {}

    def entries(self) -> int:
        return int(self.operate("verify_audit")["tree_size"])

    def operate(self, operation: str, **body: Any) -> dict[str, Any]:
        token = (self.home / "operator.token").read_text().strip()
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        line.request("POST", f"/v1/{operation}", json.dumps(body), sent)
        answer = line.getresponse()
        told = dict(json.loads(answer.read()))
        line.close()
        assert answer.status == 200, told
        return told


@pytest.fixture(scope="module")
def hooked(running_home: tuple[Path, dict[str, str]]) -> Hooked:
    home, env = running_home
    added = json.loads(guardhouse(env, "agents", "add", "hooked", "--trust", "2", "--json").stdout)
    port = int(json.loads((home / "endpoint.json").read_text())["address"].rpartition(":")[2])
    return Hooked(home, port, added["token"], added["agent_id"], env)


def plain(value: bytes) -> str:
    """An answer with the ids of one run taken out."""
    text = re.sub(rb"dec_[0-9a-z]+", b"dec_1", value)
    return re.sub(rb"apr_[0-9a-z]+", b"apr_1", text).decode()


@pytest.mark.parametrize("client", CLIENTS)
def test_every_kind_of_tool_is_answered_as_the_golden_file_says(hooked: Hooked, client: str) -> None:
    made: dict[str, str] = {}
    tokens = [hooked.operate("add_agent", handle=f"{client}-{trust}", trust=trust)["token"] for trust in (2, 4)]
    for name, given in GIVEN.items():
        kind, wanted = name.split(".")
        token = tokens[wanted == "warn"]
        status, body, decision = hooked.ask(client, PAYLOADS[client](kind, given), token)
        assert (status, decision[:4]) == (200, "dec_"), name
        made[name] = plain(body)
        told = json.loads(body) if body else {}
        assert accepted(ACCEPTED[client], told), (name, told)
        effect = refused(client, told)
        if wanted in ("allow", "warn"):
            assert effect == "", (name, told)
            assert wanted == "allow" or client not in TELLS_WARNINGS or "Guardhouse" in json.dumps(told)
        elif wanted == "deny":
            assert effect == "deny", (name, told)
        else:
            silent = client in NEVER_ASKS or (client == "cursor" and kind in ("write", "edit"))
            assert effect == ("deny" if silent else "ask"), (name, told)
            assert "A person was asked (apr_" in json.dumps(told), (name, told)
    status, body, _ = hooked.ask(client, PAYLOADS[client]("shell", GIVEN["shell.allow"]), token="ght_nobody")
    made["shell.error"] = plain(body)
    assert refused(client, json.loads(body)) == "deny"
    assert accepted(ACCEPTED[client], json.loads(body))
    golden = GOLDEN / f"{client}.json"
    if RENEW:
        golden.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    assert json.loads(golden.read_text()) == made


@pytest.mark.parametrize("client", CLIENTS)
def test_one_use_is_one_decision_and_one_entry(hooked: Hooked, client: str) -> None:
    hooked.ask(client, PAYLOADS[client]("shell", GIVEN["shell.allow"]))  # opens the client's session
    before = hooked.entries()
    for kind in ("shell", "write", "fetch"):
        hooked.ask(client, PAYLOADS[client](kind, GIVEN[f"{kind}.deny"]))
    assert hooked.entries() - before == 3 + 1


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("cause", "body", "token"),
    [
        ("no token", None, ""),
        ("a stranger's token", None, "ght_nobody"),
        ("no JSON", b"{", None),
        ("no object", b"[]", None),
        ("nothing", b"", None),
        ("no tool", b'{"hook_event_name": "PreToolUse"}', None),
        ("too large", b'{"hook_event_name": "PreToolUse", "x": "' + b"a" * 1_100_000 + b'"}', None),
        ("deep", b"[" * 5000, None),
        ("a body of ours", b'{"action": "other"}', None),
    ],
)
def test_what_is_at_fault_is_told_as_a_native_denial(
    hooked: Hooked, client: str, cause: str, body: bytes | None, token: str | None
) -> None:
    payload = PAYLOADS[client]("shell", GIVEN["shell.allow"]) if body is None else body
    told = hooked.told(client, payload, token)
    assert refused(client, told) == "deny", (cause, told)
    assert accepted(ACCEPTED[client], told)
    assert "guardhouse " in json.dumps(told), "names the person's repair"


def test_a_known_principals_unreadable_payload_leaves_its_entry(hooked: Hooked) -> None:
    before = hooked.entries()
    hooked.ask("codex", b"{")
    assert hooked.entries() - before == 1 + 1


@pytest.mark.parametrize("client", CLIENTS)
def test_events_that_ask_nothing_are_answered_with_silence(hooked: Hooked, client: str) -> None:
    for event in ("SessionStart", "PostToolUse", "Stop", "afterFileEdit"):
        _, body, decision = hooked.ask(client, {"hook_event_name": event, "session_id": "s"})
        assert (refused(client, json.loads(body) if body else {}), decision) == ("", "")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_tool_that_we_do_not_know_is_examined_all_the_same(hooked: Hooked, client: str) -> None:
    payload = PAYLOADS[client]("shell", GIVEN["shell.deny"])
    for key in ("tool_name", "toolName", "tool"):
        if key in payload:
            payload[key] = "brand_new_tool"
    if client == "cursor":
        payload = PAYLOADS[client]("fetch", GIVEN["fetch.deny"]) | {
            "tool_name": "New",
            "tool_input": GIVEN["shell.deny"],
        }
    assert refused(client, hooked.told(client, payload)) == "deny"


def test_in_observe_a_hook_says_nothing_and_the_entry_says_what_would_have_been(hooked: Hooked) -> None:
    hooked.operate("set_mode", scope="agent", id=hooked.agent_id, seconds=600, reason="trial")
    try:
        for client in CLIENTS:
            told = hooked.told(client, PAYLOADS[client]("shell", GIVEN["shell.deny"]))
            assert refused(client, told) == "", told
            assert hooked.told(client, PAYLOADS[client]("shell", GIVEN["shell.warn"])) in ({}, {"decision": "allow"})
        own = hooked.told(
            "codex", PAYLOADS["codex"]("shell", {"command": "cat " + "~/.local/share/guardhouse/signing.key"})
        )
        assert refused("codex", own) == "deny"
    finally:
        hooked.operate("end_mode", scope="agent", id=hooked.agent_id)


def test_a_path_that_is_no_client_is_no_hook(hooked: Hooked) -> None:
    for path in ("nobody", "codex/x", "", "%2e%2e/acquire_lock"):
        assert hooked.ask(path, {})[0] == 404
    line = http.client.HTTPConnection("127.0.0.1", hooked.port, timeout=60)
    line.request("GET", "/v1/hooks/codex")
    assert line.getresponse().status == 405
    line.close()
