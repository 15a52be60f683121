"""What `doctor` says of a hook that is there: whether the client's own switches, in any of its files, leave it out."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from guardhouse.surfaces.install import acting, examining, managed, placing, switches
from guardhouse.surfaces.install.examining import Finding

OFF = '{"disableAllHooks": true}'
ON = '{"disableAllHooks": false}'
ONLY = '{"allowManagedHooksOnly": true}'


@dataclass
class Ground:
    """A machine: the person's home folder, the folder they work in, and what the organisation set."""

    place: Path

    @property
    def switches(self) -> switches.Ground:
        return switches.Ground(self.place / "user", self.place / "work", {}, self.place / "system", "linux")

    def put(self, path: str, text: str) -> Path:
        made = self.place / path
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(text)
        return made

    def install(self, client: str, scope: str = "user") -> Path:
        user, work = self.place / "user", self.place / "work"
        wish = acting.Wish(client, scope, "closed", self.place / "home", user, work, {})
        placing.place(wish.home)
        placing.configure(wish.home, placing.Hooked(client, "", "closed"), "token")
        acting.carry_out(acting.plan(wish), wish.home)
        return acting.place_of(wish).path

    def found(self, client: str) -> Finding:
        (found,) = examining.hooks(client, self.place / "home", self.switches)
        return found


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    (tmp_path / "work").mkdir()
    return Ground(tmp_path)


SWITCHES: dict[str, tuple[str, str, dict[str, str], str, str]] = {
    "claude, nothing set": ("claude-code", "user", {}, "", ""),
    "claude, off in this folder, by the person alone": (
        "claude-code", "user", {"work/.claude/settings.local.json": OFF},
        "`disableAllHooks` is set in {place}/work/.claude/settings.local.json",
        "take `disableAllHooks` out of {place}/work/.claude/settings.local.json",
    ),
    "claude, off in the committed file": (
        "claude-code", "project", {"work/.claude/settings.json": OFF}, "work/.claude/settings.json", "take `disableAllHooks` out",
    ),
    "claude, the nearer file decides": (
        "claude-code", "user", {"work/.claude/settings.json": OFF, "work/.claude/settings.local.json": ON}, "", "",
    ),
    "claude, another folder's switch is not this one's": ("claude-code", "user", {"other/.claude/settings.json": OFF}, "", ""),
    "claude, the organisation runs its own hooks alone": (
        "claude-code", "user", {"system/etc/claude-code/managed-settings.json": ONLY},
        "lets managed hooks alone run, and does not ask Guardhouse", "guardhouse install claude-code --managed",
    ),
    "claude, the same from a piece beside it": (
        "claude-code", "user",
        {"system/etc/claude-code/managed-settings.json": "{}", "system/etc/claude-code/managed-settings.d/10-x.json": ONLY},
        "10-x.json lets managed hooks alone run", "--managed",
    ),
    "claude, hooks from plugins and the organisation alone": (
        "claude-code", "user",
        {"system/etc/claude-code/managed-settings.json": '{"strictPluginOnlyCustomization": ["skills", "hooks"]}'},
        "lets managed hooks alone run", "guardhouse install claude-code --managed",
    ),
    "claude, the same for skills alone": (
        "claude-code", "user", {"system/etc/claude-code/managed-settings.json": '{"strictPluginOnlyCustomization": ["skills"]}'}, "", "",
    ),
    "claude, the organisation switched all off": (
        "claude-code", "user", {"system/etc/claude-code/managed-settings.json": OFF},
        "no hook of Claude Code is run", "whoever keeps that file",
    ),
    "codex, off in the person's own file, the hook is the project's": (
        "codex", "project",
        {"user/.codex/config.toml": '[features]\nhooks = false\n[projects."{place}/work"]\ntrust_level = "trusted"\n'},
        "user/.codex/config.toml sets features.hooks = false", "take `hooks = false` out",
    ),
    "codex, by its old name": (
        "codex", "user", {"user/.codex/config.toml": "[features]\ncodex_hooks = false\n"}, "features.hooks = false", "take",
    ),
    "codex, on in a trusted project's file, which is nearer": (
        "codex", "project",
        {
            "user/.codex/config.toml": '[features]\nhooks = false\n[projects."{place}/work"]\ntrust_level = "trusted"\n',
            "work/.codex/config.toml": "[features]\nhooks = true\n",
        },
        "does not trust it yet", "/hooks",
    ),
    "codex, a project that it does not trust": (
        "codex", "project", {"user/.codex/config.toml": 'model = "m"\n'},
        "does not trust {place}/work, so it runs no hook of that folder", "codex in that folder",
    ),
    "codex, the organisation runs its own hooks alone": (
        "codex", "user", {"system/etc/codex/requirements.toml": "allow_managed_hooks_only = true\n"},
        "does not ask Guardhouse", "guardhouse install codex --managed",
    ),
    "codex, the organisation switched all off": (
        "codex", "user", {"system/etc/codex/requirements.toml": "[features]\nhooks = false\n"}, "no hook of Codex is run", "whoever",
    ),
    "gemini, off in this folder": (
        "gemini", "user", {"work/.gemini/settings.json": '{"hooksConfig": {"enabled": false}}'},
        "`hooksConfig.enabled` is false in {place}/work", "take `hooksConfig.enabled` out",
    ),
    "gemini, on for all by the organisation": (
        "gemini", "user",
        {
            "work/.gemini/settings.json": '{"hooksConfig": {"enabled": false}}',
            "system/etc/gemini-cli/settings.json": '{"hooksConfig": {"enabled": true}}',
        },
        "", "",
    ),
    "gemini, ours switched off by its name": (
        "gemini", "user", {"work/.gemini/settings.json": '{"hooksConfig": {"disabled": ["guardhouse"]}}'}, "names it", "take it out",
    ),
    "copilot, off in this repository": (
        "copilot", "user", {"work/.github/copilot/settings.json": OFF}, "`disableAllHooks` is set in", "take `disableAllHooks` out",
    ),
    "cursor has no such switch": ("cursor", "user", {"work/.cursor/hooks.json": OFF}, "", ""),
}  # fmt: skip
"""By what it is: the client, where its hook is, the other files, what is told, and the repair; empty where it is run."""


@pytest.mark.parametrize("name", SWITCHES)
def test_a_hook_that_a_switch_leaves_out_is_told_with_the_file_and_the_repair(ground: Ground, name: str) -> None:
    client, scope, others, told, repair = SWITCHES[name]
    ground.install(client, scope)
    for path, text in others.items():
        ground.put(path, text.replace("{place}", str(ground.place)))
    found = ground.found(client)
    assert (found.ok, found.facts["effective"]) == (not told, not told), found
    assert told.replace("{place}", str(ground.place)) in found.detail
    assert repair.replace("{place}", str(ground.place)) in found.repair


@pytest.mark.parametrize(
    ("client", "path"),
    [("claude-code", "etc/claude-code/managed-settings.json"), ("codex", "etc/codex/requirements.toml")],
)
def test_where_the_organisations_own_hook_asks_us_all_is_well(ground: Ground, client: str, path: str) -> None:
    """The person's entry is not run, and need not be: the managed one is."""
    ground.install(client)
    ground.put(f"system/{path}", managed.fragment(client, "")["text"])
    found = ground.found(client)
    assert (found.ok, found.facts["effective"], found.repair) == (True, False, "")
    assert "asks Guardhouse itself" in found.detail


def test_the_switch_of_the_file_itself_is_seen(ground: Ground) -> None:
    for client in ("claude-code", "copilot"):
        file = ground.install(client)
        assert ground.found(client).ok
        held = json.loads(file.read_text())
        file.write_text(json.dumps(held | {"disableAllHooks": True}))
        assert "`disableAllHooks` is set in" in ground.found(client).detail


def _as_a_person(look: Callable[[], Finding]) -> Finding:
    """What somebody sees who is not root, whom no mode keeps out."""
    if os.getuid():
        return look()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Newer interpreters warn of threads, and the child takes no lock of theirs: it looks, tells and ends.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.setgid(65_534)
            os.setuid(65_534)
            os.write(writer, json.dumps(look().told()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        made = json.loads(told.read())
    os.waitpid(child, 0)
    return Finding(**made)


def test_a_home_that_cannot_be_written_is_told_with_what_opens_it(tmp_path: Path) -> None:
    home = tmp_path / "home of mine"
    home.mkdir()
    home.chmod(0o500)
    found = _as_a_person(lambda: examining.home(home))
    assert (found.ok, "cannot be written (Permission denied)" in found.detail) == (False, True)
    theirs = os.getuid() == 0
    assert found.repair == (f"sudo chown -R nobody '{home}'" if theirs else f"chmod u+rwx '{home}'")
    home.chmod(0o700)
    home.rmdir()
    home.write_text("a file")
    found = examining.home(home)
    assert (found.ok, "cannot be written (Not a directory)" in found.detail) == (False, True)
    assert "then guardhouse init" in found.repair
    assert examining.home(tmp_path / "none").repair == "guardhouse init"
    long = examining.home(tmp_path / ("x" * 300))
    assert (long.ok, "File name too long" in long.detail) == (False, True)
