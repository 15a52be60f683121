"""The parts of an installation beside clients' settings: the service's file, managed fragments, what doctor and report tell."""

from __future__ import annotations

import json
import os
import plistlib
import socket
import tomllib
from pathlib import Path

import pytest

from guardhouse.errors import InvalidInput
from guardhouse.surfaces.cli.report import rows_of
from guardhouse.surfaces.install import examining, managed, serving
from guardhouse.surfaces.install.clients import CLIENTS

COMMAND = ["/opt/my venv/bin/python", "-m", "guardhouse", "serve"]


def test_a_systemd_unit_has_the_settings_and_no_token(tmp_path: Path) -> None:
    env = {"GUARDHOUSE_PORT": "8421", "GUARDHOUSE_TOKEN": "secret", "OTHER": "x", "GUARDHOUSE_WORKSPACE": "50%"}
    made = serving.service(COMMAND, tmp_path / "home", tmp_path, env, "linux")
    assert made.path == tmp_path / ".config" / "systemd" / "user" / "guardhouse.service"
    assert 'ExecStart="/opt/my venv/bin/python" "-m" "guardhouse" "serve"' in made.text
    assert f'Environment="GUARDHOUSE_HOME={tmp_path / "home"}"' in made.text
    assert 'Environment="GUARDHOUSE_WORKSPACE=50%%"' in made.text
    assert "secret" not in made.text
    assert made.start[-1][0] == "systemctl"


def test_a_launchd_agent_is_a_property_list(tmp_path: Path) -> None:
    made = serving.service(COMMAND, tmp_path / "a & b", tmp_path, {}, "darwin")
    held = plistlib.loads(made.text.encode())
    assert held["ProgramArguments"] == COMMAND
    assert held["EnvironmentVariables"] == {"GUARDHOUSE_HOME": str(tmp_path / "a & b")}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_managed_fragment_is_readable_and_closed(client: str) -> None:
    told = managed.fragment(client, "")
    held = tomllib.loads(told["text"]) if client == "codex" else json.loads(told["text"])
    assert told["paths"]
    if client == "claude-code":
        assert held["allowManagedHooksOnly"] is True
        assert held["hooks"]["PreToolUse"][0]["hooks"][0]["onFailure"] == "block"
    elif client == "codex":
        assert held["allow_managed_hooks_only"] is True
        assert "exit 2" in held["hooks"]["PreToolUse"][0]["hooks"][0]["command"]
    elif client == "opencode":
        assert 'POSTURE = "closed"' in told["plugin"]
    else:
        assert "exit 2" in told["text"]


def test_over_http_only_where_the_token_is_not_sent_in_the_clear() -> None:
    held = json.loads(managed.fragment("claude-code", "https://gate.example.com/")["text"])
    hook = held["hooks"]["PreToolUse"][0]["hooks"][0]
    assert hook["url"] == "https://gate.example.com/v1/hooks/claude-code"
    assert held["allowedHttpHookUrls"] == ["https://gate.example.com/v1/hooks/*"]
    assert hook["allowedEnvVars"] == ["GUARDHOUSE_TOKEN"]
    with pytest.raises(InvalidInput, match="https"):
        managed.fragment("claude-code", "http://gate.example.com")


def test_a_port_that_another_program_took_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        told = examining.gateway("", "127.0.0.1", port)
        assert (told.ok, told.repair) == (False, "guardhouse serve --port 0")
        assert str(port) in told.detail
    assert examining.gateway("", "127.0.0.1", port).repair == "guardhouse service install"


def test_a_home_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert examining.home(tmp_path).ok
    gone = examining.home(tmp_path / "none")
    assert (gone.ok, gone.repair) == (False, "guardhouse init")


def test_percentiles_are_of_the_last_hundred(tmp_path: Path) -> None:
    folder = tmp_path / "hooks"
    folder.mkdir()
    assert examining.calls("codex", tmp_path) == {"last_call": "", "calls": 0}
    lines = ["9999.0"] * 50 + [f"{n}.0" for n in range(100)] + ["half a li"]
    (folder / "codex.times").write_text("\n".join(lines))
    os.utime(folder / "codex.times", (1_800_000_000, 1_800_000_000))
    told = examining.calls("codex", tmp_path)
    assert (told["calls"], told["p50_ms"], told["p99_ms"]) == (99, 50.0, 99.0)
    assert told["last_call"].startswith("2027-01-15T")


def test_rows_are_by_rule_agent_and_repository() -> None:
    def entry(number: int, rule: str, where: str) -> dict[str, object]:
        return {
            "id": f"dec_{number}",
            "operation": "check_tool",
            "principal": {"id": "agt_1"},
            "resource": {"type": "Command", "id": "shell"},
            "would": "deny",
            "facts": {"findings": [{"rule": rule, "severity": "block"}, {"rule": "x.note", "severity": "log"}]},
            "steps": [],
            "payload": {"command": f"do {number}", "cwd": where},
        }

    made = rows_of(
        [entry(1, "git.a", "/r"), entry(2, "git.a", "/r"), entry(3, "git.a", "/s"), entry(4, "guardhouse.state", "/r")],
        {"agt_1": "olga-codex"},
        "2030-01-31",
    )
    assert [(one["rule"], one["count"], one["repository"], one["sample"]) for one in made] == [
        ("git.a", 2, "/r", "do 1"),
        ("git.a", 1, "/s", "do 3"),
        ("guardhouse.state", 1, "/r", "do 4"),
    ]
    assert made[0]["exempt"] == (
        '- {rule: git.a, set: warn, agents: [agt_1], reason: "…", owner: "…", expires: "2030-01-31"}'
    )
    assert "nothing exempts" in made[2]["exempt"]
