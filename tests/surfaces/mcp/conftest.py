"""A gateway over each database, behind a real socket, in this process: its clock can be moved.

The same tests reach it in four ways: over HTTP in both eras of the protocol, and through `guardhouse
mcp` in a process of its own, which forwards to that gateway or opens the database itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from guardhouse.app import actions
from guardhouse.bundle import load, versions
from tests.server import environment
from tests.surfaces.doors import Listening, listening
from tests.surfaces.mcp.clients import over_http, over_stdio
from tests.world import Member, World, shipped_bundle, world

WAYS = ("http", "modern", "forwarded", "local")
LIGHT = WAYS[:3]
"""Those that need no second gateway, which takes some seconds to start."""


@dataclass
class Place:
    """A world, and the address of the door before it."""

    world: World
    door: Listening
    home: Path

    @property
    def address(self) -> str:
        return self.door.endpoint.address

    def environment(self, way: str, token: str, **more: str) -> dict[str, str]:
        """What `guardhouse mcp` is started with."""
        where = {"GUARDHOUSE_URL": self.address} if way == "forwarded" else {}
        if way == "local":
            where = {"GUARDHOUSE_DATABASE_URL": self.world.store.url}
        return environment(self.home, **where, **({"GUARDHOUSE_TOKEN": token} if token else {}), **more)

    def client(self, way: str, who: Member | str, *, tools: str = "") -> AbstractAsyncContextManager[Client]:
        """A client that came in one of the ways."""
        token = who if isinstance(who, str) else who.token
        if way in ("http", "modern"):
            mode = "auto" if way == "modern" else "legacy"
            return over_http(self.address, token, mode=mode, query=f"?tools={tools}" if tools else "")
        more = {"GUARDHOUSE_MCP_TOOLS": tools} if tools else {}
        return over_stdio(self.environment(way, token, **more), mode="auto" if way == "forwarded" else "legacy")

    def enact(self, name: str, cedar: str) -> None:
        """Put one Cedar file more in force."""
        files = dict(shipped_bundle().files) | {f"cedar/{name}.cedar": cedar.encode()}
        bundle = load.load_files(files, actions())
        with self.world.store.writing(self.world.workspace_id) as tx:
            versions.store(tx, self.world.workspace_id, bundle)
            versions.activate(
                tx, self.world.workspace_id, bundle.digest, bundle.law, self.world.operator.id, "", "for a test"
            )


@pytest.fixture
def place(store: Any, clock: Any, ids: Any, tmp_path: Path) -> Iterator[Place]:
    with world(store, clock, ids) as made, listening(made.gateway, tmp_path / "home") as door:
        (tmp_path / "elsewhere").mkdir()
        yield Place(made, door, tmp_path / "elsewhere")


@pytest.fixture(params=LIGHT)
def light_way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)
