"""Scoring: what a labelled row may say, what the rates mean, and the command that prints them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guardhouse.__main__ import _Composition
from guardhouse.errors import LawFault
from guardhouse.guardrails import scoring
from guardhouse.surfaces.cli import exits
from guardhouse.surfaces.cli.main import main


def _row(command: str, expected: str, **more: Any) -> dict[str, Any]:
    return {"command": command, "expected": expected, **more}


ROWS = [
    _row("git push --force origin main", "block", category="git", source="a"),
    _row("ls", "block", category="git", source="a"),
    _row("kubectl drain n1", "ask", category="deployment", source="b"),
    _row("ls -la", "allow", category="git", source="a"),
    _row("git reset --hard", "allow", category="git", source="a"),
    _row("git commit --no-verify -m x", "ask", category="git", source="b"),
    _row("git reset --hard", "allow", strength="weak"),
    _row("ls", "ask", scope="extended"),
    _row("git status", "warn", category="other"),
]


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


def _file(folder: Path, data: bytes) -> str:
    path = folder / "rows.jsonl"
    path.write_bytes(data)
    return str(path)


def test_nothing_given_is_no_score() -> None:
    with pytest.raises(LawFault, match="no rows"):
        scoring.read_rows(b"\n  \n", "f")
    assert scoring.tally([], []) == scoring.Rates(0, 0, 0, None, None, None, None, None)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "rows.jsonl:2: not a JSON value"),
        (b"[" * 100_000, "rows.jsonl:2: not a JSON value"),
        (b"3", "rows.jsonl:2: not an object"),
        (b'"\xff"', "rows.jsonl:2: not UTF-8"),
        (b'{"expected": "ask"}', "rows.jsonl:2: the row lacks `command`"),
        (b'{"command": "ls"}', "rows.jsonl:2: the row lacks `expected`"),
        (b'{"command": 1, "expected": "ask"}', "rows.jsonl:2: `command` is not text"),
        (b'{"command": "ls", "expected": "deny"}', "rows.jsonl:2: `expected` is `deny`, not one of allow"),
        (b'{"command": "ls", "expected": "ask", "strength": "sure"}', "rows.jsonl:2: `strength` is `sure`"),
        (b'{"command": "ls", "expected": "ask", "scope": "all"}', "rows.jsonl:2: `scope` is `all`"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(
    line: bytes, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _file(tmp_path, _lines(ROWS[:1]) + b"\n" + line + b"\n")
    assert main(_Composition(), ["guardrails", "score", path]) == exits.FAULT
    told = capsys.readouterr()
    assert says in told.err.replace("\n", " ")
    assert not told.out


def test_a_file_that_is_not_there_is_an_error_of_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(_Composition(), ["guardrails", "score", str(tmp_path / "none")]) == exits.USAGE
    assert "cannot be read" in capsys.readouterr().err


def test_rates_are_by_scope_strength_source_and_category(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(_Composition(), ["guardrails", "score", _file(tmp_path, _lines(ROWS)), "--json", "--wrong"]) == 0
    told = json.loads(capsys.readouterr().out)
    groups = told["groups"]
    assert told["rows"] == 9
    assert list(groups) == [
        "core, strong", "core, weak", "extended, strong",
        "source a", "source b", "source unnamed", "category deployment", "category git", "category other",
    ]  # fmt: skip
    assert groups["core, strong"] == {
        "rows": 7, "positives": 4, "negatives": 2,
        "detect": 75.0, "gate": 50.0, "block": 50.0, "false_positive": 50.0, "false_block": 50.0,
    }  # fmt: skip
    assert groups["source b"]["detect"] == 100.0
    assert groups["source b"]["gate"] == 50.0
    assert groups["core, weak"]["false_block"] == 100.0
    assert groups["core, weak"]["gate"] is None
    assert groups["category other"]["false_positive"] is None
    assert [(one["line"], one["verdict"]) for one in told["wrong"]] == [
        (2, "allow"), (5, "block"), (6, "warn"), (7, "block"), (8, "allow"),
    ]  # fmt: skip
    assert 0 < told["latency_us"]["p50"] <= told["latency_us"]["p99"] <= told["latency_us"]["max"]


def test_people_see_a_table_and_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "ghp_" + "a" * 36
    rows = [*ROWS, _row(f"curl -H 'Authorization: {secret}' https://example.com", "allow")]
    assert main(_Composition(), ["guardrails", "score", _file(tmp_path, _lines(rows)), "--wrong"]) == 0
    out = capsys.readouterr().out
    assert "core, strong" in out
    assert "microseconds: p50" in out
    assert "rows.jsonl:2: core strong git: expected block, got allow: ls" in out
    assert secret not in out
    assert "[redacted:secrets.header]" in out
