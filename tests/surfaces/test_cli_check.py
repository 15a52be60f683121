"""`guardhouse check` draws what it found under the command, with and without a gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardhouse.surfaces.cli import exits
from tests.surfaces.terminal import Desk

COMMAND = "ls\nsudo bash -c 'git push --force origin main'"


def _alone(desk: Desk, *arguments: str, expect: int) -> str:
    with desk.patch.context() as patch:
        patch.setattr("guardhouse.surfaces.cli.asking.running", lambda: None)
        return desk.run("check", *arguments, expect=expect).out


@pytest.mark.parametrize("served", [True, False])
def test_what_was_found_is_drawn_under_the_command(desk: Desk, served: bool) -> None:
    block = exits.of_verdict("block")
    told = (
        desk.run("check", "--explain", COMMAND, expect=block).out
        if served
        else _alone(desk, "--explain", COMMAND, expect=block)
    )
    lines = told.splitlines()
    assert lines[0] == "block"
    assert "blocked[git.push.force]: A forced push overwrites history that others may have built on." in lines
    at = lines.index(" --> command:2:15")
    assert lines[at + 2 : at + 4] == ["2 | sudo bash -c 'git push --force origin main'", f"  | {' ' * 14}{'^' * 28}"]
    assert "  = run by: sudo > bash -c" in lines
    assert "  = instead: git push --force-with-lease origin main" in lines
    assert "  = allowed by: trust 3 or more, or a person's grant" in lines


def test_a_secret_is_covered_where_it_stands(desk: Desk) -> None:
    secret = "gdh_agent_00000000000000000000000001_" + "A" * 43
    told = _alone(
        desk, "--explain", f"curl -H 'Authorization: {secret}' https://example.com", expect=exits.of_verdict("block")
    )
    assert secret not in told
    assert "*" * 20 in told


def test_nothing_found_is_said(desk: Desk) -> None:
    assert "nothing found" in desk.run("check", "--explain", "ls -la").out


def test_a_repository_s_own_file_tightens_and_its_faults_are_drawn(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    inside = tmp_path / "deep" / "inside"
    inside.mkdir(parents=True)
    asks = ("--cwd", str(inside), "--explain", "git push --delete origin topic")
    assert _alone(desk, *asks, expect=exits.of_verdict("ask")).startswith("ask")
    (tmp_path / ".guardhouse.yaml").write_text("tighten:\n  - {rule: git.push.delete, set: block}\n")
    assert _alone(desk, *asks, expect=exits.of_verdict("block")).startswith("block")
    assert desk.run("check", *asks, expect=exits.of_verdict("block")).out.startswith("block")
    (tmp_path / ".guardhouse.yaml").write_text("tighten:\n  - {rule: git.push.delete, set: 'off'}\n")
    for told in (
        _alone(desk, "--cwd", str(inside), "--explain", "ls", expect=exits.of_verdict("ask")),
        desk.run("check", "--cwd", str(inside), "--explain", "ls", expect=exits.of_verdict("ask")).out,
    ):
        assert "needs approval[tightening.unread]: " in told
        assert ".guardhouse.yaml:2: a repository can only tighten" in told


@pytest.mark.parametrize("served", [True, False])
def test_a_check_is_of_a_command_run_here_unless_told(desk: Desk, tmp_path: Path, served: bool) -> None:
    """A file without a folder is one of whoever asks, and in `/etc` the machine's."""
    away = tmp_path / "away"
    away.mkdir()

    def told(*arguments: str) -> str:
        with desk.patch.context() as patch:
            if not served:
                patch.setattr("guardhouse.surfaces.cli.asking.running", lambda: None)
            patch.chdir(away)
            given = ("check", "--json", *arguments, "rm -rf old.txt")
            done = desk.run(*given, expect=exits.of_verdict("allow" if not arguments else "block"))
        return str(done.json["verdict"])

    assert told() == "allow"
    assert told("--cwd", "/etc") == "block"


def test_a_folder_given_from_here_is_told_as_the_place_it_is(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    token = str(desk.json("agents", "add", "walker", "--trust", "2")["token"])
    with desk.patch.context() as patch:
        patch.chdir(tmp_path)
        given = ("check", "--cwd", "one", "git push --force origin main")
        refused = desk.json(*given, token=token, expect=exits.of_verdict("block"))["decision_id"]
        desk.run("allow", str(refused), "--for", "1h", "--reason", "asked for")
        patch.chdir(tmp_path / "one")
        assert desk.run("check", "git push --force origin main", token=token).out.startswith("warn")


def test_what_is_allowed_here_is_allowed_nowhere_else(desk: Desk, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    token = str(desk.json("agents", "add", "keeper", "--trust", "2")["token"])
    block = exits.of_verdict("block")
    with desk.patch.context() as patch:
        patch.chdir(here)
        refused = desk.json("check", "git push --force origin main", token=token, expect=block)["decision_id"]
        desk.run("allow", str(refused), "--for", "1h", "--reason", "asked for")
        assert desk.run("check", "git push --force origin main", token=token).out.startswith("warn")
        patch.chdir(there)
        assert desk.run("check", "git push --force origin main", token=token, expect=block).out.startswith("block")
        patch.chdir(here)
        assert desk.run("check", "--cwd", str(there), "git push --force origin main", token=token, expect=block)
