"""A world on each database in turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.world import World, world


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    """A founded workspace with the shipped law and a gateway over it."""
    with world(store, clock, ids) as made:
        yield made
