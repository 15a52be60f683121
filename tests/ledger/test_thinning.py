"""The outside file of checkpoints stays short, loses nothing to a crash, and stays the evidence that it was."""

from __future__ import annotations

import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from guardhouse.ledger import fsck, keys, proof
from guardhouse.ledger.checkpoint import Checkpointer, parse, split_log
from guardhouse.ledger.thinning import kept_sizes
from tests.ledger import sample

W = sample.WORKSPACE


class Outside:
    """A ledger with many checkpoints, and the file of them."""

    def __init__(self, store: Any, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.file = folder / f"{W}.log"
        self.signer = keys.load(folder / "signing.key")
        sample.found(store)

    def grow(self, rounds: int, long: int = 1 << 30) -> Checkpointer:
        """So many checkpoints, of three entries each."""
        checkpointer = Checkpointer(self.signer, self.folder, proof.subtrees, long)
        for _ in range(rounds):
            sample.fill(self.store, 3)
            checkpointer.run(self.store, sample.START)
        return checkpointer

    @property
    def notes(self) -> list[str]:
        return split_log(self.file.read_text())

    @property
    def sizes(self) -> list[int]:
        return [parse(note, self.signer.verifiers).size for note in self.notes]

    def verify(self) -> fsck.Report:
        with self.store.reading() as connection:
            return fsck.verify(connection, W, verifiers=self.signer.verifiers, outside=self.file.read_text())


@pytest.fixture
def outside(store: Any, tmp_path: Path) -> Outside:
    return Outside(store, tmp_path)


def test_nothing_is_kept_of_nothing_and_the_ends_always() -> None:
    assert kept_sizes([]) == set()
    assert kept_sizes([7]) == {7}
    assert {1, 10_000_000} <= kept_sizes([1, *range(5_000_000, 5_000_100), 10_000_000])


@pytest.mark.parametrize("step", [1, 7, 900])
def test_what_is_kept_grows_with_the_logarithm_and_reaches_back_evenly(step: int) -> None:
    kept: list[int] = []
    for newest in range(step, step * 40_000, step):
        kept.append(newest)
        if len(kept) >= 4_000:
            kept = sorted(kept_sizes(kept))
    kept = sorted(kept_sizes(kept))
    newest = kept[-1]
    assert kept[0] == step
    assert len(kept) <= 65 * newest.bit_length() + 128
    for older, newer in pairwise(kept[1:]):
        assert newer - older <= max(step, (newest - older) / 16), (older, newer, newest)


def test_a_long_file_is_thinned_and_every_proof_holds(outside: Outside) -> None:
    outside.grow(130)
    before = outside.sizes
    outside.grow(1, long=1)
    assert set(outside.sizes) == kept_sizes([*before, 393])
    assert (outside.sizes[0], outside.sizes[-1]) == (3, 393)
    assert len(outside.sizes) < 131
    assert outside.file.stat().st_mode & 0o777 == 0o600
    report = outside.verify()
    assert report.ok, report.faults
    assert report.outside_checkpoints == len(outside.sizes)


def test_a_process_that_had_the_file_open_writes_into_the_new_one(outside: Outside) -> None:
    first = outside.grow(130)
    outside.grow(1, long=1)
    sample.fill(outside.store, 1)
    first.run(outside.store, sample.START)
    assert outside.sizes[-1] == 394


@pytest.mark.parametrize("what", ["leaf", "stranger"])
def test_evidence_against_the_database_is_never_thinned(outside: Outside, what: str, tmp_path: Path) -> None:
    outside.grow(130)
    if what == "stranger":
        stranger = keys.load(tmp_path / "stranger.key")
        forged = stranger.signed_note(parse(outside.notes[5], outside.signer.verifiers).text) + "\n"
        with outside.file.open("a") as file:
            file.write(forged)
        outside.grow(1, long=1)
        assert forged in outside.file.read_text()
        assert not outside.verify().ok
        return
    before = outside.notes
    with outside.store.writing(W) as tx:
        tx.execute(text(f"DROP TRIGGER entry_no_update{' ON entry' if tx.dialect == 'postgresql' else ''}"))
        tx.execute(text("UPDATE entry SET leaf_hash = :h WHERE sequence = 100"), {"h": b"\0" * 32})
    outside.grow(1, long=1)
    assert outside.notes[:130] == before
    assert not outside.verify().ok


_KILLED = """
import os, signal, sys
from pathlib import Path
from guardhouse.ledger import thinning
steps = int(sys.argv[2])
def look(event, args):
    global steps
    if event in ("open", "os.rename", "os.remove") and sys.argv[1] in " ".join(map(str, args)):
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), signal.SIGKILL)
path = Path(sys.argv[1])
sys.addaudithook(look)
thinning.replace(path, [sys.argv[3]])
if steps == 0:
    os.kill(os.getpid(), signal.SIGKILL)
print("whole")
"""


@pytest.mark.parametrize("steps", range(5))
def test_a_crash_while_thinning_leaves_the_old_file_or_the_new(tmp_path: Path, steps: int) -> None:
    file = tmp_path / "wsp.log"
    file.write_text("old\n")
    (tmp_path / "wsp.log.thinned").write_text("what an earlier crash left")
    run = [sys.executable, "-c", _KILLED, str(file), str(steps), "new"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    assert file.read_text() == ("new\n" if done.returncode == 0 or steps >= 3 else "old\n"), steps
    again = subprocess.run([*run[:4], "99", "newer"], capture_output=True, text=True, check=True)
    assert again.stdout == "whole\n"
    assert file.read_text() == "newer\n"
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
