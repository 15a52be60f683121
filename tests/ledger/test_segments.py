"""Segments: sealed and detached by the owner, and verified by their stubs from then on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine.url import make_url

from guardhouse.errors import Refusal
from guardhouse.ledger import fsck, keys, proof, segments
from guardhouse.ledger.checkpoint import Checkpointer
from guardhouse.storage.opening import open_store
from tests.ledger import sample

W = sample.WORKSPACE
SMALL = 64


@pytest.fixture
def url(new_database: Callable[[str], str]) -> str:
    """A database whose segments are of 64 entries."""
    made = new_database("postgresql")
    with _owner(made) as connection:
        for segment in segments.listed(connection):
            payload = segment.name.replace("entry", "payload")
            connection.execute(text(f"DROP TABLE {segment.name}, {payload}"))
        assert [(one.first, one.end) for one in segments.add(connection, 3, SMALL)] == [(0, 64), (64, 128), (128, 192)]
    return made


class _owner:  # noqa: N801  # used as a function
    def __init__(self, url: str) -> None:
        self.engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))

    def __enter__(self) -> Connection:
        self.context = self.engine.begin()
        return self.context.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.context.__exit__(*error)
        self.engine.dispose()


@pytest.fixture
def store(url: str, clock: Any) -> Iterator[Any]:
    opened = open_store(url, clock)
    sample.found(opened)
    yield opened
    opened.close()


def test_a_sealed_segment_is_verified_by_its_stub(store: Any, url: str, tmp_path: Path) -> None:
    signer = keys.load(tmp_path / "signing.key")
    checkpointer = Checkpointer(signer, tmp_path)
    sample.fill(store, 50)
    checkpointer.run(store, sample.START)
    sample.fill(store, 220)
    with _owner(url) as connection, pytest.raises(Refusal, match="no checkpoint"):
        segments.seal(connection, segments.listed(connection)[0], "archive/0")
    checkpointer.run(store, sample.START)
    outside = (tmp_path / f"{W}.log").read_text()
    with _owner(url) as connection:
        first = segments.listed(connection)[0]
        with pytest.raises(Refusal, match="no stub"):
            segments.detach(connection, first)
        assert segments.seal(connection, first, "archive/0") == 1
        assert segments.seal(connection, first, "archive/0") == 0
    for taken in (False, True):
        if taken:
            with _owner(url) as connection:
                assert segments.detach(connection, first) == (first.name, first.name.replace("entry", "payload"))
        with store.reading() as connection:
            report = fsck.verify(connection, W, verifiers=signer.verifiers, outside=outside)
        assert report.ok, report.faults
        assert report.tree_size == 270
        assert report.sealed == ([(0, 63, "archive/0")] if taken else [])
    assert any("sealed root" in doubt for doubt in report.not_proved)
    assert any("falls inside a sealed segment" in doubt for doubt in report.not_proved)
    sample.fill(store, 10)
    with store.reading() as connection:
        assert fsck.verify(connection, W, verifiers=signer.verifiers, outside=outside).ok
        receipt = proof.receipt(connection, W, f"dec_{269:026d}")
        assert proof.verify_receipt(receipt, signer.verifiers).index == 269
    with _owner(url) as connection:
        connection.execute(text("DROP TRIGGER sealed_segment_no_update ON sealed_segment"))
        connection.execute(text("UPDATE sealed_segment SET root = sha256(root)"))
    with store.reading() as connection:
        assert not fsck.verify(connection, W, verifiers=signer.verifiers, outside=outside).ok


def test_a_workspace_founded_after_a_detachment_writes_where_it_can_be_sealed_in_its_turn(
    store: Any, url: str, tmp_path: Path
) -> None:
    checkpointer = Checkpointer(keys.load(tmp_path / "signing.key"), tmp_path)
    for workspace in (W, "wsp_second", "wsp_third"):
        if workspace != W:
            sample.found(store, workspace)
        sample.fill(store, 70, workspace=workspace)
        checkpointer.run(store, sample.START)
        with _owner(url) as connection:
            first = segments.listed(connection)[0]
            assert (first.first, first.end) == (0, 64)
            written = text(f"SELECT count(*) FROM {first.name} WHERE workspace_id = :w")  # a name out of the catalogue
            assert connection.execute(written, {"w": workspace}).scalar_one() == 64
            assert connection.execute(text("SELECT count(*) FROM entry_later")).scalar_one() == 0
            assert segments.seal(connection, first, "archive/0") == 1
            segments.detach(connection, first)
    for workspace in (W, "wsp_second", "wsp_third"):
        with store.reading() as connection:
            report = fsck.verify(connection, workspace)
        assert report.ok, report.faults
        assert report.sealed == [(0, 63, "archive/0")]


def test_a_segment_in_use_is_not_sealed(store: Any, url: str, tmp_path: Path) -> None:
    sample.fill(store, 63)
    with _owner(url) as connection, pytest.raises(Refusal, match="still writes"):
        segments.seal(connection, segments.listed(connection)[0], "archive/0")


def test_a_damaged_segment_is_not_sealed(store: Any, url: str, tmp_path: Path) -> None:
    sample.fill(store, 64)
    Checkpointer(keys.load(tmp_path / "k"), tmp_path).run(store, sample.START)
    with _owner(url) as connection:
        connection.execute(text("DROP TRIGGER entry_no_update ON entry"))
        connection.execute(text("UPDATE entry SET body = 'x' WHERE sequence = 63"))
        with pytest.raises(Refusal, match="do not verify"):
            segments.seal(connection, segments.listed(connection)[0], "archive/0")


def test_segments_are_added_ahead_of_need(store: Any, url: str) -> None:
    with _owner(url) as connection:
        assert [one.first for one in segments.add(connection, 1, SMALL)] == [192]
    sample.fill(store, 260)
    with _owner(url) as connection, pytest.raises(Refusal, match="entry_later"):
        segments.add(connection, 1, SMALL)
    with _owner(url) as connection, pytest.raises(Refusal, match="power of two"):
        segments.add(connection, 1, 100)
