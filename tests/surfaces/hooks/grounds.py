"""A user's home on disk with Guardhouse in it and every client configured, and tools aimed at it as clients send them.

Guardhouse's own home has another name than the usual one, so that nothing is caught by its name alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guardhouse.gateway.disk import Disk
from guardhouse.gateway.surroundings import placed
from guardhouse.guardrails.surroundings import Surroundings
from guardhouse.operations.tools import check_tool
from guardhouse.surfaces.hooks.reading import Unreadable, read
from tests.guardrails.packs import shipped

UNREAD = frozenset({"unreadable"})
"""A payload that cannot be read is refused whole."""

CLAUDE = """{
  // mine
  "model": "opus",
  "env": {"DEBUG": "1"},
  "permissions": {"allow": ["Bash(ls:*)"]},
  "hooks": {
    "PreToolUse": [
      {"matcher": "*", "hooks": [{"type": "command", "command": "/opt/gate/run claude-code --guardhouse", "timeout": 30}]},
      {"matcher": "Bash", "hooks": [{"type": "command", "command": "./lint.sh"}]}
    ]
  }
}
"""
CODEX_TOML = """model = "gpt-5"
[features]
web_search = true
[projects."/srv/app"]
trust_level = "trusted"
[hooks.state."/srv/user/.codex/hooks.json:pre_tool_use:0:0"]
trusted_hash = "sha256:aa"
"""
CODEX = """{"hooks": {"PreToolUse": [{"matcher": "*", "hooks": [{"type": "command", "command": "/opt/gate/run codex --guardhouse"}]}]}}
"""
GEMINI = """{
  "general": {"vimMode": false},
  "hooks": {"BeforeTool": [{"matcher": ".*", "sequential": true, "hooks": [{"name": "guardhouse", "type": "command", "command": "/opt/gate/run gemini"}]}]}
}
"""
CURSOR = """{"version": 1, "hooks": {"preToolUse": [{"command": "/opt/gate/run cursor --guardhouse", "failClosed": true}]}}
"""
COPILOT = """{"version": 1, "hooks": {"preToolUse": [{"type": "command", "bash": "/opt/gate/run copilot --guardhouse"}]}}
"""
PLUGIN = "// Guardhouse's plugin\nexport const Guardhouse = async () => ({})\n"
FILES = {
    ".claude/settings.json": CLAUDE,
    ".codex/config.toml": CODEX_TOML,
    ".codex/hooks.json": CODEX,
    ".gemini/settings.json": GEMINI,
    ".cursor/hooks.json": CURSOR,
    ".github/hooks/guardhouse.json": COPILOT,
    ".opencode/plugins/guardhouse.js": PLUGIN,
}


@dataclass(frozen=True)
class Ground:
    """Where everything lies. `user` is the home of the person, `home` Guardhouse's own, `app` the repository worked in."""

    user: Path
    home: Path
    app: Path
    around: Surroundings

    def use(self, client: str, tool: str, given: Any, cwd: Path | None = None) -> dict[str, Any]:
        """A payload as the client's hook gets it."""
        return payload(client, tool, given, str(cwd or self.app))

    def rules(self, client: str, sent: dict[str, Any]) -> frozenset[str]:
        """The guard's own rules that a payload is caught by, as the gateway would find them."""
        try:
            body = read(client, sent).body
        except Unreadable:
            return UNREAD
        assert body is not None, sent
        assert check_tool.texts is not None
        texts = placed(check_tool.texts(check_tool.ask.model_validate_json(json.dumps(body))), self.around, Disk())
        return frozenset(one.rule for one in shipped().examine(texts) if one.protects)


def payload(client: str, tool: str, given: Any, cwd: str) -> dict[str, Any]:
    """One use of a tool in the shape of its client."""
    if client == "claude-code":
        return {"session_id": "s", "cwd": cwd, "hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": given}
    if client == "codex":
        made = {"session_id": "s", "turn_id": "1", "cwd": cwd, "hook_event_name": "PreToolUse", "model": "m"}
        return made | {"tool_name": tool, "tool_input": given}
    if client == "gemini":
        return {"session_id": "s", "cwd": cwd, "hook_event_name": "BeforeTool", "tool_name": tool, "tool_input": given}
    if client == "cursor":
        made = {"conversation_id": "c", "workspace_roots": [cwd]}
        if tool == "beforeReadFile":
            return made | {"hook_event_name": tool, "content": "", "attachments": []} | given
        if tool.startswith("MCP:"):
            told = {"tool_name": tool[4:], "tool_input": json.dumps(given), "command": "some-server"}
            return made | {"hook_event_name": "beforeMCPExecution"} | told
        return made | {"hook_event_name": "preToolUse", "tool_name": tool, "tool_input": given, "cwd": cwd}
    if client == "copilot":
        return {"timestamp": 1, "cwd": cwd, "toolName": tool, "toolArgs": json.dumps(given)}
    if client == "opencode":
        return {"event": "tool.execute.before", "tool": tool, "args": given, "directory": cwd, "worktree": cwd}
    raise AssertionError(client)


def lay(tmp: Path) -> Ground:
    """Lay the ground out below a folder."""
    tmp = tmp.resolve()
    user, app = tmp / "user", tmp / "user" / "work" / "app"
    home = user / ".vault" / "gate"
    for folder in (app / "src", app / "docs", home / "policies", user / "elsewhere"):
        folder.mkdir(parents=True)
    for name in ("operator.token", "guardhouse.db", "signing.key", "endpoint.json", "policies/gateway.yaml"):
        (home / name).write_text("x")
    for name, text in FILES.items():
        for root in (app, user):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
    (app / "src" / "a.py").write_text("a = 1\n")
    (app / "vault").symlink_to(home)
    (app / "key.txt").symlink_to(home / "signing.key")
    (app / "up").symlink_to(home / "policies")
    (app / "conf.json").symlink_to(app / ".claude" / "settings.json")
    (app / "everything").symlink_to(user)
    (app / "src" / "deep").symlink_to("../vault")
    (app / "twin.txt").hardlink_to(home / "signing.key")
    (app / "my link").symlink_to(home)
    (user / "elsewhere" / "k").symlink_to(home / "signing.key")
    program = tmp / "lib" / "guardhouse"
    program.mkdir(parents=True)
    (app / "lib").symlink_to(tmp / "lib")
    around = Surroundings(
        user_home=str(user), state=(str(home),), program=(str(program), str(tmp / "bin" / "guardhouse")), pid=4711
    )
    return Ground(user, home, app, around)
