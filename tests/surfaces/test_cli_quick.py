"""The short way for plain command lines: the same words and statuses as the whole command, and little loaded."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from guardhouse.__main__ import _Composition
from guardhouse.surfaces.cli import quick
from tests.surfaces.terminal import Desk

PLAIN: tuple[tuple[str, ...], ...] = (
    ("check", "ls -la"),
    ("check", "git push --force", "--json"),
    ("check", "git push --force", "--explain"),
    ("check", "--kind=sql", "DROP TABLE users"),
    ("check", "git status", "--kind", "shell", "--cwd", "src", "--approval", "apr_none"),
    ("call", "check_locks"),
    ("call", "check_locks", "--json"),
    ("call", "check_locks", "limit=5"),
    ("call", "check_locks", "limit=five"),
    ("call", "check_locks", "no-equals-sign"),
    ("call", "no_such_operation", "--json"),
    ("call", "no_such_operation"),
    ("call", "release_lock", "key=src/none.py", "--idempotency-key", "k1"),
    ("status",),
    ("status", "--json"),
)

NOT_PLAIN: tuple[tuple[str, ...], ...] = (
    (),
    ("--help",),
    ("--version",),
    ("agents", "list"),
    ("check",),
    ("check", "--help"),
    ("check", "-h"),
    ("check", " "),
    ("check", "a", "b"),
    ("check", "a", "--kind", "poem"),
    ("check", "a", "--kind"),
    ("check", "a", "--cwd", "--json"),
    ("check", "a", "--json", "--json"),
    ("check", "a", "--json=yes"),
    ("check", "--", "-a"),
    ("check", "a", "--explai"),
    ("call",),
    ("call", "check_locks", "--explain"),
    ("status", "now"),
)

_CHANGING = re.compile(
    r"\b(dec|req|lck|cli)[_-][0-9a-z]+|\d{4}-\d\d-\d\dT[0-9:.]+Z?|\"?(queued|checkpoint_lag|times_refused)\"?:? +\"?\d+\"?"
)


def _same(text: str) -> str:
    text = re.sub(r" *refused \d+ times in this session\n", "", text)
    return _CHANGING.sub("…", re.sub(r" It was refused \d+ times in this session\.", "", text))


@pytest.mark.parametrize("words", PLAIN, ids=" ".join)
def test_the_short_way_says_what_the_whole_command_says(desk: Desk, words: tuple[str, ...], capsys: Any) -> None:
    whole = desk.run(*words, expect=None)
    with desk.patch.context() as patch:
        for name, value in desk.env.items():
            if name.startswith("GUARDHOUSE_"):
                patch.setenv(name, value)
        status = quick.run(_Composition(), words)
    captured = capsys.readouterr()
    assert status == whole.status
    assert _same(captured.out) == _same(whole.out)
    assert _same(captured.err) == _same(whole.err)


@pytest.mark.parametrize("words", NOT_PLAIN, ids=" ".join)
def test_what_is_not_plain_is_left_to_the_whole_command(words: tuple[str, ...]) -> None:
    assert quick.run(_Composition(), words) is None


_LOADED = """
import json, runpy, sys
sys.argv = ["guardhouse", *sys.argv[1:]]
try:
    runpy.run_module("guardhouse", run_name="__main__")
except SystemExit as end:
    print(json.dumps([end.code, sorted(sys.modules)]), file=sys.stderr)
"""


@pytest.mark.parametrize("words", [("check", "ls"), ("call", "check_locks", "--json"), ("status",)], ids=" ".join)
def test_a_plain_command_line_loads_no_framework(desk: Desk, words: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-c", _LOADED, *words], env=desk.env, capture_output=True, text=True)
    status, modules = json.loads(done.stderr.splitlines()[-1])
    assert status == 0, done.stderr
    assert not {"typer", "rich", "pydantic", "sqlalchemy", "guardhouse.operations", "guardhouse.app"} & set(modules)


def test_a_reader_who_leaves_early_is_no_fault(desk: Desk) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "guardhouse", "status", "--json"],
        env=desk.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
