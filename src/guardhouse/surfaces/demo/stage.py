"""The stage: a temporary home, a gateway process of its own, and people and agents; all of it gone afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guardhouse.surfaces.demo.line import Player
from guardhouse.surfaces.endpoint import find_endpoint

START_SECONDS = 60.0
COMMAND_SECONDS = 180.0
END_SECONDS = 20.0


class StageFault(Exception):
    """The stage could not be set: a command or the gateway did not do what the play needs."""


@dataclass(slots=True)
class Stage:
    """A running gateway, the operator, and how to run the real command line against it."""

    home: Path
    environment: dict[str, str]
    address: str
    pid: int
    operator: Player
    agents: dict[str, Player] = field(default_factory=dict)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `guardhouse …` as the operator does in a terminal; its status and what it printed."""
        return _command(self.environment, *arguments)

    def told(self, *arguments: str) -> dict[str, Any]:
        """Run a command that must succeed and answer with one JSON object."""
        return _told(self.environment, *arguments)

    def hire(self, handle: str, trust: int, role: str = "developer", profile: str = "") -> Player:
        """Register an agent over HTTP, as the operator."""
        body: dict[str, Any] = {"handle": handle, "trust": trust, "role": role}
        added = self.operator.call("add_agent", **body, **({"profile": profile} if profile else {}))
        if not added.ok:
            raise StageFault(f"the agent `{handle}` could not be added: {added.message}")
        return self._enter(handle, trust, added.body)

    def hire_by_command(self, handle: str, trust: int, role: str = "developer") -> Player:
        """Register an agent by the command line, as the operator."""
        told = self.told("agents", "add", handle, "--trust", str(trust), "--role", role, "--json")
        return self._enter(handle, trust, told)

    def _enter(self, handle: str, trust: int, told: Any) -> Player:
        player = Player(handle, self.address, str(told["token"]), str(told["agent_id"]), trust)
        self.agents[handle] = player
        return player


@contextmanager
def stage() -> Iterator[Stage]:
    """Set a stage in a temporary home. The gateway is ended by its own pid and the home removed, whatever happens."""
    with tempfile.TemporaryDirectory(prefix="guardhouse-demo-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        environment = _environment(home)
        first = _told(environment, "init", "--json")
        # The play acts as the operator on purpose: this home, and what this token opens, is its own.
        environment["GUARDHOUSE_TOKEN"] = str(first["operator_token"])
        process = _start(home, environment)
        try:
            address = _await(home, process)
            operator = Player("operator", address, environment["GUARDHOUSE_TOKEN"])
            yield Stage(home, environment, address, process.pid, operator)
        finally:
            _end(process)


def _environment(home: Path) -> dict[str, str]:
    """This process's environment without any setting of another Guardhouse."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GUARDHOUSE_")}
    return kept | {"GUARDHOUSE_HOME": str(home), "GUARDHOUSE_LOG_LEVEL": "warning"}


def _command(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603  # our own command with our own arguments
            [sys.executable, "-m", "guardhouse", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise StageFault(f"`guardhouse {arguments[0]}` did not end within {COMMAND_SECONDS:.0f} s") from error


def _told(environment: dict[str, str], *arguments: str) -> dict[str, Any]:
    done = _command(environment, *arguments)
    try:
        told = json.loads(done.stdout)
    except ValueError:
        told = None
    if done.returncode != 0 or not isinstance(told, dict):
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise StageFault(f"`guardhouse {' '.join(arguments[:2])}` ended with status {done.returncode}: {said}")
    return told


def _start(home: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with (home / "serve.log").open("wb") as log:
        # A session of its own: Ctrl-C in the terminal reaches the play, and the play ends the gateway.
        return subprocess.Popen(
            [sys.executable, "-m", "guardhouse", "serve", "--port", "0"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _await(home: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = find_endpoint(home)
        if found is not None and found.pid == process.pid:
            return found.address
        if process.poll() is not None:
            break
        time.sleep(0.05)
    said = (home / "serve.log").read_text(errors="replace").strip().splitlines()
    raise StageFault(f"the gateway did not start: {said[-1] if said else 'it said nothing'}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the gateway by its own pid: asked first, made to when it does not."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
