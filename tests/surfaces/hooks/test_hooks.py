"""Each client's exact payloads, over a real socket through a real gateway: what is blocked is blocked in its own terms."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from guardhouse.model.answer import Outcome
from guardhouse.surfaces.hooks import clients, exchange
from guardhouse.surfaces.hooks.reading import Reading
from tests.server import guardhouse
from tests.surfaces.hooks.payloads import (
    ABSENT,
    ACCEPTED,
    ASKS_ITSELF,
    CANNOT_ASK,
    EFFECTS,
    FORMS,
    GIVEN,
    HOUSE_PACK,
    KINDS,
    PAYLOADS,
    accepted,
    refused,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "hooks"
RENEW = os.environ.get("GUARDHOUSE_RENEW_GOLDEN") == "1"
CLIENTS = tuple(PAYLOADS)
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
    (home / "policies" / "guardrails").mkdir(parents=True, exist_ok=True)
    (home / "policies" / "guardrails" / "house.yaml").write_text(HOUSE_PACK)
    guardhouse(env, "policy", "activate", str(home / "policies"))
    port = int(json.loads((home / "endpoint.json").read_text())["address"].rpartition(":")[2])
    return Hooked(home, port, added["token"], added["agent_id"], env)


def plain(value: bytes) -> str:
    """An answer with the ids of one run taken out."""
    text = re.sub(rb"dec_[0-9a-z]+", b"dec_1", value)
    return re.sub(rb"apr_[0-9a-z]+", b"apr_1", text).decode()


@pytest.mark.parametrize("form", FORMS)
def test_every_kind_of_tool_is_answered_as_the_golden_file_says(hooked: Hooked, form: str) -> None:
    """Six kinds of tool and five effects, each in every form of every client, but for what `ABSENT` gives a reason for."""
    client, payload = FORMS[form]
    kinds = [kind for kind in KINDS if (form, kind) not in ABSENT]
    made: dict[str, str] = {}
    tokens = [hooked.operate("add_agent", handle=f"{form}-{trust}", trust=trust)["token"] for trust in (2, 4)]
    for kind, wanted in itertools.product(kinds, EFFECTS):
        name = f"{kind}.{wanted}"
        given = GIVEN[f"{kind}.allow" if wanted == "error" else name]
        token = "ght_nobody" if wanted == "error" else tokens[wanted == "warn"]
        status, body, decision = hooked.ask(client, payload(kind, given), token)
        assert (status, decision[:4]) == (200, "" if wanted == "error" else "dec_"), name
        made[name] = plain(body)
        told = json.loads(body) if body else {}
        assert accepted(ACCEPTED[client], told), (name, told)
        effect = refused(client, told)
        if wanted in ("allow", "warn"):
            assert effect == "", (name, told)
            silent = wanted == "allow" or client not in TELLS_WARNINGS or form in ASKS_ITSELF
            assert silent or "Guardhouse" in json.dumps(told)
        elif wanted == "ask" and form in ASKS_ITSELF:
            assert told == {}, (name, told)
        elif wanted == "ask":
            silent = kind in CANNOT_ASK.get(form, ("", frozenset()))[1]
            assert effect == ("deny" if silent else "ask"), (name, told)
            assert "A person was asked (apr_" in json.dumps(told), (name, told)
        else:
            assert effect == "deny", (name, told)
            assert wanted == "deny" or f"guardhouse install {client}" in json.dumps(told)
    golden = GOLDEN / f"{form}.json"
    if RENEW:
        golden.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    assert json.loads(golden.read_text()) == made


def test_the_golden_files_are_the_whole_matrix() -> None:
    assert {one.stem for one in GOLDEN.iterdir()} == set(FORMS)
    assert {client for client, _ in FORMS.values()} == set(clients.CLIENTS)
    for form in FORMS:
        wanted = {f"{kind}.{effect}" for kind in KINDS if (form, kind) not in ABSENT for effect in EFFECTS}
        assert set(json.loads((GOLDEN / f"{form}.json").read_text())) == wanted
    assert all(reason for reason in (*ABSENT.values(), *(why for why, _ in CANNOT_ASK.values())))


def test_copilot_may_send_its_arguments_as_text_or_as_an_object(hooked: Hooked) -> None:
    payload = PAYLOADS["copilot"]("shell", GIVEN["shell.deny"])
    assert isinstance(payload["toolArgs"], str)
    as_object = payload | {"toolArgs": json.loads(payload["toolArgs"])}
    assert (
        refused("copilot", hooked.told("copilot", payload))
        == refused("copilot", hooked.told("copilot", as_object))
        == "deny"
    )


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
        ("deep", b"[" * 5000, None),
        (
            "half a character",
            b'{"hook_event_name": "preToolUse", "tool_name": "bash", "tool_input": "{\\"command\\": \\"\\\\ud800\\"}"}',
            None,
        ),
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


LARGE: dict[str, tuple[str, dict[str, Any], str]] = {
    "more than the profile allows": ("Write", {"file_path": "/srv/app/a.txt", "content": "a" * 300_000}, "at most 262144 bytes"),
    "more than is examined": ("Write", {"file_path": "/srv/app/a.txt", "content": "a" * 600_000}, "at most 524288 characters"),
    "more than a gateway reads": ("Write", {"file_path": "/srv/app/a.txt", "content": "a" * 1_100_000}, "larger than 1048576 bytes"),
    "a command too long": ("Bash", {"command": "echo " + "a" * 270_000}, "at most 262144"),
    "an edit too long": (
        "Edit", {"file_path": "/srv/app/a.txt", "old_string": "b", "new_string": "a" * 270_000}, "at most 262144",
    ),
    "too many edits": (
        "MultiEdit", {"file_path": "/srv/app/a.txt", "edits": [{"old_string": "a", "new_string": "b"}] * 257}, "more than 256 edits",
    ),
    "too many files": ("Read", {"paths": [f"/srv/app/{number}" for number in range(257)]}, "more than 256 files"),
    "a path too long": ("Read", {"file_path": "/srv/" + "x/../" * 1000 + "a"}, "longer than 4096 characters"),
    "too many texts": ("mcp__hub__comment", {"notes": ["a"] * 257}, "more than 256 texts"),
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_what_is_too_large_to_be_examined_is_denied_with_a_cause_and_a_way_that_are_true(
    hooked: Hooked, name: str
) -> None:
    hooked.ask("claude-code", PAYLOADS["claude-code"]("shell", GIVEN["shell.allow"]))  # opens the client's session
    tool, given, cause = LARGE[name]
    payload = PAYLOADS["claude-code"]("shell", GIVEN["shell.allow"]) | {"tool_name": tool, "tool_input": given}
    before = hooked.entries()
    told = hooked.told("claude-code", payload)
    assert refused("claude-code", told) == "deny"
    assert hooked.entries() - before == 1 + 1
    text = told["hookSpecificOutput"]["permissionDecisionReason"]
    assert "payload_too_large" in text
    assert cause in text
    assert "what was not examined is not let through" in text
    assert "guardhouse doctor" not in text, "which would find nothing wrong"
    assert ("raise `payload_bytes`" in text) == (name == "more than the profile allows")


def test_what_it_says_of_something_too_large_works(hooked: Hooked) -> None:
    """In parts it passes, and nothing in any part goes unseen."""
    half = "a" * 200_000
    payload = PAYLOADS["claude-code"]("write", {"path": "/srv/app/a.txt", "content": half})
    assert hooked.told("claude-code", payload) == {}
    caught = "AKIA" + "IOSFODNN7EXAMPLE"
    payload = PAYLOADS["claude-code"]("write", {"path": "/srv/app/a.txt", "content": half + "\n" + caught + "\n"})
    assert refused("claude-code", hooked.told("claude-code", payload)) == "deny"


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


@pytest.mark.parametrize("code", ["internal_error", "gate_error", "policy_error"])
@pytest.mark.parametrize("client", clients.CLIENTS)
def test_a_recorded_fault_of_our_own_is_told_as_one_and_never_as_a_decision(client: str, code: str) -> None:
    heard = exchange._Heard(b"{}", Reading("PreToolUse", {}))
    told = json.dumps(exchange._native(client, "PreToolUse", Outcome(code, "it broke", decision_id="dec_1"), heard))
    assert "could not be asked about this" in told
    assert "guardhouse doctor" in told
    assert "This is a decision" not in told
