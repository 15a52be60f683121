"""A gateway over each database, behind a real socket, in this process: its clock can be moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.surfaces.doors import Listening, listening
from tests.world import World, world


@dataclass
class Place:
    """A world, and the address of the door before it."""

    world: World
    door: Listening

    @property
    def address(self) -> str:
        return self.door.endpoint.address


@pytest.fixture
def place(store: Any, clock: Any, ids: Any, tmp_path: Path) -> Iterator[Place]:
    with world(store, clock, ids) as made, listening(made.gateway, tmp_path / "home") as door:
        yield Place(made, door)
