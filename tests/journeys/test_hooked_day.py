"""A day with a hooked agent: installed in observe, worked, reported, enforced, asked, broken, repaired, taken out.

The day that goes well stands in `docs/agents.md` and is run from there; what may go wrong in it is run here.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.pages import run_page
from tests.server import environment, guardhouse, serving

PAGE = Path(__file__).parents[2] / "docs" / "agents.md"
FORCED = "git push --force origin main"


@pytest.fixture
def person(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A person's home folder with settings of their own, and the environment of their shell."""
    user = tmp_path / "user"
    (user / ".claude").mkdir(parents=True)
    (user / ".claude" / "settings.json").write_bytes(b'{\n  "model": "sonnet" // mine\n}\n')
    (user / "work").mkdir()
    env = environment(tmp_path / "home", HOME=str(user), XDG_CONFIG_HOME=str(user / ".config"))
    guardhouse(env, "init")
    return user, env


def _uses(user: Path, env: dict[str, str], command: str) -> dict[str, Any]:
    """What Claude Code is answered before it runs a command: its own settings' line, run as it runs it."""
    settings = (user / ".claude" / "settings.json").read_text().replace(" // mine", "")
    line = json.loads(settings)["hooks"]["PreToolUse"][0]["hooks"][0]["command"]
    payload = {
        "session_id": "s1",
        "cwd": str(user / "work"),
        "hook_event_name": "PreToolUse",
        "tool_name": "Bash",
        "tool_input": {"command": command},
        "tool_use_id": "toolu_1",
    }
    done = subprocess.run(
        ["/bin/sh", "-c", line], input=json.dumps(payload), env=env, capture_output=True, text=True, timeout=60
    )
    if done.returncode == 2:
        return {"status": 2, "told": done.stderr}
    assert done.returncode == 0, done
    told: dict[str, Any] = json.loads(done.stdout)
    return dict(told.get("hookSpecificOutput", told))


def test_the_day_on_the_page_is_as_the_page_says(person: tuple[Path, dict[str, str]]) -> None:
    user, env = person
    file = user / ".claude" / "settings.json"
    before = file.read_bytes()
    env |= {"LOGNAME": "you", "COLUMNS": "120", "NO_COLOR": "1"}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
    with serving(env):
        run_page(
            PAGE,
            env,
            user / "work",
            {env["GUARDHOUSE_HOME"]: "~/.local/share/guardhouse", str(user): "~"},
        )
    assert file.read_bytes() == before
    assert not (Path(env["GUARDHOUSE_HOME"]) / "hooks").exists()


def test_a_day_with_a_hooked_agent(person: tuple[Path, dict[str, str]]) -> None:
    user, env = person
    home = Path(env["GUARDHOUSE_HOME"])
    file = user / ".claude" / "settings.json"
    before = file.read_bytes()
    with serving(env) as server:
        # Installed in observe: nothing is changed when only shown; then nothing is said to the agent.
        shown = json.loads(guardhouse(env, "install", "claude-code", "--dry-run", "--json").stdout)
        assert file.read_bytes() == before
        assert "+" in shown["diff"]
        done = json.loads(guardhouse(env, "install", "claude-code", "--observe", "--json").stdout)
        assert (done["agent"].endswith("-claude-code"), done["new_agent"]) == (True, True)
        assert (home / "hooks" / "claude-code.token").stat().st_mode & 0o777 == 0o600
        assert "git status" not in json.dumps(_uses(user, env, "git status"))
        assert _uses(user, env, FORCED) == {}

        # Reported, with the line that would exempt it.
        told = json.loads(guardhouse(env, "report", "--json").stdout)
        row = next(one for one in told["rows"] if one["rule"] == "git.push.force")
        assert (row["count"], row["sample"], row["agent"]) == (1, FORCED, done["agent"])
        assert row["exempt"].startswith("- {rule: git.push.force, set: warn, agents: [agt_")
        assert FORCED in guardhouse(env, "report", "--since", "1h").stdout

        # Enforced: blocked in the client's own words. Installing again changes nothing and keeps the token.
        guardhouse(env, "mode", "enforce", "agent", done["agent"])
        assert _uses(user, env, FORCED)["permissionDecision"] == "deny"
        again = json.loads(guardhouse(env, "install", "claude-code", "--json").stdout)
        assert (again["files"], again["new_agent"], again["agent_id"]) == ([], False, done["agent_id"])

        # An ask is answered from another terminal while the agent goes on.
        assert _uses(user, env, "npm publish")["permissionDecision"] == "ask"
        assert _uses(user, env, "git status") == {}
        waiting = json.loads(guardhouse(env, "approvals", "list", "--json").stdout)["approvals"]
        guardhouse(env, "approvals", "grant", waiting[0]["approval_id"])
        assert "permissionDecision" not in _uses(user, env, "npm publish")

        # All is well, and is seen to be.
        well = guardhouse(env, "doctor", "--json", check=False)
        seen = json.loads(well.stdout)
        assert (well.returncode, seen["ok"]) == (0, True), seen
        assert seen["clients"]["claude-code"]["calls"] >= 6
        assert seen["clients"]["claude-code"]["p50_ms"] > 0

        # A hook over HTTP leaves nothing here: the gateway tells of it.
        assert seen["clients"]["claude-code"]["in_gateway"]["calls"] >= 6
        assert "gemini" not in seen["clients"]
        token = (home / "hooks" / "claude-code.token").read_text().strip()
        line = server.connect()
        payload = {
            "hook_event_name": "BeforeTool",
            "tool_name": "list",
            "tool_input": {},
            "session_id": "g",
            "cwd": "/",
        }
        line.request("POST", "/v1/hooks/gemini", json.dumps(payload), {"Authorization": f"Bearer {token}"})
        line.getresponse().read()
        line.request("POST", "/v1/hooks/copilot", json.dumps(payload), {"Authorization": "Bearer stranger"})
        line.getresponse().read()
        told = json.loads(guardhouse(env, "doctor", "--json", check=False).stdout)["clients"]
        assert (told["gemini"]["in_gateway"]["calls"], told["gemini"]["agent"]) == (1, "")
        assert told["gemini"]["in_gateway"]["p99_ms"] > 0
        assert "copilot" not in told, "a stranger's call is no client's"

        # The token is revoked: denied with the repair, seen by the doctor, and repaired by it.
        tokens = json.loads(guardhouse(env, "tokens", "list", done["agent"], "--json").stdout)["tokens"]
        for one in tokens:
            if one["live"] and one["kind"] == "agent":
                guardhouse(env, "tokens", "revoke", one["token_id"], check=False)
        held = json.loads((home / "hooks" / "claude-code.json").read_text())["token_id"]
        guardhouse(env, "tokens", "revoke", held, check=False)
        refused = _uses(user, env, "git status")
        assert refused["permissionDecision"] == "deny"
        assert "guardhouse install claude-code" in refused["permissionDecisionReason"]
        ill = guardhouse(env, "doctor", "--json", check=False)
        faults = [one for one in json.loads(ill.stdout)["findings"] if not one["ok"]]
        assert (ill.returncode, [one["part"] for one in faults]) == (1, ["claude-code token"])
        assert faults[0]["repair"] == "guardhouse install claude-code"
        guardhouse(env, "install", "claude-code")
        assert _uses(user, env, "git status") == {}
        assert server.stop() == 0

    # The gateway is down: the doctor says so.
    down = guardhouse(env, "doctor", "--json", check=False)
    assert down.returncode == 69
    assert next(one for one in json.loads(down.stdout)["findings"] if not one["ok"])["part"] == "gateway"

    # Our files are gone from under the client: still a denial, which names the repair.
    shim = home / "hooks" / "run"
    kept = shim.read_bytes()
    shim.unlink()
    gone = _uses(user, env, "git status")
    assert gone["status"] == 2
    assert "guardhouse install claude-code" in gone["told"]
    shim.write_bytes(kept)

    # Taken out, with neither gateway nor token: the bytes are those of the morning.
    (home / "operator.token").unlink()
    guardhouse(env, "uninstall", "--all")
    assert file.read_bytes() == before
    assert not (home / "hooks").exists()


def test_a_false_block_is_allowed_in_five_seconds_by_the_one_command_that_it_names(
    person: tuple[Path, dict[str, str]],
) -> None:
    """From the block to the retry that passes. Held is the time that all programs in between take, not that of the clock,
    which other work on this machine lengthens; a person's own time is to paste one line.
    """
    user, env = person
    with serving(env) as server:
        guardhouse(env, "install", "claude-code")
        blocked = _uses(user, env, FORCED)
        assert blocked["permissionDecision"] == "deny"
        began, spent = time.monotonic(), _spent()
        (line,) = re.findall(r"`(guardhouse allow dec_\S+ --once --reason WHY)`", blocked["permissionDecisionReason"])
        guardhouse(env, *shlex.split(line)[1:])
        passed = _uses(user, env, FORCED)
        took, spent = time.monotonic() - began, _spent() - spent
        print(f"allowed in {took:.1f} s by the clock, {spent:.1f} s of work")
        assert "permissionDecision" not in passed
        assert "let this run" in passed["systemMessage"]
        assert spent < 5
        assert _uses(user, env, FORCED)["permissionDecision"] == "deny", "once"
        server.stop()


def _spent() -> float:
    """Seconds of a processor that the programs run so far took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
