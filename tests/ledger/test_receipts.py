"""Receipts and checkpoints, judged by a verifier that shares no code with the product."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature

from guardhouse.errors import Refusal
from guardhouse.ledger import checkpoint, keys, proof
from guardhouse.ledger.tree import verify_consistency
from tests.ledger import sample
from tests.verifier import verify_receipt as independent

W = sample.WORKSPACE
BAD = (ValueError, InvalidSignature)


@pytest.fixture
def signer(tmp_path: Path) -> keys.Signer:
    return keys.load(tmp_path / "signing.key")


def vkeys(signer: keys.Signer) -> list[str]:
    return [verifier.text for verifier in signer.verifiers]


def test_the_verifier_stands_alone() -> None:
    source = Path(independent.__file__).read_text()
    assert "guardhouse." not in source
    assert len(source.splitlines()) <= 60


def test_every_receipt_is_accepted_by_both(store: Any, signer: keys.Signer, tmp_path: Path) -> None:
    sample.found(store)
    checkpointer = checkpoint.Checkpointer(signer, tmp_path)
    for count in (1, 2, 4, 256, 7):
        sample.fill(store, count, train=256)
        checkpointer.run(store, sample.START)
    with store.reading() as connection:
        for sequence in (0, 1, 2, 3, 6, 7, 127, 255, 256, 262, 263, 269):
            text = proof.receipt(connection, W, f"dec_{sequence:026d}")
            assert independent.receipt(text, vkeys(signer)) == sample.draft(sequence).encoded
            verified = proof.verify_receipt(text, signer.verifiers)
            assert (verified.index, verified.body) == (sequence, sample.draft(sequence).encoded)
        notes = checkpoint.split_log((tmp_path / f"{W}.log").read_text())
        statements = [checkpoint.parse(note, signer.verifiers) for note in notes]
        for note, statement in zip(notes, statements, strict=True):
            assert independent.checkpoint(note, vkeys(signer)) == (statement.origin, statement.size, statement.root)
        for old, new in pairwise(statements):
            path = proof.prove_consistency(connection, W, old.size, new.size)
            assert verify_consistency(old.size, new.size, old.root, new.root, path)


def test_no_edit_of_a_receipt_is_accepted(store: Any, signer: keys.Signer, tmp_path: Path) -> None:
    sample.found(store)
    sample.fill(store, 6)
    checkpoint.Checkpointer(signer, tmp_path).run(store, sample.START)
    with store.reading() as connection:
        text = proof.receipt(connection, W, f"dec_{4:026d}")
    assert independent.receipt(text, vkeys(signer))
    accepted = []
    for at in range(len(text)):
        changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        for judge, known in ((independent.receipt, vkeys(signer)), (proof.verify_receipt, signer.verifiers)):
            try:
                judge(changed, known)  # type: ignore[operator]  # two judges of one shape
            except BAD:
                continue
            accepted.append((at, text[at], judge.__module__))
    assert accepted == []
    lines = text.split("\n")
    for number in range(len(lines) - 2):  # all but the signature line, which may stand there twice
        for made in (lines[:number] + lines[number + 1 :], [*lines[:number], lines[number], *lines[number:]]):
            for judge, known in ((independent.receipt, vkeys(signer)), (proof.verify_receipt, signer.verifiers)):
                with pytest.raises(BAD):
                    judge("\n".join(made), known)  # type: ignore[operator]  # as above


def test_a_strangers_signature_is_not_enough(store: Any, signer: keys.Signer, tmp_path: Path) -> None:
    sample.found(store)
    sample.fill(store, 3)
    checkpoint.Checkpointer(keys.load(tmp_path / "stranger.key"), tmp_path).run(store, sample.START)
    with store.reading() as connection:
        text = proof.receipt(connection, W, f"dec_{1:026d}")
    with pytest.raises(BAD):
        independent.receipt(text, vkeys(signer))
    with pytest.raises(ValueError, match="no known key"):
        proof.verify_receipt(text, signer.verifiers)


def test_a_receipt_waits_for_its_checkpoint(store: Any) -> None:
    sample.found(store)
    sample.fill(store, 1)
    with store.reading() as connection:
        with pytest.raises(Refusal) as caught:
            proof.receipt(connection, W, f"dec_{0:026d}")
        assert caught.value.code == "not_yet_checkpointed"
        with pytest.raises(Refusal) as caught:
            proof.receipt(connection, W, "dec_nothing")
        assert caught.value.code == "not_found"


def test_the_verifier_runs_by_itself(store: Any, signer: keys.Signer, tmp_path: Path) -> None:
    sample.found(store)
    sample.fill(store, 3)
    checkpoint.Checkpointer(signer, tmp_path).run(store, sample.START)
    with store.reading() as connection:
        text = proof.receipt(connection, W, f"dec_{1:026d}")
    command = [sys.executable, "-I", independent.__file__, *vkeys(signer)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert f"dec_{1:026d}" in done.stdout


def test_both_keys_sign_after_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    first = keys.load(path)
    second = keys.rotate(path)
    note = second.signed_note("guardhouse/ws\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")
    for known in (first.verifiers, second.verifiers, second.verifiers[:1]):
        assert checkpoint.parse(note, known).size == 0
        assert independent.checkpoint(note, [verifier.text for verifier in known])
    third = keys.rotate(path)
    assert keys.verifiers(path) == (*third.verifiers, *first.verifiers)
    assert checkpoint.parse(
        first.signed_note("guardhouse/ws\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"), keys.verifiers(path)
    )


def test_a_short_write_is_finished() -> None:
    taken: list[bytes] = []

    def three(_handle: int, data: bytes) -> int:
        taken.append(data[:3])
        return len(data[:3])

    checkpoint.write_whole(0, b"0123456789", three)
    assert b"".join(taken) == b"0123456789"
    with pytest.raises(OSError, match="no more"):
        checkpoint.write_whole(0, b"x", lambda _handle, _data: 0)


@pytest.mark.parametrize("cut", [1, 2, 20, 60, 100, 150])
def test_a_torn_checkpoint_is_closed_off(store: Any, signer: keys.Signer, tmp_path: Path, cut: int) -> None:
    """Whatever a crash left of a checkpoint, the next ones stand whole beside it."""
    sample.found(store)
    checkpointer = checkpoint.Checkpointer(signer, tmp_path)
    path = tmp_path / f"{W}.log"
    for _ in range(2):
        sample.fill(store, 1)
        checkpointer.run(store, sample.START)
    path.write_bytes(path.read_bytes()[:-cut])
    sample.fill(store, 1)
    checkpointer.run(store, sample.START)
    notes = [note for note in checkpoint.split_log(path.read_text()) if keys.SEPARATOR in note]
    good = [checkpoint.parse(note, signer.verifiers).size for note in notes]
    assert good in ([1, 3], [1, 2, 3])
