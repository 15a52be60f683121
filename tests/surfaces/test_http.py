"""The door's own duties, over a real socket: hostile input, books of suppressed calls, waiting, the endpoint."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from guardhouse.errors import NotPerformed, SettingsFault, Unauthenticated
from guardhouse.model.answer import Outcome
from guardhouse.model.call import RawCall
from guardhouse.settings import Settings
from guardhouse.surfaces import endpoint as endpoints
from guardhouse.surfaces import problem
from guardhouse.surfaces.limits import Proxies
from guardhouse.surfaces.notify import Notifier
from guardhouse.surfaces.serve import bind, check_exposure, make_server
from guardhouse.surfaces.silences import Silences
from guardhouse.surfaces.wire import GuardedProtocol
from tests.surfaces.doors import Script, drain, listening, parse, request


def refused(code: str, **error: object) -> Outcome:
    return Outcome(code, "no", decision_id="dec_2", error=error)


def test_entries_and_suppressed_calls_equal_calls_under_concurrency(tmp_path: Path) -> None:
    """The quota opens and closes again and again while many call; now and then the ground fails."""
    now = [0.0]
    guard = threading.Lock()
    recorded: list[int] = []
    lost = [0]

    def answer(raw: RawCall) -> Outcome:
        with guard:
            if len(recorded) % 7 == 3 and lost[0] % 2 == 0:
                lost[0] += 1
                raise NotPerformed("no ground")
            lost[0] += lost[0] % 2
            recorded.append(raw.suppressed)
        return refused("quota_exhausted", retry_after_seconds=5)

    script = Script(answer)
    with listening(script, tmp_path, silences=Silences(lambda: now[0])) as door:

        def call(number: int) -> int:
            if number % 20 == 19:
                now[0] += 6
            return door.post("check_locks").status

        with ThreadPoolExecutor(16) as pool:
            statuses = list(pool.map(call, range(600)))
        failed = statuses.count(503)
        assert failed
        assert statuses.count(429) == 600 - failed
        now[0] += 6
        assert door.post("check_locks").status in (429, 503)
        answered = 601 - len(script.came) + len(recorded)
        assert len(recorded) + sum(recorded) + door.door.silences.pending == answered
        assert sum(recorded)


def test_a_suppressed_call_says_when_to_come_again(tmp_path: Path) -> None:
    script = Script(lambda raw: refused("quota_exhausted", retry_after_seconds=90))
    with listening(script, tmp_path) as door:
        first, second = door.post("check_locks"), door.post("acquire_lock")
        assert (first.status, second.status) == (429, 429)
        assert first.headers["retry-after"] == "90"
        assert 1 <= int(second.headers["retry-after"]) <= 90
        assert len(script.came) == 1
        assert door.post("check_locks", token="another").headers["retry-after"] == "90"
        assert len(script.came) == 2


def test_only_a_stranger_is_told_who_to_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def stranger(raw: RawCall) -> Outcome:
        raise Unauthenticated("this token is not known")

    with listening(Script(stranger), tmp_path) as door:
        answer = door.post("check_locks", token="gdh_secret_value")
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert "guardhouse-decision" not in answer.headers
        for header in ("", "Bearer", "Bearer ", "Basic eA==", "Bearer a\x80b"):
            assert door.post("check_locks", token="", Authorization=header).status == 401
        twice = b"POST /v1/check_locks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n"
        assert parse(door.raw(twice + b"Content-Length: 0\r\nConnection: close\r\n\r\n")).status == 401
        for _ in range(60):
            door.post("check_locks", token="gdh_secret_value")
    lines = [record.getMessage() for record in caplog.records if record.name == "guardhouse.access"]
    assert 1 <= len(lines) <= 40
    assert "gdh_secret_value" not in caplog.text


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe\x00", b'{"key": "a", "key": "b"}', b"{" * 100_000, b'{"n": 123456789012345678901234567890}', b""],
)
def test_whatever_bytes_come_are_handed_on_as_they_came(tmp_path: Path, body: bytes) -> None:
    script = Script()
    with listening(script, tmp_path) as door:
        assert door.post("acquire_lock", body).status == 200
    assert script.came[0].body == body
    assert not script.came[0].oversized


def test_a_large_body_is_handed_on_as_its_beginning(tmp_path: Path) -> None:
    script = Script(lambda raw: refused("payload_too_large"))
    with listening(script, tmp_path, change={"max_body_bytes": 4096}) as door:
        answer = door.post("acquire_lock", b"x" * 5_000_000)
        assert answer.status == 413
        chunks = b"1000\r\n" + b"y" * 4096 + b"\r\n" + b"1\r\nz\r\n0\r\n\r\n"
        head = b"POST /v1/acquire_lock HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert parse(door.raw(head + chunks)).status == 413
        huge = head.replace(b"Transfer-Encoding: chunked", b"Content-Length: 99999999999")
        assert parse(door.raw(huge + b"w" * 10_000)).status == 413
    assert [call.oversized for call in script.came] == [True] * 3
    assert all(len(call.body) <= 4096 for call in script.came)
    assert script.came[1].body == b"y" * 4096


def test_a_body_that_never_ends_is_no_call(tmp_path: Path) -> None:
    script = Script()
    with listening(script, tmp_path, change={"request_timeout_seconds": 0.2}) as door:
        whole = request("POST", "/v1/acquire_lock", b"{}", Authorization="Bearer t")
        answer = parse(door.raw(whole[:-1]))
        assert (answer.status, answer.code) == (408, "request_timeout")
        with door.connect() as connection:
            connection.sendall(whole[:-1])
        assert door.post("check_locks").status == 200
    assert [call.operation for call in script.came] == ["check_locks"]


def test_heads_are_bounded_in_size_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuardedProtocol, "head_seconds", 0.2)
    script = Script()
    with listening(script, tmp_path) as door:
        many = {f"X-{number}": "v" * 1000 for number in range(80)}
        assert parse(door.raw(request("POST", "/v1/check_locks", b"", **many))).status == 431
        assert parse(door.raw(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n")).status == 431
        assert parse(door.raw(b"POST /v1/check_locks HTTP/1.1\r\nX: ")).status == 408
        assert parse(door.raw(b"\x00\x01\x02 not http\r\n\r\n")).status == 400
        with door.connect() as silent:
            assert parse(drain(silent)).status == 408
    assert not script.came


def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    script = Script(lambda raw: Outcome("performed", decision_id=f"dec_{raw.request_id}", result={}))
    named = {"Authorization": "Bearer t", "Content-Type": "application/json"}
    requests = [
        request("POST", "/v1/check_locks", b"{}", number == 9, **named, **{"X-Request-Id": f"r{number}"})
        for number in range(10)
    ]
    with listening(script, tmp_path) as door:
        answers = door.raw(b"".join(requests))
    assert answers.count(b"HTTP/1.1 200") == 10
    places = [answers.index(f'"dec_r{number}"'.encode()) for number in range(10)]
    assert places == sorted(places)


def test_headers_reach_the_gateway_and_come_back(tmp_path: Path) -> None:
    script = Script()
    sent = {"Idempotency-Key": "k1", "Guardhouse-Approval": "apr_1", "X-Request-Id": "mine-1"}
    with listening(script, tmp_path) as door:
        answer = door.post("acquire_lock", **sent)
        assert answer.json == {"decision_id": "dec_1"}
        assert answer.headers["guardhouse-decision"] == "dec_1"
        assert answer.headers["guardhouse-request"] == "mine-1"
        assert "server" not in answer.headers
        assert door.post("x", **{"X-Request-Id": "a b"}).headers["guardhouse-request"].startswith("req_")
        door.post("acquire_lock", b"key=1", **{"Content-Type": "application/x-www-form-urlencoded"})
        door.post("acquire_lock", b"{}", **{"Content-Type": "application/json; charset=utf-8"})
    first = script.came[0]
    assert (first.idempotency_key, first.approval_id, first.request_id) == ("k1", "apr_1", "mine-1")
    assert (first.surface, first.address, first.token) == ("http", "127.0.0.1", "t")
    assert [bool(call.media_type) for call in script.came] == [False, False, True, False]


def test_a_held_call_says_what_it_waits_for(tmp_path: Path) -> None:
    script = Script(lambda raw: refused("approval_pending", approval_id="apr_7", retry_after_seconds=15))
    with listening(script, tmp_path) as door:
        answer = door.post("acquire_lock")
    assert (answer.status, answer.headers["retry-after"]) == (202, "15")
    assert answer.json["approval_id"] == answer.json["error"]["approval_id"] == "apr_7"


def test_other_paths_and_methods_leave_nothing(tmp_path: Path) -> None:
    script = Script()
    with listening(script, tmp_path) as door:
        for method, path, status in (
            ("GET", "/v1/check_locks", 405),
            ("POST", "/healthz", 405),
            ("GET", "/nothing", 404),
            ("GET", "/v1/", 404),
        ):
            answer = parse(door.raw(request(method, path, b"", Authorization="Bearer t")))
            assert (answer.status, answer.json["error"]["status"]) == (status, status)
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
            assert door.get(path).status == 200
        assert not script.came
        assert door.post("../../etc/passwd%00").status == 200
        assert b'operation="other"' in door.get("/metrics").body
    assert script.came[0].operation == "../../etc/passwd\x00"


def test_readiness_says_no_when_the_ground_is_gone(tmp_path: Path) -> None:
    def gone() -> dict[str, str]:
        raise OSError("secret path")

    with listening(Script(), tmp_path, ready=gone) as door:
        answer = door.get("/readyz")
        assert answer.status == 503
        assert b"secret" not in answer.body
        assert door.get("/healthz").status == 200
    with listening(Script(), tmp_path, ready=lambda: {"database": "ok", "ledger": "unprotected"}) as door:
        assert door.get("/readyz").json == {"status": "ready", "database": "ok", "ledger": "unprotected"}


def test_a_crash_is_answered_without_its_words(tmp_path: Path) -> None:
    def crash(raw: RawCall) -> Outcome:
        raise ZeroDivisionError("a secret of ours")

    with listening(Script(crash), tmp_path) as door:
        answer = door.post("check_locks")
    assert (answer.status, answer.code) == (500, "internal_error")
    assert b"secret" not in answer.body


def waiting_script(state: list[str]) -> Script:
    result = {"approval_id": "apr_1"}
    return Script(
        lambda raw: Outcome(
            "performed",
            decision_id=f"dec_{raw.idempotency_key}",
            workspace_id="wsp_1",
            result=result | {"state": state[0]},
        )
    )


def test_waiting_asks_once_watches_and_reads_again(tmp_path: Path) -> None:
    state, seen = ["pending"], threading.Event()
    watched = []

    def watch(workspace_id: str, approval_id: str) -> str:
        watched.append((workspace_id, approval_id))
        if len(watched) == 2:
            state[0] = "granted"
        return state[0]

    script = waiting_script(state)
    with listening(script, tmp_path, watch=watch) as door:
        answer = door.post(
            "wait_approval", b'{"approval_id": "apr_1", "timeout_seconds": 300}', **{"Idempotency-Key": "k"}
        )
        assert answer.json["state"] == "granted"
        assert (len(script.came), script.again) == (1, ["dec_k"])
        state[0] = "pending"
        watched.extend([("", "")] * 3)
        assert door.post("wait_approval", b'{"approval_id": "apr_1", "timeout_seconds": 0}').json["state"] == "pending"

        def watch_on(workspace_id: str, approval_id: str) -> str:
            seen.set()
            return "pending"

        door.door.carriage.watch = watch_on
        asked = len(script.came)
        with door.connect() as connection:
            body = b'{"approval_id": "apr_1", "timeout_seconds": 300}'
            connection.sendall(request("POST", "/v1/wait_approval", body, Authorization="Bearer t"))
            assert seen.wait(5)
        deadline = time.monotonic() + 5
        quiet = request("POST", "/v1/check_locks", b"{}", Authorization="Bearer t")
        while time.monotonic() < deadline and len(script.came) == asked:
            door.raw(quiet)
    assert [call.operation for call in script.came[asked:]].count("wait_approval") == 1


def test_forwarded_addresses_are_believed_from_our_proxies_only(tmp_path: Path) -> None:
    script = Script()
    forged = {"X-Forwarded-For": "1.1.1.1, 203.0.113.9"}
    with listening(script, tmp_path) as door:
        door.post("check_locks", **forged)
    with listening(script, tmp_path, change={"trusted_proxies": "127.0.0.0/8"}) as door:
        door.post("check_locks", **forged)
    assert [call.address for call in script.came] == ["127.0.0.1", "203.0.113.9"]
    proxies = Proxies("10.0.0.0/8, ::1")
    assert proxies.client("10.0.0.1", "6.6.6.6, 203.0.113.9, 10.0.0.2") == "203.0.113.9"
    assert proxies.client("10.0.0.1", "6.6.6.6, nonsense, 10.0.0.2") == "10.0.0.2"
    assert proxies.client("203.0.113.9", "10.0.0.2") == "203.0.113.9"
    assert proxies.client("10.0.0.1", "") == "10.0.0.1"
    for written, meant in (
        ("203.0.113.9:4444", "203.0.113.9"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8::1", "2001:db8::1"),
    ):
        assert proxies.client("10.0.0.1", f"6.6.6.6, {written}, 10.0.0.2:80") == meant


def test_an_endpoint_proves_itself_and_goes_away(tmp_path: Path) -> None:
    home = tmp_path / "ours"
    with listening(Script(), home) as door:
        file = home / endpoints.NAME
        assert file.stat().st_mode & 0o777 == 0o600
        assert endpoints.find_endpoint(home) == door.endpoint
        assert door.endpoint.secret not in repr(door.endpoint)
        with listening(Script(), tmp_path / "stranger") as stranger:
            lie = json.loads(file.read_text()) | {"address": stranger.endpoint.address}
            liar = tmp_path / "liar"
            endpoints.write(liar, endpoints.Endpoint(**lie))
            assert endpoints.find_endpoint(liar) is None
        os.chmod(file, 0o644)
        assert endpoints.find_endpoint(home) is None
        os.chmod(file, 0o600)
    assert not file.exists()
    assert endpoints.find_endpoint(home) is None


def test_a_taken_port_names_its_owner(tmp_path: Path) -> None:
    with listening(Script(), tmp_path) as door:
        with pytest.raises(SettingsFault, match=rf"own Guardhouse \(process {os.getpid()}"):
            bind(Settings(home=tmp_path, port=door.port))
        with pytest.raises(SettingsFault, match=f"process {os.getpid()}.*--port") as other:
            bind(Settings(home=tmp_path / "other", port=door.port))
        assert "own Guardhouse" not in str(other.value)


def test_tokens_never_cross_a_network_in_the_clear(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "192.0.2.1", "::", "example.com"):
        with pytest.raises(SettingsFault, match="ALLOW_PLAIN_HTTP"):
            check_exposure(Settings(home=tmp_path, host=host))
        check_exposure(Settings(home=tmp_path, host=host, allow_plain_http=True))
    for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
        check_exposure(Settings(home=tmp_path, host=host))
    with pytest.raises(SettingsFault, match="both"):
        check_exposure(Settings(home=tmp_path, tls_key_file=tmp_path / "key.pem"))


def test_each_question_is_told_once_and_never_in_the_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told = tmp_path / "told"
    program = tmp_path / "tell.py"
    program.write_text(f"import sys\nopen({str(told)!r}, 'a').write(sys.stdin.read() + '\\n')\n")
    posted = tmp_path / "none"
    notifier = Notifier(f"{sys.executable} {program}", "http://127.0.0.1:9/")
    notifier.tell("approval_asked", {"approval_id": "apr_1", "message": "$(touch none); `x`"})
    notifier.tell("approval_asked", {"approval_id": "apr_1", "message": "again"})
    notifier.tell("approval_asked", {"approval_id": "apr_2", "message": "a secret"})
    notifier.close()
    lines = [json.loads(line) for line in told.read_text().splitlines()]
    assert [line["approval_id"] for line in lines] == ["apr_1", "apr_2"]
    assert not posted.exists()
    assert "failed" in caplog.text
    assert "a secret" not in caplog.text
    with pytest.raises(SettingsFault):
        Notifier("unclosed 'quote")
    with pytest.raises(SettingsFault):
        Notifier("", "file:///etc/passwd")


_SERVE = """
import asyncio, sys
from pathlib import Path
from guardhouse.model.answer import Outcome
from guardhouse.settings import Settings
from guardhouse.surfaces.serve import serve
from tests.surfaces.doors import Script

class Slow(Script):
    async def handle_async(self, raw):
        print("carrying", flush=True)
        await asyncio.sleep(0.5)
        return Outcome("performed", decision_id="dec_late", result={})

serve(Slow(), Settings(home=Path(sys.argv[1]), port=0), announce=lambda end: print(end.address, flush=True))
print("ended", flush=True)
"""


def test_sigterm_finishes_what_is_under_way(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _SERVE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(request("POST", "/v1/check_locks", b"{}", Authorization="Bearer t"))
            assert process.stdout.readline().strip() == "carrying"
            process.terminate()
            assert parse(drain(connection)).json == {"decision_id": "dec_late"}
        process.wait(20)
        assert not (tmp_path / endpoints.NAME).exists()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_who_outlasts_the_grace_of_the_end_is_told_that_the_outcome_is_unknown(tmp_path: Path) -> None:
    came = threading.Event()

    class Stuck(Script):
        async def handle_async(self, raw: RawCall) -> Outcome:
            came.set()
            await asyncio.sleep(60)
            return await super().handle_async(raw)

    settings, up = Settings(home=tmp_path, port=0), threading.Event()
    listener = bind(settings)
    server, _door = make_server(Stuck(), settings, listener, announce=lambda _endpoint: up.set())
    server.config.timeout_graceful_shutdown = 1
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    assert up.wait(10)
    with socket.create_connection(listener.getsockname(), timeout=10) as connection:
        connection.sendall(request("POST", "/v1/check_locks", b"{}", Authorization="Bearer t"))
        assert came.wait(10)
        server.should_exit = True
        answer = parse(drain(connection))
    thread.join(10)
    assert not thread.is_alive()
    assert (answer.status, answer.code) == (503, "outcome_unknown")


def test_the_tables_statuses_are_documented() -> None:
    from guardhouse.surfaces.openapi import _REFUSALS

    assert {str(row.status) for row in problem.TABLE.values()} - {"200"} == set(_REFUSALS)
