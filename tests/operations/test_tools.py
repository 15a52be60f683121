"""One use of a tool, one decision: texts, paths and destinations together, and a grant that is found by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from guardhouse.guardrails.surroundings import SAMPLE
from guardhouse.operations.tools import check_tool
from tests.world import Member, World, shipped_bundle, world

ASKS = {"action": "shell", "tool": "Bash", "client": "claude-code", "command": "git push --delete origin old-topic"}
BLOCKS = {**ASKS, "command": "git push --force origin main"}


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def tool(home: World, who: Member, **body: Any) -> dict[str, Any]:
    return home.done(who, "check_tool", body)


def rules(told: dict[str, Any]) -> list[str]:
    return [item["rule_id"] for item in told["violations"]]


def test_one_question_leaves_one_entry_with_its_verdict(home: World) -> None:
    worker, before = home.agent("worker"), home.count()
    outcome = home.call(worker, "check_tool", BLOCKS)
    entry = home.entry(outcome.decision_id)
    assert home.count() == before + 1
    assert (entry["effect"], entry["verdict"]) == ("allow", "block")
    assert (outcome.result or {})["reason"].startswith(
        f"Guardhouse blocked this (git.push.force, decision {outcome.decision_id}): "
    )


def test_what_is_safe_says_nothing(home: World) -> None:
    told = tool(home, home.agent("worker"), action="shell", command="ls -la")
    assert (told["safe"], told["verdict"], told["reason"]) == (True, "allow", "")


def test_a_grant_is_found_by_the_same_question_and_spent_by_it(home: World) -> None:
    worker = home.agent("worker")
    asked = tool(home, worker, **ASKS)
    assert (asked["verdict"], asked["approval_state"]) == ("ask", "pending")
    assert asked["approval_id"] in asked["reason"]
    home.done(home.operator, "grant_approval", {"approval_id": asked["approval_id"]})
    assert tool(home, worker, **ASKS)["verdict"] == "warn"
    again = tool(home, worker, **ASKS)
    assert (again["verdict"], again["approval_id"] != asked["approval_id"]) == ("ask", True)


def test_a_grant_opens_nothing_but_its_own_question(home: World) -> None:
    worker, other = home.agent("worker"), home.agent("other")
    asked = tool(home, worker, **ASKS)
    home.done(home.operator, "grant_approval", {"approval_id": asked["approval_id"]})
    assert tool(home, other, **ASKS)["verdict"] == "ask"
    assert tool(home, worker, **{**ASKS, "command": "git push --delete origin older-topic"})["verdict"] == "ask"
    assert tool(home, worker, **{**ASKS, "cwd": "/elsewhere"})["verdict"] == "ask"
    assert tool(home, worker, **ASKS)["verdict"] == "warn"


def test_a_refusal_is_told_and_not_asked_again(home: World) -> None:
    worker = home.agent("worker")
    asked = tool(home, worker, **ASKS)
    home.done(home.operator, "refuse_approval", {"approval_id": asked["approval_id"], "reason": "no"})
    told = tool(home, worker, **ASKS)
    assert (told["verdict"], told["approval_id"], told["approval_state"]) == ("ask", asked["approval_id"], "refused")


def test_a_destination_that_is_not_listed_denies_the_question(home: World) -> None:
    worker = home.agent("worker")
    denied = home.call(worker, "check_tool", {"action": "fetch", "url": "https://exfil.example.net/x"})
    assert (denied.code, home.entry(denied.decision_id)["effect"]) == ("network_denied", "deny")
    assert home.call(worker, "check_tool", {"action": "fetch", "url": "https://github.com/x/y"}).performed


def test_no_file_tool_touches_the_guards_own_state_or_hooks(home: World) -> None:
    lead = home.agent("lead", 4)
    for action in ("read", "write", "edit", "delete"):
        told = tool(home, lead, action=action, file_paths=["~/.local/share/guardhouse/operator.token"])
        assert (told["verdict"], rules(told)) == ("block", ["guardhouse.state"]), action
    told = tool(
        home, lead, action="write", file_paths=["/nowhere/x/.claude/settings.json"], content='{"disableAllHooks": true}'
    )
    assert (told["verdict"], rules(told)) == ("block", ["guardhouse.hooks"])


def test_every_text_of_an_mcp_call_is_examined(home: World) -> None:
    worker = home.agent("worker")
    told = tool(
        home,
        worker,
        action="mcp",
        server="shell",
        tool="run",
        arguments=[{"name": "command", "value": BLOCKS["command"]}],
    )
    assert rules(told) == ["git.push.force"]
    told = tool(
        home,
        worker,
        action="mcp",
        server="files",
        tool="read",
        arguments=[{"name": "path", "value": "~/.local/share/guardhouse/x"}],
    )
    assert rules(told) == ["guardhouse.state"]
    words = tool(
        home,
        worker,
        action="mcp",
        server="hub",
        tool="comment",
        arguments=[{"name": "body", "value": "never run rm -rf / here"}],
    )
    assert words["verdict"] == "allow"
    denied = home.call(
        worker,
        "check_tool",
        {
            "action": "mcp",
            "server": "web",
            "tool": "get",
            "arguments": [{"name": "url", "value": "https://exfil.example.net/"}],
        },
    )
    assert denied.code == "network_denied"


def test_a_secret_in_a_tool_use_is_recorded_nowhere(home: World) -> None:
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    told = home.call(home.agent("worker"), "check_tool", {"action": "shell", "command": f"export TOKEN={secret}"})
    assert secret not in json.dumps(told.result)
    assert secret not in json.dumps(home.entries())


def test_observing_binds_nothing_but_the_guard_of_the_guard(home: World) -> None:
    worker = home.agent("worker")
    home.done(home.operator, "set_mode", {"mode": "observe", "scope": "workspace", "seconds": 3600, "reason": "trial"})
    told = tool(home, worker, **BLOCKS)
    assert (told["verdict"], told["enforced"]) == ("block", False)
    own = tool(home, worker, action="shell", command="cat ~/.local/share/guardhouse/operator.token")
    assert (own["verdict"], own["enforced"]) == ("block", True)


@pytest.mark.parametrize(
    ("action", "path", "rule"),
    [
        ("read", "~/.ssh/id_rsa", "credentials.read"),
        ("read", "/home/a/.aws/credentials", "credentials.read"),
        ("read", "file:///etc/shadow", "credentials.read"),
        ("read", "/srv/app/../../etc/shadow", "credentials.read"),
        ("write", "~/.ssh/authorized_keys", "filesystem.overwrite.system"),
        ("write", "/srv/app/.git/hooks/pre-commit", "filesystem.overwrite.repository"),
        ("edit", "/etc/hosts", "filesystem.overwrite.system"),
        ("edit", "~/.bashrc", "filesystem.overwrite.system"),
        ("delete", "/srv/app/.git/config", "filesystem.delete.repository"),
        ("delete", "/etc/passwd", "filesystem.delete.root"),
    ],
)
def test_the_rules_on_files_bind_file_tools_as_they_bind_commands(
    home: World, action: str, path: str, rule: str
) -> None:
    worker = home.agent("worker")
    told = tool(home, worker, action=action, file_paths=[path], cwd="/srv/app", workspace_root="/srv/app")
    assert rule in rules(told)
    assert told["verdict"] in ("ask", "block")
    by_mcp = {"read": "read_file", "write": "write_file", "edit": "edit_file", "delete": "delete_file"}[action]
    told = tool(
        home, worker, action="mcp", server="files", tool=by_mcp, arguments=[{"name": "path", "value": path}],
        cwd="/srv/app", workspace_root="/srv/app",
    )  # fmt: skip
    assert rule in rules(told)


def test_ordinary_files_of_the_work_say_nothing(home: World) -> None:
    worker = home.agent("worker")
    for action in ("read", "write", "edit", "delete"):
        for path in ("/srv/app/src/a.py", 'src/it\'s "b".py', "/srv/app/-rf", "README.md", "/tmp/x y"):
            told = tool(home, worker, action=action, file_paths=[path], cwd="/srv/app", workspace_root="/srv/app")
            assert (told["verdict"], told["reason"]) == ("allow", ""), (action, path, rules(told))


@pytest.mark.parametrize(
    "use",
    [
        {"action": "write", "file_paths": ["~/.bashrc"], "content": "export GUARDHOUSE_URL=http://127.0.0.1:9\n"},
        {"action": "write", "file_paths": ["/srv/x/.zshenv"], "content": "A=1\nCODEX_HOME=/tmp/empty\n"},
        {
            "action": "edit",
            "file_paths": ["~/.profile"],
            "edits": [{"old": "A=1", "new": "A=1; GUARDHOUSE_HOME=/tmp/x", "everywhere": False}],
        },
    ],
)
def test_no_file_tool_leaves_a_redirection_of_the_guard_for_the_next_shell(home: World, use: dict[str, Any]) -> None:
    told = tool(home, home.agent("trusted", trust=3), **use)
    assert told["verdict"] == "block"
    assert "guardhouse.environment" in {one["rule_id"] for one in told["violations"]}


def test_a_start_file_of_ones_own_says_nothing_of_the_guard(home: World) -> None:
    use = {
        "action": "write",
        "file_paths": ["docs/.bashrc.md"],
        "content": "export GUARDHOUSE_URL=http://127.0.0.1:9\n",
    }
    told = tool(home, home.agent("writer"), **use)
    assert not {one["rule_id"] for one in told["violations"]} & {"guardhouse.environment"}


@pytest.mark.parametrize(
    ("name", "value", "server", "used", "rule"),
    [
        ("relative_path", ".local/share/guardhouse/operator.token", "serena", "read_file", "guardhouse.state"),
        ("from", "x/../.local/share/guardhouse/signing.key", "files", "read_file", "guardhouse.state"),
        ("db", ".local/share/guardhouse/guardhouse.db", "sqlite", "query", "guardhouse.state"),
        ("srcFile", ".local/share/guardhouse/guardhouse.db", "files", "copy", "guardhouse.state"),
        ("relative_path", ".claude/settings.json", "serena", "create_text_file", "guardhouse.hooks"),
        ("name", ".claude/settings.json", "files", "delete_file", "guardhouse.hooks"),
        ("line", "guardhouse approvals grant apr_1", "x", "shell", "guardhouse.govern"),
    ],
)
def test_no_mcp_tool_reaches_the_guard_whatever_its_arguments_are_called(
    home: World, name: str, value: str, server: str, used: str, rule: str
) -> None:
    asked = {"action": "mcp", "server": server, "tool": used, "arguments": [{"name": name, "value": value}]}
    told = tool(home, home.agent("worker", trust=3), cwd="/srv/user", **asked)
    assert told["verdict"] in ("ask", "block")
    # What a write makes of a client's configuration cannot be seen here, so that asks under a rule of its own.
    assert {rule, f"{rule}.unseen"} & {*rules(told)}


def _found(**asked: Any) -> set[str]:
    """The rules that a use is caught by in the sample deployment, whose state lies below `/srv/user`."""
    assert check_tool.texts is not None
    texts = check_tool.texts(check_tool.ask.model_validate_json(json.dumps(asked)))
    return {one.rule for one in shipped_bundle().packs.examine(tuple(replace(one, around=SAMPLE) for one in texts))}


def test_a_search_over_the_guards_own_folder_asks() -> None:
    for used, paths, cwd in (
        ("Grep", ["/srv/user"], "/srv/app"),
        ("Glob", [], "/srv/user"),
        ("search_files", ["/"], "/"),
    ):
        assert "guardhouse.sweep" in _found(action="read", tool=used, file_paths=paths, cwd=cwd), used
    given = [{"name": "path", "value": "/srv/user"}]
    assert "guardhouse.sweep" in _found(
        action="mcp", server="files", tool="search_files", arguments=given, cwd="/srv/app"
    )
    assert not _found(action="read", tool="Grep", file_paths=[], cwd="/srv/user/app")
    assert not _found(action="read", tool="Read", file_paths=["/srv/user/app/a.py"], cwd="/srv/user")


@pytest.mark.parametrize("value", ["and/or", "src/app.py", "feature/login", "https://example.com/a", "1/2", ".", "..."])
def test_ordinary_arguments_say_nothing(home: World, value: str) -> None:
    asked = {"action": "mcp", "server": "hub", "tool": "get_file", "arguments": [{"name": "ref", "value": value}]}
    assert tool(home, home.agent("worker"), cwd="/srv/user/app", **asked)["verdict"] == "allow"
