"""Installing again repairs and changes nothing that a person chose; what stands in the way is told before anything is done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from guardhouse.surfaces.install import placing, records
from tests.server import environment, serving
from tests.surfaces.hooks.payloads import GIVEN, PAYLOADS, refused
from tests.surfaces.terminal import Desk, prepare


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A person's terminal in a project's folder of their own."""
    (tmp_path / "user" / "work" / "below").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path / "user" / "work")
    return Desk(tmp_path / "home", prepare(tmp_path / "home"), capsys, monkeypatch)


def _user() -> Path:
    return Path.home()


def _posture(desk: Desk, client: str) -> object:
    return placing.configured(desk.home, client)["posture"]


def test_a_plain_install_keeps_the_posture_the_scope_and_the_folder(desk: Desk) -> None:
    desk.json("install", "gemini", "--project", "--posture", "open")
    project = _user() / "work" / ".gemini" / "settings.json"
    whole = project.read_bytes()
    assert b"exit 0" in whole
    project.write_text("{}")
    desk.patch.chdir(_user())
    told = desk.json("install", "gemini")
    assert (told["scope"], told["posture"], told["files"]) == ("project", "open", [str(project)])
    assert told["notes"] == [
        "kept: posture open, so tools run unasked where no gateway answers; `--posture closed` denies them",
        f"kept: --project in {_user() / 'work'}; `--user`, `--project` or `--shared` puts it elsewhere too",
    ]
    assert (_posture(desk, "gemini"), json.loads(project.read_bytes()) == json.loads(whole)) == ("open", True)
    assert not (_user() / ".gemini" / "settings.json").exists()
    assert "kept: posture open" in desk.run("install", "gemini").out


def test_what_is_said_on_the_command_line_counts(desk: Desk) -> None:
    desk.json("install", "gemini", "--posture", "open")
    told = desk.json("install", "gemini", "--posture", "closed")
    assert (told["scope"], told["posture"], told["notes"], _posture(desk, "gemini")) == ("user", "closed", [], "closed")
    told = desk.json("install", "gemini", "--project")
    assert (told["scope"], told["files"]) == ("project", [str(_user() / "work" / ".gemini" / "settings.json")])
    for file in (_user() / ".gemini" / "settings.json", _user() / "work" / ".gemini" / "settings.json"):
        file.write_text("{}")
    both = desk.json("install", "gemini")
    assert (both["scope"], len(both["files"])) == ("user, project", 2)


def test_without_its_configuration_the_records_tell_the_posture(desk: Desk) -> None:
    desk.json("install", "cursor", "--posture", "open")
    (records.folder(desk.home) / "cursor.json").unlink()
    assert desk.json("install", "cursor")["posture"] == "open"
    assert _posture(desk, "cursor") == "open"
    listed = json.loads((records.folder(desk.home) / records.NAME).read_text())
    for one in listed["files"]:
        del one["posture"]  # as it was written before there was one
    (records.folder(desk.home) / records.NAME).write_text(json.dumps(listed))
    (records.folder(desk.home) / "cursor.json").unlink()
    assert desk.json("install", "cursor")["posture"] == "closed"


def test_a_project_that_is_gone_is_left_out_and_told(desk: Desk) -> None:
    desk.json("install", "gemini", "--project")
    desk.patch.chdir(_user())
    (_user() / "work").rename(_user() / "moved")
    told = desk.json("install", "gemini")
    assert told["scope"] == "user"
    assert "is left as it is, since its folder is gone" in told["notes"][0]
    assert not (_user() / "work").exists()


def test_a_hook_that_asks_another_gateway_is_not_turned_to_this_one_by_a_repair(desk: Desk) -> None:
    with serving(desk.env) as server:
        address = f"http://127.0.0.1:{server.port}"
        desk.env["GUARDHOUSE_URL"] = address
        desk.json("install", "gemini")
        del desk.env["GUARDHOUSE_URL"]
        done = desk.run("install", "gemini", expect=None)
        assert done.status != 0
        assert f"this hook asks {address}: set GUARDHOUSE_URL to that" in done.err
        assert placing.configured(desk.home, "gemini")["url"] == address
        desk.env["GUARDHOUSE_URL"] = address
        assert desk.json("install", "gemini")["files"] == []


def _parts(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["part"]: one for one in told["findings"]}


def test_doctor_asks_the_gateway_that_the_hook_itself_asks(desk: Desk, tmp_path: Path) -> None:
    """Two gateways: the hook asks the other one, this home has its own, and the shell names either, or neither."""
    other = tmp_path / "other"
    with serving(prepare(other)) as theirs, serving(desk.env) as ours:
        there, here = (f"http://127.0.0.1:{one.port}" for one in (theirs, ours))
        token = (other / "operator.token").read_text().strip()
        desk.env |= {"GUARDHOUSE_URL": there}
        desk.run("install", "gemini", token=token)
        del desk.env["GUARDHOUSE_URL"]
        desk.json("install", "cursor")
        told = _parts(desk.json("doctor"))
        assert told["gateway"]["facts"] == {"address": here}
        assert (told["gemini token"]["detail"], told["cursor token"]["detail"]) == ("is accepted", "is accepted")
        desk.env["GUARDHOUSE_URL"] = here
        assert _parts(desk.json("doctor"))["gemini token"]["detail"] == "is accepted"
        theirs.stop()
        done = desk.json("doctor", expect=1)
        told = _parts(done)
        assert told["gemini gateway"]["detail"] == f"this hook asks {there}, and nothing answers there"
        assert "guardhouse install gemini" in told["gemini gateway"]["repair"]
        assert told["gemini token"]["detail"] == "not asked: no gateway runs"
        assert told["cursor token"]["detail"] == "is accepted"
        del desk.env["GUARDHOUSE_URL"]
        desk.run("uninstall", "cursor")
        ours.stop()
        told = _parts(desk.json("doctor", expect=69))
        assert told["gateway"]["detail"] == f"the hooks ask {there}, and nothing answers there"


def test_where_every_hook_asks_elsewhere_no_gateway_need_run_here(desk: Desk, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with serving(prepare(other)) as theirs:
        there = f"http://127.0.0.1:{theirs.port}"
        desk.env["GUARDHOUSE_URL"] = there
        desk.run("install", "gemini", token=(other / "operator.token").read_text().strip())
        del desk.env["GUARDHOUSE_URL"]
        told = desk.json("doctor")
        assert _parts(told)["gateway"]["detail"] == f"answers at {there}, where the hooks ask it"
        assert _parts(told)["gemini token"]["detail"] == "is accepted"
        desk.env["GUARDHOUSE_URL"] = there
        desk.run("install", "cursor", token=(other / "operator.token").read_text().strip())
        path = records.folder(desk.home) / "cursor.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"url": "", "start": None}))
        told = _parts(desk.run("doctor", "--json", expect=1, token="gdh_agent_no_token").json)
        assert told["cursor gateway"]["repair"] == "guardhouse serve"
        path.write_text("{")
        told = _parts(desk.run("doctor", "--json", expect=1, token="gdh_agent_no_token").json)
        assert "cursor.json cannot be read" in told["cursor hook"]["detail"]


def _in_a_folder_that_is_gone(env: dict[str, str], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import os, sys; os.rmdir(sys.argv[1]); os.execv(sys.executable, [sys.executable, '-m', 'guardhouse', *sys.argv[2:]])"
    folder.mkdir()
    return subprocess.run(
        [sys.executable, "-c", code, str(folder), *arguments],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_from_a_folder_that_is_gone_all_that_needs_none_works(tmp_path: Path) -> None:
    user = tmp_path / "user"
    user.mkdir()
    env = environment(tmp_path / "home", HOME=str(user))
    env.pop("XDG_CONFIG_HOME", None)
    prepare(tmp_path / "home")
    put = _in_a_folder_that_is_gone(env, tmp_path / "gone", "install", "gemini", "--json")
    assert (put.returncode, json.loads(put.stdout)["scope"]) == (0, "user"), put
    project = _in_a_folder_that_is_gone(env, tmp_path / "gone", "install", "gemini", "--project")
    assert project.returncode != 0
    assert "the folder that this runs in is gone: go to the project's" in project.stderr
    well = _in_a_folder_that_is_gone(env, tmp_path / "gone", "doctor", "--json")
    assert "gemini hook" in _parts(json.loads(well.stdout))
    out = _in_a_folder_that_is_gone(env, tmp_path / "gone", "uninstall", "--all", "--json")
    assert (out.returncode, json.loads(out.stdout)["left"]) == (0, []), out
    assert list(user.rglob("settings.json")) == []
    assert not records.folder(tmp_path / "home").exists()


def test_the_command_by_itself_answers_as_the_hook_that_was_installed(desk: Desk) -> None:
    """`guardhouse hook CLIENT`: no `--config` needed, and every fault is a denial in the client's own words."""
    body = json.dumps(PAYLOADS["gemini"]("shell", GIVEN["shell.allow"]))

    def hook(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "guardhouse", "hook", *arguments],
            input=body,
            env=desk.env | {"HOME": str(_user())} | more,
            capture_output=True,
            text=True,
            timeout=60,
        )

    bare = hook("gemini")
    assert (bare.returncode, refused("gemini", json.loads(bare.stdout))) == (0, "deny")
    assert "guardhouse install gemini" in bare.stdout
    nowhere = hook("gemini", GUARDHOUSE_HOME="/")
    assert (nowhere.returncode, refused("gemini", json.loads(nowhere.stdout))) == (0, "deny")
    strange = hook("emacs")
    assert (strange.returncode, strange.stdout) == (2, ""), "which every client takes for a denial"
    assert "no client `emacs`; known: claude-code, codex" in strange.stderr
    with serving(desk.env):
        desk.json("install", "gemini")
        for arguments in (("gemini",), ("gemini", "--config", str(records.folder(desk.home) / "gemini.json"))):
            done = hook(*arguments)
            assert (done.returncode, done.stdout) == (0, "{}"), done
        assert placing.times_file(desk.home, "gemini").read_bytes().count(b"\n") == 2
    assert os.environ.get("GUARDHOUSE_HOME") is None


ORDERS = (
    (("agents", "suspend", "AGENT"), "agent_suspended"),
    (("agents", "stop", "AGENT"), "agent_stopped"),
    (("agents", "pause", "AGENT", "--for", "10m"), "agent_paused"),
    (("agents", "trust", "AGENT", "0"), "suspended"),
    (("workspaces", "pause", "--for", "10m"), "workspace_not_active"),
    (("workspaces", "stop"), "workspace_not_active"),
)


def test_doctor_names_what_stands_against_the_agent_and_its_repair_lets_the_hook_pass(desk: Desk) -> None:
    body = json.dumps(PAYLOADS["gemini"]("shell", GIVEN["shell.allow"]))

    def uses() -> str:
        done = subprocess.run(
            [str(placing.run_file(desk.home)), "gemini"],
            input=body,
            env=desk.env | {"HOME": str(_user())},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return refused("gemini", json.loads(done.stdout))

    with serving(desk.env):
        agent = desk.json("install", "gemini")["agent"]
        assert (uses(), _parts(desk.json("doctor"))["gemini token"]["detail"]) == ("", "is accepted")
        for order, code in ORDERS:
            desk.run(*(agent if part == "AGENT" else part for part in order), "--reason", "a test of it")
            assert uses() == "deny"
            told = _parts(desk.json("doctor", expect=1))["gemini token"]
            assert (told["ok"], told["detail"]) == (False, f"is refused ({code})")
            program, *arguments = told["repair"].split()
            assert program == "guardhouse"
            desk.run(*arguments)
            assert uses() == "", order
