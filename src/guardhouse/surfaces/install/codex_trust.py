"""Whether Codex will run our hook: it runs only what a person trusted, and keeps that in its own `config.toml`.

`[hooks.state."FILE:pre_tool_use:GROUP:HANDLER"]` holds `trusted_hash`, the SHA-256 of the hook as it was when it was
trusted: compact JSON, names sorted, what is absent left out. Taken from Codex 0.169.0, whose own `hooks/list` a test
holds this against.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from guardhouse.surfaces.install import editing
from guardhouse.surfaces.install.jsonc import Unreadable, parse

Trust = Literal["trusted", "untrusted", "changed", "off", "unknown"]
"""`changed`: trusted as it was before, so not run now. `off`: switched off in Codex. `unknown`: its files cannot be read."""
EVENT = ("PreToolUse", "pre_tool_use")
_TIMEOUT = 600


def digest(group: Mapping[str, Any], handler: Mapping[str, Any]) -> str:
    """What Codex calls the current hash of one command hook."""
    kept: dict[str, Any] = {
        "type": "command",
        "command": handler.get("command"),
        "timeout": max(1, int(handler.get("timeout", _TIMEOUT))),
        "async": bool(handler.get("async", False)),
    }
    if handler.get("statusMessage") is not None:
        kept["statusMessage"] = handler["statusMessage"]
    told: dict[str, Any] = {"event_name": EVENT[1], "hooks": [kept]}
    if group.get("matcher") is not None:
        told["matcher"] = group["matcher"]
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def trust(path: Path, folder: Path) -> Trust:
    """Whether every hook of ours in `path` is trusted, by the `config.toml` of Codex's own `folder`."""
    try:
        hooks = _hooks(path)
        held = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return "untrusted" if path.exists() else "unknown"
    except (OSError, ValueError, Unreadable):
        return "unknown"
    table = held.get("hooks")
    state = table.get("state") if isinstance(table, dict) else None
    known = state if isinstance(state, dict) else {}
    found: list[Trust] = [_one(known, path, *where) for where in _ours(hooks)]
    return next((one for one in found if one != "trusted"), "trusted" if found else "unknown")


def _one(state: Mapping[str, Any], path: Path, at: str, group: Mapping[str, Any], handler: Mapping[str, Any]) -> Trust:
    for name in dict.fromkeys((str(path), os.path.realpath(path))):
        entry = state.get(f"{name}:{EVENT[1]}:{at}")
        if isinstance(entry, dict):
            if entry.get("enabled") is False:
                return "off"
            if entry.get("trusted_hash"):
                return "trusted" if entry["trusted_hash"] == digest(group, handler) else "changed"
    return "untrusted"


def _hooks(path: Path) -> Any:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".toml":
        return tomllib.loads(text).get("hooks")
    root = parse(text)
    return root.plain().get("hooks") if root is not None and root.kind == "object" else None


def _ours(hooks: Any) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    groups = hooks.get(EVENT[0]) if isinstance(hooks, dict) else None
    for number, group in enumerate(groups if isinstance(groups, list) else []):
        handlers = group.get("hooks") if isinstance(group, dict) else None
        for place, handler in enumerate(handlers if isinstance(handlers, list) else []):
            if isinstance(handler, dict) and editing.marked(handler):
                yield f"{number}:{place}", group, handler
