"""What lies in a home: every file that a run leaves there is on the operator's page, and the page names no other."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest

from guardhouse.ledger import keys
from tests.server import environment, serving
from tests.surfaces.terminal import Desk

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"
ELSEWHERE = {"sample-agent.token"}
"""Written by `scripts/run.sh`, which a test of its own runs."""


def listed() -> list[str]:
    """The names in the first column of the table under `Home`, a placeholder such as NAME as a pattern."""
    section = PAGE.read_text(encoding="utf-8").partition("\n## Home\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    return [re.sub(r"\b[A-Z]{2,}\b", "*", name) for name in named]


def names_in(home: Path) -> set[str]:
    return {path.name + "/" * path.is_dir() for path in home.iterdir()}


def test_every_file_in_a_home_is_on_the_operators_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home in which everything happens that leaves something: founded, served, rotated, installed, called."""
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(tmp_path))
    desk = Desk(home, environment(home), capsys, monkeypatch)
    desk.run("init")
    desk.run("init", "--workspace", "second")
    for _ in range(2):
        keys.rotate(home / "signing.key")
    with serving(desk.env) as server:
        agent = desk.agent("worker")["token"]
        assert server.call(agent, "acquire_lock", {"key": "src/a.py"})[0] == 200
        desk.run("install", "codex")
        found = names_in(home)
        server.stop()
    found |= names_in(home)
    names = listed()
    assert len(names) == len(set(names))
    strange = {name for name in found if not any(fnmatch.fnmatchcase(name, pattern) for pattern in names)}
    assert strange == set(), "say in docs/operating.md what these are, and what it means to lose them"
    absent = {pattern for pattern in names if not fnmatch.filter(found, pattern)} - ELSEWHERE
    assert absent == set(), "no run leaves these: take them off the page, or leave one here"
    for name in ("guardhouse.db.migrate", "guardhouse.db.next", "guardhouse.db.now", "suppressed.log"):
        (home / name).unlink()
    assert desk.json("people", "list")["people"]
    assert desk.json("ledger", "verify", "--workspace", "default")["ok"]
