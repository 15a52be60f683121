"""The clients themselves: their own code runs our shim and reads our answer, and the tool runs or does not.

OpenCode's plugin needs Node alone. The rest needs the clients (`make clients`) and GUARDHOUSE_TEST_CLIENTS naming their
folder. A model on loopback asks for one command; the program that it names is a stub that leaves a mark.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from guardhouse.surfaces.hooks import shim
from guardhouse.surfaces.install import codex_trust
from guardhouse.surfaces.install.clients import command, entry
from tests.server import environment, guardhouse, serving
from tests.surfaces.hooks.model import model

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "hooks"
SOURCE = Path(shim.__file__).parent
CLIENTS = Path(os.environ.get("GUARDHOUSE_TEST_CLIENTS", "nowhere"))
MODULES = CLIENTS / "node_modules"
CODEX = MODULES / "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"
CLAUDE = MODULES / "@anthropic-ai/claude-agent-sdk-linux-x64/claude"
OPENCODE = MODULES / "opencode-linux-x64/bin/opencode"
COPILOT = MODULES / "@github/copilot-sdk/dist/types.d.ts"
GEMINI = MODULES / "@google/gemini-cli-core"
NODE = shutil.which("node")

needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed")


def needs(client: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not client.exists(), reason="`make clients` and GUARDHOUSE_TEST_CLIENTS give the clients")


@dataclass
class House:
    """A gateway, and an agent's shim as `install` lays it out."""

    env: dict[str, str]
    folder: Path

    def argv(self, client: str) -> list[str]:
        return [
            sys.executable,
            "-I",
            "-S",
            str(self.folder / "shim.py"),
            client,
            "--config",
            str(self.folder / "hook.json"),
        ]

    def plugin(self) -> str:
        text = (SOURCE / "opencode.js").read_text(encoding="utf-8")
        assert text.count("const SHIM = []") == 1
        return text.replace("const SHIM = []", f"const SHIM = {json.dumps(self.argv('opencode'))}")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    place = tmp_path_factory.mktemp("clients")
    env = environment(place / "home")
    guardhouse(env, "init")
    token = json.loads(guardhouse(env, "agents", "add", "hooked", "--trust", "2", "--json").stdout)["token"]
    for name in ("shim.py", "clients.py"):
        shutil.copy(SOURCE / name, place / name)
    (place / "token").write_text(token)
    config = {"home": str(place / "home"), "url": "", "token_file": str(place / "token"), "posture": "closed"}
    (place / "hook.json").write_text(json.dumps(config))
    with serving(env) as server:
        yield House(env, place)
        server.stop()


@dataclass
class Bench:
    """Where a client works: its own home, and a `git` that only leaves a mark."""

    place: Path

    @property
    def ran(self) -> bool:
        return (self.place / "ran").exists()

    @property
    def git(self) -> Path:
        return self.place / "bin" / "git"

    def run(self, argv: list[str], **env: str) -> str:
        kept = {"HOME": str(self.place / "home"), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(
            argv, cwd=self.place / "work", env=kept | env, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
        )  # fmt: skip
        return done.stdout + done.stderr


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    for name in ("home", "work", "bin"):
        (tmp_path / name).mkdir()
    made = Bench(tmp_path)
    made.git.write_text(f"#!/bin/sh\nprintf x >> {tmp_path / 'ran'}\n")
    made.git.chmod(0o755)
    return made


USES = [("status", True, ""), ("push --force origin main", False, "git.push.force"), ("push --delete origin old-topic", False, "git.push.delete")]  # fmt: skip
uses = pytest.mark.parametrize(("command", "runs", "rule"), USES)


@needs(CODEX)
@uses
def test_codex_runs_what_is_let_through_and_tells_its_model_why_not(
    house: House, bench: Bench, command: str, runs: bool, rule: str
) -> None:
    home = bench.place / "codex"
    home.mkdir()
    hook = {"type": "command", "command": " ".join(house.argv("codex")), "timeout": 30}
    (home / "hooks.json").write_text(json.dumps({"hooks": {"PreToolUse": [{"matcher": ".*", "hooks": [hook]}]}}))
    with model(f"{bench.git} {command}") as asked:
        provider = {
            "name": "local",
            "base_url": f"http://127.0.0.1:{asked.port}/v1",
            "wire_api": "responses",
            "env_key": "KEY",
        }
        lines = ['model = "m"', 'model_provider = "local"', "[model_providers.local]"]
        (home / "config.toml").write_text(
            "\n".join([*lines, *(f"{key} = {json.dumps(value)}" for key, value in provider.items())])
        )
        argv = [
            str(CODEX),
            "exec",
            "--skip-git-repo-check",
            "--dangerously-bypass-hook-trust",
            "-s",
            "danger-full-access",
            "go",
        ]
        told = bench.run(argv, CODEX_HOME=str(home), KEY="x")
    assert asked.asked, told
    assert (bench.ran, rule in asked.told) == (runs, True), told


@needs(CLAUDE)
@uses
def test_claude_code_runs_what_is_let_through_and_tells_its_model_why_not(
    house: House, bench: Bench, command: str, runs: bool, rule: str
) -> None:
    hook = {"type": "command", "command": " ".join(house.argv("claude-code")), "timeout": 30}
    settings = bench.place / "settings.json"
    settings.write_text(json.dumps({"hooks": {"PreToolUse": [{"matcher": "*", "hooks": [hook]}]}}))
    with model(f"{bench.git} {command}") as asked:
        told = bench.run(
            [str(CLAUDE), "-p", "go", "--settings", str(settings), "--allowedTools", "Bash"],
            ANTHROPIC_BASE_URL=f"http://127.0.0.1:{asked.port}",
            ANTHROPIC_API_KEY="x",
            CLAUDE_CONFIG_DIR=str(bench.place / "claude"),
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
            DISABLE_AUTOUPDATER="1",
        )
    assert asked.asked, told
    assert (bench.ran, rule in asked.told) == (runs, True), told


@needs(OPENCODE)
@uses
def test_opencode_runs_what_is_let_through_and_tells_its_model_why_not(
    house: House, bench: Bench, command: str, runs: bool, rule: str
) -> None:
    settings = bench.place / "home" / ".config" / "opencode"
    (settings / "plugin").mkdir(parents=True)
    (settings / "plugin" / "guardhouse.js").write_text(house.plugin())
    with model(f"{bench.git} {command}") as asked:
        options = {"baseURL": f"http://127.0.0.1:{asked.port}/v1", "apiKey": "x"}
        limit = {"context": 100_000, "output": 1_000}
        provider = {"npm": "@ai-sdk/openai-compatible", "name": "local", "options": options}
        provider |= {"models": {"m": {"name": "m", "tool_call": True, "limit": limit}}}
        config = {"model": "local/m", "small_model": "local/m", "autoupdate": False, "provider": {"local": provider}}
        (settings / "opencode.json").write_text(json.dumps(config))
        told = bench.run(
            [str(OPENCODE), "run", "go"], OPENCODE_DISABLE_MODELS_FETCH="1", OPENCODE_DISABLE_AUTOUPDATE="1"
        )
    assert asked.asked, told
    assert (bench.ran, rule in asked.told) == (runs, True), told


def _node(*argv: str) -> list[dict[str, Any]]:
    assert NODE is not None
    done = subprocess.run([NODE, *argv], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@needs_node
def test_the_opencode_plugin_throws_where_the_answer_is_no_and_where_there_is_none(
    house: House, tmp_path: Path
) -> None:
    questions = [
        {"tool": "bash", "sessionID": "ses_1", "args": {"command": "git status"}},
        {"tool": "bash", "sessionID": "ses_1", "args": {"command": "git push --force origin main"}},
        {"tool": "read", "sessionID": "child", "args": {"filePath": "~/.ssh/id_rsa"}},
        {"tool": "bash", "sessionID": "child", "args": {"command": "git push --delete origin old-topic"}},
    ]
    (tmp_path / "questions").write_text("\n".join(json.dumps(one) for one in questions))
    whole = house.plugin()
    broken = whole.replace(str(house.folder / "shim.py"), str(house.folder / "gone.py"))
    gone = whole.replace(json.dumps(sys.executable), '"/nowhere/python"')
    for number, text in enumerate((whole, broken, gone, gone.replace('POSTURE = "closed"', 'POSTURE = "open"'))):
        (tmp_path / f"{number}.mjs").write_text(text)
    script = str(ROOT / "tests" / "clients" / "plugin.mjs")
    made = [_node(script, str(tmp_path / f"{number}.mjs"), str(tmp_path / "questions")) for number in range(4)]
    assert [one["ran"] for one in made[0]] == [True, False, False, False]
    assert [re.search(r"\((\S+),", one["told"])[1] for one in made[0][1:]] == ["git.push.force", "credentials.read", "git.push.delete"]  # type: ignore[index]  # fmt: skip
    for told in (*made[1], *made[2]):
        assert not told["ran"]
        assert "guardhouse install opencode" in told["told"]
    assert [one["ran"] for one in made[3]] == [True] * 4, "the posture that a person chose"
    entry = json.loads(guardhouse(house.env, "agents", "list", "--json").stdout)
    assert "hooked-explore" in json.dumps(entry), "a child session's agent is a delegate"


def _golden(client: str) -> dict[str, str]:
    return dict(json.loads((GOLDEN / f"{client}.json").read_text()))


@needs(CODEX)
def test_every_answer_fits_the_schema_in_codex_and_nothing_that_it_runs_on() -> None:
    binary = CODEX.read_bytes()
    found = re.search(rb"pre-tool-use\.command\.output(?=\{)", binary)
    assert found is not None
    schema, _ = json.JSONDecoder().raw_decode(binary[found.end() : found.end() + 20_000].decode("utf-8", "replace"))
    assert schema["title"] == "pre-tool-use.command.output"
    for name, text in _golden("codex").items():
        if text:
            jsonschema.validate(json.loads(text), schema)
            assert json.loads(text)["hookSpecificOutput"]["permissionDecision"] == "deny", name
        else:
            assert name.endswith((".allow", ".warn"))


@needs(CODEX)
def test_codex_itself_tells_the_digest_that_doctor_reckons(bench: Bench) -> None:
    folder = bench.place / "home" / ".codex"
    folder.mkdir()
    group = entry("codex", command("codex", Path("/srv/a b/guardhouse/hooks/run"), "closed"), "closed")
    (folder / "hooks.json").write_text(json.dumps({"hooks": {"PreToolUse": [group]}}))
    asked = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"clientInfo": {"name": "x", "title": "x", "version": "1"}}},
        {"jsonrpc": "2.0", "method": "initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "hooks/list", "params": {"cwds": [str(bench.place / "work")]}},
    ]  # fmt: skip
    kept = {"HOME": str(bench.place / "home"), "PATH": "/usr/bin:/bin", "CODEX_HOME": str(folder)}
    with subprocess.Popen(
        [str(CODEX), "app-server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=kept,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write("".join(json.dumps(one) + "\n" for one in asked))
        server.stdin.flush()
        told = next(made for line in server.stdout if (made := json.loads(line)).get("id") == 2)
        server.kill()
    hook = told["result"]["data"][0]["hooks"][0]
    assert hook["key"] == f"{folder / 'hooks.json'}:pre_tool_use:0:0"
    assert hook["currentHash"] == codex_trust.digest(group, group["hooks"][0])


@needs(COPILOT)
def test_every_answer_has_the_fields_and_words_of_copilots_own_types() -> None:
    text = COPILOT.read_text(encoding="utf-8")
    found = re.search(r"export interface PreToolUseHookOutput \{(.*?)\n\}", text, re.S)
    assert found is not None
    fields = dict(re.findall(r"(\w+)\?: ([^;]+);", found[1]))
    words = {word.strip(' "') for word in fields["permissionDecision"].split("|")}
    for name, told in _golden("copilot").items():
        answer = json.loads(told)
        assert answer.keys() <= fields.keys(), name
        if name.endswith((".allow", ".warn")):
            assert answer == {}
        else:
            assert answer["permissionDecision"] in words - {"allow"}
            assert answer["permissionDecisionReason"]


@needs_node
@needs(GEMINI)
def test_every_answer_is_read_by_gemini_as_it_is_meant(tmp_path: Path) -> None:
    golden = _golden("gemini")
    (tmp_path / "answers").write_text("\n".join(golden.values()))
    read = _node(str(ROOT / "tests" / "clients" / "gemini.mjs"), str(CLIENTS.absolute()), str(tmp_path / "answers"))
    for name, made in zip(golden, read, strict=True):
        assert made["stops"] == (not name.endswith((".allow", ".warn"))), name
        assert not made["asks"]
