"""`--help` teaches: every command has an example, and its golden copy shows each change of the command line in review.

`GUARDHOUSE_RENEW_GOLDEN=1 pytest tests/surfaces/test_cli_help.py` renews the copy.
"""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from guardhouse.__main__ import _Composition
from guardhouse.surfaces.cli import exits, operator
from guardhouse.surfaces.cli.main import command_line, main
from tests.server import environment
from tests.surfaces.terminal import Desk, prepare

RENEW = os.environ.get("GUARDHOUSE_RENEW_GOLDEN") == "1"
GOLDEN = Path(__file__).parent.parent / "golden" / "cli_help.txt"
PROMISED = {
    "approvals": "list show grant refuse watch",
    "grants": "list revoke",
    "mode": "show observe enforce",
    "policy": "check show activate history rollback",
    "guardrails": "score",
    "ledger": "verify export key checkpoint prove receipt replay",
    "people": "add list disable",
    "tokens": "issue list rotate revoke",
    "workspaces": "list create set",
    "agents": "add list trust suspend reinstate pause resume retire",
}


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of the tree by its words, groups included."""
    main(_Composition(), ["--version"])

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        yield words, command
        for name, below in getattr(command, "commands", {}).items():
            yield from walk(below, (*words, name))

    yield from walk(typer.main.get_command(command_line()), ())


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment in which nothing is set up and no terminal reads."""
    for name in list(os.environ):
        if name.startswith("GUARDHOUSE_") or operator.agent_variable({name: "1"}):
            monkeypatch.delenv(name)
    for name, value in (("COLUMNS", "100"), ("TERMINAL_WIDTH", "100"), ("TERM", "dumb"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GUARDHOUSE_HOME", str(tmp_path / "empty"))
    return tmp_path / "empty"


def test_the_help_equals_its_golden_copy(quiet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = list(commands())
    capsys.readouterr()
    parts = []
    for words, _command in tree:
        assert main(_Composition(), [*words, "--help"]) == exits.OK
        text = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines()).strip()
        parts.append(f"$ {' '.join(('guardhouse', *words))} --help\n\n{text}\n")
    made = "\n".join(parts)
    if RENEW:
        GOLDEN.write_text(made)
    assert GOLDEN.read_text() == made, "renew it as this module's first lines say, and review the diff"
    assert not quiet.exists(), "help touches nothing"


def test_every_command_teaches_with_an_example_that_it_understands() -> None:
    for words, command in commands():
        if getattr(command, "commands", None):
            continue
        found = re.search(r"Example: (guardhouse .+)", command.help or "")
        assert found, f"`guardhouse {' '.join(words)}` has no example"
        line = found[1].partition(" > ")[0].partition(" >> ")[0]
        example = shlex.split(line)[1:]
        assert tuple(example[: len(words)]) == words
        command.make_context(words[-1], example[len(words) :])


def test_what_is_promised_is_there_and_prints_json() -> None:
    tree = dict(commands())
    for noun, verbs in PROMISED.items():
        for verb in verbs.split():
            command = tree[noun, verb]
            assert any("--json" in parameter.opts for parameter in command.params), (noun, verb)


@pytest.mark.parametrize("terminal", [True, False])
def test_colours_are_for_terminals(tmp_path: Path, terminal: bool) -> None:
    leader, follower = pty.openpty()
    env = environment(tmp_path / "empty") | {"TERM": "xterm-256color"}
    env.pop("NO_COLOR", None)
    done = subprocess.run(
        [sys.executable, "-m", "guardhouse", "people", "list"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=follower if terminal else subprocess.PIPE,
        timeout=120,
    )
    os.close(follower)
    seen = os.read(leader, 65_536) if terminal else done.stderr
    os.close(leader)
    assert done.returncode == exits.UNAVAILABLE
    assert b"guardhouse init" in seen
    assert (b"\x1b[" in seen) is terminal


def test_an_agents_shell_is_told_to_hand_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the real command, and by the same command in this process in every agent's shell."""
    env = prepare(tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-m", "guardhouse", "approvals", "list"],
        env=env | {"CLAUDECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == exits.REFUSED
    assert "CLAUDECODE" in done.stderr
    assert "in your own terminal" in done.stderr
    desk = Desk(tmp_path / "home", env, capsys, monkeypatch)
    for variable in ("CLAUDECODE", "CODEX_SANDBOX", "GEMINI_CLI", "CURSOR_AGENT"):
        told = desk.run("approvals", "list", shell=variable, expect=exits.REFUSED).err
        assert variable in told
        assert "in your own terminal" in told
