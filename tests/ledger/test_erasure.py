"""A lawful erasure through the real operation: the payload goes, the entry stays, and `verify` counts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import text

from guardhouse.ledger import fsck, keys, query
from guardhouse.ledger.checkpoint import Checkpointer
from tests.conftest import CountingIds, FakeClock
from tests.world import world


def test_a_lawful_erasure_verifies_and_is_counted(
    store: Any, clock: FakeClock, ids: CountingIds, tmp_path: Path
) -> None:
    signer = keys.load(tmp_path / "signing.key")
    checkpointer = Checkpointer(signer, tmp_path)
    secret = "a name that must go"
    with world(store, clock, ids) as here:
        agent = here.agent("builder")
        first = here.call(agent, "check_guardrails", {"operation_text": secret})
        second = here.call(agent, "check_guardrails", {"operation_text": "git status"})
        checkpointer.run(store, clock())
        clock.advance(5)
        both = [first.decision_id, second.decision_id]
        done = here.done(here.operator, "erase_payload", {"decision_ids": both, "reason": "asked by its owner"})
        assert sorted(done["erased"]) == sorted(both)
        again = here.done(here.operator, "erase_payload", {"decision_ids": both, "reason": "asked twice"})
        assert sorted(again["absent"]) == sorted(both)
        answer = here.done(here.operator, "verify_audit")
        assert answer["ok"], answer["faults"]
        assert answer["erased"] == 2
        checkpointer.run(store, clock())
        outside = (tmp_path / f"{here.workspace_id}.log").read_text()
        with store.reading() as connection:
            report = fsck.verify(connection, here.workspace_id, verifiers=signer.verifiers, outside=outside)
            lines = list(query.export_all(connection, here.workspace_id, here.count()))
            left = connection.execute(text("SELECT body FROM payload")).scalars().all()
        assert report.ok, report.faults
        assert (report.erased, report.newer_than_outside) == (2, 0)
        assert not any(secret.encode() in bytes(body) for body in left)
        assert not any(secret in str(line) for line in lines)
        # The tree as it was before the erasure still verifies, and its erasures are counted too.
        with store.reading() as connection:
            before = fsck.verify(
                connection, here.workspace_id, tree_size=2, verifiers=signer.verifiers, outside=outside
            )
        assert before.ok, before.faults
        assert before.erased == 2
