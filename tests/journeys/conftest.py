"""A house for journeys: a real gateway process over a fresh database, an operator, and the real command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from guardhouse import app
from guardhouse.settings import Settings
from guardhouse.surfaces.cli.composition import Founded
from tests.server import Server, environment, guardhouse, serving


@dataclass
class Agent:
    """A registered agent and its first token."""

    id: str
    token: str = field(repr=False)
    token_id: str = ""


@dataclass
class House:
    """One home with its server; `operator` is the first person's token."""

    home: Path
    env: dict[str, str]
    server: Server
    operator: str = field(repr=False)
    workspace_id: str = ""

    def call(self, token: str, operation: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
        """One call over a socket of its own: status and answer."""
        return self.server.call(token, operation, body, **headers)

    def done(self, token: str, operation: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """One call that must be performed."""
        status, answer = self.call(token, operation, body, **headers)
        assert status == 200, (operation, status, answer)
        return answer

    def refused(self, token: str, operation: str, body: Any = None, **headers: str) -> tuple[int, str]:
        """One call that must not be performed: status and code."""
        status, answer = self.call(token, operation, body, **headers)
        assert status != 200, (operation, answer)
        return status, answer["error"]["code"]

    def agent(self, handle: str, trust: int = 2, **more: Any) -> Agent:
        """Register an agent as the operator."""
        added = self.done(self.operator, "add_agent", {"handle": handle, "trust": trust, **more})
        return Agent(added["agent_id"], added["token"], added["token_id"])

    def person(self, name: str, *roles: str) -> str:
        """Add a person as the operator; their token."""
        added = self.done(self.operator, "add_person", {"name": name, "roles": list(roles)})
        return str(added["token"])

    def entry(self, decision_id: str) -> dict[str, Any]:
        """The one ledger entry of a decision."""
        found = self.done(self.operator, "query_audit", {"decision_id": decision_id})["entries"]
        assert len(found) == 1, (decision_id, found)
        return found[0]

    def command(self, *arguments: str, check: bool = True) -> tuple[int, str]:
        """Run the command line as the operator: its status and all it printed."""
        done = guardhouse(self.env, *arguments, check=check)
        return done.returncode, done.stdout + done.stderr


def founded(home: Path, database_url: str, **more: str) -> tuple[dict[str, str], Founded]:
    """Prepare a home as `guardhouse init` does: its environment, and what was made."""
    settings = Settings(home=home, database_url=database_url)
    made = app.found(settings, "default", "olga")
    return environment(home, database_url, **more), made


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    """A house on each database in turn."""
    home = tmp_path / "home"
    env, made = founded(home, database_url)
    with serving(env) as server:
        yield House(home, env, server, made.operator_token, made.workspace_id)
        assert server.stop() == 0
