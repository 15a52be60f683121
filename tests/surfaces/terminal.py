"""The command line for tests: in this process over a home with a real server, or as the real command."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from guardhouse import app
from guardhouse.__main__ import _Composition
from guardhouse.settings import Settings
from guardhouse.storage import private
from guardhouse.surfaces.cli import operator
from guardhouse.surfaces.cli.main import main
from tests.compiling import founding
from tests.server import Server, environment, serving


@dataclass
class Done:
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on standard output."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON values on standard output, a line each."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Desk:
    """A person's terminal at a home."""

    home: Path
    env: dict[str, str]
    capsys: pytest.CaptureFixture[str] = field(repr=False)
    patch: pytest.MonkeyPatch = field(repr=False)

    def run(self, *arguments: str, token: str = "", expect: int | None = 0, shell: str = "") -> Done:
        """Run one command line in this process; its exit status must be `expect`, unless that is None.

        `shell` names the variable by which an agent's shell is known; a person's has none.
        """
        self.capsys.readouterr()
        with self.patch.context() as patch:
            for name in list(os.environ):
                if name.startswith("GUARDHOUSE_") or operator.agent_variable({name: "1"}):
                    patch.delenv(name)
            for name, value in self.env.items():
                if name.startswith("GUARDHOUSE_"):
                    patch.setenv(name, value)
            if token:
                patch.setenv("GUARDHOUSE_TOKEN", token)
            if shell:
                patch.setenv(shell, "1")
            status = main(_Composition(), arguments)
        captured = self.capsys.readouterr()
        done = Done(status, captured.out, captured.err)
        assert expect in (status, None), (arguments, done)
        assert "\x1b" not in done.out + done.err, "no colours where no terminal is"
        return done

    def json(self, *arguments: str, token: str = "", expect: int = 0) -> Any:
        """Run a command with `--json`; the value it prints."""
        return self.run(*arguments, "--json", token=token, expect=expect).json

    def agent(self, handle: str, trust: int = 2) -> dict[str, Any]:
        """Register an agent; its id and token."""
        added: dict[str, Any] = self.json("agents", "add", handle, "--trust", str(trust))
        return added


def prepare(home: Path, database_url: str = "") -> dict[str, str]:
    """Found a workspace in a home, as `init` does, over a database that is migrated; the environment to use it."""
    settings = Settings(home=home, database_url=database_url)
    if not database_url:
        app.migrate(settings)
    with founding():
        made = app.found(settings, "default", "olga")
    private.replaced(operator.token_file(home), made.operator_token)
    return environment(home, database_url)


@contextmanager
def served(home: Path, database_url: str = "") -> Iterator[tuple[dict[str, str], Server]]:
    """A prepared home with its gateway running."""
    env = prepare(home, database_url)
    with serving(env) as server:
        yield env, server
