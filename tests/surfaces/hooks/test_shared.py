"""A hook that a team committed or an organisation set, where Guardhouse is not installed: its line, run as the client runs it.

What runs is a real shell, or Node for OpenCode's plugin, with a PATH that leads nowhere and a home with nothing in it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from guardhouse.surfaces.install import acting, clients, managed, placing
from guardhouse.surfaces.install.clients import CLIENTS
from tests.surfaces.hooks.payloads import ACCEPTED, GIVEN, PAYLOADS, accepted, refused

NODE = shutil.which("node")
PLUGIN = Path(__file__).parents[2] / "clients" / "plugin.mjs"
INSTALL = "pipx install guardhouse, guardhouse init, guardhouse install {client}"
BY_STATUS = {"claude-code", "codex", "gemini"}
"""Who takes status 2 with a reason on standard error for a denial with that reason, as their pages say."""


@dataclass
class Told:
    """What a client makes of a hook: `deny` or "" in its own terms, and what a person or a model reads."""

    effect: str
    text: str


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment without Guardhouse or anything else."""
    (tmp_path / "nothing").mkdir()
    return {"PATH": str(tmp_path / "nothing"), "HOME": str(tmp_path / "nothing")}


def committed(client: str, posture: str, place: Path) -> str:
    """The text of the file that `install --shared` leaves in a repository."""
    wish = acting.Wish(client, "shared", posture, place / "home", place / "user", place / "repo", {})
    placing.place(wish.home)
    acting.carry_out(acting.plan(wish), wish.home)
    text = acting.place_of(wish).path.read_text()
    assert str(place) not in text
    return text


def line_of(client: str, text: str) -> str:
    """The line that the client runs, read from its own file."""
    held: dict[str, Any] = tomllib.loads(text) if client == "codex" and not text.startswith("{") else json.loads(text)
    hook = held["hooks"][clients.EVENT[client]][0]
    hook = hook["hooks"][0] if "hooks" in hook else hook
    return str(hook.get("command", hook.get("bash")))


def by_shell(client: str, line: str, env: dict[str, str]) -> Told:
    body = json.dumps(PAYLOADS[client]("shell", GIVEN["shell.allow"]))
    done = subprocess.run(["/bin/sh", "-c", line], input=body, env=env, capture_output=True, text=True, timeout=60)
    answer = json.loads(done.stdout) if done.stdout else {}
    assert accepted(ACCEPTED[client], answer), answer
    if done.returncode == 2 and client in BY_STATUS:
        return Told("deny", done.stderr)
    # Copilot denies by status 2 as well, with the reason from the JSON; Cursor reads JSON at status 0 alone.
    assert done.returncode == (2 if client == "copilot" and answer else 0), done
    return Told(refused(client, answer), json.dumps(answer) + done.stderr)


def by_node(text: str, place: Path, env: dict[str, str]) -> Told:
    assert NODE is not None
    (place / "guardhouse.mjs").write_text(text)
    (place / "questions").write_text(json.dumps({"tool": "bash", "sessionID": "ses_1", "args": {"command": "ls"}}))
    argv = [NODE, str(PLUGIN), str(place / "guardhouse.mjs"), str(place / "questions")]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return Told("" if told["ran"] else "deny", told.get("told", "") + "".join(told["warned"]))


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("posture", ["closed", "open"])
def test_a_committed_hook_follows_its_posture_and_says_how_to_install(
    client: str, posture: str, tmp_path: Path, bare: dict[str, str]
) -> None:
    text = committed(client, posture, tmp_path)
    if client == "opencode":
        if NODE is None:
            pytest.skip("Node is not installed")
        told = by_node(text, tmp_path, bare)
    else:
        told = by_shell(client, line_of(client, text), bare)
    assert told.effect == ("deny" if posture == "closed" else "")
    assert INSTALL.format(client=client) in told.text
    assert ("was not let run" in told.text) == (posture == "closed")


@pytest.mark.parametrize("client", CLIENTS)
def test_an_organisations_hook_denies_and_says_how_to_install(
    client: str, tmp_path: Path, bare: dict[str, str]
) -> None:
    fragment = managed.fragment(client, "")
    if client == "opencode":
        if NODE is None:
            pytest.skip("Node is not installed")
        told = by_node(fragment["plugin"], tmp_path, bare)
    else:
        told = by_shell(client, line_of(client, fragment["text"]), bare)
    assert told.effect == "deny"
    assert INSTALL.format(client=client) in told.text


@pytest.mark.parametrize("client", CLIENTS)
def test_where_it_is_installed_the_same_line_asks_it(client: str, tmp_path: Path, bare: dict[str, str]) -> None:
    """The person's own hook is found in their home and run with the client's name."""
    run = tmp_path / "mine" / "hooks" / "run"
    run.parent.mkdir(parents=True)
    run.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/asked\nexit 0\n')
    run.chmod(0o755)
    line = clients.shared_line(clients.shared_script(client, "closed"))
    env = bare | {"GUARDHOUSE_HOME": str(run.parent.parent)}
    done = subprocess.run(["/bin/sh", "-c", line], env=env, capture_output=True, timeout=60)
    assert (done.returncode, (tmp_path / "asked").read_text()) == (0, f"{client}\n")


BROKEN = {
    "its interpreter is gone": "exec /nowhere/bin/python",
    "it was ended by a signal": "kill -9 $$",
    "it fails in a way of its own": "exit 1",
}


@pytest.mark.parametrize("posture", ["closed", "open"])
@pytest.mark.parametrize("fault", BROKEN)
def test_where_it_is_installed_and_cannot_run_the_posture_decides(
    fault: str, posture: str, tmp_path: Path, bare: dict[str, str]
) -> None:
    """Any status but 0 and 2 lets the tool run in Codex, Gemini CLI and older Claude Code, so none is handed on."""
    run = tmp_path / "mine" / "hooks" / "run"
    run.parent.mkdir(parents=True)
    run.write_text(f"#!/bin/sh\n{BROKEN[fault]}\n")
    run.chmod(0o755)
    env = bare | {"GUARDHOUSE_HOME": str(run.parent.parent)}
    for client in CLIENTS:
        for line in (
            clients.shared_line(clients.shared_script(client, posture)),
            clients.command(client, run, posture),
        ):
            if client == "opencode":  # its plugin takes status and words, as the other test shows
                done = subprocess.run(["/bin/sh", "-c", line], env=env, capture_output=True, text=True, timeout=60)
                assert (done.returncode, "guardhouse install opencode" in done.stderr) == (
                    2 if posture == "closed" else 0,
                    True,
                )
                continue
            told = by_shell(client, line, env)
            assert told.effect == ("deny" if posture == "closed" else ""), (client, line, told)
            assert f"guardhouse install {client}" in told.text


def test_a_denial_by_status_of_ours_is_handed_on(tmp_path: Path, bare: dict[str, str]) -> None:
    run = tmp_path / "mine" / "hooks" / "run"
    run.parent.mkdir(parents=True)
    run.write_text("#!/bin/sh\necho because >&2; exit 2\n")
    run.chmod(0o755)
    env = bare | {"GUARDHOUSE_HOME": str(run.parent.parent)}
    line = clients.shared_line(clients.shared_script("codex", "open"))
    done = subprocess.run(["/bin/sh", "-c", line], env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, "because\n")


@pytest.mark.skipif(NODE is None, reason="Node is not installed")
@pytest.mark.parametrize("posture", ["closed", "open"])
def test_a_session_that_opencode_does_not_tell_of_is_never_taken_for_its_agents(
    posture: str, tmp_path: Path, bare: dict[str, str]
) -> None:
    """Closed, the tool is not let run; open, it is asked about all the same. The next one is read anew."""
    asked = tmp_path / "asked"
    run = tmp_path / "run"
    run.write_text(f'#!/bin/sh\n/bin/cat >> {asked}\necho >> {asked}\necho \'{{"decision": "allow"}}\'\n')
    run.chmod(0o755)
    (tmp_path / "guardhouse.mjs").write_text(clients.plugin([str(run)], posture))
    sessions = ["unreadable", "failing", "empty", "child", "flaky", "flaky"]
    lines = [json.dumps({"tool": "bash", "sessionID": one, "args": {"command": "ls"}}) for one in sessions]
    (tmp_path / "questions").write_text("\n".join(lines))
    assert NODE is not None
    argv = [NODE, str(PLUGIN), str(tmp_path / "guardhouse.mjs"), str(tmp_path / "questions")]
    done = subprocess.run(argv, env=bare, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = [json.loads(one) for one in done.stdout.splitlines()]
    questions = [json.loads(one) for one in asked.read_text().splitlines() if one]
    as_whom = [(one["sessionID"], one.get("agent_id", "")) for one in questions]
    delegates = [("ses_1", "child"), ("ses_1", "flaky")]
    if posture == "closed":
        assert [one["ran"] for one in told] == [False, False, False, True, False, True]
        assert all("whose session" in one["told"] for one in told if not one["ran"])
        assert as_whom == delegates
    else:
        assert [one["ran"] for one in told] == [True] * 6
        assert as_whom == [(one, "") for one in ("unreadable", "failing", "empty")] + [
            delegates[0],
            ("flaky", ""),
            delegates[1],
        ]
