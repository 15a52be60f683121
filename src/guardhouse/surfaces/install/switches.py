"""The clients' own switches that leave our hook out, in whichever of their files they stand.

As the clients' pages say (`docs/agents.md` names them): a nearer file decides over a farther one, an organisation's over
all. Cursor and OpenCode document no such switch.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guardhouse.surfaces.install.clients import CLIENTS
from guardhouse.surfaces.install.jsonc import Unreadable, parse
from guardhouse.surfaces.install.managed import PATHS, system_of

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Off:
    """Why our hook is not run, and what a person does. `guarded`: the organisation's own hook asks Guardhouse instead."""

    why: str
    repair: str = ""
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a client is looked at: the person's home, the folder they work in, and the machine's own files below `system`."""

    user: Path
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    system: Path = Path("/")
    platform: str = sys.platform

    def own(self, client: str) -> Path:
        """The folder of a client's own files."""
        path = CLIENTS[client].user(self.user, self.environment).path.parent
        return path.parent if client == "copilot" else path

    def managed(self, client: str) -> list[Path]:
        """The organisation's files for a client that are there, in the order in which they are read."""
        named = PATHS[client].get(system_of(self.platform), "")
        if not named:
            return []
        path = self.system / named.lstrip("/")
        found = (
            [path, *sorted(path.with_name("managed-settings.d").glob("*.json"))] if client == "claude-code" else [path]
        )
        if client == "copilot":
            found = sorted(path.parent.glob("*.json"))
        return [one for one in found if one.is_file()]


def off(client: str, path: Path, ground: Ground) -> Off | None:
    """Why the hook in `path` is not run in this folder; None where no switch says so."""
    judge = _JUDGES.get(client)
    return judge(path, ground) if judge is not None else None


def asks_us(path: Path) -> bool:
    """Whether an organisation's file asks Guardhouse."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "guardhouse" in text.casefold() or "/v1/hooks/" in text


def _claude(path: Path, ground: Ground) -> Off | None:
    managed = ground.managed("claude-code")
    none, where = _last([(one, _json(one)) for one in managed], "disableAllHooks")
    if none:
        return _by_the_organisation("claude-code", f"{where} sets `disableAllHooks`")
    only, where = _last([(one, _json(one)) for one in managed], "allowManagedHooksOnly")
    if only:
        return _only_managed("claude-code", where, managed)
    for where in managed:
        locked = _json(where).get("strictPluginOnlyCustomization")
        if locked is True or (isinstance(locked, list) and "hooks" in locked):
            return _only_managed("claude-code", where, managed)
    folder = _project(path, ".claude", ground)
    names = [ground.own("claude-code") / "settings.json"]
    names += [folder / ".claude" / "settings.json", folder / ".claude" / "settings.local.json"]
    return _disabled(names)


def _copilot(path: Path, ground: Ground) -> Off | None:
    folder = _project(path, ".github", ground)
    if _json(path).get("disableAllHooks") is True:
        return _disabled([path])
    found = _disabled([folder / ".github" / "copilot" / name for name in ("settings.json", "settings.local.json")])
    if found is not None and any(asks_us(one) for one in ground.managed("copilot")):
        return Off(f"{found.why}, but the organisation's own hook is run", guarded=True)
    return found


def _gemini(path: Path, ground: Ground) -> Off | None:
    folder = _project(path, ".gemini", ground)
    named = ground.environment.get("GEMINI_CLI_SYSTEM_SETTINGS_PATH")
    last = [Path(named)] if named else ground.managed("gemini")
    names = [ground.own("gemini") / "settings.json", folder / ".gemini" / "settings.json", *last]
    layers = [(one, _table(_json(one), "hooksConfig")) for one in names]
    enabled, where = _last(layers, "enabled")
    if enabled is False:
        return Off(f"`hooksConfig.enabled` is false in {where}", f"take `hooksConfig.enabled` out of {where}")
    for where, values in layers:
        disabled = values.get("disabled")
        listed = disabled if isinstance(disabled, list) else []
        # Gemini CLI takes a hook's name there, and the command of one without.
        ours = [one for one in listed if one == "guardhouse" or (isinstance(one, str) and "hooks/run gemini" in one)]
        if ours:
            told = f"`hooksConfig.disabled` in {where}"
            return Off(f"{told} names it", f"take it out of {told}")
    return None


def _codex(path: Path, ground: Ground) -> Off | None:
    managed = ground.managed("codex")
    required = _toml(managed[0]) if managed else {}
    if _hooks_feature(required) is False:
        return _by_the_organisation("codex", f"{managed[0]} sets `features.hooks = false`")
    if required.get("allow_managed_hooks_only") is True:
        return _only_managed("codex", managed[0], managed)
    own = ground.own("codex")
    mine = _toml(own / "config.toml")
    folder = _project(path, ".codex", ground)
    trusted = _trusts(mine, folder)
    if path.parent.resolve() != own.resolve() and not trusted:
        told = f"Codex does not trust {folder}, so it runs no hook of that folder"
        return Off(told, "codex in that folder, then trust it when it asks")
    layers = [ground.system / "etc" / "codex" / "config.toml", own / "config.toml"]
    layers += [folder / ".codex" / "config.toml"] if trusted else []
    for one in reversed(layers):
        feature = _hooks_feature(_toml(one))
        if feature is False:
            return Off(f"{one} sets features.hooks = false", f"take `hooks = false` out of {one}")
        if feature is True:
            break
    return None


def _by_the_organisation(client: str, told: str) -> Off:
    return Off(f"{told}: no hook of {CLIENTS[client].title} is run", "ask whoever keeps that file to take it out")


def _only_managed(client: str, where: Path, managed: list[Path]) -> Off:
    if any(asks_us(one) for one in managed):
        return Off(f"{where} lets managed hooks alone run, and asks Guardhouse itself", guarded=True)
    told = f"{where} lets managed hooks alone run, and does not ask Guardhouse"
    return Off(told, f"guardhouse install {client} --managed, and have whoever keeps that file put it in")


def _disabled(names: list[Path]) -> Off | None:
    value, where = _last([(one, _json(one)) for one in names], "disableAllHooks")
    return Off(f"`disableAllHooks` is set in {where}", f"take `disableAllHooks` out of {where}") if value else None


def _last(layers: list[tuple[Path, Values]], key: str) -> tuple[bool | None, Path]:
    """What the last file that says anything says, and which it is."""
    for path, values in reversed(layers):
        if isinstance(values.get(key), bool):
            return values[key], path
    return None, Path()


def _project(path: Path, name: str, ground: Ground) -> Path:
    """The folder that a project's file belongs to; for a person's own file, the one they work in."""
    above = next((one.parent for one in path.parents if one.name == name), None)
    own = {".claude": "claude-code", ".codex": "codex", ".gemini": "gemini", ".github": "copilot"}[name]
    mine = ground.own(own)
    return ground.folder if above is None or path.is_relative_to(mine) else above


def _trusts(values: Values, folder: Path) -> bool:
    known = _table(values, "projects")
    return any(_table(known, str(one)).get("trust_level") == "trusted" for one in _up_to_the_repository(folder))


def _up_to_the_repository(folder: Path) -> Iterator[Path]:
    """The folder by each of its names, and those above it up to where the repository begins."""
    for start in dict.fromkeys((Path(os.path.abspath(folder)), Path(os.path.realpath(folder)))):
        yield start
        top = next((one for one in (start, *start.parents) if (one / ".git").exists()), start)
        if top != start:
            yield from (one for one in start.parents if one.is_relative_to(top))


def _hooks_feature(values: Values) -> bool | None:
    features = _table(values, "features")
    value = features.get("hooks", features.get("codex_hooks"))
    return value if isinstance(value, bool) else None


def _table(values: Values, name: str) -> Values:
    held = values.get(name)
    return held if isinstance(held, dict) else {}


def _json(path: Path) -> Values:
    try:
        root = parse(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, Unreadable):
        return {}
    return dict(root.plain()) if root is not None and root.kind == "object" else {}


def _toml(path: Path) -> Values:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}


_JUDGES: Mapping[str, Callable[[Path, Ground], Off | None]] = {
    "claude-code": _claude,
    "codex": _codex,
    "gemini": _gemini,
    "copilot": _copilot,
}
