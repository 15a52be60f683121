"""An entry that cannot be written fails its own call, undone, and leaves a small entry in its place."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from guardhouse.catalog import Catalog, Context
from guardhouse.gateway import Gateway
from guardhouse.ledger import fsck
from guardhouse.model.call import Resource
from guardhouse.operations import CATALOG
from tests.world import World


def _not_text(context: Context) -> None:
    context.objects.append(b"lock")  # type: ignore[arg-type]  # what a handler written in a hurry may do


def spoiled(home: World, spoil: Callable[[Context], None]) -> Gateway:
    """A gateway whose `acquire_lock` does its work and then leaves an entry that nothing can encode."""
    acquire = next(operation for operation in CATALOG if operation.name == "acquire_lock")

    def handler(context: Context, ask: Any) -> Any:
        answer = acquire.handler(context, ask)
        if ask.key.startswith("res:bad"):
            spoil(context)
        return answer

    operations = [replace(one, handler=handler) if one.name == "acquire_lock" else one for one in CATALOG]
    return Gateway(home.store, Catalog(operations), home.gateway.bundles, home.clock, home.ids)


@pytest.mark.parametrize("key", [None, "once"])
def test_only_that_call_fails_and_nothing_of_it_is_kept(home: World, key: str | None) -> None:
    agent = home.agent("worker")
    gateway = spoiled(home, _not_text)
    try:
        outcome = gateway.handle(home.raw(agent, "acquire_lock", {"key": "res:bad"}, idempotency_key=key))
        assert outcome.code == "internal_error"
        entry = home.entry(outcome.decision_id)
        assert (entry["outcome"], entry["effect"]) == ("internal_error", "allow")
        assert "objects" not in entry
        assert home.done(agent, "check_locks")["locks"] == []
    finally:
        gateway.close()


def test_calls_of_the_same_trains_are_carried_and_each_leaves_its_entry(home: World) -> None:
    agents = [home.agent(f"worker-{number}") for number in range(4)]
    gateway = spoiled(home, _not_text)
    before = home.count()
    try:
        plan = [(agents[number % 4], f"res:{'bad' if number % 5 == 0 else 'good'}-{number}") for number in range(200)]
        with ThreadPoolExecutor(32) as pool:
            outcomes = list(
                pool.map(lambda one: gateway.handle(home.raw(one[0], "acquire_lock", {"key": one[1]})), plan)
            )
    finally:
        gateway.close()
    assert [outcome.code for outcome in outcomes] == [
        "internal_error" if "bad" in key else "performed" for _who, key in plan
    ]
    assert home.count() == before + len(plan)
    with home.store.reading() as connection:
        assert fsck.verify(connection, home.workspace_id).ok


def test_a_call_that_cannot_be_named_leaves_its_entry_on_the_workspace(home: World) -> None:
    agent = home.agent("worker")
    check = next(operation for operation in CATALOG if operation.name == "check_locks")
    odd = replace(check, resource=lambda _ask, _home: Resource("Lock", 7.5))  # type: ignore[arg-type]  # as above
    operations = [odd if one.name == "check_locks" else one for one in CATALOG]
    gateway = Gateway(home.store, Catalog(operations), home.gateway.bundles, home.clock, home.ids)
    try:
        outcome = gateway.handle(home.raw(agent, "check_locks", {}))
        assert outcome.code != "performed"
        assert home.entry(outcome.decision_id)["resource"]["type"] in ("Workspace", "Lock")
    finally:
        gateway.close()
