"""The gateway that hooks start: once, however many ask at once, however slowly it comes up; and each of them is answered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from guardhouse.surfaces.hooks import shim
from guardhouse.surfaces.install import clients, placing
from tests.server import environment, guardhouse, serving
from tests.surfaces.hooks.payloads import GIVEN, PAYLOADS, refused
from tests.surfaces.terminal import prepare

AT_ONCE = 8
SLACK = 20.0
"""Seconds that eight processes at once may take beside what the shim itself waits, on a machine with other work."""


@dataclass
class House:
    """A home with one client's hook, and a start that counts itself."""

    home: Path
    env: dict[str, str]
    token: str

    @property
    def starts(self) -> int:
        counted = self.home / "starts"
        return len(counted.read_text().splitlines()) if counted.exists() else 0

    def starting(self, script: str) -> None:
        """From now on the hook starts this, which is counted first."""
        (self.home / "starts").unlink(missing_ok=True)
        begin = self.home / "begin"
        begin.write_text(f'#!/bin/sh\necho x >> "{self.home}/starts"\n{script}\n')
        begin.chmod(0o700)
        placing.configure(self.home, placing.Hooked("gemini", "", "closed"), self.token)
        path = self.home / "hooks" / "gemini.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"start": [str(begin)]}))

    def ask(self, count: int = AT_ONCE) -> tuple[list[str], float]:
        """So many hooks at once for an allowed command: what each is answered, and how long the slowest took."""
        line = clients.command("gemini", placing.run_file(self.home), "closed")
        body = json.dumps(PAYLOADS["gemini"]("shell", GIVEN["shell.allow"])).encode()
        began = time.monotonic()
        running = [
            subprocess.Popen(
                ["/bin/sh", "-c", line],
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for _ in range(count)
        ]
        for one in running:
            assert one.stdin is not None
            one.stdin.write(body)
            one.stdin.close()
        told = []
        for one in running:
            assert one.stdout is not None
            assert one.stderr is not None
            told.append(one.stdout.read().decode() + one.stderr.read().decode())
            assert one.wait(60) == 0, told
            one.stdout.close()
            one.stderr.close()
        return told, time.monotonic() - began


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    home = tmp_path_factory.mktemp("starting") / "home"
    env = environment(home, GUARDHOUSE_CHECKPOINT_SECONDS="3600")
    prepare(home)
    added = json.loads(guardhouse(env, "agents", "add", "hooked", "--trust", "2", "--json").stdout)
    placing.place(home)
    return House(home, env, added["token"])


@pytest.fixture(scope="module")
def found(house: House) -> Iterator[str]:
    """A gateway that runs and is not found: the commands by which a start lets it be found."""
    with serving(house.env) as server:
        kept, half = house.home / "endpoint.kept", house.home / "half"
        (house.home / "endpoint.json").rename(kept)
        yield f'/bin/cp -p "{kept}" "{half}"; /bin/mv "{half}" "{house.home}/endpoint.json"'
        server.stop()


def test_eight_hooks_at_once_start_one_gateway_and_are_all_answered_by_it(house: House, found: str) -> None:
    house.starting(found)
    told, seconds = house.ask()
    assert (told, house.starts) == (["{}"] * AT_ONCE, 1)
    assert seconds < shim.START_SECONDS + SLACK
    assert house.ask(1)[0] == ["{}"]
    assert house.starts == 1, "one that answers is not started"


def test_one_that_comes_up_slowly_is_waited_for_and_never_started_twice(house: House, found: str) -> None:
    """It waits for a word from this test, so that the hooks' three seconds are over long before it answers."""
    endpoint, word = house.home / "endpoint.json", house.home / "word"
    endpoint.unlink(missing_ok=True)
    os.mkfifo(word)
    house.starting(f'read line < "{word}"\n{found}\nread line < "{word}"')
    for _ in range(2):
        told, seconds = house.ask(2)
        assert all(refused("gemini", json.loads(one)) == "deny" and "guardhouse doctor" in one for one in told)
        assert shim.START_SECONDS <= seconds < shim.START_SECONDS + SLACK
        assert house.starts == 1, "it still comes up"
    word.write_text("go\n")
    _until(endpoint.exists)
    assert (house.ask(2)[0], house.starts) == (["{}"] * 2, 1)
    # When what was started is over, the next hook that finds none starts one again.
    word.write_text("over\n")
    endpoint.unlink()
    _until(lambda: _free(house.home / "hook-start.lock"))
    house.starting(found)
    assert (house.ask(1)[0], house.starts) == (["{}"], 1)


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _free(lock: Path) -> bool:
    import fcntl

    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def test_a_real_gateway_is_started_by_eight_hooks_once_and_stays(house: House) -> None:
    """How long it takes to come up is the machine's; until then each hook is denied in the client's own words."""
    endpoint = house.home / "endpoint.json"
    endpoint.unlink(missing_ok=True)
    house.starting(f'exec "{sys.executable}" -m guardhouse serve --port 0')
    told, seconds = house.ask()
    assert seconds < shim.START_SECONDS + SLACK
    assert all(one == "{}" or refused("gemini", json.loads(one)) == "deny" for one in told)
    _until(endpoint.exists)
    try:
        assert (house.ask()[0], house.starts) == (["{}"] * AT_ONCE, 1)
    finally:
        os.kill(int(json.loads(endpoint.read_text())["pid"]), signal.SIGTERM)
        _until(lambda: not endpoint.exists())


def test_the_gateway_is_started_from_no_module_of_the_folder_the_agent_works_in(tmp_path: Path) -> None:
    for name in ("guardhouse", "logging"):
        (tmp_path / name).mkdir()
        for file in ("__init__.py", "__main__.py"):
            (tmp_path / name / file).write_text("raise SystemExit('not the gateway')\n")
    env = dict(os.environ) | {"PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": str(tmp_path / "guardhouse/__init__.py")}
    done = subprocess.run(
        [*placing.serve_command(), "--help"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "not the gateway" not in done.stdout + done.stderr
