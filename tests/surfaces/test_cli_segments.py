"""Segments at the terminal: listed, added, sealed and detached by the owner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from guardhouse.ledger import keys, segments
from guardhouse.ledger.checkpoint import Checkpointer
from guardhouse.storage.migrate import owning
from guardhouse.storage.opening import open_store
from guardhouse.surfaces.cli import exits
from tests.ledger import sample
from tests.server import environment
from tests.surfaces.terminal import Desk


@pytest.fixture
def owner(
    new_database: Callable[[str], str],
    clock: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Desk:
    """A terminal at a PostgreSQL ledger of 100 entries, covered by a checkpoint, in segments of 64."""
    url = new_database("postgresql")
    with owning(url) as connection:
        for segment in segments.listed(connection):
            connection.execute(text(f"DROP TABLE {segment.name}, {segment.name.replace('entry', 'payload')}"))
        segments.add(connection, 2, 64)
    store = open_store(url, clock)
    sample.found(store)
    sample.fill(store, 100)
    Checkpointer(keys.load(tmp_path / "signing.key"), tmp_path).run(store, sample.START)
    store.close()
    return Desk(tmp_path, environment(tmp_path, url), capsys, monkeypatch)


def test_a_segment_is_listed_sealed_and_detached(owner: Desk) -> None:
    first, second = owner.json("ledger", "segments", "list")["segments"]
    assert (first["first"], first["last"], second["first"], second["last"]) == (0, 63, 64, 127)
    refused = owner.run("ledger", "segments", "detach", first["segment"], expect=None)
    assert refused.status != exits.OK
    assert "have no stub" in refused.err
    assert (
        "still writes" in owner.run("ledger", "segments", "seal", second["segment"], "--location", "x", expect=None).err
    )
    sealed = owner.json("ledger", "segments", "seal", first["segment"], "--location", "vault 3")
    assert (sealed["sealed"], sealed["location"]) == (1, "vault 3")
    assert "sealed already" in owner.run("ledger", "segments", "seal", first["segment"], "--location", "vault 3").out
    detached = owner.json("ledger", "segments", "detach", first["segment"])["detached"]
    assert detached == [first["segment"], first["segment"].replace("entry", "payload")]
    left = [one["segment"] for one in owner.json("ledger", "segments", "list")["segments"]]
    assert first["segment"] not in left
    assert second["segment"] in left
    added = owner.json("ledger", "segments", "add", "--count", "2")["segments"]
    assert len(added) == 2
    assert added[0]["first"] >= 128


def test_what_is_no_segment_and_what_has_none_is_told(owner: Desk, tmp_path: Path) -> None:
    told = owner.run("ledger", "segments", "seal", "entry_zzzz", "--location", "x", expect=exits.USAGE)
    assert "segments list" in told.err
    embedded = Desk(tmp_path / "other", environment(tmp_path / "other"), owner.capsys, owner.patch)
    told = embedded.run("ledger", "segments", "list", expect=exits.UNAVAILABLE)
    assert "copying its file" in told.err
