"""The demo, as anybody runs it: all as told, its gateway gone afterwards, also when it is broken off."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from guardhouse.surfaces.demo import commands, fleet, sample
from guardhouse.surfaces.demo.account import Account
from guardhouse.surfaces.demo.stage import Stage
from tests.server import environment
from tests.surfaces.terminal import Desk

QUICKSTART = Path(__file__).parents[2] / "docs" / "quickstart.md"
ROWS = [
    {"command": "git status", "expected": "allow"},
    {"command": "rm -rf /", "expected": "block"},
    {"command": "npm publish", "expected": "ask"},
    {"command": "ls", "expected": "block"},
    {"command": "echo a\nls"},
]


def test_everything_goes_as_told_with_a_file_of_commands(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    # Settings of another Guardhouse, and an agent's shell, do not reach the demo's own.
    env = environment(
        tmp_path / "other", "sqlite:////nowhere/at.db", GUARDHOUSE_URL="http://127.0.0.1:9", CLAUDECODE="1"
    )
    done = subprocess.run(
        [sys.executable, "-m", "guardhouse", "demo", "--commands", str(file), "--json"],
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
    )
    told = json.loads(done.stdout)
    assert [step for step in told["steps"] if not step["ok"]] == []
    assert (done.returncode, told["ok"]) == (0, True)
    assert told["sample"]["sent"] == len(ROWS)
    assert told["sample"]["confusion"]["allow"]["allow"] == 1
    assert told["sample"]["confusion"]["block"] == {"allow": 1, "warn": 0, "ask": 0, "block": 1}
    assert (told["sample"]["agree"], told["sample"]["expected"]) == (3, 4)
    assert told["ledger"]["ok"] is True
    page = QUICKSTART.read_text(encoding="utf-8")
    assert [step["told"] for step in told["steps"] if f"  ok    {step['told']}" not in page] == [], "print it anew"
    assert any("over MCP with the official client" in step["told"] for step in told["steps"])
    assert not (tmp_path / "other").exists()


HISTORIES = {
    "zsh history": ": 1700000000:0;git status\n: 1700000001:3;rm -rf /\n: 1700000002:0;ls \\\n-la\n",
    "bash history": "#1700000000\ngit status\n#1700000001\nrm -rf /\n#1700000002\nls \\\n-la\n",
    "one a line": "git status\nrm -rf /\nls \\\n-la\n",
}


def test_a_shell_history_is_judged_by_a_real_gateway(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real command with each file in turn on one gateway, the other acts left out; at the end the ledger is verified."""
    acts = import_module("guardhouse.surfaces.demo.play")
    files = {form: tmp_path / form for form in HISTORIES}
    for form, text in HISTORIES.items():
        files[form].write_text(text)
    *others, last = files
    sent: dict[str, dict[str, int]] = {}

    def judge_the_others(set_up: Stage, account: Account) -> None:
        players = [set_up.agents["trust-2"]]
        for form in others:
            read = commands.read(files[form])
            assert read.form == form
            judged = sample.judge(players, read.samples, lambda _done: None)
            sent[form] = sample.figures(read, judged)["verdicts"]

    monkeypatch.setattr(acts, "ACTS", (fleet.hire, judge_the_others))
    desk = Desk(tmp_path, environment(tmp_path / "other"), capsys, monkeypatch)
    told = desk.json("demo", "--commands", str(files[last]))
    assert [step for step in told["steps"] if not step["ok"]] == []
    assert (told["ok"], told["ledger"]["ok"]) == (True, True)
    assert (told["sample"]["form"], told["sample"]["sent"]) == (last, 3)
    sent[last] = told["sample"]["verdicts"]
    assert list(sent) == [*others, last]
    assert all(verdicts == {"allow": 2, "block": 1} for verdicts in sent.values()), sent


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_broken_off_it_ends_its_gateway(tmp_path: Path, number: signal.Signals) -> None:
    places = {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "guardhouse", "demo"],
        env=environment(tmp_path / "other", **places),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        said = demo.stdout.readline()
        gateway = int(re.search(r"\(process (\d+)\)", said)[1])  # type: ignore[index]
        os.kill(gateway, 0)
        demo.send_signal(number)
        demo.stdout.read()
        assert demo.wait(60) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(gateway, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "guardhouse", "demo", "--commands", str(tmp_path / "none")],
        env=environment(tmp_path / "other"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 64
    assert "no such file" in done.stderr
