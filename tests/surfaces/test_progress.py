"""What takes a while says so on a person's terminal, and nowhere else: not into a pipe, and not beside JSON."""

from __future__ import annotations

import os
import pty
import shutil
import sys
import threading
from pathlib import Path

import pytest

from guardhouse.__main__ import _Composition
from guardhouse.bundle import load
from guardhouse.surfaces.cli.main import main
from tests.surfaces.terminal import prepare


class Terminal:
    """A real terminal as standard error, and what it was shown."""

    def __init__(self) -> None:
        self._ours, theirs = pty.openpty()
        self.file = os.fdopen(theirs, "w", buffering=1)
        self._shown: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._ours, 65_536)
            except OSError:  # how a terminal says that nobody writes any more
                return
            if not part:
                return
            self._shown.append(part)

    def close(self) -> str:
        """End it; everything it was shown."""
        self.file.close()
        self._reader.join(10)
        os.close(self._ours)
        return b"".join(self._shown).decode()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_text('{"command": "ls", "expected": "allow"}\n')
    return file


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("home")
    prepare(place)
    return place


@pytest.fixture
def own(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("GUARDHOUSE_", "CODEX_", "CLAUDE")) or name in ("GEMINI_CLI", "CURSOR_AGENT"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GUARDHOUSE_HOME", str(home))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    return home


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str]:
    """Run one command line with a terminal as its standard error; its status, and what the terminal was shown."""
    terminal = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal.file)
        status = main(_Composition(), words)
    return status, terminal.close()


LONG = (
    (("init",), "preparing the home"),
    (("migrate",), "migrating the database"),
    (("policy", "check"), "loading the policies"),
    (("policy", "activate", "POLICIES"), "activating the policies"),
    (("policy", "rollback"), "putting the policies back"),
    (("ledger", "verify"), "verifying"),
    (("ledger", "replay"), "replaying"),
    (("ledger", "export"), "exporting entries"),
    (("guardrails", "score", "ROWS"), "judging"),
    (("report",), "reading the ledger"),
)


@pytest.mark.parametrize(("words", "says"), LONG, ids=[" ".join(words[:2]) for words, _says in LONG])
def test_what_takes_a_while_says_so_on_a_terminal_and_only_there(
    own: Path,
    rows: Path,
    words: tuple[str, ...],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = {"POLICIES": str(own / "policies"), "ROWS": str(rows)}
    line = [given.get(word, word) for word in words]
    if words[:2] == ("policy", "rollback"):
        changed = tmp_path / "policies"
        shutil.copytree(load.shipped_directory(), changed)
        (changed / "gateway.yaml").write_text("engine: native\n")
        assert main(_Composition(), ["policy", "activate", str(changed)]) == 0
    capsys.readouterr()
    status, shown = run(monkeypatch, *line)
    assert status == 0, shown
    assert says in shown
    assert says not in capsys.readouterr().out
    if words not in (
        ("ledger", "export"),
        ("ledger", "verify"),
    ):  # a person waits for these while JSON goes into a file
        _status, beside = run(monkeypatch, *line, "--json")
        assert says not in beside
        assert "\x1b" not in beside
