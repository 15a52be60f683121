"""The parts of an installation beside clients' settings: the service's file, managed fragments, what doctor and report tell."""

from __future__ import annotations

import json
import os
import plistlib
import shutil
import socket
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote, urlsplit

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from guardhouse.errors import InvalidInput
from guardhouse.surfaces.cli.report import rows_of
from guardhouse.surfaces.hooks.recent import Recent
from guardhouse.surfaces.install import codex_trust, examining, managed, serving
from guardhouse.surfaces.install.clients import CLIENTS
from tests.server import environment, guardhouse

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
    serving.write(made)
    assert made.path.stat().st_mode & 0o777 == 0o600
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
        # Codex of spring 2026 passes the hook over where this is not an absolute folder that is there on every machine.
        folder = Path(held["hooks"]["managed_dir"])
        assert (folder.is_absolute(), folder.is_dir(), (folder / "sh").exists()) == (True, True, True)
        assert held["hooks"]["PreToolUse"][0]["hooks"][0]["command"].startswith(f"{folder / 'sh'} ")
        assert "exit 2" in held["hooks"]["PreToolUse"][0]["hooks"][0]["command"]
    elif client == "opencode":
        assert 'POSTURE = "closed"' in told["plugin"]
    else:
        assert "exit 2" in told["text"]


@pytest.mark.parametrize(
    ("platform", "system", "path", "url"),
    [
        ("linux", "Linux", "/etc/opencode/guardhouse.js", "file:///etc/opencode/guardhouse.js"),
        (
            "darwin",
            "macOS",
            "/Library/Application Support/opencode/guardhouse.js",
            "file:///Library/Application%20Support/opencode/guardhouse.js",
        ),
        (
            "win32",
            "Windows",
            "C:\\ProgramData\\opencode\\guardhouse.js",
            "file:///C:/ProgramData/opencode/guardhouse.js",
        ),
    ],
)
def test_opencodes_managed_plugin_is_named_where_it_lies(platform: str, system: str, path: str, url: str) -> None:
    """Beside the file that names it, by an address that a path with a blank in it survives."""
    told = managed.fragment("opencode", "", platform)
    assert json.loads(told["text"]) == json.loads(told["texts"][system]) == {"plugin": [url]}
    assert told["plugin_paths"][system] == path
    pure = PureWindowsPath if platform == "win32" else PurePosixPath
    assert pure(path).parent == pure(told["paths"][system]).parent
    assert unquote(urlsplit(url).path).lstrip("/") == path.replace("\\", "/").lstrip("/")


def test_whoever_sets_the_file_of_windows_is_told_that_its_hook_needs_a_shell() -> None:
    for client in CLIENTS:
        assert "/bin/sh" in managed.fragment(client, "")["windows"]


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


def test_the_gateway_remembers_the_last_hundred_hooks_of_each_client() -> None:
    now = 100.0
    registry = CollectorRegistry()
    recent = Recent(registry, lambda: now)
    for number in range(250):
        recent.note("codex", number / 1000)
    recent.note("cursor", 0.002)
    now = 130.0
    told = examining.over_http(generate_latest(registry).decode(), datetime(2026, 11, 1, 10, 0, 30, tzinfo=UTC))
    assert told["codex"] == {"last_call": "2026-11-01T10:00:00Z", "calls": 100, "p50_ms": 200.0, "p99_ms": 249.0}
    assert told["cursor"]["calls"] == 1
    assert examining.over_http("anything else", datetime(2026, 11, 1, tzinfo=UTC)) == {}


LINE = "/srv/h/guardhouse/hooks/run codex || /bin/sh -c 'exit 2'"
TRUSTED = "sha256:2c661e665042ce8bed7d9d91eb8b2fdec4b089d3eb1b1a51bc20233c876c6a0a"


def test_trust_is_read_from_codexs_own_file(tmp_path: Path) -> None:
    """The digest is what Codex 0.169.0 itself tells of this very hook (`hooks/list`)."""
    told = {"type": "command", "command": "/srv/h/hooks/run codex || /bin/sh -c 'exit 2'", "timeout": 30}
    assert codex_trust.digest({"matcher": "*"}, told) == TRUSTED
    hooks, config = tmp_path / "hooks.json", tmp_path / "config.toml"
    ours = {"type": "command", "command": LINE, "timeout": 30}
    other = {"matcher": "Bash", "hooks": [{"type": "command", "command": "x"}]}
    hooks.write_text(json.dumps({"hooks": {"PreToolUse": [other, {"matcher": "*", "hooks": [ours]}]}}))
    assert codex_trust.trust(hooks, tmp_path) == "untrusted"
    key, right = f"{hooks}:pre_tool_use:1:0", codex_trust.digest({"matcher": "*"}, ours)
    for text, wanted in (
        ("", "untrusted"),
        (f'[hooks.state."{hooks}:pre_tool_use:0:0"]\ntrusted_hash = "{right}"\n', "untrusted"),
        (f'[hooks.state."{key}"]\ntrusted_hash = "{right}"\n', "trusted"),
        (f'[hooks.state."{key}"]\ntrusted_hash = "{TRUSTED}"\n', "changed"),
        (f'[hooks.state."{key}"]\ntrusted_hash = "{right}"\nenabled = false\n', "off"),
        ("[hooks", "unknown"),
    ):
        config.write_text(text)
        assert codex_trust.trust(hooks, tmp_path) == wanted, text
    assert codex_trust.trust(tmp_path / "none.json", tmp_path) == "unknown"


@pytest.mark.parametrize("client", CLIENTS)
def test_what_an_organisation_set_on_this_machine_is_found(client: str, tmp_path: Path) -> None:
    assert examining.managed("linux", tmp_path) == []
    path = tmp_path / managed.PATHS[client]["Linux"].lstrip("/")
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert examining.managed("linux", tmp_path) == []
    path.write_text(managed.fragment(client, "")["text"])
    found = examining.managed("linux", tmp_path)
    assert [(one.part, one.ok) for one in found] == [(f"{client} managed", True)]
    assert managed.fragment(client, "")["note"]
    page = (Path(__file__).parents[3] / "docs" / "agents.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith(f"| {client} | `/etc"))
    assert f"`{managed.PATHS[client]['Linux']}`" in row
    assert all(path in row for path in managed.PATHS[client].values())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here to read its own unit")
def test_systemd_reads_the_unit_as_it_is_meant(tmp_path: Path) -> None:
    odd = tmp_path / "a b%c$d"
    odd.mkdir()
    command = [sys.executable, "-m", "guardhouse", "serve", "--port", "0", 'a"b', "c\\d"]
    made = serving.service(command, odd, tmp_path, {"GUARDHOUSE_WORKSPACE": 'x"y'}, "linux")
    unit = tmp_path / serving.UNIT
    unit.write_text(made.text)
    argv = ["systemd-analyze", "--user", "--man=no", "verify", str(unit)]
    env = dict(os.environ) | {"XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}

    def faults() -> list[str]:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env)
        return [line for line in done.stderr.splitlines() if serving.UNIT in line]

    assert faults() == []
    unit.write_text(made.text.replace("ExecStart=", "ExecStart=relative/"))
    assert faults(), "it does look"


def test_the_service_is_written_again_and_removed_without_a_trace(tmp_path: Path) -> None:
    user, home = tmp_path / "user", tmp_path / "home"
    (user / ".config").mkdir(parents=True)
    url = "postgresql+psycopg://gate:hunter2@db.example.com/guardhouse"
    env = environment(home, url, HOME=str(user), XDG_CONFIG_HOME=str(user / ".config"))
    if sys.platform == "darwin":
        pytest.skip("the file lies elsewhere there")
    unit = user / ".config" / "systemd" / "user" / serving.UNIT
    told = json.loads(guardhouse(env, "service", "install", "--write-only", "--json").stdout)
    first = unit.read_bytes()
    assert (told["state"], told["file"]) == ("written", str(unit))
    assert unit.stat().st_mode & 0o777 == 0o600
    assert b"hunter2" in first
    unit.chmod(0o644)  # as an older Guardhouse wrote it
    assert guardhouse(env, "service", "install", "--write-only", "--json").returncode == 0
    assert (unit.read_bytes(), unit.stat().st_mode & 0o777) == (first, 0o600)
    assert json.loads(guardhouse(env, "service", "remove", "--write-only", "--json").stdout)["state"] == "removed"
    assert list((user / ".config").rglob("*")) == []
    assert json.loads(guardhouse(env, "service", "remove", "--write-only", "--json").stdout)["state"] == "not there"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    for verb in ("install", "remove"):
        refused = guardhouse(env, "service", verb, "--write-only", check=False)
        assert (refused.returncode != 0, "was not written by Guardhouse" in refused.stderr) == (True, True)
    assert unit.read_text() == "[Service]\nExecStart=/bin/true\n"


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


def test_a_clients_version_is_its_own_word_and_empty_where_it_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert examining.version("gemini") == ""
    for text, told in (("echo 0.61.0; echo more", "0.61.0"), ("exit 3", ""), (f"echo {'9' * 200}", "9" * 80)):
        (tmp_path / "gemini").write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "gemini").chmod(0o755)
        assert examining.version("gemini") == told
