"""Shell histories and JSON lines become commands, each exactly as it was typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guardhouse.errors import InvalidInput
from guardhouse.surfaces.demo import commands
from guardhouse.surfaces.demo.commands import Sample, parse


def texts(data: str | bytes) -> list[str]:
    return [one.text for one in parse("file", data if isinstance(data, bytes) else data.encode()).samples]


@pytest.mark.parametrize("data", ["", "\n\n  \n", "# only words\n"])
def test_a_file_without_a_command_is_refused(data: str) -> None:
    with pytest.raises(InvalidInput, match="holds no command"):
        parse("file", data.encode())


def test_plain_lines_with_comments_and_continuations() -> None:
    data = "ls\n\n# a note\ngit commit \\\n  -m one\necho 'ends in two' \\\\\nls"
    assert texts(data) == ["ls", "git commit \\\n  -m one", "echo 'ends in two' \\\\", "ls"]


def test_a_bash_history_with_times_keeps_commands_of_many_lines_whole() -> None:
    data = "before\n#1700000000\ngit status\n#1700000009\nfor f in *; do\n  # not a time\n  echo $f\ndone\n#1700000010\nls\n"
    found = parse("file", data.encode())
    assert found.form == "bash history"
    assert [one.text for one in found.samples] == [
        "before",
        "git status",
        "for f in *; do\n  # not a time\n  echo $f\ndone",
        "ls",
    ]


def test_a_zsh_history_with_continued_lines() -> None:
    data = ": 1700000000:0;git status\n: 1700000001:12;for f in *\\\ndo echo $f\\\ndone\n: 1700000002:0;printf x \\\\\ny\nplain\n"
    found = parse("file", data.encode())
    assert found.form == "zsh history"
    assert [one.text for one in found.samples] == [
        "git status",
        "for f in *\ndo echo $f\ndone",
        "printf x \\\ny",
        "plain",
    ]


def test_a_zsh_history_is_read_as_zsh_writes_bytes() -> None:
    """zsh keeps the byte 0x9f (here of an emoji) as 0x83 and the byte with bit 5 turned over."""
    typed = "echo 🟠 € done"
    kept = b"".join(bytes([0x83, byte ^ 0x20]) if 0x83 <= byte <= 0xA2 else bytes([byte]) for byte in typed.encode())
    assert texts(b": 1700000000:0;" + kept + b"\n") == [typed]


def test_json_lines_with_expectations() -> None:
    rows = [
        {"command": "a\nb", "expected": "block", "category": "x"},
        {"command": "ls"},
        {"command": "id", "expected": None},
    ]
    found = parse("file", "\n".join(json.dumps(row) for row in rows).encode())
    assert found.form == "json lines"
    assert found.samples == (Sample("a\nb", "block"), Sample("ls"), Sample("id"))


@pytest.mark.parametrize(
    "line",
    [
        '{"command": 7}',
        '{"other": "ls"}',
        "[1]",
        '{"command": "ls", "expected": "maybe"}',
        "{" * 100_000,
        '{"command": "x',
    ],
)
def test_a_bad_json_line_is_named(line: str) -> None:
    with pytest.raises(InvalidInput, match="line 2"):
        parse("file", ('{"command": "ls"}\n' + line).encode())


def test_what_is_too_much_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MOST_COMMANDS", 3)
    found = parse("file", ("ls\n" + "x" * (commands.MOST_CHARACTERS + 1) + "\nid\npwd\n").encode())
    assert ([one.text for one in found.samples], found.too_long, found.cut) == (["ls", "id"], 1, True)


def test_bytes_that_are_no_text_do_not_stop_it() -> None:
    assert texts(b"ls\n\xff\xfe\x00\nid\n") == ["ls", "\ufffd\ufffd\x00", "id"]


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        commands.read(tmp_path / "none")
    with pytest.raises(InvalidInput, match="is a directory"):
        commands.read(tmp_path)


def test_the_shipped_sample_is_everyday_work() -> None:
    found = commands.shipped()
    assert len(found.samples) > 100
    assert len({one.text for one in found.samples}) == len(found.samples)
