"""The shim as clients run it: a real process over a real gateway, and what the client sees when something is broken."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from guardhouse.guardrails.tighten import read_tighten
from guardhouse.surfaces.hooks import shim as shim_module
from guardhouse.surfaces.install import examining
from tests.server import environment, guardhouse, serving
from tests.surfaces.hooks.payloads import ACCEPTED, GIVEN, PAYLOADS, accepted, refused
from tests.surfaces.terminal import prepare

CLIENTS = tuple(PAYLOADS)
SOURCE = Path(shim_module.__file__).parent


@dataclass
class Hook:
    """An installed shim, beside the package and apart from it."""

    home: Path
    folder: Path
    env: dict[str, str]
    config: dict[str, Any] = field(default_factory=dict)

    def run(self, client: str, payload: Any, **changes: Any) -> subprocess.CompletedProcess[bytes]:
        path = self.folder / f"{client}.json"
        path.write_text(json.dumps(self.config | {"client": client} | changes))
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return subprocess.run(
            [sys.executable, "-I", "-S", str(self.folder / "shim.py"), client, "--config", str(path)],
            input=body,
            capture_output=True,
            env=self.env,
            timeout=60,
        )

    def told(self, client: str, kind: str = "shell.allow", **changes: Any) -> dict[str, Any]:
        done = self.run(client, PAYLOADS[client](kind.split(".")[0], GIVEN[kind]), **changes)
        assert (done.returncode, done.stderr) == (0, b""), done
        return dict(json.loads(done.stdout)) if done.stdout else {}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], dict[str, str]]:
    home = tmp_path_factory.mktemp("shim") / "home"
    env = environment(home)
    prepare(home)
    added = json.loads(guardhouse(env, "agents", "add", "hooked", "--trust", "2", "--json").stdout)
    return home, env, added


@pytest.fixture
def hook(house: tuple[Path, dict[str, str], dict[str, str]], tmp_path: Path) -> Hook:
    home, env, added = house
    for name in ("shim.py", "clients.py"):
        shutil.copy(SOURCE / name, tmp_path / name)
    token = tmp_path / "token"
    token.write_text(added["token"] + "\n")
    return Hook(home, tmp_path, env, {"home": str(home), "url": "", "token_file": str(token), "posture": "closed"})


@pytest.fixture
def gateway(house: tuple[Path, dict[str, str], dict[str, str]]) -> Iterator[int]:
    with serving(house[1]) as server:
        yield server.port
        server.stop()


def test_through_the_shim_a_client_sees_what_the_gateway_says(hook: Hook, gateway: int) -> None:
    for client in CLIENTS:
        assert refused(client, hook.told(client, "shell.allow")) == ""
        assert refused(client, hook.told(client, "shell.deny")) == "deny"
        assert refused(client, hook.told(client, "read.deny")) == "deny"


SLOW = {"json", "socket", "typing", "re", "contextlib", "hashlib", "hmac", "urllib", "http", "ssl", "subprocess", "asyncio", "logging", "signal", "enum", "pathlib", "inspect", "dataclasses", "importlib.util"}  # fmt: skip


def test_on_its_fast_path_it_loads_nothing_of_ours_and_nothing_heavy(hook: Hook, gateway: int) -> None:
    """What was loaded is told by the interpreter itself; a denial that the gateway says is as fast as silence."""
    path = hook.folder / "codex.json"
    path.write_text(json.dumps(hook.config | {"client": "codex"}))
    for use in ("shell.allow", "shell.deny"):
        done = subprocess.run(
            [
                sys.executable,
                "-X",
                "importtime",
                "-I",
                "-S",
                str(hook.folder / "shim.py"),
                "codex",
                "--config",
                str(path),
            ],
            input=json.dumps(PAYLOADS["codex"]("shell", GIVEN[use])).encode(),
            capture_output=True,
            env=hook.env,
            timeout=60,
        )
        assert (b"deny" in done.stdout, done.returncode) == (use == "shell.deny", 0)
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines() if "|" in line}
        assert {"_json", "_socket"} <= loaded, "the interpreter tells what it loads"
        assert loaded & SLOW == set()
        assert not [name for name in loaded if name.partition(".")[0] == "guardhouse"]


def test_over_an_address_that_a_person_wrote_down(hook: Hook, gateway: int) -> None:
    url = f"http://127.0.0.1:{gateway}"
    assert refused("codex", hook.told("codex", "shell.allow", url=url)) == ""
    assert refused("codex", hook.told("codex", "shell.deny", url=url)) == "deny"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("fault", "changes", "repair"),
    [
        ("gateway down", {}, "guardhouse doctor"),
        ("no token file", {"token_file": "/nowhere/token"}, "guardhouse install"),
        ("no such address", {"url": "http://127.0.0.1:1"}, "guardhouse doctor"),
        ("an address that is none", {"url": "ftp:x"}, "guardhouse install"),
        ("cannot be started", {"start": ["/nowhere/guardhouse", "serve"]}, "guardhouse doctor"),
    ],
)
def test_what_is_broken_is_told_as_a_native_denial(
    hook: Hook, client: str, fault: str, changes: dict[str, Any], repair: str
) -> None:
    told = hook.told(client, **changes)
    assert refused(client, told) == "deny", fault
    assert accepted(ACCEPTED[client], told)
    assert repair in json.dumps(told)
    # The posture is for where no gateway answers; a hook without its token has not come as far as to know.
    said = "deny" if fault == "no token file" else ""
    assert refused(client, hook.told(client, **changes, posture="open")) == said


@pytest.mark.parametrize("client", CLIENTS)
def test_a_fault_of_the_hooks_own_is_a_denial_in_either_posture(hook: Hook, client: str) -> None:
    """Here a port that no system has, which nothing in the shim foresees. Silence would switch the guard off."""
    endpoint = hook.home / "endpoint.json"
    endpoint.write_text(json.dumps({"address": "http://127.0.0.1:99999", "instance": "i", "secret": "ab" * 32}))
    endpoint.chmod(0o600)
    try:
        told = {posture: hook.told(client, posture=posture) for posture in ("closed", "open")}
    finally:
        endpoint.unlink()
    assert {posture: refused(client, one) for posture, one in told.items()} == {"closed": "deny", "open": "deny"}
    assert "the hook failed (OverflowError)" in json.dumps(told["open"])


def test_a_home_that_cannot_be_written_is_told(hook: Hook, tmp_path: Path) -> None:
    gone = str(tmp_path / "none" / "home")
    told = hook.told("claude-code", home=gone, start=[sys.executable, "-c", "pass"])
    assert refused("claude-code", told) == "deny"
    assert "cannot be written" in json.dumps(told)


def test_a_configuration_that_cannot_be_read_denies(hook: Hook) -> None:
    for text in (b"{", b"[]", b"\xff"):
        (hook.folder / "broken.json").write_bytes(text)
        done = subprocess.run(
            [
                sys.executable,
                "-I",
                "-S",
                str(hook.folder / "shim.py"),
                "codex",
                "--config",
                str(hook.folder / "broken.json"),
            ],
            input=json.dumps(PAYLOADS["codex"]("shell", GIVEN["shell.allow"])).encode(),
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0
        assert refused("codex", json.loads(done.stdout)) == "deny"


def test_without_its_answers_beside_it_the_shim_ends_with_the_status_that_blocks(hook: Hook) -> None:
    (hook.folder / "clients.py").unlink()
    done = hook.run("codex", PAYLOADS["codex"]("shell", GIVEN["shell.allow"]))
    assert done.returncode == 2
    assert done.stderr


def test_a_closed_output_ends_with_the_status_that_blocks(hook: Hook) -> None:
    path = hook.folder / "codex.json"
    path.write_text(json.dumps(hook.config | {"client": "codex"}))
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(hook.folder / "shim.py"), "codex", "--config", str(path)],
            input=json.dumps(PAYLOADS["codex"]("shell", GIVEN["shell.allow"])).encode(),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert (done.returncode, bool(done.stderr)) == (2, True)


def test_a_token_is_never_sent_to_a_port_that_is_not_ours(hook: Hook) -> None:
    """Another program took the port, with our endpoint file still there."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        endpoint = hook.home / "endpoint.json"
        endpoint.write_text(
            json.dumps(
                {"address": f"http://127.0.0.1:{port}", "pid": os.getpid(), "instance": "i", "secret": "ab" * 32}
            )
        )
        endpoint.chmod(0o600)

        def answer() -> None:
            connection, _ = stranger.accept()
            with connection:
                heard.append(connection.recv(65_536))
                connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{"proof": "abcdef"}')
                connection.settimeout(5)
                heard.append(connection.recv(65_536))

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            told = hook.told("claude-code")
        finally:
            thread.join(30)
            endpoint.unlink()
    assert refused("claude-code", told) == "deny"
    assert "another program" in json.dumps(told)
    assert b"Bearer" not in b"".join(heard)


def test_a_revoked_token_is_told_by_the_gateway(hook: Hook, gateway: int) -> None:
    added = json.loads(guardhouse(hook.env, "agents", "add", "gone", "--trust", "2", "--json").stdout)
    token = hook.folder / "other"
    token.write_text(added["token"])
    assert refused("gemini", hook.told("gemini", token_file=str(token))) == ""
    guardhouse(hook.env, "tokens", "revoke", added["token_id"])
    told = hook.told("gemini", token_file=str(token))
    assert refused("gemini", told) == "deny"
    assert "guardhouse install gemini" in json.dumps(told)


def test_events_that_ask_nothing_are_silent_also_where_no_gateway_is(hook: Hook) -> None:
    for client in CLIENTS:
        done = hook.run(client, {"hook_event_name": "PostToolUse", "session_id": "s"})
        assert refused(client, json.loads(done.stdout) if done.stdout else {}) == ""


def test_the_gateway_is_started_once_when_it_is_down(hook: Hook) -> None:
    start = [sys.executable, "-m", "guardhouse", "serve", "--port", "0"]
    told: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda: told.append(hook.told("codex", "shell.deny", start=start))) for _ in range(3)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [refused("codex", one) for one in told] == ["deny"] * 3
        deadline = time.monotonic() + 60
        while not (hook.home / "endpoint.json").exists():
            assert time.monotonic() < deadline, "the gateway never came up"
            time.sleep(0.1)
        asked = hook.told("codex", "shell.deny", start=start)
        assert "git.push.force" in json.dumps(asked)
    finally:
        endpoint = json.loads((hook.home / "endpoint.json").read_text())
        os.kill(endpoint["pid"], signal.SIGTERM)
        deadline = time.monotonic() + 60
        while (hook.home / "endpoint.json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)


def test_the_repositorys_own_file_is_found_and_sent_whole_or_as_what_cannot_be_read(tmp_path: Path) -> None:
    work = tmp_path / "repo" / "src" / "deep"
    work.mkdir(parents=True)
    (tmp_path / "repo" / ".git").mkdir()
    plain = json.dumps({"cwd": str(work)}).encode()
    assert json.loads(shim_module._with_context(plain))["guardhouse_context"] == {
        "workspace_root": str(tmp_path / "repo")
    }
    own = tmp_path / "repo" / ".guardhouse.yaml"
    own.write_text("deny: [git]\n")
    assert json.loads(shim_module._with_context(plain))["guardhouse_context"]["tighten"] == "deny: [git]\n"
    own.write_text("a" * 70_000)
    assert json.loads(shim_module._with_context(plain))["guardhouse_context"]["tighten"] == "too long: ["
    own.write_text("tighten: [{rule: 'git.*', set: block}]\n")
    # A repository made inside another, with a file of its own or without, drops nothing of what is above.
    (work / ".git").mkdir()
    context = json.loads(shim_module._with_context(plain))["guardhouse_context"]
    assert context == {"workspace_root": str(work), "tighten": own.read_text()}
    (work / ".guardhouse.yaml").write_text("tighten: [{category: database, set: block}]\n")
    both = json.loads(shim_module._with_context(plain))["guardhouse_context"]["tighten"]
    assert [(one.rule, one.category) for one in read_tighten(both).tightenings] == [("git.*", ""), ("", "database")]
    own.unlink()
    own.mkdir()  # there, and not to be read
    unread = json.loads(shim_module._with_context(plain))["guardhouse_context"]["tighten"]
    assert read_tighten(unread).fault
    for odd in (b"{", b"[]", b'{"cwd": 3}', b"null", b'{"cwd": "/\\u0000"}'):
        assert shim_module._with_context(odd) == odd


@pytest.mark.parametrize("posture", ["closed", "open"])
@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_too_large_to_be_examined_is_denied_in_either_posture(hook: Hook, client: str, posture: str) -> None:
    payload = PAYLOADS[client]("write", {**GIVEN["write.allow"], "content": "a" * (5 << 20)})
    done = hook.run(client, payload, posture=posture)
    assert done.returncode == 0
    assert refused(client, json.loads(done.stdout)) == "deny"
    assert b"in smaller parts" in done.stdout


def test_the_last_hundred_times_stay_when_the_file_is_cut(tmp_path: Path) -> None:
    """Ten thousand calls, eight at once: doctor always finds a hundred, and the last ones."""
    times = tmp_path / "hooks" / "codex.times"
    times.parent.mkdir()
    config = {"times_file": str(times)}
    times.write_bytes(b"".join(b"%d.0\n" % number for number in range(2_000)))
    assert times.stat().st_size > shim_module.MOST_TIMES
    shim_module._note(config, time.perf_counter())
    lines = times.read_text().splitlines()
    assert (lines[:-1], float(lines[-1]) < 1_000) == ([f"{number}.0" for number in range(1_900, 2_000)], True)

    def call() -> None:
        for _ in range(1_250):
            shim_module._note(config, time.perf_counter() - 1.5)

    callers = [threading.Thread(target=call) for _ in range(8)]
    for one in callers:
        one.start()
    for one in callers:
        one.join()
    assert times.stat().st_size <= shim_module.MOST_TIMES + 100
    told = examining.calls("codex", tmp_path)
    assert (told["calls"], told["p50_ms"] >= 1_500) == (100, True)
