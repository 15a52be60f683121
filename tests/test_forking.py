"""A process forked from the nursery is the real command: what it says, its status, its surroundings, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forking import Forked
from tests.server import NURSERIES, environment, guardhouse, serving
from tests.surfaces.terminal import prepare


@pytest.mark.parametrize("words", [("--version",), ("no-such-command",), ("status",), ("policy", "check", "here")])
def test_it_says_what_a_process_started_anew_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    env = environment(tmp_path / "home")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    anew = subprocess.run(
        [sys.executable, "-m", "guardhouse", *words], env=env, capture_output=True, text=True, timeout=60
    )
    forked = guardhouse(env, *words, check=False)
    assert (forked.returncode, forked.stdout, forked.stderr) == (anew.returncode, anew.stdout, anew.stderr)
    assert anew.stdout + anew.stderr


def test_two_gateways_are_two_processes_that_end_as_told(tmp_path: Path) -> None:
    with serving(prepare(tmp_path / "one")) as one, serving(prepare(tmp_path / "other")) as other:
        assert isinstance(one.process, Forked)
        assert len({one.process.pid, other.process.pid, os.getpid()}) == 3
        assert (one.process.poll(), other.process.poll()) == (None, None)
        with pytest.raises(subprocess.TimeoutExpired):
            one.process.wait(0.01)
        one.kill()
        assert (one.process.returncode, other.process.poll()) == (-signal.SIGKILL, None)
        assert other.stop() == 0


def test_what_is_read_before_the_first_line_needs_a_process_started_anew(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as sink:
        streams = (sink.fileno(), sink.fileno())
        for name in ("PYTHONUTF8", "LC_ALL", "TZ"):
            env = environment(tmp_path, **{name: "C"})
            assert NURSERIES[0].start("guardhouse", ("--version",), env, *streams) is None
