"""The pipe: `guardhouse mcp` before a gateway that restarts, forgets sessions, is not there, or is no gateway."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from guardhouse.governance import approvals
from guardhouse.surfaces.mcp.forwarding import Line, Pipe, _encoded, _Turn
from tests.server import environment, program
from tests.surfaces.doors import listening
from tests.surfaces.mcp.conftest import Place

_OPEN = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}},
}
_BEGUN = {"jsonrpc": "2.0", "method": "notifications/initialized"}


class Spoken:
    """`guardhouse mcp` as a process, spoken to a line at a time."""

    def __init__(self, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [*program(), "mcp"],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._number = 1

    def say(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self.say(json.dumps({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}).encode())
        answer = self.hear()
        assert answer["id"] == self._number
        return answer

    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = self.ask("tools/call", name=name, arguments=arguments)["result"]
        return result

    def open(self) -> dict[str, Any]:
        self.say(json.dumps(_OPEN).encode())
        answer = self.hear()
        self.say(json.dumps(_BEGUN).encode())
        return answer


@contextmanager
def spoken(env: dict[str, str]) -> Iterator[Spoken]:
    made = Spoken(env)
    try:
        yield made
        assert made.process.stdin is not None
        made.process.stdin.close()
        assert made.process.wait(30) == 0
        assert made.process.stderr is not None
        assert made.process.stderr.read() == b""
    finally:
        if made.process.poll() is None:
            made.process.kill()
            made.process.wait(30)
        for stream in (made.process.stdin, made.process.stdout, made.process.stderr):
            if stream is not None:
                stream.close()


def test_lines_that_are_no_calls_and_calls_that_are_malformed(place: Place) -> None:
    agent = place.world.agent("worker")
    before = place.world.count()
    with spoken(place.environment("forwarded", agent.token)) as pipe:
        assert pipe.open()["result"]["serverInfo"]["name"] == "guardhouse"
        pipe.say(b"this is no JSON")
        assert pipe.hear()["error"]["code"] == -32700
        pipe.say(b'["a", "batch"]')
        pipe.say(b"")
        assert pipe.ask("ping")["result"] == {}
        assert pipe.ask("no/such/method")["error"]["code"] == -32601
        assert place.world.count() == before
        for params in ({"name": "acquire_lock", "arguments": ["res:a"]}, {"name": 5, "arguments": {}}):
            answer = pipe.ask("tools/call", **params)["result"]
            assert answer["isError"], answer
        assert place.world.count() == before + 2
        assert pipe.call("check_locks")["structuredContent"]["locks"] == []


@pytest.mark.parametrize("way", ["forwarded", "local"])
def test_a_line_that_names_a_field_twice_is_refused_as_over_http(place: Place, way: str) -> None:
    agent = place.world.agent("worker")
    call = '{"jsonrpc": "2.0", %s"method": "tools/call", "params": {"name": "acquire_lock", "arguments": %s}}'
    with spoken(place.environment(way, agent.token)) as line:
        line.open()
        before = place.world.count()
        for number, said in (
            (7, call % ('"id": 7, ', '{"key": "res:a", "key": "res:b"}')),
            (8, call % ('"method": "ping", "id": 8, ', '{"key": "res:a"}')),
            ("nine", call % ('"id": "nine", ', '{"key": "res:a", "metadata": {"a": 1, "\\u0061": 2}}')),
        ):
            line.say(said.encode())
            answer = line.hear()
            assert (answer["id"], answer["result"]["isError"]) == (number, True)
            error = answer["result"]["structuredContent"]["error"]
            assert (error["code"], "twice" in error["message"]) == ("validation", True)
            before += 1
            assert place.world.count() == before
            entry = place.world.entry(answer["result"]["_meta"]["guardhouse/decision"])
            assert (entry["operation"], entry["outcome"]) == ("acquire_lock", "validation")
        line.say(b'{"jsonrpc": "2.0", "id": 9, "method": "tools/list", "method": "ping"}')
        answer = line.hear()
        assert (answer["id"], "twice" in answer["error"]["message"], "result" in answer) == (9, True, False)
        assert line.ask("ping")["result"] == {}, "the line goes on"
        assert line.call("check_locks")["structuredContent"]["locks"] == []


def _lines(*messages: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def _calling(number: int | str, name: str, **arguments: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


@pytest.mark.parametrize("way", ["forwarded", "local"])
def test_what_was_written_before_the_input_ended_is_carried_and_answered(place: Place, way: str) -> None:
    agent = place.world.agent("worker")
    listed = {"jsonrpc": "2.0", "id": 3, "method": "tools/list"}
    shortly = [
        _calling(f"{number} {name}", name, key=f"res:short/{number}")
        for number in range(5)
        for name in ("acquire_lock", "release_lock")
    ]
    taken = _calling(2, "acquire_lock", key="res:end")
    written = _lines(_OPEN, _BEGUN, *shortly, taken, listed, _calling("last", "check_locks", own=True))
    before = place.world.count()
    done = subprocess.run(
        [sys.executable, "-m", "guardhouse", "mcp"],
        env=place.environment(way, agent.token),
        input=written,
        capture_output=True,
        timeout=60,
        check=True,
    )
    answers = {answer["id"]: answer["result"] for answer in map(json.loads, done.stdout.splitlines())}
    assert set(answers) == {1, 2, 3, "last"} | {call["id"] for call in shortly}, done.stdout
    assert not answers[2]["isError"]
    assert answers[3]["tools"]
    assert [lock["key"] for lock in answers["last"]["structuredContent"]["locks"]] == ["res:end"]
    assert place.world.count() == before + len(shortly) + 2
    assert done.stderr == b""


def test_calls_written_at_once_are_carried_in_their_order(place: Place) -> None:
    """Taking and giving back one key, written together: 60 such pairs never turn round."""
    agent = place.world.agent("worker")
    with spoken(place.environment("forwarded", agent.token)) as line:
        line.open()
        for start in range(0, 60, 10):
            pairs = [
                _calling(f"{number} {name}", name, key=f"res:order/{number}")
                for number in range(start, start + 10)
                for name in ("acquire_lock", "release_lock")
            ]
            line.say(_lines(*pairs).rstrip())
            answers = {answer["id"]: answer["result"] for answer in (line.hear() for _ in pairs)}
            for number in range(start, start + 10):
                assert "fence" in answers[f"{number} acquire_lock"]["structuredContent"]
                assert answers[f"{number} release_lock"]["structuredContent"]["released"], number
        assert line.call("check_locks", own=True)["structuredContent"]["locks"] == []


def test_a_call_that_waits_for_a_person_holds_up_no_other(place: Place) -> None:
    agent = place.world.agent("worker")
    asked = place.world.done(agent, "check_guardrails", {"operation_text": "npm publish"})["approval_id"]

    def watch(workspace_id: str, approval_id: str) -> str:
        with place.world.store.reading(5.0) as connection:
            return approvals.watched(connection, workspace_id, approval_id, place.world.clock())

    with listening(place.world.gateway, place.home / "watching", watch=watch) as door:
        env = place.environment("forwarded", agent.token) | {"GUARDHOUSE_URL": door.endpoint.address}
        with spoken(env) as line:
            line.open()
            line.say(
                _lines(
                    _calling("wait", "wait_approval", approval_id=asked, timeout_seconds=30),
                    _calling("take", "acquire_lock", key="res:free"),
                    _calling("give", "release_lock", key="res:free"),
                ).rstrip()
            )
            first, second = line.hear(), line.hear()
            assert (first["id"], second["id"]) == ("take", "give")
            assert second["result"]["structuredContent"]["released"]
            place.world.done(place.world.operator, "grant_approval", {"approval_id": asked})
            waited = line.hear()
            assert (waited["id"], waited["result"]["structuredContent"]["state"]) == ("wait", "granted")


def test_what_takes_long_without_saying_so_holds_up_the_rest_for_seconds_only() -> None:
    """A message before it that is never answered: the next one goes after the turn's time, and the one after it in order."""
    first = _Turn(None, 0.05)
    second = _Turn(first, 0.05)
    third = _Turn(second, 0.05)
    begun: list[str] = []

    def go(name: str, turn: _Turn) -> None:
        turn.begin()
        begun.append(name)

    threads = [threading.Thread(target=go, args=item) for item in (("third", third), ("second", second))]
    for thread in threads:
        thread.start()
    assert begun == []
    go("first", first)
    for thread in threads:
        thread.join(10)
    assert begun == ["first", "second", "third"]


def test_a_session_that_the_gateway_forgot_is_opened_again(place: Place) -> None:
    """The door restarts under the client: the next call goes to a new session, once."""
    agent = place.world.agent("worker")
    with listening(place.world.gateway, place.home / "first") as first:
        port = first.port
        env = place.environment("forwarded", agent.token) | {"GUARDHOUSE_URL": first.endpoint.address}
        pipe = Spoken(env)
        try:
            pipe.open()
            assert not pipe.call("acquire_lock", key="res:a")["isError"]
        except BaseException:
            pipe.process.kill()
            raise
    before = place.world.count()
    gone = pipe.call("acquire_lock", key="res:b")
    assert gone["isError"]
    assert gone["structuredContent"]["error"]["code"] in ("not_performed", "outcome_unknown")
    assert "is it running?" in gone["content"][0]["text"] or "went away" in gone["content"][0]["text"]
    assert place.world.count() == before
    with listening(place.world.gateway, place.home / "second", change={"port": port}):
        assert not pipe.call("acquire_lock", key="res:b")["isError"]
        assert len(pipe.call("check_locks", own=True)["structuredContent"]["locks"]) == 2
        assert place.world.count() == before + 2
        assert pipe.process.stdin is not None
        pipe.process.stdin.close()
        assert pipe.process.wait(30) == 0
    for stream in (pipe.process.stdout, pipe.process.stderr):
        assert stream is not None
        stream.close()


def test_a_gateway_that_is_not_there_is_told_to_whoever_asks(tmp_path: Path) -> None:
    with spoken(environment(tmp_path, GUARDHOUSE_URL="http://127.0.0.1:9", GUARDHOUSE_TOKEN="gdh_agent_x_y")) as pipe:
        assert "cannot be reached" in pipe.open()["error"]["message"]
        told = pipe.call("check_locks")
        assert told["isError"]
        assert told["structuredContent"]["error"]["code"] == "not_performed"


class _Stranger(http.server.BaseHTTPRequestHandler):
    """Another server on the port."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = b"<html>hello</html>"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        del format, args


def test_what_is_no_gateway_is_told_too(tmp_path: Path) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        with spoken(environment(tmp_path, GUARDHOUSE_URL=address, GUARDHOUSE_TOKEN="gdh_agent_x_y")) as pipe:
            assert "is no Guardhouse gateway" in pipe.open()["error"]["message"]
            assert "is no Guardhouse gateway" in pipe.call("check_locks")["content"][0]["text"]
        server.shutdown()
        thread.join(10)


@pytest.mark.parametrize("value", ["plain", "été", " edge", "a\nb", "=?base64?x?=", ""])
def test_a_header_says_what_the_sdk_reads(value: str) -> None:
    from mcp.shared.inbound import decode_header_value

    assert decode_header_value(_encoded(value)) == value


def test_the_address_must_be_one() -> None:
    from guardhouse.errors import SettingsFault

    with pytest.raises(SettingsFault, match="GUARDHOUSE_URL"):
        Pipe(Line("ftp://example.com", "t", ""), sys.stdout.buffer)
