"""A ledger that is too large to verify within a call is said to be so, alike on both databases, and what to run instead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from guardhouse.catalog import Reader
from guardhouse.errors import Refusal
from guardhouse.ledger import fsck
from guardhouse.operations import CATALOG, audit
from guardhouse.surfaces import problem
from tests.world import World, world


@pytest.fixture
def here(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        agent = made.agent("busy")
        for number in range(20):
            made.done(agent, "acquire_lock", {"key": f"res:{number}"})
        yield made


def test_a_ledger_too_large_to_verify_within_a_call_is_refused_for_good(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert here.done(here.operator, "verify_audit")["ok"] is True
    monkeypatch.setattr(audit, "_SHARE", 0.0)  # the time is over as soon as it begins
    refused = here.call(here.operator, "verify_audit")
    assert refused.code == "ledger_too_large"
    assert "guardhouse ledger verify" in refused.message
    error = problem.of_outcome(refused, "req")["error"]
    assert (error["status"], error["retryable"], "retry_after_seconds" in error) == (409, False, False)
    assert (error["verified"], error["tree_size"]) == (refused.sequence, refused.sequence)
    # The question itself was permitted, and stands in a ledger that the command verifies.
    assert here.entry(refused.decision_id)["outcome"] == "performed"
    with here.store.reading() as connection:
        assert fsck.verify(connection, here.workspace_id).ok


def _verified(here: World, connection: Connection, seconds: float, size: int) -> Any:
    operation = CATALOG.find("verify_audit")
    assert operation is not None
    assert operation.fetch is not None
    who: Any = here.operator
    bundle: Any = None
    reader = Reader(lambda: connection, here.workspace_id, size, here.clock(), who, bundle, timeout_seconds=seconds)
    return operation.fetch(reader, operation.ask())


def test_the_bound_is_a_share_of_the_time_that_a_reading_has(here: World) -> None:
    size = here.count()
    with here.store.reading() as connection:
        answer = _verified(here, connection, 600.0, size)
    assert (answer.ok, answer.tree_size) == (True, size)
    with (
        here.store.reading() as connection,
        pytest.raises(Refusal, match=r"in 0 seconds; run `guardhouse ledger verify`") as refused,
    ):
        _verified(here, connection, 0.0, size)
    assert refused.value.code == "ledger_too_large"


@contextmanager
def _statements_end_late(here: World, connection: Connection) -> Iterator[None]:
    """From here on the database ends what this connection asks of it: its time is over."""
    if here.store.embedded:
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: True, 1)
        try:
            yield
        finally:
            driver.set_progress_handler(None, 0)
        return
    with here.store.writing(here.workspace_id) as tx:
        tx.connection.exec_driver_sql("LOCK TABLE entry IN ACCESS EXCLUSIVE MODE")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 20")
        yield


def test_a_statement_that_the_database_ended_is_told_as_what_it_is(here: World) -> None:
    size = here.count()
    for seconds, expected in ((0.0, Refusal), (600.0, OperationalError)):
        with (
            pytest.raises(expected) as raised,
            here.store.reading() as connection,
            _statements_end_late(here, connection),
        ):
            _verified(here, connection, seconds, size)
        if isinstance(raised.value, Refusal):
            assert raised.value.code == "ledger_too_large"
