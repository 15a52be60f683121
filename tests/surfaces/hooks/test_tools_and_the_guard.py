"""Every kind of tool of every client against the guard's own rules: none reaches past them, and everyday work is let be.

The payloads are the clients' own; the files, links and configurations are real ones on disk.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guardhouse.gateway.surroundings import locate
from guardhouse.settings import Settings
from tests.surfaces.hooks.grounds import CLAUDE, CODEX, UNREAD, Ground, lay

STATE, SWEEP, HOOKS = "guardhouse.state", "guardhouse.sweep", "guardhouse.hooks"
UNSEEN, GOVERN, ENVIRONMENT, PROGRAM = (
    "guardhouse.hooks.unseen",
    "guardhouse.govern",
    "guardhouse.environment",
    "guardhouse.program",
)
READERS = (
    ("claude-code", "Read", "file_path"),
    ("gemini", "read_file", "file_path"),
    ("cursor", "beforeReadFile", "file_path"),
    ("cursor", "Read", "file_path"),
    ("copilot", "view", "path"),
    ("opencode", "read", "filePath"),
    ("codex", "view_image", "path"),
    ("claude-code", "mcp__files__read_file", "path"),
    ("gemini", "mcp_files_read_file", "path"),
    ("cursor", "MCP:read_file", "path"),
    ("codex", "mcp__files__read_text", "relativeFile"),
)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return lay(tmp_path_factory.mktemp("ground"))


def spellings(ground: Ground) -> list[str]:
    """The signing key, as many ways as it can be written from the repository."""
    key = str(ground.home / "signing.key")
    bare = key.removeprefix("/")
    return [
        key,
        "../../.vault/gate/signing.key",
        "./src/../../../.vault//gate/./signing.key",
        "~/.vault/gate/signing.key",
        "~/work/../.vault/gate/signing.key",
        f"~{ground.user.name}/.vault/gate/signing.key",
        "$HOME/.vault/gate/signing.key",
        "${HOME}/.vault/gate/signing.key",
        "$GUARDHOUSE_HOME/signing.key",
        f"file://{key}",
        f"file:{key}",
        f"FILE://localhost{key}",
        f"file://127.0.0.1{key}",
        f"file://{key}?raw=1#top",
        f"file:///{bare.replace('gate', '%67ate').replace('.vault', '%2Evault')}",
        f"file:///{bare.replace('gate', '%2567ate')}",
        key.replace(".vault", "%2evault"),
        key.replace("/gate/", "%2Fgate%2F"),
        key.upper(),
        key.replace("signing", "sIgning"),
        f" {key}",
        f"{key}\n",
        f"\t{key} \r\n",
        f'"{key}"',
        f"'{key}'",
        f"`{key}`",
        f"@{key}",
        f"\ufeff{key}",
        key.replace("gate", "ga\u200cte"),
        key.replace("signing", "sign\u2060ing"),
        f"{key}/",
        f"{key}/.",
        f"{key}.",
        f"{key} ",
        key.replace("/gate/", "/gate./"),
        key.replace("/", "\\"),
        f"/proc/self/root{key}",
        f"/proc/self/root/proc/self/root{key}",
        f"/proc/self/task/1/root{key}",
        "/proc/self/cwd/../../.vault/gate/signing.key",
        f"/dev/../{bare}",
        f"//{bare}",
        "/" + "./" * 2200 + bare,
        f"{ground.user}/no\nsuch/../.vault/gate/signing.key",
        "vault/signing.key",
        "key.txt",
        "./key.txt",
        "src/deep/signing.key",
        "up/../signing.key",
        "everything/.vault/gate/signing.key",
        "my link/signing.key",
        "twin.txt",
        f"{ground.app}/up/../signing.key",
        f"file://{ground.app}/key.txt",
        f" {ground.app}/key.txt ",
        f"vault-file:{key}",
        f"sqlite://{key}",
        f"jdbc:sqlite:{key}",
    ]


@pytest.mark.parametrize(("client", "tool", "key"), READERS)
def test_no_spelling_of_a_path_gets_a_file_tool_to_the_key(ground: Ground, client: str, tool: str, key: str) -> None:
    passed = []
    for path in spellings(ground):
        found = ground.rules(client, ground.use(client, tool, {key: path}))
        if not found & {STATE} and found != UNREAD:
            passed.append((path[:120], found))
    assert not passed, "\n".join(map(str, passed))


def globs(ground: Ground) -> list[tuple[str, str, dict[str, Any], Path | None]]:
    """Searches and listings: (client, tool, input, where from when not the repository)."""
    user, home = str(ground.user), str(ground.home)
    return [
        ("claude-code", "Grep", {"pattern": ".", "path": home, "output_mode": "content"}, None),
        ("claude-code", "Grep", {"pattern": ".", "path": user}, None),
        ("claude-code", "Grep", {"pattern": "."}, ground.user),
        ("claude-code", "Grep", {"pattern": ".", "glob": "*.token"}, ground.user),
        ("claude-code", "Grep", {"pattern": ".", "glob": "../../.vault/**"}, None),
        ("claude-code", "Grep", {"pattern": ".", "path": "/", "glob": "*.py"}, None),
        ("claude-code", "Grep", {"pattern": ".", "path": "everything"}, None),
        ("claude-code", "Grep", {"pattern": ".", "path": "vault"}, None),
        ("claude-code", "Glob", {"pattern": f"{home}/*"}, None),
        ("claude-code", "Glob", {"pattern": "../../.vault/gate/*"}, None),
        ("claude-code", "Glob", {"pattern": "**/signing.key", "path": user}, None),
        ("claude-code", "Glob", {"pattern": "**/*"}, ground.user),
        ("claude-code", "Glob", {"pattern": ".{vault,x}/gate/*", "path": user}, None),
        ("claude-code", "Glob", {"pattern": "~/.vault/*/*"}, None),
        ("claude-code", "Glob", {"pattern": f"{user}/.v*/g?te/sign[a-z]*"}, None),
        ("claude-code", "LS", {"path": home}, None),
        ("gemini", "search_file_content", {"pattern": ".", "path": user}, None),
        ("gemini", "search_file_content", {"pattern": ".", "dir_path": home}, None),
        ("gemini", "search_file_content", {"pattern": "."}, ground.user),
        ("gemini", "search_file_content", {"pattern": ".", "include": "*.key"}, ground.user),
        ("gemini", "grep_search", {"pattern": ".", "dir_path": user}, None),
        ("gemini", "glob", {"pattern": "**/*.key", "path": user}, None),
        ("gemini", "glob", {"pattern": "gate/*", "dir_path": f"{user}/.vault"}, None),
        ("gemini", "list_directory", {"path": home}, None),
        ("gemini", "list_directory", {"dir_path": f"{home}/policies"}, None),
        ("gemini", "read_many_files", {"paths": [f"{home}/signing.key"]}, None),
        ("gemini", "read_many_files", {"include": ["src/**", "../../.vault/gate/*.key"]}, None),
        ("gemini", "read_many_files", {"paths": ["**/*"]}, ground.user),
        ("gemini", "read_many_files", {"paths": ["src/a.py", "vault/signing.key"]}, None),
        ("cursor", "Grep", {"pattern": ".", "path": user}, None),
        ("cursor", "codebase_search", {"query": "keys", "target_directories": [home]}, None),
        ("cursor", "glob_file_search", {"glob_pattern": "**/*.key", "target_directory": user}, None),
        (
            "cursor",
            "beforeReadFile",
            {"file_path": "/srv/x", "attachments": [{"type": "file", "file_path": home}]},
            None,
        ),
        ("copilot", "grep", {"pattern": ".", "path": user}, None),
        ("copilot", "rg", {"pattern": ".", "paths": ["src", home]}, None),
        ("copilot", "glob", {"pattern": ".vault/gate/**", "path": user}, None),
        ("copilot", "view", {"path": home}, None),
        ("copilot", "file_search", {"query": f"{home}/**"}, None),
        ("opencode", "grep", {"pattern": ".", "path": user}, None),
        ("opencode", "grep", {"pattern": ".", "include": "*.{key,db}"}, ground.user),
        ("opencode", "glob", {"pattern": "**/gateway.yaml", "path": user}, None),
        ("opencode", "list", {"path": home, "ignore": []}, None),
        ("codex", "grep_files", {"pattern": ".", "path": user}, None),
        ("codex", "list_dir", {"dir_path": home}, None),
        ("claude-code", "mcp__files__search_files", {"path": user, "pattern": "*.key"}, None),
        ("claude-code", "mcp__files__directory_tree", {"path": user}, None),
        ("cursor", "MCP:search_files", {"path": home, "pattern": "x"}, None),
    ]


def test_no_search_listing_or_glob_gets_at_the_state(ground: Ground) -> None:
    passed = []
    for client, tool, given, cwd in globs(ground):
        found = ground.rules(client, ground.use(client, tool, given, cwd))
        if not found & {STATE, SWEEP}:
            passed.append((client, tool, given, found))
    assert not passed, "\n".join(map(str, passed))


def hidden(ground: Ground) -> list[tuple[str, str, dict[str, Any], str]]:
    """Paths where they are not looked for: (client, tool, input, rule)."""
    home, key = str(ground.home), str(ground.home / "signing.key")
    patch = "*** Begin Patch\n*** {} File: {}\n{}\n*** End Patch"
    port = ground.around.port
    return [
        # several files, nested objects, JSON in a text, a path as a name, other words for it
        ("claude-code", "Read", {"file_path": "src/a.py", "path": key}, STATE),
        ("claude-code", "Read", {"files": [{"path": "src/a.py"}, {"path": key}]}, STATE),
        ("claude-code", "MultiEdit", {"file_path": key, "edits": [{"old_string": "x", "new_string": "y"}]}, STATE),
        ("claude-code", "NotebookEdit", {"notebook_path": f"{home}/x.ipynb", "new_source": "1"}, STATE),
        ("claude-code", "NotebookRead", {"notebook_path": key}, STATE),
        ("claude-code", "mcp__x__do", {"options": {"deep": [{"in": key}]}}, STATE),
        ("claude-code", "mcp__x__do", {"payload": json.dumps({"path": key})}, STATE),
        ("claude-code", "mcp__x__do", {"payload": json.dumps([["a", {"b": key}]])}, STATE),
        ("claude-code", "mcp__x__do", {"payload": json.dumps({"inner": json.dumps({"path": key})})}, STATE),
        ("claude-code", "mcp__x__push", {"files": {key: "new text"}}, STATE),
        ("claude-code", "mcp__x__push", {"payload": json.dumps({"files": {key: "t"}})}, STATE),
        ("claude-code", "mcp__x__do", {"item": "a b/../../../.vault/gate/signing.key"}, STATE),
        ("claude-code", "mcp__x__do", {"n": "../../.vault/gate/signing.key"}, STATE),
        ("claude-code", "mcp__db__open", {"dsn": f"sqlite:///{home}/guardhouse.db"}, STATE),
        ("claude-code", "mcp__db__query", {"sql": f"ATTACH DATABASE '{home}/x.db' AS g"}, STATE),
        ("claude-code", "mcp__db__query", {"query": f"select pg_read_file('{key}')"}, STATE),
        ("claude-code", "mcp__db__query", {"query": f"COPY t FROM '{key}'"}, STATE),
        ("claude-code", "mcp__py__run", {"code": f"print(open('{key}').read())"}, STATE),
        ("claude-code", "mcp__py__run", {"python_code": f"print(open('{home}/' + 'x').read())"}, STATE),
        ("claude-code", "mcp__jupyter__execute_cell", {"cell_source": f"open('{key}').read()"}, STATE),
        ("claude-code", "mcp__x__run", {"cmd": "cat", "args": [key]}, STATE),
        ("claude-code", "mcp__term__send", {"bash_command": f"cat {key}"}, STATE),
        ("codex", "write_stdin", {"session_id": "1", "chars": f"cat {key}\n"}, STATE),
        ("claude-code", "mcp__files__move_file", {"source": f"{home}/signing.key", "destination": "k"}, STATE),
        ("claude-code", "mcp__files__create_link", {"target": home, "name": "n"}, STATE),
        ("cursor", "MCP:read_multiple_files", {"paths": ["src/a.py", key]}, STATE),
        # fetches
        ("claude-code", "WebFetch", {"url": f"file://{key}", "prompt": "read it"}, STATE),
        ("gemini", "web_fetch", {"prompt": f"summarise file://{key} please"}, STATE),
        ("copilot", "web_fetch", {"url": f"FILE://localhost{key}"}, STATE),
        ("opencode", "webfetch", {"url": f"view-source:file://{key}"}, STATE),
        ("claude-code", "mcp__browser__navigate", {"url": f"file://{key}"}, STATE),
        ("claude-code", "WebFetch", {"url": f"http://127.0.0.1:{port}/v1/grant_approval", "prompt": "x"}, GOVERN),
        ("claude-code", "WebFetch", {"url": f"http://2130706433:{port}/v1/set_trust", "prompt": "x"}, GOVERN),
        ("gemini", "web_fetch", {"prompt": f"post to HTTP://localhost:{port}/v1/%67rant_approval"}, GOVERN),
        ("copilot", "web_fetch", {"url": f"http://[::1]:{port}/v1/set_mode?x=1"}, GOVERN),
        ("opencode", "webfetch", {"url": f"http://0x7f.1:{port}/%76%31/set_trust"}, GOVERN),
        ("claude-code", "mcp__http__request", {"url": f"http://localhost:{port}/v1/grant_approval"}, GOVERN),
        ("cursor", "MCP:post", {"endpoint": f"http://127.1:{port}/v1/issue_token", "body": "{}"}, GOVERN),
        ("claude-code", "mcp__guardhouse__grant_approval", {"approval_id": "apr_1"}, GOVERN),
        ("opencode", "guardhouse_grant_approval", {"approval_id": "apr_1"}, GOVERN),
        ("copilot", "guardhouse-set_mode", {"mode": "observe"}, GOVERN),
        ("gemini", "mcp_guardhouse_set_trust", {"agent_id": "agt_1", "trust": "4"}, GOVERN),
        # patches
        ("codex", "apply_patch", {"command": patch.format("Update", key, "@@\n-x\n+y")}, STATE),
        ("codex", "apply_patch", {"command": patch.format("Add", f"{home}/new", "+y")}, STATE),
        ("codex", "apply_patch", {"command": patch.format("Delete", "../../.vault/gate/signing.key", "")}, STATE),
        ("codex", "apply_patch", {"command": patch.format("Update", "key.txt", "@@\n-x\n+y")}, STATE),
        ("codex", "apply_patch", {"input": "  " + patch.format("Update", key, "@@\n-x\n+y").replace("***", " ***")}, STATE),
        ("codex", "apply_patch", {"command": patch.format("Delete", ".codex/hooks.json", "")}, HOOKS),
        ("codex", "apply_patch", {"command": patch.format("Update", ".codex/hooks.json", f"@@\n-{CODEX.strip()}\n+{{}}")}, HOOKS),
        ("codex", "apply_patch", {"command": patch.format("Update", ".codex/hooks.json", "*** Move to: x.json")}, HOOKS),
        ("codex", "apply_patch", {"command": patch.format("Add", ".codex/hooks.json", "+{}")}, UNSEEN),
        ("codex", "apply_patch", {"command": patch.format("Update", "src/a.py", "*** Move to: .codex/hooks.json\n@@\n-a = 1\n+{}")}, UNSEEN),
        ("codex", "apply_patch", {"command": patch.format("Update", ".codex/config.toml", '@@ [hooks]\n-trusted_hash = "sha256:aa"')}, UNSEEN),
        ("codex", "apply_patch", {"command": patch.format("Update", ".codex/config.toml", '@@\n-trusted_hash = "sha256:aa"\n+trusted_hash = "sha256:bb"')}, HOOKS),
        ("codex", "apply_patch", {"command": patch.format("Add", "a.txt", "+x") .replace("*** End", "*** Delete File: .claude/settings.json\n*** End")}, HOOKS),
        ("codex", "apply_patch", {"command": patch.format("Add", "~/.bashrc", "+export GUARDHOUSE_URL=http://127.0.0.1:1")}, ENVIRONMENT),
        ("codex", "Bash", {"command": "apply_patch <<'EOF'\n" + patch.format("Delete", ".codex/hooks.json", "") + "\nEOF"}, HOOKS),
        ("codex", "Bash", {"command": "apply_patch '" + patch.format("Update", key, "@@\n-x\n+y") + "'"}, STATE),
        ("codex", "Bash", {"command": f"patch -p0 <<'EOF'\n--- {key}\n+++ {key}\n@@ -1 +1 @@\n-x\n+y\nEOF"}, STATE),
        ("codex", "Bash", {"command": "git apply <<'EOF'\n--- a/.codex/hooks.json\n+++ b/.codex/hooks.json\n@@ -1 +1 @@\n-x\n+y\nEOF"}, UNSEEN),
        ("opencode", "patch", {"patchText": patch.format("Update", key, "@@\n-x\n+y")}, STATE),
        ("opencode", "patch", {"patchText": f"--- {key}\n+++ {key}\t2026\n@@ -1 +1 @@\n-x\n+y\n"}, STATE),
        ("opencode", "patch", {"patchText": patch.format("Delete", ".opencode/plugins/guardhouse.js", "")}, HOOKS),
        # the program, links, deletions
        ("claude-code", "Write", {"file_path": "lib/guardhouse/x.py", "content": "x"}, PROGRAM),
        ("gemini", "replace", {"file_path": "lib/guardhouse/x.py", "old_string": "a", "new_string": "b"}, PROGRAM),
        ("claude-code", "Write", {"file_path": "conf.json", "content": "{}"}, HOOKS),
        ("cursor", "Delete", {"path": ".cursor/hooks.json"}, HOOKS),
        ("cursor", "delete_file", {"target_file": ".cursor"}, HOOKS),
        ("claude-code", "mcp__files__delete_file", {"path": ".claude/settings.json"}, HOOKS),
        ("claude-code", "mcp__files__search_replace", {"path": ".claude/settings.json", "with": "x"}, UNSEEN),
        ("claude-code", "mcp__files__find_and_replace", {"p": ".claude/settings.json"}, UNSEEN),
        ("claude-code", "mcp__files__process", {"p": "./.claude/settings.json"}, UNSEEN),
        ("claude-code", "mcp__files__write_file", {"path": "~/.claude/settings.json", "content": "{}"}, UNSEEN),
        ("cursor", "MCP:move_file", {"source": ".cursor/hooks.json", "destination": "x"}, UNSEEN),
        # start files and environments
        ("claude-code", "Write", {"file_path": ".env", "content": "GUARDHOUSE_URL=http://127.0.0.1:1\n"}, ENVIRONMENT),
        ("gemini", "write_file", {"file_path": ".gemini/.env", "content": "GUARDHOUSE_HOME=/tmp/x\n"}, ENVIRONMENT),
    ]  # fmt: skip


def test_no_hidden_path_address_or_patch_gets_round_the_guard(ground: Ground) -> None:
    passed = []
    for client, tool, given, rule in hidden(ground):
        found = ground.rules(client, ground.use(client, tool, given))
        if rule not in found:
            passed.append((client, tool, given, rule, found))
    assert not passed, "\n".join(map(str, passed))


@pytest.mark.parametrize(
    ("client", "tool", "given"),
    [
        ("claude-code", "Write", {"file_path": ".claude/settings.json", "content": CLAUDE, "file_text": "{}"}),
        ("copilot", "create", {"path": ".claude/settings.json", "file_text": "{}", "content": CLAUDE}),
        ("claude-code", "Edit", {"file_path": "x", "old_string": "a", "oldString": "b", "new_string": "c"}),
        ("claude-code", "Edit", {"file_path": "x", "old_string": "a", "new_string": "b", "edits": []}),
        ("codex", "exec_command", {"cmd": "git status", "command": "ls"}),
        ("claude-code", "Read", {"paths": [f"src/{number}" for number in range(300)]}),
        ("claude-code", "MultiEdit", {"file_path": "x", "edits": [{"old_string": "a", "new_string": "b"}] * 300}),
        ("claude-code", "mcp__x__do", {"paths": [f"src/{number}" for number in range(300)]}),
    ],
)
def test_what_could_be_read_in_two_ways_or_not_whole_is_not_read_at_all(
    ground: Ground, client: str, tool: str, given: dict[str, Any]
) -> None:
    assert ground.rules(client, ground.use(client, tool, given)) == UNREAD


@pytest.mark.parametrize(
    "command",
    [
        "cd ~/elsewhere && cat k",
        "cd ../../elsewhere; head -1 ./k",
        "pushd ~/elsewhere; cat k",
        "cat $HOME/elsewhere/k",
        'cat "$HOME"/elsewhere/k "${HOME}/elsewhere/k"',
        "cat 'my link/signing.key'",
        'cat "my link/signing.key"',
        "cat my\\ link/signing.key",
        "cat up/../signing.key",
        "cat twin.txt",
        "cp key.* /tmp/x",
        "cat ./*.txt",
        "cat " + " ".join(f"w{number}" for number in range(100)) + " key.txt",
    ],
)
def test_links_are_followed_however_a_command_names_them(ground: Ground, command: str) -> None:
    assert STATE in ground.rules("codex", ground.use("codex", "Bash", {"command": command}))


@pytest.mark.parametrize(
    ("client", "tool", "given"),
    [
        ("codex", "exec_command", {"cmd": "ls", "env": {"GUARDHOUSE_URL": "http://127.0.0.1:1"}}),
        ("codex", "shell", {"command": ["ls"], "env": {"CODEX_HOME": "/tmp/x"}}),
        ("claude-code", "mcp__run__start", {"program": "ls", "env": {"GUARDHOUSE_HOME": "/tmp/x"}}),
        ("cursor", "MCP:start", {"program": "ls", "environment": ["A=b", "GUARDHOUSE_TOKEN=x"]}),
    ],
)
def test_variables_given_beside_a_command_are_judged_as_in_it(
    ground: Ground, client: str, tool: str, given: dict[str, Any]
) -> None:
    found = ground.rules(client, ground.use(client, tool, given))
    assert found & {ENVIRONMENT, "guardhouse.switch"}


@pytest.mark.parametrize(
    ("client", "tool", "given", "rule"),
    [
        ("claude-code", "mcp__proc__kill_process", {"pid": 4711}, "guardhouse.process"),
        ("claude-code", "mcp__proc__kill_process", {"pid": "4711", "signal": "TERM"}, "guardhouse.process"),
        ("cursor", "MCP:send_signal", {"pids": [1, 4711]}, "guardhouse.process"),
        ("gemini", "mcp_desktop_kill_process", {"name": "guardhouse"}, "guardhouse.process"),
        ("claude-code", "mcp__ports__kill_port", {"port": 8420}, "guardhouse.process"),
        ("claude-code", "mcp__docker__stop_container", {"name": "guardhouse"}, "guardhouse.process"),
        ("claude-code", "mcp__systemd__manage_unit", {"action": "stop", "unit": "guardhouse.service"}, "guardhouse.process"),
        ("claude-code", "mcp__x__execute", {"program": "guardhouse", "arguments": ["approvals", "grant", "apr_1"]}, GOVERN),
        ("claude-code", "mcp__x__do", {"argv": ["guardhouse", "mode", "observe"]}, GOVERN),
        ("cursor", "MCP:start", {"command": "kill", "args": ["-9", "4711"]}, "guardhouse.process"),
        ("claude-code", "mcp__x__batch", {"commands": ["ls", "guardhouse mode observe"]}, GOVERN),
        ("claude-code", "mcp__http__post", {"url": "127.0.0.1:8420/v1/grant_approval"}, GOVERN),
        ("claude-code", "mcp__http__post", {"host": "localhost", "port": 8420, "path": "/v1/set_trust"}, GOVERN),
        ("claude-code", "mcp__browser__evaluate", {"script": "fetch('http://localhost:8420/v1/set_mode')"}, GOVERN),
        ("claude-code", "Bash", {"command": "curl http://localhost:8420/mcp -d '{\"method\":\"tools/call\",\"params\":{\"name\":\"set_trust\"}}'"}, GOVERN),
        ("claude-code", "Bash", {"command": "curl -X POST http://localhost:8420/v1/%73et_trust -d @x"}, GOVERN),
        ("codex", "multi_tool_use.parallel", {"tool_uses": [{"recipient_name": "exec_command", "parameters": {"cmd": "guardhouse mode observe"}}]}, GOVERN),
        ("claude-code", "ReadMcpResourceTool", {"server": "files", "uri": "file:///srv/.local/share/guardhouse/x"}, STATE),
    ],
)  # fmt: skip
def test_no_server_ends_the_gateway_or_governs(
    ground: Ground, client: str, tool: str, given: dict[str, Any], rule: str
) -> None:
    assert rule in ground.rules(client, ground.use(client, tool, given))


@pytest.mark.parametrize(
    ("client", "tool", "given", "held"),
    [
        ("codex", "Bash", {"command": "psql postgresql://u:p@db.internal/ledger -c 'select 1'"}, True),
        ("codex", "Bash", {"command": "psql -h DB.internal -U u -d ledger -c 'select 1'"}, True),
        ("codex", "Bash", {"command": "psql --host=db.internal ledger"}, True),
        ("codex", "Bash", {"command": "psql 'host=db.internal port=5432 dbname=ledger'"}, True),
        ("codex", "Bash", {"command": "pg_dump -hdb.internal -p 5432 -dledger"}, True),
        ("codex", "Bash", {"command": "dropdb -h db.internal ledger"}, True),
        ("codex", "Bash", {"command": "python3 -c 'import psycopg; psycopg.connect(\"postgresql://u@db.internal:5432/ledger\")'"}, True),
        ("claude-code", "mcp__pg__connect", {"dsn": "postgres://u:p@db.internal:5432/ledger?sslmode=require"}, True),
        ("cursor", "MCP:connect", {"connection_string": "postgresql+psycopg://db.internal/ledger"}, True),
        ("cursor", "MCP:query", {"url": "jdbc:postgresql://db.internal:5432/ledger", "sql": "select 1"}, True),
        ("codex", "Bash", {"command": "psql -h localhost -d ledger"}, False),
        ("codex", "Bash", {"command": "psql -h db.internal -d app -c 'select * from ledger'"}, False),
        ("codex", "Bash", {"command": "psql -h db.internal -p 6432 ledger"}, False),
        ("codex", "Bash", {"command": "pg_dump postgresql://db.internal/app > app.sql"}, False),
        ("claude-code", "mcp__pg__connect", {"dsn": "postgres://u:p@db.internal:5432/app"}, False),
    ],
)  # fmt: skip
def test_the_database_on_a_server_is_opened_by_no_tool(
    ground: Ground, client: str, tool: str, given: dict[str, Any], held: bool
) -> None:
    served = replace(ground, around=replace(ground.around, databases=("db.internal:5432/ledger",)))
    assert (STATE in served.rules(client, ground.use(client, tool, given))) is held


def test_the_gateway_knows_its_database_on_a_server(tmp_path: Path) -> None:
    url = "postgresql+psycopg://guard:secret@127.0.0.1:6000/ledger"
    assert locate(Settings(home=tmp_path, database_url=url)).databases == ("localhost:6000/ledger",)
    socket = f"postgresql+psycopg:///ledger?host={tmp_path}&user=x"
    assert locate(Settings(home=tmp_path, database_url=socket)).databases == ("localhost:5432/ledger",)
    assert locate(Settings(home=tmp_path, database_url="")).databases == ()


def test_padding_hides_nothing(ground: Ground) -> None:
    key, pad = str(ground.home / "signing.key"), " ".join(f"w{number}" for number in range(700))
    tries: list[tuple[str, dict[str, Any]]] = [
        ("mcp__py__run", {"code": f"# {pad}\nopen('{key}').read()"}),
        ("mcp__db__query", {"sql": f"select 1 -- {pad}\n; ATTACH '{key}' AS k"}),
        ("mcp__x__do", {"payload": json.dumps([*pad.split(), key])}),
        ("mcp__x__do", {"payload": json.dumps({"pad": "x" * 100_000, "path": key})}),
        ("mcp__x__do", {"path": "/." * 40_000 + key}),
        ("Bash", {"command": f"sqlite3 app.db \"select '{pad}'; attach '{key}' as k\""}),
        ("Bash", {"command": f"python3 -c \"x = '{pad}'; print(open('{key}').read())\""}),
        ("Bash", {"command": f"cat {pad} key.txt"}),
    ]
    passed = [
        (tool, str(put)[-80:])
        for tool, put in tries
        if STATE not in ground.rules("claude-code", ground.use("claude-code", tool, put))
    ]
    assert not passed


def everyday(ground: Ground) -> list[tuple[str, str, dict[str, Any]]]:
    """Work that only looks alike."""
    patch = "*** Begin Patch\n*** {} File: {}\n{}\n*** End Patch"
    user = str(ground.user)
    return [
        # looking at clients' configuration and at what lies beside it
        ("claude-code", "Read", {"file_path": ".claude/settings.json"}),
        ("claude-code", "Read", {"file_path": f"{user}/.claude/settings.json", "offset": 1, "limit": 20}),
        ("claude-code", "Read", {"file_path": "conf.json"}),
        ("claude-code", "Read", {"file_path": ".claude/commands/review.md"}),
        ("claude-code", "LS", {"path": ".claude"}),
        ("claude-code", "Glob", {"pattern": ".claude/**/*.md"}),
        ("claude-code", "Glob", {"pattern": "**/*.py"}),
        ("claude-code", "Glob", {"pattern": "src/**/*.{ts,tsx}"}),
        ("claude-code", "Glob", {"pattern": "work/app/src/*.py", "path": user}),
        ("claude-code", "Glob", {"pattern": "**/endpoint.json"}),
        ("claude-code", "Glob", {"pattern": "**/signing.key"}),
        ("claude-code", "Grep", {"pattern": "GUARDHOUSE_", "path": "src"}),
        ("claude-code", "Grep", {"pattern": "GUARDHOUSE_HOME|operator.token"}),
        ("claude-code", "Grep", {"pattern": "disableAllHooks", "glob": "*.json"}),
        ("claude-code", "Grep", {"pattern": "hooks", "path": ".claude/settings.json"}),
        ("claude-code", "Grep", {"pattern": "x", "glob": "**/*.{md,txt}", "path": "docs"}),
        ("claude-code", "Edit", {"file_path": "CLAUDE.md", "old_string": "a", "new_string": "Ask guardhouse first."}),
        ("claude-code", "Write", {"file_path": "CLAUDE.md", "content": "Set GUARDHOUSE_URL and run guardhouse init."}),
        ("claude-code", "Write", {"file_path": ".claude/commands/review.md", "content": "Review it."}),
        ("claude-code", "Write", {"file_path": ".claude/agents/writer.md", "content": "---\nname: w\n---\n"}),
        ("claude-code", "Write", {"file_path": ".claude/skills/x/SKILL.md", "content": "x"}),
        ("claude-code", "Write", {"file_path": "docs/guardhouse.md", "content": "cat ~/.local/share/guardhouse/x"}),
        ("claude-code", "Write", {"file_path": "src/guardhouse/gates.py", "content": "import guardhouse\n"}),
        ("claude-code", "Write", {"file_path": f"{user}/work/guardhouse/README.md", "content": "# guardhouse"}),
        ("claude-code", "Read", {"file_path": f"{user}/work/guardhouse/src/guardhouse/app.py"}),
        ("claude-code", "Grep", {"pattern": "def ", "path": f"{user}/work/guardhouse"}),
        ("claude-code", "Write", {"file_path": ".env.example", "content": "GUARDHOUSE_URL=http://127.0.0.1:8420\n"}),
        ("claude-code", "Write", {"file_path": ".env", "content": "DATABASE_URL=x\n"}),
        ("claude-code", "Write", {"file_path": "tests/fixtures/settings.json", "content": "{}"}),
        ("claude-code", "Write", {"file_path": ".vscode/settings.json", "content": "{}"}),
        ("claude-code", "NotebookEdit", {"notebook_path": "n.ipynb", "new_source": "print('guardhouse')"}),
        ("claude-code", "MultiEdit", {"file_path": "src/a.py", "edits": [{"old_string": "a", "new_string": "b"}]}),
        ("claude-code", "WebFetch", {"url": "https://github.com/example/guardhouse", "prompt": "what is it"}),
        ("claude-code", "WebFetch", {"url": "http://127.0.0.1:3000/v1/users", "prompt": "read"}),
        ("claude-code", "WebFetch", {"url": "https://example.com/docs/.claude/settings.json", "prompt": "read"}),
        ("claude-code", "WebSearch", {"query": "guardhouse operator.token"}),
        ("claude-code", "TodoWrite", {"todos": [{"content": "Write about ~/.claude/settings.json", "status": "x"}]}),
        ("claude-code", "Task", {"description": "Look", "prompt": "Read ~/.claude/settings.json and say what it does"}),
        ("claude-code", "mcp__hub__comment", {"body": "The token lies in ~/.local/share/guardhouse/operator.token ."}),
        ("claude-code", "mcp__hub__create_issue", {"title": "guardhouse", "body": "Do not edit .claude/settings.json"}),
        ("claude-code", "mcp__hub__get_file", {"ref": "feature/guardhouse", "path": "README.md"}),
        ("claude-code", "mcp__files__read_file", {"path": ".claude/settings.json"}),
        ("claude-code", "mcp__files__list_directory", {"path": ".cursor"}),
        ("claude-code", "mcp__files__search_files", {"path": "src", "pattern": "guardhouse"}),
        ("claude-code", "mcp__files__write_file", {"path": "src/b.py", "content": "x = '/etc/x'\n"}),
        ("claude-code", "mcp__db__query", {"sql": "select * from guardhouse where token = 'x'"}),
        ("claude-code", "mcp__guardhouse__check_guardrails", {"operation_text": "git status"}),
        ("claude-code", "mcp__guardhouse__get_work", {"queue": "default"}),
        ("claude-code", "mcp__docs__search", {"query": "GUARDHOUSE_HOME"}),
        ("claude-code", "mcp__proc__kill_process", {"pid": 77}),
        ("claude-code", "mcp__proc__list_processes", {"name": "guardhouse"}),
        ("claude-code", "mcp__docker__stop_container", {"name": "web"}),
        ("claude-code", "mcp__docker__container_logs", {"name": "guardhouse"}),
        ("claude-code", "mcp__x__execute", {"program": "pytest", "arguments": ["-q", "tests/guardhouse"]}),
        ("claude-code", "mcp__http__get", {"url": "localhost:3000/v1/users"}),
        ("claude-code", "KillShell", {"shell_id": "guardhouse_1"}),
        ("claude-code", "mcp__time__now", {"zone": "Europe/Oslo"}),
        ("gemini", "read_file", {"file_path": ".gemini/settings.json"}),
        ("gemini", "write_file", {"file_path": ".gemini/commands/fix.toml", "content": "prompt = 'x'"}),
        ("gemini", "write_file", {"file_path": "GEMINI.md", "content": "guardhouse"}),
        ("gemini", "search_file_content", {"pattern": "GUARDHOUSE_", "include": "*.py"}),
        ("gemini", "glob", {"pattern": "docs/**/*.md"}),
        ("gemini", "list_directory", {"path": "."}),
        ("gemini", "read_many_files", {"paths": ["src/**/*.py", "README.md"]}),
        ("gemini", "web_fetch", {"prompt": "summarise https://example.com/guardhouse"}),
        ("gemini", "save_memory", {"fact": "guardhouse guards this repository"}),
        ("cursor", "beforeReadFile", {"file_path": f"{user}/work/app/.cursor/hooks.json"}),
        ("cursor", "Write", {"file_path": ".cursor/rules/style.mdc", "content": "x"}),
        ("cursor", "Edit", {"file_path": ".cursor/rules/style.mdc", "old_string": "a", "new_string": "b"}),
        ("cursor", "Delete", {"path": "src/old.py"}),
        ("cursor", "codebase_search", {"query": "where is the guardhouse token", "target_directories": ["src"]}),
        ("cursor", "MCP:read_file", {"path": ".cursor/hooks.json"}),
        ("copilot", "view", {"path": ".github/copilot/settings.json"}),
        ("copilot", "create", {"path": ".github/copilot-instructions.md", "file_text": "Ask guardhouse."}),
        ("copilot", "edit", {"path": ".github/workflows/ci.yml", "old_str": "a", "new_str": "guardhouse check"}),
        ("copilot", "rg", {"pattern": "guardhouse", "paths": ["src", "docs"]}),
        ("opencode", "read", {"filePath": ".opencode/plugins/guardhouse.js"}),
        ("opencode", "write", {"filePath": ".opencode/command/x.md", "content": "x"}),
        ("opencode", "edit", {"filePath": "AGENTS.md", "oldString": "a", "newString": "guardhouse"}),
        ("opencode", "grep", {"pattern": "signing.key", "include": "*.md"}),
        ("codex", "apply_patch", {"command": patch.format("Add", ".codex/prompts/x.md", "+x")}),
        ("codex", "apply_patch", {"command": patch.format("Update", "src/a.py", "@@\n-a = 1\n+a = 2")}),
        ("codex", "apply_patch", {"command": patch.format("Update", "docs/guardhouse.md", "@@\n-a\n+.codex/hooks.json")}),
        ("codex", "apply_patch", {"command": patch.format("Delete", "src/a.py", "")}),
        ("codex", "apply_patch", {"command": patch.format("Update", ".codex/config.toml", '@@\n-model = "gpt-5"\n+model = "gpt-6"')}),
        ("codex", "view_image", {"path": "docs/guardhouse.png"}),
        ("codex", "Bash", {"command": "apply_patch <<'EOF'\n" + patch.format("Update", "src/a.py", "@@\n-a = 1\n+a = 2") + "\nEOF"}),
        ("codex", "update_plan", {"plan": [{"step": "Explain .codex/hooks.json", "status": "pending"}]}),
    ]  # fmt: skip


def test_everyday_work_with_files_searches_and_servers_stays_silent(ground: Ground) -> None:
    told = everyday(ground)
    assert len(told) >= 75
    held = []
    for client, tool, given in told:
        found = ground.rules(client, ground.use(client, tool, given))
        if found:
            held.append((client, tool, given, found))
    assert not held, "\n".join(map(str, held))
