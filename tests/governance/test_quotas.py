"""Quotas: exact counters, fixed windows, one statement each way."""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import event, select

from guardhouse.governance import quotas
from guardhouse.governance.tables import WORKSPACE
from guardhouse.model.instants import HOUR
from guardhouse.storage.opening import open_store


def test_nothing_used_is_nothing_read(ground: Any) -> None:
    with ground.writing() as tx:
        assert quotas.read(tx, ground.workspace_id, [], tx.now) == {}
        assert quotas.read(tx, ground.workspace_id, ["agt_1"], tx.now) == {}
        quotas.write(tx, ground.workspace_id, {}, tx.now)


def test_a_window_is_a_whole_hour_and_the_next_starts_at_zero(ground: Any) -> None:
    start = quotas.window_of(ground.clock())
    assert start % HOUR == 0
    last = start + HOUR - 1
    with ground.writing() as tx:
        quotas.write(tx, ground.workspace_id, {"agt_1": {"calls_per_hour": 7}}, start)
        assert quotas.read(tx, ground.workspace_id, ["agt_1"], last) == {"agt_1": {"calls_per_hour": 7}}
        assert quotas.read(tx, ground.workspace_id, ["agt_1"], last + 1) == {}
        quotas.write(tx, ground.workspace_id, {"agt_1": {"calls_per_hour": 1}}, last + 1)
        assert quotas.read(tx, ground.workspace_id, ["agt_1"], last + 1) == {"agt_1": {"calls_per_hour": 1}}
    assert quotas.window_ends(last) == start + HOUR


def test_many_principals_cost_one_statement_each_way_and_stay_apart(ground: Any) -> None:
    used = {f"agt_{number}": {"calls_per_hour": number, "other": 1} for number in range(50)}
    with ground.writing() as tx:
        seen: list[str] = []
        event.listen(tx.connection, "before_cursor_execute", lambda *args: seen.append(args[2]))
        quotas.write(tx, ground.workspace_id, used, tx.now)
        assert quotas.read(tx, ground.workspace_id, used, tx.now) == used
        assert len(seen) == 2
        assert quotas.read(tx, "wsp_other", used, tx.now) == {}


def test_counters_are_exact_under_racing_connections(ground: Any) -> None:
    """Eight writers count one by one under the workspace's write lock; none of their counts is lost."""
    stores = [open_store(ground.store.url, ground.clock, 1) for _ in range(2)]
    failures: list[BaseException] = []

    def count(store: Any) -> None:
        try:
            for _ in range(10):
                with store.writing(ground.workspace_id) as tx:
                    tx.execute(select(WORKSPACE.c.id).where(WORKSPACE.c.id == ground.workspace_id).with_for_update())
                    used = quotas.read(tx, ground.workspace_id, ["agt_1"], tx.now).get("agt_1", {}).get("calls", 0)
                    quotas.write(tx, ground.workspace_id, {"agt_1": {"calls": used + 1}}, tx.now)
        except BaseException as error:  # noqa: BLE001  # a thread's failure must fail the test
            failures.append(error)

    threads = [threading.Thread(target=count, args=(stores[number % 2],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert failures == []
    with ground.writing() as tx:
        assert quotas.read(tx, ground.workspace_id, ["agt_1"], tx.now) == {"agt_1": {"calls": 80}}
