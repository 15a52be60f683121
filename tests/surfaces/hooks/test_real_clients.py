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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from guardhouse.surfaces.install import acting, clients, codex_trust, managed, placing
from tests.server import environment, guardhouse, serving
from tests.surfaces.hooks.model import model
from tests.surfaces.hooks.payloads import FORMS, GIVEN, KINDS
from tests.surfaces.terminal import prepare

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "hooks"
CLIENTS = Path(os.environ.get("GUARDHOUSE_TEST_CLIENTS", "nowhere")).absolute()
MODULES = CLIENTS / "node_modules"
CODEX = MODULES / "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"
CLAUDE = MODULES / "@anthropic-ai/claude-agent-sdk-linux-x64/claude"
OPENCODE = MODULES / "opencode-linux-x64/bin/opencode"
COPILOT = MODULES / "@github/copilot-sdk/dist/types.d.ts"
GEMINI = MODULES / "@google/gemini-cli-core"
TYPES = MODULES / "@anthropic-ai/claude-agent-sdk/sdk.d.ts"
TSC = MODULES / "typescript/bin/tsc"
NODE = shutil.which("node")

needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed")


def _other_etc() -> bool:
    """Whether this machine lets a process see another /etc, where organisations' settings lie."""
    alone = ["unshare", "--user", "--map-root-user", "--mount", "/bin/sh", "-c", "mount --bind /tmp /etc"]
    try:
        return subprocess.run(alone, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


needs_other_etc = pytest.mark.skipif(not _other_etc(), reason="no mount namespace of its own is to be had here")


def needs(client: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not client.exists(), reason="`make clients` and GUARDHOUSE_TEST_CLIENTS give the clients")


@dataclass
class House:
    """A gateway, and an agent's hook as `install` lays it out: its shim, its configurations and its token."""

    env: dict[str, str]
    home: Path

    def install(self, client: str, user: Path, **environment: str) -> Path:
        """What `guardhouse install CLIENT` writes into a person's own settings; the file."""
        wish = acting.Wish(client, "user", "closed", self.home, user, user, environment)
        acting.carry_out(acting.plan(wish), self.home)
        return acting.place_of(wish).path


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = tmp_path_factory.mktemp("clients") / "home"
    env = environment(home)
    prepare(home)
    token = json.loads(guardhouse(env, "agents", "add", "hooked", "--trust", "2", "--json").stdout)["token"]
    placing.place(home)
    for client in clients.CLIENTS:
        placing.configure(home, placing.Hooked(client, "", "closed"), token)
    with serving(env) as server:
        yield House(env, home)
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

    def run(self, argv: list[str], managed: Mapping[str, str] | None = None, **env: str) -> str:
        """Run a client. `managed`: the files of /etc that it finds, by their names there, and no others."""
        if managed is not None:
            for name, text in managed.items():
                file = self.place / name.lstrip("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            over = 'mount --bind "$0" /etc && exec "$@"'
            argv = [
                "unshare",
                "--user",
                "--map-root-user",
                "--mount",
                "/bin/sh",
                "-c",
                over,
                str(self.place / "etc"),
                *argv,
            ]
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


def _codex(bench: Bench, home: Path, asked: Any, managed: Mapping[str, str] | None = None, **env: str) -> str:
    provider = {
        "name": "local",
        "base_url": f"http://127.0.0.1:{asked.port}/v1",
        "wire_api": "responses",
        "env_key": "KEY",
    }
    lines = ['model = "m"', 'model_provider = "local"', "[model_providers.local]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in provider.items()]
    if managed is None:
        # As Codex writes it when a person trusts the hook in `/hooks`.
        hooks = home / "hooks.json"
        group = json.loads(hooks.read_text())["hooks"]["PreToolUse"][0]
        lines += [f"[hooks.state.{json.dumps(f'{hooks}:pre_tool_use:0:0')}]"]
        lines += [f"trusted_hash = {json.dumps(codex_trust.digest(group, group['hooks'][0]))}"]
    else:
        lines += ["[features]", "hooks = false"]
    (home / "config.toml").write_text("\n".join(lines))
    argv = [str(CODEX), "exec", "--skip-git-repo-check", "-s", "danger-full-access", "go"]
    return bench.run(argv, managed, CODEX_HOME=str(home), KEY="x", **env)


@needs(CODEX)
@uses
def test_codex_runs_what_is_let_through_and_tells_its_model_why_not(
    house: House, bench: Bench, command: str, runs: bool, rule: str
) -> None:
    home = bench.place / "codex"
    home.mkdir()
    house.install("codex", bench.place / "home", CODEX_HOME=str(home))
    with model(f"{bench.git} {command}") as asked:
        told = _codex(bench, home, asked)
    assert asked.asked, told
    assert (bench.ran, rule in asked.told) == (runs, True), told


@needs_other_etc
@needs(CODEX)
@uses
def test_codex_asks_an_organisations_hook_that_no_person_has_to_trust(
    house: House, bench: Bench, command: str, runs: bool, rule: str
) -> None:
    """The printed fragment as /etc/codex/requirements.toml, over a `config.toml` that switches hooks off."""
    home = bench.place / "codex"
    home.mkdir()
    made = {"/etc/codex/requirements.toml": managed.fragment("codex", "")["text"]}
    with model(f"{bench.git} {command}") as asked:
        told = _codex(bench, home, asked, made, GUARDHOUSE_HOME=str(house.home))
    assert asked.asked, told
    assert (bench.ran, rule in asked.told) == (runs, True), told


def _claude(bench: Bench, asked: Any, managed: Mapping[str, str] | None = None, **env: str) -> str:
    return bench.run(
        [str(CLAUDE), "-p", "go", "--allowedTools", "Bash"],
        managed,
        ANTHROPIC_BASE_URL=f"http://127.0.0.1:{asked.port}",
        ANTHROPIC_API_KEY="x",
        CLAUDE_CONFIG_DIR=str(bench.place / "claude"),
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_AUTOUPDATER="1",
        **env,
    )


@needs(CLAUDE)
@uses
def test_claude_code_runs_what_is_let_through_and_tells_its_model_why_not(
    house: House, bench: Bench, command: str, runs: bool, rule: str
) -> None:
    house.install("claude-code", bench.place / "home", CLAUDE_CONFIG_DIR=str(bench.place / "claude"))
    with model(f"{bench.git} {command}") as asked:
        told = _claude(bench, asked)
    assert asked.asked, told
    assert (bench.ran, rule in asked.told) == (runs, True), told


@needs_other_etc
@needs(CLAUDE)
@uses
def test_claude_code_asks_an_organisations_hook(
    house: House, bench: Bench, command: str, runs: bool, rule: str
) -> None:
    made = {"/etc/claude-code/managed-settings.json": managed.fragment("claude-code", "")["text"]}
    with model(f"{bench.git} {command}") as asked:
        told = _claude(bench, asked, made, GUARDHOUSE_HOME=str(house.home))
    assert asked.asked, told
    assert (bench.ran, rule in asked.told) == (runs, True), told


@needs(OPENCODE)
@uses
def test_opencode_runs_what_is_let_through_and_tells_its_model_why_not(
    house: House, bench: Bench, command: str, runs: bool, rule: str
) -> None:
    settings = bench.place / "home" / ".config" / "opencode"
    assert house.install("opencode", bench.place / "home").is_relative_to(settings)
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
    whole = house.install("opencode", tmp_path).read_text()
    run = json.dumps(str(placing.run_file(house.home)))
    assert whole.count(run) == 1
    broken = whole.replace(run, '"/bin/false"')
    gone = whole.replace(run, '"/nowhere/run"')
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


def _schema(name: str) -> dict[str, Any]:
    """A JSON schema that lies in Codex' own program."""
    binary = CODEX.read_bytes()
    found = re.search(rb"%s(?=\{)" % re.escape(name.encode()), binary)
    assert found is not None, name
    schema, _ = json.JSONDecoder().raw_decode(binary[found.end() : found.end() + 20_000].decode("utf-8", "replace"))
    assert schema["title"] == name
    return dict(schema)


@needs(CODEX)
def test_every_answer_fits_the_schema_in_codex_and_nothing_that_it_runs_on() -> None:
    for form, name in (("codex", "pre-tool-use"), ("codex-permission", "permission-request")):
        schema = _schema(f"{name}.command.output")
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"hookSpecificOutput": {}, "unknown": 1}, schema)
        for kind, text in _golden(form).items():
            if not text:
                assert kind.endswith((".allow", ".warn") if form == "codex" else (".allow", ".warn", ".ask"))
                continue
            jsonschema.validate(json.loads(text), schema)
            told = json.loads(text)["hookSpecificOutput"]
            assert told.get("permissionDecision", told.get("decision", {}).get("behavior")) == "deny", kind


@needs(CODEX)
def test_codex_itself_tells_the_digest_that_doctor_reckons(bench: Bench) -> None:
    folder = bench.place / "home" / ".codex"
    folder.mkdir()
    group = clients.entry("codex", clients.command("codex", Path("/srv/a b/guardhouse/hooks/run"), "closed"), "closed")
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


def _checked(place: Path, text: str) -> list[str]:
    """What the TypeScript compiler says against a text."""
    assert NODE is not None
    (place / "told.ts").write_text(text)
    options = [
        "--noEmit",
        "--strict",
        "--skipLibCheck",
        "--module",
        "esnext",
        "--target",
        "es2022",
        "--moduleResolution",
        "bundler",
    ]
    done = subprocess.run(
        [NODE, str(TSC), *options, str(place / "told.ts")],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (done.returncode == 0) == (not done.stdout), done
    return done.stdout.splitlines()


@needs_node
@needs(TYPES)
@needs(TSC)
def test_the_agent_sdks_own_types_hold_what_claude_code_is_told_tells_us_and_is_set_to(
    house: House, tmp_path: Path
) -> None:
    """Our answers, the payloads that these tests send, and the settings that `install` writes, as literals of its types.

    A literal may have no field that its type does not know.
    """
    head = (
        "import type { PermissionRequestHookInput, PreToolUseHookInput, Settings, SyncHookJSONOutput } "
        f"from {json.dumps(str(TYPES).removesuffix('.d.ts'))}\n"
    )
    forms = {"claude-code": "PreToolUseHookInput", "claude-code-permission": "PermissionRequestHookInput"}
    lines = [
        f"export const a{number}: SyncHookJSONOutput = {told}"
        for number, told in enumerate(told for form in forms for told in _golden(form).values())
    ]
    for form, kind in forms.items():
        name = form.replace("-", "_")
        given = [json.dumps(FORMS[form][1](one, GIVEN[f"{one}.allow"])) for one in KINDS]
        lines += [f"export const {name}_{number}: {kind} = {text}" for number, text in enumerate(given)]
    settings = [house.install("claude-code", tmp_path).read_text(), managed.fragment("claude-code", "")["text"]]
    settings.append(managed.fragment("claude-code", "https://gate.example")["text"])
    lines += [f"export const s{number}: Settings = {text}" for number, text in enumerate(settings)]
    assert _checked(tmp_path, head + "\n".join(lines)) == []
    wrong = [
        '{ hookSpecificOutput: { hookEventName: "PreToolUse", permissionDecision: "block" } }',
        '{ hookSpecificOutput: { hookEventName: "PermissionRequest", decision: { behavior: "ask" } } }',
        '{ systemMessage: "x", told: "y" }',
    ]
    text = head + "\n".join(f"export const w{number}: SyncHookJSONOutput = {one}" for number, one in enumerate(wrong))
    assert len([line for line in _checked(tmp_path, text) if "error TS" in line]) == len(wrong)
