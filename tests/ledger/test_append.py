"""Appending: how few statements a train takes, what it may hold, and racers for one head."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import event, func, select, text

from guardhouse.ledger import entries, fsck, rows
from guardhouse.ledger.tables import CONTENT, ENTRY, ENTRY_RULE, PAYLOAD
from tests.ledger import sample

W = sample.WORKSPACE


def statements(store: Any, drafts: list[entries.Draft]) -> list[str]:
    """The statements that one append takes."""
    seen: list[str] = []
    with store.writing(W) as tx:
        head = entries.read_heads(tx, [W])[W].head

        def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            seen.append(statement)

        event.listen(tx.connection, "before_cursor_execute", note)
        entries.append(tx, head, drafts, entries.KnownContents())
        event.remove(tx.connection, "before_cursor_execute", note)
    return seen


@pytest.mark.parametrize("size", [1, 8, 31, 32, 100, 255, 256])
def test_a_train_takes_about_one_statement_a_table(store: Any, size: int) -> None:
    sample.found(store)
    seen = statements(store, [sample.draft(sequence) for sequence in range(size)])
    tables = 6 if size == 256 else 5
    if store.dialect == "postgresql":
        assert len(seen) == tables
    else:
        assert len(seen) <= (tables + 2 if size <= 32 else 3 * tables)
    with store.reading() as connection:
        assert fsck.verify(connection, W).ok


def test_sizes_make_every_number() -> None:
    """No number up to a whole train takes more than four statements a table on SQLite."""
    for count in range(1, 257):
        left, taken = count, 0
        for size in rows._SIZES:
            taken += left // size
            left %= size
        assert left == 0
        assert taken <= 4, count


def test_stored_bytes_are_those_given(store: Any) -> None:
    """Whatever text and bytes hold, they come back as they were: quotes, controls, every plane, long bodies, no body."""
    sample.found(store)
    strange = "a\"b\\c\u0001\u007f\u2028é漢😀'; --%s %(x)s {}"
    payloads = [None, b"", bytes(range(256)), b"{}" * 50_000, strange.encode()]
    drafts = [
        sample.draft(
            number,
            payload=payload,
            resource={"type": "File", "id": f"{strange}{number}", "repository": strange},
            steps=[{"gate": "policy", "effect": "allow", "code": "permitted", "rules": [strange, "b"]}],
        )
        for number, payload in enumerate(payloads)
    ]
    sample.append(store, drafts)
    with store.reading() as connection:
        found = list(entries.iterate(connection, W))
        assert [item.body for item in found] == [draft.encoded for draft in drafts]
        assert [item.payload for item in found] == payloads
        assert [item.salt for item in found][1:] == [draft.salt for draft in drafts][1:]
        ids = connection.execute(select(ENTRY.c.resource_id).order_by(ENTRY.c.sequence)).scalars().all()
        assert ids == [f"{strange}{number}" for number in range(len(payloads))]
        assert connection.execute(select(func.count()).select_from(ENTRY_RULE)).scalar_one() == 10
        assert connection.execute(select(func.count()).select_from(PAYLOAD)).scalar_one() == 4
        assert connection.execute(select(func.count()).select_from(CONTENT)).scalar_one() == 2
        report = fsck.verify(connection, W)
    assert report.ok, report.faults


def test_a_draft_for_another_place_is_refused(store: Any) -> None:
    sample.found(store)
    with pytest.raises(ValueError, match="cannot stand"):
        sample.append(store, [sample.draft(0), sample.draft(2)])
    with store.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM entry")).scalar_one() == 0


def test_contents_are_kept_once_whoever_sends_them(store: Any) -> None:
    sample.found(store)
    sample.append(store, [sample.draft(0)])
    sample.append(store, [sample.draft(1)])
    with store.reading() as connection:
        assert connection.execute(select(func.count()).select_from(CONTENT)).scalar_one() == 2


def test_racers_for_one_head_make_one_ledger(store: Any) -> None:
    sample.found(store)
    failures: list[BaseException] = []

    def race() -> None:
        try:
            for _ in range(8):
                with store.writing(W) as tx:
                    head = entries.read_heads(tx, [W])[W].head
                    drafts = [sample.draft(head.tree_size + offset) for offset in range(3)]
                    entries.append(tx, head, drafts, entries.KnownContents())
        except BaseException as error:  # noqa: BLE001  # told by the test's own thread
            failures.append(error)

    racers = [threading.Thread(target=race) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert failures == []
    with store.reading() as connection:
        report = fsck.verify(connection, W)
    assert report.ok, report.faults
    assert report.tree_size == 96


def test_five_thousand_entries_verify_page_by_page(store: Any) -> None:
    sample.found(store)
    sample.fill(store, 5_000, train=256)
    told: list[tuple[int, int]] = []
    with store.reading() as connection:
        report = fsck.verify(connection, W, progress=lambda done, all_of_them: told.append((done, all_of_them)))
    assert report.ok, report.faults
    assert report.tree_size == 5_000
    assert told == sorted(told)
    assert told[-1] == (5_000, 5_000)
    assert len(told) > 10
