"""What an organisation puts into its managed settings, so that no person and no project takes the hook out again."""

from __future__ import annotations

import json
import sys
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from guardhouse.errors import InvalidInput
from guardhouse.surfaces.cli import render
from guardhouse.surfaces.install import clients
from guardhouse.surfaces.install.clients import EVENT, TIMEOUT_SECONDS

PATHS: dict[str, dict[str, str]] = {
    "claude-code": {
        "Linux": "/etc/claude-code/managed-settings.json",
        "macOS": "/Library/Application Support/ClaudeCode/managed-settings.json",
        "Windows": "C:\\Program Files\\ClaudeCode\\managed-settings.json",
    },
    "codex": {"Linux": "/etc/codex/requirements.toml", "macOS": "/etc/codex/requirements.toml"},
    "gemini": {
        "Linux": "/etc/gemini-cli/settings.json",
        "macOS": "/Library/Application Support/GeminiCli/settings.json",
        "Windows": "C:\\ProgramData\\gemini-cli\\settings.json",
    },
    "cursor": {
        "Linux": "/etc/cursor/hooks.json",
        "macOS": "/Library/Application Support/Cursor/hooks.json",
        "Windows": "C:\\ProgramData\\Cursor\\hooks.json",
    },
    "copilot": {
        "Linux": "/etc/github-copilot/policy.d/guardhouse.json",
        "macOS": "/etc/github-copilot/policy.d/guardhouse.json",
        "Windows": "C:\\ProgramData\\GitHub\\Copilot\\policy.d\\guardhouse.json",
    },
    "opencode": {
        "Linux": "/etc/opencode/opencode.json",
        "macOS": "/Library/Application Support/opencode/opencode.json",
        "Windows": "C:\\ProgramData\\opencode\\opencode.json",
    },
}
"""Where each system keeps what an organisation sets, as the clients' own pages say, named in `docs/agents.md`."""
PLUGINS: dict[str, PurePath] = {
    "Linux": PurePosixPath("/etc/opencode/guardhouse.js"),
    "macOS": PurePosixPath("/Library/Application Support/opencode/guardhouse.js"),
    "Windows": PureWindowsPath("C:\\ProgramData\\opencode\\guardhouse.js"),
}
"""Where OpenCode's plugin goes, beside the file that names it."""
WINDOWS = (
    "on Windows the hook, a line of /bin/sh, denies every tool of a client that does not run in WSL; "
    "Claude Code over HTTP, with GUARDHOUSE_URL set, needs no shell"
)
NOTES: dict[str, str] = {
    "claude-code": "pieces may also lie in managed-settings.d beside it; WSL reads the path of Linux",
    "codex": "where the file has a [hooks] table already, add the rest to it and leave its managed_dir; macOS also by the preference com.openai.codex:requirements_toml_base64, and a company's plan from its cloud, which both win over the file; none is documented for Windows",
    "gemini": "the variable GEMINI_CLI_SYSTEM_SETTINGS_PATH names another file, so keep it out of people's reach; no setting is documented that lets only managed hooks run",
    "cursor": "a company's plan may hand the same file out from its dashboard; no setting is documented that lets only managed hooks run, and this file ranks before all others",
    "copilot": "must be owned by root and writable by nobody else; Windows also takes a value `Policy` below HKLM\\Software\\Policies\\GitHub\\Copilot; the cloud agent reads no such file",
    "opencode": "macOS also by a configuration profile, which wins over the file; `--pure` leaves plugins out all the same",
}
"""What else there is for a client, and what there is not."""
LEAST: dict[str, str] = {
    "claude-code": "2.1.295: older ones do not know onFailure and go on when a hook fails",
    "codex": "one whose requirements.toml takes hooks and allow_managed_hooks_only (May 2026); such hooks need no trust",
    "gemini": "one with hooks on by default; its system file overrides the user's and the project's",
    "cursor": "one with preToolUse; failClosed denies where the hook fails",
    "copilot": "one with policy hooks, which load before all others and which disableAllHooks does not reach",
    "opencode": "one that reads a managed folder",
}
"""The least client for it: a version where its maker states one, else what it must know."""


_CODEX = """allow_managed_hooks_only = true

[features]
hooks = true

[hooks]
managed_dir = "/bin"

"""
"""What stands before the hook in `requirements.toml`. Codex of April to June 2026 passes managed hooks over, with a warning
alone, unless `managed_dir` is an absolute path of a folder that is there; later ones only show it as the hooks' source. Codex'
pages want it to hold what a managed hook runs: ours runs /bin/sh, which is on every system that has this file."""


def system_of(platform: str) -> str:
    """A system's name in these tables, by `sys.platform`."""
    return {"darwin": "macOS", "win32": "Windows"}.get(platform, "Linux")


def fragment(client: str, url: str, platform: str = sys.platform) -> dict[str, Any]:
    """The fragment for one client: its files by system, the text to put there, and the least version for it.

    `text` is for `platform`; `texts` has those of the other systems where they differ. With `url`, Claude Code asks that gateway over HTTP, and the token comes from the variable GUARDHOUSE_TOKEN that the
    organisation sets for the client. Raises InvalidInput where the address is no HTTPS one.
    """
    line = clients.shared_line(clients.shared_script(client, "closed"))
    texts: dict[str, str] = {}
    if client == "claude-code":
        text = json.dumps(_claude(url, line), indent=2)
    elif client == "codex":
        text = f"{_CODEX}{clients.toml(client, line)}".rstrip("\n")
    elif client == "opencode":
        texts = {name: json.dumps({"plugin": [path.as_uri()]}, indent=2) for name, path in PLUGINS.items()}
        text = texts[system_of(platform)]
    else:
        made: dict[str, Any] = {"hooks": {EVENT[client]: [clients.entry(client, line, "closed")]}}
        text = json.dumps(({"version": 1} if client in clients.VERSIONED else {}) | made, indent=2)
    told: dict[str, Any] = {"client": client, "paths": PATHS[client], "least_version": LEAST[client]}
    told |= {"note": NOTES[client], "windows": WINDOWS, "text": text}
    if client == "opencode":
        script = clients.shared_script(client, "closed")
        told |= {"texts": texts, "plugin_paths": {name: str(path) for name, path in PLUGINS.items()}}
        told["plugin"] = clients.plugin(["/bin/sh", "-c", script], "closed")
    return told


def _claude(url: str, line: str) -> dict[str, Any]:
    held: dict[str, Any] = {"allowManagedHooksOnly": True}
    if not url:
        return held | {"hooks": {"PreToolUse": [clients.entry("claude-code", line, "closed")]}}
    if not url.startswith("https://"):
        raise InvalidInput(
            "GUARDHOUSE_URL is not an `https://` address: a token is not sent in the clear to other machines"
        )
    hook = {
        "type": "http",
        "url": f"{url.rstrip('/')}/v1/hooks/claude-code",
        "timeout": TIMEOUT_SECONDS,
        "onFailure": "block",
        "headers": {"Authorization": "Bearer $GUARDHOUSE_TOKEN"},
        "allowedEnvVars": ["GUARDHOUSE_TOKEN"],
        "statusMessage": "Guardhouse checks",
    }
    held |= {"allowedHttpHookUrls": [f"{url.rstrip('/')}/v1/hooks/*"], "httpHookAllowedEnvVars": ["GUARDHOUSE_TOKEN"]}
    return held | {"hooks": {"PreToolUse": [{"matcher": "*", "hooks": [hook]}]}}


def show(told: dict[str, Any]) -> None:
    """The fragment for people: comments on standard error, the text alone on standard output."""
    for system, path in told["paths"].items():
        render.say(f"{system}: {path}", "bold", stderr=True)
    render.say(f"note: {told['note']}", stderr=True)
    render.say(f"least version {told['least_version']}", stderr=True)
    if "Windows" in told["paths"]:
        render.say(f"note: {told['windows']}", stderr=True)
    sys.stdout.write(told["text"] + "\n")
    if "plugin" in told:
        render.say("the plugin itself, for the path that the text names:", "bold", stderr=True)
        for system, path in told["plugin_paths"].items():
            named = json.loads(told["texts"][system])["plugin"][0]
            render.say(f"{system}: {path}, named in the text as {named}", stderr=True)
        sys.stdout.write(told["plugin"])
