"""A house for journeys: a real gateway process over a fresh database, an operator, and the real command line."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine.url import make_url

from guardhouse import app
from guardhouse.bundle import load
from guardhouse.settings import Settings
from guardhouse.surfaces.cli.composition import Founded
from tests.compiling import founding
from tests.conftest import administer
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


def founded(home: Path, database_url: str) -> tuple[dict[str, str], Founded]:
    """Prepare a home as `guardhouse init` does: its environment, and what was made."""
    settings = Settings(home=home, database_url=database_url)
    app.migrate(settings)
    with founding():
        return environment(home, database_url), app.found(settings, "default", "olga")


_slugs = itertools.count(1)


def own_workspace(first: House) -> House:
    """The same server with a workspace of a test's own: nothing of another test is seen in it."""
    made = first.done(first.operator, "create_workspace", {"slug": f"own-{next(_slugs)}", "person_name": "olga"})
    env = first.env | {"GUARDHOUSE_TOKEN": made["token"], "GUARDHOUSE_WORKSPACE": made["slug"]}
    return House(first.home, env, first.server, made["token"], made["workspace_id"])


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def ground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty database of each dialect in turn, for all journeys that can share a server."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('ground')}/guardhouse.db"
        return
    server = request.getfixturevalue("postgres_server")
    name = f"guardhouse_journeys_{os.getpid()}_{next(_slugs)}"
    administer(server, f'CREATE DATABASE "{name}"')
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    administer(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@dataclass
class Pair:
    """Two houses over one database and one signing key, each with its own home and its own process."""

    first: House
    second: House


@pytest.fixture(scope="package")
def shared_pair(ground: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two servers over one database."""
    home, other = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    env, made = founded(home, ground)
    beside = environment(other, ground, GUARDHOUSE_SIGNING_KEY_FILE=str(home / "signing.key"))
    with serving(env) as one, serving(beside) as two:
        first = House(home, env, one, made.operator_token, made.workspace_id)
        yield Pair(first, House(other, beside, two, made.operator_token, made.workspace_id))
        assert (one.stop(), two.stop()) == (0, 0)
    guardhouse(env, "ledger", "verify")


@pytest.fixture
def pair(shared_pair: Pair) -> Pair:
    """Both servers, with a workspace of the test's own."""
    first = own_workspace(shared_pair.first)
    second = House(shared_pair.second.home, shared_pair.second.env, shared_pair.second.server, first.operator)
    return Pair(first, second)


@pytest.fixture
def house(pair: Pair) -> House:
    """One house with a workspace of the test's own."""
    return pair.first


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site's own policies, which include what is shipped."""
    load.write_site_skeleton(tmp_path / "site")
    return tmp_path / "site"


@pytest.fixture
def lone_house(tmp_path: Path, database_url: str) -> Iterator[House]:
    """A house with a server of its own, for a test that ends it."""
    env, made = founded(tmp_path / "home", database_url)
    with serving(env) as server:
        yield House(tmp_path / "home", env, server, made.operator_token, made.workspace_id)
