"""What stays for good is set aside from garbage collection, and what is replaced is freed all the same."""

from __future__ import annotations

import gc
import re
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from guardhouse.surfaces.collecting import THRESHOLDS, Collecting
from tests.server import environment, serving
from tests.surfaces.terminal import prepare


class Knot:
    """Something that only a collection can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def collector() -> Iterator[None]:
    """Leave the collector of this process as it was."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("collector")
def test_a_law_that_was_replaced_is_freed_with_the_next_one() -> None:
    compiled = [1]
    collecting = Collecting(lambda: compiled[0])
    law = Knot()
    seen = weakref.ref(law)
    collecting.settle()
    assert gc.get_freeze_count() > 1_000
    del law
    collecting.settle()
    gc.collect()
    assert seen() is not None, "nothing was compiled since, so no collection walks through what was set aside"
    compiled[0] = 2
    collecting.settle()
    assert seen() is None


@pytest.mark.usefixtures("collector")
def test_what_came_later_is_collected_as_ever() -> None:
    collecting = Collecting(lambda: 1)
    collecting.begin()
    assert gc.get_threshold() == THRESHOLDS
    collecting.settle()
    seen = weakref.ref(Knot())
    gc.collect()
    assert seen() is None


def test_a_gateway_sets_the_law_in_force_aside_before_anybody_calls(database_url: str, tmp_path: Path) -> None:
    env = environment(tmp_path / "home", database_url)
    prepare(tmp_path / "home", database_url)
    with serving(env) as server:
        deadline = time.monotonic() + 30
        while True:
            page = httpx.get(f"http://127.0.0.1:{server.port}/metrics").text
            found = re.search(r"^guardhouse_set_aside_objects (\S+)$", page, re.M)
            assert found is not None
            if float(found[1]) > 50_000:
                break
            assert time.monotonic() < deadline, page
            time.sleep(0.05)
        assert server.stop() == 0
