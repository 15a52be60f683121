"""The golden ledgers: what each format version wrote stays verifiable for ever, and its receipts with it.

`python -m tests.ledger.test_golden` writes it; that is done once a format version and never again.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from pathlib import Path

import pytest

from guardhouse.ledger import fsck
from guardhouse.ledger.checkpoint import split_log
from guardhouse.ledger.keys import Verifier
from guardhouse.ledger.tree import leaf_hash, root_of
from tests.verifier import verify_receipt as independent

FOLDER = Path(__file__).parents[1] / "golden"
VERSIONS = [1, 2]


def parts(version: int) -> tuple[Path, str, str, str]:
    base = FOLDER / f"ledger_v{version}"
    texts = [base.with_suffix(ending).read_text() for ending in (".checkpoints", ".vkey", ".receipt")]
    return base.with_suffix(".jsonl"), texts[0], texts[1].strip(), texts[2]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_released_ledger_stays_verifiable(version: int) -> None:
    path, outside, vkey, _ = parts(version)
    report = fsck.verify_export(path, verifiers=(Verifier.parse(vkey),), outside=outside)
    assert report.ok, report.faults
    assert report.formats == {version: report.tree_size}
    assert report.tree_size >= 10
    assert report.erased == 1
    assert report.newer_than_outside == 0
    assert report.outside_checkpoints == len(split_log(outside)) >= 2


@pytest.mark.parametrize("version", VERSIONS)
def test_its_checkpoints_and_receipt_are_good_for_the_independent_verifier(version: int) -> None:
    path, outside, vkey, receipt = parts(version)
    bodies = [base64.b64decode(json.loads(line)["body"]) for line in path.read_text().splitlines()]
    for note in split_log(outside):
        _, size, root = independent.checkpoint(note, [vkey])
        assert root_of(leaf_hash(body) for body in bodies[:size]) == root
    assert independent.receipt(receipt, [vkey]) in bodies


def write(folder: Path) -> None:
    """A real gateway's ledger: checks, a denial, a lock, a fault, an erasure. Never over one that is there."""
    from guardhouse.gateway import record
    from guardhouse.ledger import keys, proof, query
    from guardhouse.ledger.checkpoint import Checkpointer
    from guardhouse.storage.migrate import migrate
    from guardhouse.storage.opening import open_store
    from tests.conftest import CountingIds, FakeClock
    from tests.world import world

    base = folder / f"ledger_v{record.FORMAT}"
    if base.with_suffix(".jsonl").exists():
        raise FileExistsError(base)
    with tempfile.TemporaryDirectory() as name:
        place, clock = Path(name), FakeClock()
        migrate(f"sqlite:///{place}/g.db")
        store = open_store(f"sqlite:///{place}/g.db", clock)
        signer = keys.load(place / "signing.key")
        checkpointer = Checkpointer(signer, place)
        with world(store, clock, CountingIds()) as here:
            agent, visitor = here.agent("builder"), here.agent("visitor", trust=0)
            checked = here.call(agent, "check_guardrails", {"operation_text": "git status"})
            clock.advance(1)
            here.call(agent, "check_guardrails", {"operation_text": "git push --force origin main"})
            here.call(agent, "acquire_lock", {"key": "src/a.py"}, idempotency_key="once")
            here.call(agent, "acquire_lock", {"key": "src/a.py"}, idempotency_key="once")
            here.call(visitor, "check_locks", {})
            checkpointer.run(store, clock())
            clock.advance(1)
            here.call(agent, "check_network", {"url": "https://example.com/"})
            here.call(agent, "no_such_operation", {})
            here.call(agent, "acquire_lock", b"{")
            here.done(here.operator, "erase_payload", {"decision_ids": [checked.decision_id], "reason": "a sample"})
            here.call(agent, "get_my_profile", {})
            here.call(here.operator, "query_audit", {"limit": 1})
            checkpointer.run(store, clock())
            with store.reading() as connection:
                lines = list(query.export_all(connection, here.workspace_id, here.count()))
                receipt = proof.receipt(connection, here.workspace_id, checked.decision_id)
            base.with_suffix(".jsonl").write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))
            base.with_suffix(".checkpoints").write_text((place / f"{here.workspace_id}.log").read_text())
            base.with_suffix(".vkey").write_text(signer.verifiers[0].text + "\n")
            base.with_suffix(".receipt").write_text(receipt)
        store.close()


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
