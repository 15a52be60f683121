"""The six clients: where each keeps its hooks, what an entry looks like there, and what a person must know.

The places and fields are those of the clients' published documentation; `docs/agents.md` names the pages.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["json", "toml", "whole"]
TIMEOUT_SECONDS = 30
OWN = "guardhouse.json"
"""The name of a JSON file that is named after us: it goes with our entry, unless something else was put into it."""
EVENT = {"claude-code": "PreToolUse", "codex": "PreToolUse", "gemini": "BeforeTool", "cursor": "preToolUse", "copilot": "preToolUse"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """One file that carries our entry: `kind` says how. `whole` files are ours from the first byte to the last."""

    path: Path
    kind: Kind = "json"


@dataclass(frozen=True, slots=True)
class Client:
    """A client. `user`, `project` and `shared` name the file of each scope; `project` is one that git ignores."""

    name: str
    title: str
    user: Callable[[Path, Mapping[str, str]], Place]
    project: Callable[[Path], Place]
    shared: Callable[[Path], Place]
    version: tuple[str, ...]
    after: str = ""


def _codex(folder: Path) -> Place:
    """One representation a layer: inline where the person has hooks inline already and no hooks.json."""
    import tomllib

    inline = folder / "config.toml"
    if not (folder / "hooks.json").exists() and inline.exists():
        try:
            held = tomllib.loads(inline.read_text(encoding="utf-8-sig")).get("hooks")
        except (OSError, ValueError):
            held = None
        if isinstance(held, dict) and any(isinstance(one, list) for one in held.values()):
            return Place(inline, "toml")
    return Place(folder / "hooks.json")


def _home(variable: str, name: str) -> Callable[[Path, Mapping[str, str]], Path]:
    return lambda home, environment: Path(environment.get(variable) or home / name)


_CLAUDE, _CODEX, _COPILOT = (
    _home("CLAUDE_CONFIG_DIR", ".claude"),
    _home("CODEX_HOME", ".codex"),
    _home("COPILOT_HOME", ".copilot"),
)


def _opencode(home: Path, environment: Mapping[str, str]) -> Path:
    named = environment.get("OPENCODE_CONFIG_DIR")
    return Path(named) if named else Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "opencode"


TABLE: tuple[Client, ...] = (
    Client(
        "claude-code",
        "Claude Code",
        lambda home, env: Place(_CLAUDE(home, env) / "settings.json"),
        lambda root: Place(root / ".claude" / "settings.local.json"),
        lambda root: Place(root / ".claude" / "settings.json"),
        ("claude", "--version"),
        "open sessions read it at once; `/hooks` in Claude Code lists it",
    ),
    Client(
        "codex",
        "Codex",
        lambda home, env: _codex(_CODEX(home, env)),
        lambda root: _codex(root / ".codex"),
        lambda root: _codex(root / ".codex"),
        ("codex", "--version"),
        "Codex runs a new hook only after you trust it: start `codex`, open `/hooks`, and trust Guardhouse's",
    ),
    Client(
        "gemini",
        "Gemini CLI",
        lambda home, _env: Place(home / ".gemini" / "settings.json"),
        lambda root: Place(root / ".gemini" / "settings.json"),
        lambda root: Place(root / ".gemini" / "settings.json"),
        ("gemini", "--version"),
        "start Gemini CLI again; `/hooks panel` lists it",
    ),
    Client(
        "cursor",
        "Cursor",
        lambda home, _env: Place(home / ".cursor" / "hooks.json"),
        lambda root: Place(root / ".cursor" / "hooks.json"),
        lambda root: Place(root / ".cursor" / "hooks.json"),
        ("cursor-agent", "--version"),
        "Cursor reads it at once; Settings, Hooks lists it",
    ),
    Client(
        "copilot",
        "Copilot CLI",
        lambda home, env: Place(_COPILOT(home, env) / "hooks" / OWN),
        lambda root: Place(root / ".github" / "copilot" / "settings.local.json"),
        lambda root: Place(root / ".github" / "hooks" / OWN),
        ("copilot", "--version"),
        "start Copilot CLI again",
    ),
    Client(
        "opencode",
        "OpenCode",
        lambda home, env: Place(_opencode(home, env) / "plugins" / "guardhouse.js", "whole"),
        lambda root: Place(root / ".opencode" / "plugins" / "guardhouse.js", "whole"),
        lambda root: Place(root / ".opencode" / "plugins" / "guardhouse.js", "whole"),
        ("opencode", "--version"),
        "start OpenCode again; `--pure` would leave the plugin out",
    ),
)
CLIENTS: Mapping[str, Client] = {one.name: one for one in TABLE}


def command(client: str, run: Path, posture: str) -> str:
    """The line that a client runs, the same in every shell. Where our files are gone, the posture decides.

    An absolute path, so that no other program of that name is ever found. Status 2 is a denial to every client.
    """
    told = f"Guardhouse is gone from here. Repair: guardhouse install {client}. Or: guardhouse uninstall {client}"
    return f"{shlex.quote(str(run))} {client} || {shared_line(_last_word(client, told, posture))}"


def shared_script(client: str, posture: str) -> str:
    """The script for a committed file: no path of one person's in it, and the posture for those without Guardhouse.

    Our hook ends with 0 or 2. Any other status says that it could not run, which most clients would take for a yes.
    """
    let = "was let run unasked" if posture == "open" else "was not let run"
    told = (
        f"Guardhouse is not installed here, so the tool {let}. "
        f"Install it: pipx install guardhouse, guardhouse init, guardhouse install {client}"
    )
    places = (
        '"$GUARDHOUSE_HOME"',
        '"${XDG_DATA_HOME:-$HOME/.local/share}/guardhouse"',
        '"$HOME/Library/Application Support/guardhouse"',
    )
    run = f'"$place/hooks/run" {client}; status=$?; case $status in 0|2) exit $status;; esac'
    look = f'for place in {" ".join(places)}; do if [ -x "$place/hooks/run" ]; then {run}; fi; done'
    return f"{look}; {_last_word(client, told, posture)}"


def shared_line(script: str) -> str:
    """The script as one line of any shell."""
    return "/bin/sh -c " + shlex.quote(script)


NOTED = frozenset({"claude-code", "gemini"})
"""Who shows a person a `systemMessage` although the tool runs."""


def _last_word(client: str, told: str, posture: str) -> str:
    """What a shell says in the client's own terms where our files are not: a denial with its reason, or the tool runs.

    Status 2 with the reason on standard error is a denial to Claude Code, Codex and Gemini CLI, and to OpenCode's plugin.
    Cursor and Copilot deny by it too, but show only what stands in their own JSON, and Cursor reads that at status 0 alone.
    `told` holds neither quotes, `$`, nor backslashes.
    """
    loud = f'echo "{told}" >&2; '
    if posture == "open":
        note = f'echo "{_escaped({"systemMessage": told})}"; ' if client in NOTED else ""
        return f"{loud}{note}exit 0"
    if client == "cursor":
        answer = {"permission": "deny", "user_message": told, "agent_message": told}
        return f'{loud}echo "{_escaped(answer)}" && exit 0; exit 2'
    if client == "copilot":
        answer = {"permissionDecision": "deny", "permissionDecisionReason": told}
        return f'{loud}echo "{_escaped(answer)}"; exit 2'
    return f"{loud}exit 2"


def _escaped(answer: dict[str, str]) -> str:
    """JSON between a shell's double quotes."""
    import json

    return json.dumps(answer).replace('"', '\\"')


def entry(client: str, line: str, posture: str) -> dict[str, Any]:
    """The entry in the client's own words. It asks before every tool."""
    if client == "cursor":
        return {"command": line, "timeout": TIMEOUT_SECONDS, "failClosed": posture != "open"}
    if client == "copilot":
        return {"type": "command", "bash": line, "timeoutSec": TIMEOUT_SECONDS}
    seconds = TIMEOUT_SECONDS * 1000 if client == "gemini" else TIMEOUT_SECONDS
    made: dict[str, Any] = {"type": "command", "command": line, "timeout": seconds}
    if client == "gemini":
        made = {"name": "guardhouse"} | made
    if client == "claude-code":
        made["statusMessage"] = "Guardhouse checks"
        if posture != "open":
            made["onFailure"] = "block"  # Claude Code 2.1.295 and later; older ones pass it over
    return {"matcher": "*", "hooks": [made]}


VERSIONED = frozenset({"cursor", "copilot"})
"""Whose files need `"version": 1`."""


def toml(client: str, line: str) -> str:
    """The entry as TOML tables at the end of a file."""
    import json

    # JSON's text in double quotes is TOML's basic string, but for DEL, which no path of ours holds.
    event = EVENT[client]
    return (
        f"[[hooks.{event}]]\n"
        f'matcher = "*"\n\n'
        f"[[hooks.{event}.hooks]]\n"
        f'type = "command"\n'
        f"command = {json.dumps(line)}\n"
        f"timeout = {TIMEOUT_SECONDS}\n"
    )


def plugin(run: list[str], posture: str) -> str:
    """OpenCode's plugin, which asks by running our shim."""
    import json

    source = (Path(__file__).parent.parent / "hooks" / "opencode.js").read_text(encoding="utf-8")
    source = source.replace("const SHIM = []", f"const SHIM = {json.dumps(run)}", 1)
    return source.replace('const POSTURE = "closed"', f"const POSTURE = {json.dumps(posture)}", 1)
