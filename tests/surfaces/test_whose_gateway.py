"""Whose token goes where: no home's token is replaced, and none is sent to what has not proved to be this home's gateway."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guardhouse.surfaces import endpoint
from tests.server import environment, guardhouse, serving
from tests.surfaces.terminal import Desk, prepare


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_another_workspaces_token_never_takes_the_place_of_the_one_kept(tmp_path: Path) -> None:
    env = environment(tmp_path / "home", GUARDHOUSE_WORKSPACE="acme")
    home = tmp_path / "home"
    assert json.loads(guardhouse(env, "init", "--json").stdout)["workspace"] == "acme"
    kept = (home / "operator.token").read_text()
    third = json.loads(guardhouse(env, "init", "--workspace", "third", "--json").stdout)
    assert (home / "operator.token").read_text() == kept
    beside = Path(third["operator_token_file"])
    assert (beside, beside.read_text().strip()) == (home / "operator.third.token", third["operator_token"])
    assert (_mode(beside), _mode(home / "operator.token")) == (0o600, 0o600)
    again = json.loads(guardhouse(env, "init", "--json").stdout)
    assert not again["new"]
    assert "person" not in again
    del env["GUARDHOUSE_WORKSPACE"]
    with serving(env):
        listed = json.loads(guardhouse(env, "workspaces", "list", "--json").stdout)
    assert [one["slug"] for one in listed["workspaces"]] == ["acme"]
    assert (home / "operator.token").read_text() == kept


def test_an_agents_shell_founds_the_first_workspace_at_most(tmp_path: Path) -> None:
    env = environment(tmp_path / "home", CLAUDECODE="1")
    assert json.loads(guardhouse(env, "init", "--json").stdout)["new"]
    assert not json.loads(guardhouse(env, "init", "--json").stdout)["new"]
    refused = guardhouse(env, "init", "--workspace", "fourth", check=False)
    assert refused.returncode == 77
    assert "run this in your own terminal" in refused.stderr
    assert not list((tmp_path / "home").glob("operator.fourth*"))


@contextlib.contextmanager
def _stranger(answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A port of somebody else's: whatever it is sent, and one answer to everything."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    line, _ = listener.accept()
                    with line:
                        heard.append(line.recv(65_536))
                        line.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(answer), answer))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.mark.parametrize("command", [("people", "list"), ("check", "ls"), ("call", "get_my_profile")])
def test_the_operators_token_is_sent_to_nobody_who_has_not_proved_to_be_ours(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    env = prepare(tmp_path / "home")
    token = (tmp_path / "home" / "operator.token").read_text().strip()
    with _stranger(b"{}") as (port, heard):
        for url in (f"http://127.0.0.1:{port}", f"127.0.0.1:{port}"):
            refused = guardhouse(env | {"GUARDHOUSE_URL": url}, *command, check=False)
            assert refused.returncode == 77, refused
            assert "GUARDHOUSE_TOKEN" in refused.stderr
    assert not any(token.encode() in sent for sent in heard)
    assert heard == []


@pytest.mark.parametrize("answer", [b"{}", b"<html>"])
def test_doctor_sends_no_token_to_a_stranger_and_takes_none_for_a_gateway(
    tmp_path: Path, answer: bytes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    env = prepare(tmp_path / "home")
    token = (tmp_path / "home" / "operator.token").read_text().strip()
    guardhouse(env | {"HOME": str(tmp_path)}, "install", "codex", "--user", check=False)
    with _stranger(answer) as (port, heard):
        told = guardhouse(env | {"GUARDHOUSE_URL": f"http://127.0.0.1:{port}"}, "doctor", "--json", check=False)
    assert heard
    assert not any(token.encode() in sent or b"authorization" in sent.lower() for sent in heard)
    assert told.returncode != 0, told
    desk = Desk(tmp_path / "home", env | {"GUARDHOUSE_URL": "http://127.0.0.1:1"}, capsys, monkeypatch)
    dead = desk.json("doctor", expect=69)
    (gateway,) = (one for one in dead["findings"] if one["part"] == "gateway")
    assert (gateway["ok"], "nothing answers there" in gateway["detail"], bool(gateway["repair"])) == (False, True, True)


@pytest.mark.parametrize("answer", [b"{}", b"[]", b'"x"', b'{"error": 3}', b'{"people": []}'])
def test_what_is_no_guardhouse_is_told_in_a_line(tmp_path: Path, answer: bytes) -> None:
    env = prepare(tmp_path / "home") | {"GUARDHOUSE_TOKEN": "gdh_agent_x_y"}
    with _stranger(answer) as (port, _heard):
        done = guardhouse(env | {"GUARDHOUSE_URL": f"http://127.0.0.1:{port}"}, "people", "list", check=False)
    assert done.returncode == 69, done
    assert len(done.stderr.strip().splitlines()) == 1
    assert "no Guardhouse" in done.stderr


def test_a_token_crosses_no_network_in_the_clear(tmp_path: Path) -> None:
    env = prepare(tmp_path / "home") | {"GUARDHOUSE_TOKEN": "gdh_agent_x_y", "GUARDHOUSE_URL": "http://gate.example"}
    done = guardhouse(env, "people", "list", check=False)
    assert done.returncode == 69
    assert "in the clear" in done.stderr


def test_this_homes_own_gateway_may_be_named_too(tmp_path: Path) -> None:
    env = prepare(tmp_path / "home")
    with serving(env) as server:
        done = guardhouse(env | {"GUARDHOUSE_URL": f"http://127.0.0.1:{server.port}"}, "people", "list", "--json")
    assert json.loads(done.stdout)["people"]


@pytest.mark.parametrize("how", ["open to others", "of another user", "damaged"])
def test_an_endpoint_that_is_not_believed_is_told_and_not_that_no_gateway_runs(
    tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    desk = Desk(home, prepare(home), capsys, monkeypatch)
    file = endpoint.write(home, endpoint.Endpoint.new("http://127.0.0.1:9"))
    if how == "open to others":
        file.chmod(0o644)
        wanted = ["is open to others (mode 644)", f"run `chmod 600 {file}`"]
    elif how == "of another user":
        if os.geteuid() != 0:
            pytest.skip("only root can give a file away")
        os.chown(file, 65_534, 65_534)
        wanted = ["belongs to another user", "run this as the user whose gateway it is"]
    else:
        file.write_text("{")
        wanted = ["is damaged", "remove it"]
    for words in (("status",), ("people", "list"), ("check", "ls"), ("call", "get_my_profile"), ("install", "codex")):
        done = desk.run(*words, expect=69)
        assert len(done.err.splitlines()) == 1, done.err
        assert all(one in done.err for one in (str(file), *wanted)), done.err
        assert "no gateway" not in done.err
    assert desk.json("status", expect=69)["error"]["message"] in done.err
    findings = {one["part"]: one for one in desk.json("doctor", expect=69)["findings"]}
    assert wanted[0] in findings["gateway"]["detail"]
    file.unlink()
    assert "no gateway runs for this home" in desk.run("status", expect=69).out


def _named(home: Path, pid: int, seconds: float = 30.0) -> bool:
    """Whether `endpoint.json` comes to name this process, and it proves itself."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = endpoint.find_endpoint(home)
        if found is not None and found.pid == pid:
            return True
        time.sleep(0.05)
    return False


def test_the_gateway_that_stays_puts_its_file_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    env = prepare(home)
    with serving(env) as first:
        # Not `serving`, which takes the file away: the second finds it, as it would in a person's home.
        second = subprocess.Popen([sys.executable, "-m", "guardhouse", "serve", "--port", "0"], env=env)
        try:
            assert _named(home, second.pid)
        finally:
            second.terminate()
            second.wait(30)
        assert _named(home, first.process.pid)
        first.process.terminate()
        first.process.wait(30)
    assert endpoint.read(home) is None


def test_a_question_opened_without_a_server_is_told_too(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    script = tmp_path / "tell.py"
    script.write_text(f"import sys\nopen({os.fspath(told)!r}, 'ab').write(sys.stdin.buffer.read())\n")
    env = prepare(tmp_path / "home")
    agent = json.loads(guardhouse(env, "agents", "add", "asker", "--trust", "2", "--json").stdout)
    env |= {"GUARDHOUSE_NOTIFY_COMMAND": f"{sys.executable} {script}", "GUARDHOUSE_TOKEN": agent["token"]}
    asked = json.loads(guardhouse(env, "call", "check_guardrails", "operation_text=npm publish", "--json").stdout)
    assert json.loads(told.read_bytes())["approval_id"] == asked["approval_id"] != ""
