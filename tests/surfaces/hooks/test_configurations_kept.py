"""An edit of a client's configuration passes if our entries stay as they were; else it is held; else it asks.

Each case is a client's own edit tool on a real file of its configuration.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guardhouse.surfaces.install import acting, managed, placing
from tests.surfaces.hooks.grounds import CLAUDE, CODEX_TOML, COPILOT, CURSOR, FILES, GEMINI, Ground, lay

PASSES: frozenset[str] = frozenset()
HELD, ASKS = frozenset({"guardhouse.hooks"}), frozenset({"guardhouse.hooks.unseen"})
OURS = '"command": "/opt/gate/run claude-code --guardhouse", "timeout": 30'
SETTINGS, LOCAL, GEMINIS, CONFIG = (
    ".claude/settings.json",
    ".claude/settings.local.json",
    ".gemini/settings.json",
    ".codex/config.toml",
)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return lay(tmp_path_factory.mktemp("kept"))


def with_first(text: str, told: str) -> str:
    """A JSON object's text with one more member at its beginning."""
    return text.replace("{", "{" + told + ",", 1)


def written(path: str, text: str) -> tuple[str, str, dict[str, Any]]:
    return "claude-code", "Write", {"file_path": path, "content": text}


def edited(path: str, *edits: tuple[str, str] | tuple[str, str, bool]) -> tuple[str, str, dict[str, Any]]:
    made = [{"old_string": old, "new_string": new, "replace_all": bool(more)} for old, new, *more in edits]
    return "claude-code", "MultiEdit", {"file_path": path, "edits": made}


def patched(path: str, *lines: str) -> tuple[str, str, dict[str, Any]]:
    return (
        "codex",
        "apply_patch",
        {"command": "\n".join(["*** Begin Patch", f"*** Update File: {path}", "@@", *lines, "*** End Patch"])},
    )


def settings(**more: Any) -> tuple[str, str, dict[str, Any]]:
    """Claude Code's settings with members put in at the top."""
    return written(SETTINGS, with_first(CLAUDE, json.dumps(more)[1:-1]))


KEPT: list[tuple[str, str, dict[str, Any]]] = [
    edited(SETTINGS, ('"opus"', '"sonnet"')),
    edited(SETTINGS, ("// mine", "// ours and mine")),
    edited(SETTINGS, ("./lint.sh", "./lint.sh --fast")),
    edited(SETTINGS, ('"DEBUG": "1"', '"DEBUG": "2", "NODE_OPTIONS": "--max-old-space-size=4096", "HOMEPAGE": "x"')),
    edited(SETTINGS, (OURS, '"command": "true"'), ('"command": "true"', OURS)),
    edited(SETTINGS, ("guardhouse", "nothing", True), ("nothing", "guardhouse", True)),
    edited(SETTINGS, ('"Bash(ls:*)"', '"Bash(ls:*)", "Bash(guardhouse check:*)", "Read(~/work/guardhouse/**)"')),
    edited(SETTINGS, ('{"matcher": "Bash"', '{"matcher": "Edit", "hooks": []}, {"matcher": "Bash"')),
    written(SETTINGS, CLAUDE),
    written(SETTINGS, CLAUDE.replace("// mine\n", "/* mine */\n").replace("  ", "\t")),
    settings(disableAllHooks=False),
    settings(statusLine={"type": "command", "command": "./status.sh"}),
    settings(apiKeyHelper="/srv/bin/key.sh"),
    settings(cleanupPeriodDays=3, outputStyle="brief", includeCoAuthoredBy=False),
    settings(sandbox={"enabled": True, "filesystem": {"allowWrite": ["/home/me/guardhouse"]}}),
    written(LOCAL, '{"permissions": {"defaultMode": "acceptEdits"}}'),
    ("gemini", "replace", {"file_path": GEMINIS, "old_string": "false", "new_string": "true"}),
    ("gemini", "write_file", {"file_path": GEMINIS, "content": with_first(GEMINI, '"hooksConfig": {"enabled": true}')}),
    ("gemini", "write_file", {"file_path": GEMINIS, "content": with_first(GEMINI, '"hooksConfig": {"disabled": []}')}),
    ("gemini", "write_file", {"file_path": GEMINIS, "content": with_first(GEMINI, '"ui": {"theme": "x"}')}),
    ("cursor", "Write", {"file_path": ".cursor/hooks.json", "content": CURSOR.replace('"version": 1', '"version": 2')}),
    ("copilot", "create", {"path": ".github/hooks/other.json", "file_text": '{"version": 1, "hooks": {}}'}),
    (
        "copilot",
        "edit",
        {"path": ".github/hooks/guardhouse.json", "old_str": '"version": 1', "new_str": '"version": 2'},
    ),
    ("opencode", "write", {"filePath": "opencode.json", "content": '{"model": "x", "plugin": ["other"]}'}),
    patched(CONFIG, '-model = "gpt-5"', '+model = "gpt-6"'),
    patched(CONFIG, "-web_search = true", "+web_search = false", "+hooks = true"),
    patched(CONFIG, ' model = "gpt-5"', '+approval_policy = "on-request"', " [features]"),
    written(CONFIG, CODEX_TOML + '[projects."/home/me/guardhouse"]\ntrust_level = "trusted"\n'),
    written(CONFIG, CODEX_TOML + '[mcp_servers.x]\ncommand = "x"\nenv = { HOME = "/tmp" }\n'),
    written(CONFIG, "# mine\n" + CODEX_TOML.replace("[features]\nweb_search = true", "features.web_search = true")),
]

LOST: list[tuple[str, str, dict[str, Any]]] = [
    # our entry gone, moved or weakened
    written(SETTINGS, "{}"),
    written(SETTINGS, ""),
    written(SETTINGS, CLAUDE[:-30]),
    written(SETTINGS, CLAUDE.replace('"', "'")),
    written(SETTINGS, CLAUDE + CLAUDE),
    written(SETTINGS, CLAUDE.replace('"hooks"', '"Hooks"', 1)),
    written(SETTINGS, CLAUDE.replace('"PreToolUse"', '"PostToolUse"')),
    written(SETTINGS, CLAUDE.rstrip().removesuffix("}") + ', "hooks": {}}'),
    written(SETTINGS, CLAUDE.rstrip().removesuffix("}") + ', "h\\u006foks": {}}'),
    edited(SETTINGS, (OURS, '"command": "true"')),
    edited(SETTINGS, ("guardhouse", "nothing", True)),
    edited(SETTINGS, ("guardhouse", "nothing", True), ("nothing", "guardhous", True)),
    edited(SETTINGS, ('"matcher": "*"', '"matcher": "Read"')),
    edited(SETTINGS, ('"timeout": 30', '"timeout": 30, "async": true')),
    edited(SETTINGS, ('"timeout": 30', '"timeout": 30, "if": "Bash(never)"')),
    edited(SETTINGS, (OURS, "/* " + OURS + " */")),
    edited(SETTINGS, ('"hooks": {', '"hooks": {}, "was": {')),
    # every switch
    settings(disableAllHooks=True),
    written(SETTINGS, with_first(CLAUDE, '"disable\\u0041llHooks": true')),
    written(SETTINGS, with_first(CLAUDE, '"disableAllHooks": false, "disableAllHooks": true')),
    settings(allowManagedHooksOnly=True),
    settings(strictPluginOnlyCustomization=True),
    settings(allowedHttpHookUrls=["https://other.example"]),
    written(LOCAL, '{"disableAllHooks": true}'),
    written("~/.claude/settings.json", with_first(CLAUDE, '"disableAllHooks": true')),
    # the environment of hooks
    edited(SETTINGS, ('"DEBUG": "1"', '"GUARDHOUSE_URL": "http://127.0.0.1:1"')),
    edited(SETTINGS, ('"DEBUG": "1"', '"HOME": "/tmp/x"')),
    edited(SETTINGS, ('"DEBUG": "1"', '"BASH_ENV": "/tmp/x"')),
    edited(SETTINGS, ('"DEBUG": "1"', '"SHELL": "/tmp/x"')),
    edited(SETTINGS, ('"DEBUG": "1"', '"LD_PRELOAD": "/tmp/x.so"')),
    edited(SETTINGS, ('"DEBUG": "1"', '"CLAUDE_CONFIG_DIR": "/tmp/x"')),
    edited(SETTINGS, ('"DEBUG": "1"', '"CLAUDE_CODE_SIMPLE": "1"')),
    written(LOCAL, '{"env": {"XDG_CONFIG_HOME": "/tmp/x"}}'),
    written(LOCAL, '{"env": {"PYTHONPATH": "/tmp/x"}}'),
    # settings that name a command, aimed at us
    settings(apiKeyHelper="cat ~/.local/share/guardhouse/operator.token"),
    settings(statusLine={"type": "command", "command": "guardhouse approvals grant apr_1"}),
    settings(hooks={}),
    # Gemini
    ("gemini", "replace", {"file_path": GEMINIS, "old_string": '"sequential": true', "new_string": '"sequential": false'}),
    ("gemini", "replace", {"file_path": GEMINIS, "old_string": '"BeforeTool"', "new_string": '"AfterTool"'}),
    ("gemini", "replace", {"file_path": GEMINIS, "old_string": '"hooks": {', "new_string": '"hooks": {"enabled": false, '}),
    ("gemini", "replace", {"file_path": GEMINIS, "old_string": '"hooks": {', "new_string": '"hooks": {"disabled": ["guardhouse"], '}),
    ("gemini", "write_file", {"file_path": GEMINIS, "content": with_first(GEMINI, '"hooksConfig": {"enabled": false}')}),
    ("gemini", "write_file", {"file_path": GEMINIS, "content": with_first(GEMINI, '"hooksConfig": {"disabled": ["guardhouse"]}')}),
    ("gemini", "write_file", {"file_path": GEMINIS, "content": with_first(GEMINI, '"tools": {"enableHooks": false}')}),
    # Cursor, Copilot, OpenCode
    ("cursor", "Edit", {"file_path": ".cursor/hooks.json", "old_string": "true", "new_string": "false"}),
    ("cursor", "Write", {"file_path": ".cursor/hooks.json", "content": '{"version": 1, "hooks": {}}'}),
    ("cursor", "Edit", {"file_path": ".cursor/hooks.json", "old_string": "/opt/gate/run cursor", "new_string": "true"}),
    ("copilot", "create", {"path": ".github/hooks/guardhouse.json", "file_text": "{}"}),
    ("copilot", "edit", {"path": ".github/hooks/guardhouse.json", "old_str": "preToolUse", "new_str": "postToolUse"}),
    ("copilot", "create", {"path": ".github/copilot/settings.local.json", "file_text": '{"disableAllHooks": true}'}),
    ("opencode", "write", {"filePath": ".opencode/plugins/guardhouse.js", "content": "export const Guardhouse = 1\n"}),
    ("opencode", "edit", {"filePath": ".opencode/plugins/guardhouse.js", "oldString": "async () => ({})", "newString": "null"}),
    # Codex, in TOML's many ways
    written(CONFIG, CODEX_TOML.replace("web_search = true", "web_search = true\nhooks = false")),
    written(CONFIG, CODEX_TOML.replace("web_search = true", 'web_search = true\n"ho\\u006fks" = false')),
    written(CONFIG, CODEX_TOML.replace("[features]\nweb_search = true", "features = { hooks = false }")),
    written(CONFIG, CODEX_TOML.replace("[features]\nweb_search = true", "features.hooks = false")),
    written(CONFIG, CODEX_TOML.replace("[features]\nweb_search = true", "features.codex_hooks = false")),
    written(CONFIG, CODEX_TOML + "[profiles.fast.features]\nhooks = false\n"),
    written(CONFIG, CODEX_TOML.replace('trusted_hash = "sha256:aa"', "enabled = false")),
    written(CONFIG, CODEX_TOML.replace("sha256:aa", "sha256:bb")),
    written(CONFIG, CODEX_TOML + "[hooks]\nstate = {}\n"),
    written(CONFIG, CODEX_TOML.replace('trust_level = "trusted"', 'trust_level = "untrusted"')),
    written(CONFIG, CODEX_TOML.replace('[projects."/srv/app"]\ntrust_level = "trusted"\n', "")),
    written(CONFIG, CODEX_TOML + 'allow_managed_hooks_only = true\n[x]\n'),
    written(".codex/requirements.toml", "allow_managed_hooks_only = true\n"),
    written(CONFIG, CODEX_TOML + "[features]\n"),
    patched(CONFIG, "-web_search = true", "+hooks = false"),
    patched(CONFIG, '-trusted_hash = "sha256:aa"'),
]  # fmt: skip

UNSURE: list[tuple[str, str, dict[str, Any]]] = [
    edited(SETTINGS, ("no such text", "x")),
    edited(SETTINGS, ('"command"', '"cmd"')),
    edited(SETTINGS, ('"DEBUG": "1"', '"PATH": "/tmp/bin:/usr/bin"')),
    ("claude-code", "NotebookEdit", {"notebook_path": SETTINGS, "new_source": CLAUDE}),
    ("claude-code", "mcp__files__edit_file", {"path": SETTINGS, "edits": [{"oldText": "a", "newText": "b"}]}),
    ("claude-code", "Write", {"file_path": f" {SETTINGS}", "content": CLAUDE}),
    ("claude-code", "Write", {"file_path": ".claude/hooks/mine.sh", "content": "true\n"}),
    ("claude-code", "Write", {"file_path": "/no/such/place/.claude/settings.json", "content": "not json"}),
    patched(CONFIG, "-no such line", "+x"),
    patched(CONFIG, "+x"),
    ("copilot", "str_replace_editor", {"command": "insert", "path": SETTINGS, "insert_line": 1, "new_str": "{}"}),
]


@pytest.mark.parametrize(
    ("cases", "wanted"), [(KEPT, PASSES), (LOST, HELD), (UNSURE, ASKS)], ids=["kept", "lost", "unsure"]
)
def test_an_edit_is_judged_by_what_it_leaves_of_our_entries(
    ground: Ground, cases: list[tuple[str, str, dict[str, Any]]], wanted: frozenset[str]
) -> None:
    wrong = []
    for client, tool, given in cases:
        found = ground.rules(client, ground.use(client, tool, given))
        if found != wanted:
            wrong.append((client, tool, given, found))
    assert not wrong, "\n".join(map(str, wrong))


def test_there_are_cases_of_every_client_and_file() -> None:
    assert len(KEPT) >= 28
    assert len(LOST) >= 60
    told = json.dumps([KEPT, LOST, UNSURE])
    assert all(name in told for name in FILES if name != ".codex/hooks.json")


def test_where_neither_file_nor_folder_is_here_what_is_left_cannot_be_seen(ground: Ground) -> None:
    """The caller's machine is another than the gateway's."""
    sent = ground.use("claude-code", "Write", {"file_path": SETTINGS, "content": "{}"}, Path("/no/such/place"))
    assert ground.rules("claude-code", sent) == ASKS
    sent = ground.use("claude-code", "Write", {"file_path": SETTINGS, "content": COPILOT}, Path("/no/such/place"))
    assert ground.rules("claude-code", sent) == HELD


def test_a_file_that_cannot_be_compared_hides_no_link_beside_it(ground: Ground) -> None:
    odd = ground.app / "odd" / ".claude" / "settings.json"
    odd.parent.mkdir(parents=True)
    odd.write_bytes(b"\xff\xfe{}")
    patch = (
        "*** Begin Patch\n*** Update File: odd/.claude/settings.json\n@@\n-a\n+b\n"
        "*** Update File: key.txt\n@@\n-x\n+y\n*** End Patch"
    )
    found = ground.rules("codex", ground.use("codex", "apply_patch", {"command": patch}))
    assert found == {"guardhouse.hooks.unseen", "guardhouse.state"}


# --- wherever the files lie -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """A person whose clients are configured under names of their own, over links, and in one project; installed for real."""
    ground = lay(tmp_path_factory.mktemp("away"))
    user, dots = ground.user, ground.user / "dotfiles"
    (dots / "codex").mkdir(parents=True)
    (dots / "other").mkdir()
    (dots / "claude.json").write_text('{"model": "opus"}\n')
    (dots / "notes.txt").write_text("x")
    linked = user / "linked"
    (linked / ".claude").mkdir(parents=True)
    (linked / ".claude" / "settings.json").symlink_to(dots / "claude.json")
    (linked / ".codex").symlink_to(dots / "codex")
    elsewhere = {
        "CLAUDE_CONFIG_DIR": str(user / "conf" / "anthropic"),
        "CODEX_HOME": str(user / "conf" / "openai"),
        "XDG_CONFIG_HOME": str(user / "conf" / "xdg"),
        "COPILOT_HOME": str(user / "conf" / "pilot"),
    }
    app = ground.app / "hooked"
    (app / "src").mkdir(parents=True)
    (app / "build").mkdir()
    ground.home.joinpath("hooks").mkdir()
    placing.place(ground.home)
    for client, scope, home, root, told in (
        ("claude-code", "user", linked, None, {}),
        ("codex", "user", linked, None, {}),
        ("claude-code", "user", user, None, elsewhere),
        ("codex", "user", user, None, elsewhere),
        ("opencode", "user", user, None, elsewhere),
        ("copilot", "user", user, None, elsewhere),
        ("cursor", "user", user, None, {}),
        ("claude-code", "project", user, app, {}),
    ):
        acting.carry_out(acting.plan(acting.Wish(client, scope, "closed", ground.home, home, root, told)), ground.home)
    (ground.app / "second").hardlink_to(user / ".cursor" / "hooks.json")
    (ground.app / "dots").symlink_to(dots)
    (ground.app / "settings").symlink_to(dots / "claude.json")
    records = f"{ground.home}/hooks/installed.json"
    return replace(ground, app=app, around=replace(ground.around, records=records))


def places(ground: Ground) -> list[str]:
    """Every file that `install` wrote, by the name that it truly has and by those that lead there."""
    user = ground.user
    return [
        f"{user}/dotfiles/claude.json",
        f"{user}/dotfiles/codex/hooks.json",
        f"{user}/linked/.codex/hooks.json",
        f"{user}/conf/anthropic/settings.json",
        f"{user}/conf/openai/hooks.json",
        f"{user}/conf/xdg/opencode/plugins/guardhouse.js",
        f"{user}/conf/pilot/hooks/guardhouse.json",
        "../dots/claude.json",
        "../dots/codex/hooks.json",
        "../settings",
        "../second",
        "~/dotfiles/../dotfiles/claude.json",
        "~/conf/openai/hooks.json",
    ]


def test_the_true_file_of_a_clients_configuration_is_held_under_every_name(away: Ground) -> None:
    wrong = []
    for path in places(away):
        assert (away.app / Path(path.replace("~", str(away.user)))).is_file(), path
        for client, tool, given, wanted in (
            ("claude-code", "Write", {"file_path": path, "content": "{}"}, HELD),
            ("cursor", "Delete", {"path": path}, HELD),
            ("codex", "Bash", {"command": f"rm -f {path}"}, HELD),
            ("codex", "Bash", {"command": f"mv {path} /tmp/x"}, HELD | ASKS),
            ("codex", "Bash", {"command": f"sed -i s/guardhouse/x/ {path}"}, ASKS),
            ("gemini", "run_shell_command", {"command": f"printf x > {path}"}, ASKS),
            ("opencode", "bash", {"command": f"cat {path}"}, PASSES),
            ("claude-code", "Read", {"file_path": path}, PASSES),
        ):
            found = away.rules(client, away.use(client, tool, given))
            if found != wanted:
                wrong.append((client, tool, given, found))
    assert not wrong, "\n".join(map(str, wrong))


def shell(ground: Ground, command: str, cwd: Path | None = None) -> frozenset[str]:
    return ground.rules("codex", ground.use("codex", "Bash", {"command": command}, cwd))


def test_what_says_as_much_beside_them_is_held_and_what_only_lies_there_is_not(away: Ground) -> None:
    user = away.user
    assert shell(away, f"sed -i s/a/b/ {user}/conf/openai/config.toml") == ASKS
    assert shell(away, f"rm {user}/conf/anthropic/settings.local.json") == HELD
    assert shell(away, f"rm {user}/conf/xdg/opencode/plugins/*") == HELD
    assert shell(away, "rm claude.json", user / "dotfiles") == HELD
    for command in (
        f"rm {user}/dotfiles/notes.txt",
        f"sed -i s/a/b/ {user}/dotfiles/notes.txt",
        f"rm -r {user}/dotfiles/other",
        f"grep -rn model {user}/dotfiles",
        f"cp -r {user}/dotfiles /tmp/copy",
        f"rm {user}/conf/xdg/other.json",
    ):
        assert shell(away, command) == PASSES, command


def test_a_folder_that_holds_them_may_be_searched_and_not_removed(away: Ground) -> None:
    user = away.user
    for command in (
        f"rm -rf {user}/dotfiles",
        f"rm -rf {user}/conf",
        f"mv {user}/conf/openai /tmp/x",
        f"rm -rf {away.app}",
    ):
        assert shell(away, command) == HELD, command
    assert shell(away, "rm -rf ../hooked/.claude") == HELD
    assert away.rules("cursor", away.use("cursor", "Delete", {"path": f"{user}/conf/openai"})) == HELD
    for command in (
        "rg -n TODO .",
        "grep -r TODO",
        "rm -rf build",
        "rm -rf build/* *.pyc",
        "rm -rf ./*",
        "rm -f $(git ls-files -d)",
        'rm -rf "$PWD/$made"',
        "find . -name '*.pyc' -delete",
        "npm run build",
        "tar czf /tmp/app.tgz .",
        "git stash",
        "git stash push -m 'a b' -- src",
        "git stash list -a",
        "git clean -fd",
        "git clean -fdxn",
        "git clean -fdx build",
        "prettier --write '**/*.json'",
    ):
        assert shell(away, command) == PASSES, command
    for tool, given in (
        ("Grep", {"pattern": "."}),
        ("Glob", {"pattern": "**/*.json"}),
        ("Grep", {"pattern": ".", "path": str(away.app)}),
    ):
        assert away.rules("claude-code", away.use("claude-code", tool, given)) == PASSES, given


def test_git_may_not_take_away_what_it_ignores_where_a_hook_is_among_it(away: Ground) -> None:
    for command in (
        "git stash push --all",
        "git stash -a",
        "git stash push -ka",
        "git stash save -a before",
        "git stash push -m x --all",
        "git clean -fdx",
        "git clean -f -d -X",
        "git clean -xdf .claude",
        "git clean -ffdx -e build .",
        f"git -C {away.app} clean -fdx",
        f"git -C {away.app}/src stash -a",
    ):
        assert shell(away, command) == ASKS, command
    assert shell(away, "git stash -a", away.app / "src") == ASKS
    assert shell(away, "git clean -fdx", away.app / "src") == PASSES
    assert shell(away, "git stash -a", away.user / "elsewhere") == PASSES


def test_what_is_installed_later_is_guarded_from_then_on(away: Ground, tmp_path: Path) -> None:
    told = {"CLAUDE_CONFIG_DIR": str(tmp_path / "later")}
    path = tmp_path / "later" / "settings.json"
    assert shell(away, f"rm {path}") == PASSES
    wish = acting.Wish("claude-code", "user", "closed", away.home, tmp_path, None, told)
    acting.carry_out(acting.plan(wish), away.home)
    assert shell(away, f"rm {path}") == HELD


def managed_places() -> list[str]:
    """The files of organisations that lie on this machine's kind of paths, and those of Windows as WSL names them."""
    told = [path for paths in managed.PATHS.values() for path in paths.values()] + [
        str(one) for one in managed.PLUGINS.values()
    ]
    return [one.replace("\\", "/").replace("C:/", "/mnt/c/") for one in told]


@pytest.mark.parametrize("path", managed_places())
def test_no_file_that_an_organisation_sets_is_written_or_removed(ground: Ground, path: str) -> None:
    given = {"filePath": path, "content": "x"}
    assert ground.rules("opencode", ground.use("opencode", "write", given)) == ASKS
    assert shell(ground, f"rm '{path}'") == HELD
    assert shell(ground, f"cat '{path}'") == PASSES
