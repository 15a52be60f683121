"""A workspace's head and its write lock, as every train takes it, for tests of services alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select

from guardhouse.ledger.tables import HEAD
from guardhouse.storage.store import Transaction

WORKSPACE = "wsp_0work"


class Workshop:
    """One workspace on one store. `tx` is a write transaction that holds the workspace's lock."""

    def __init__(self, store: Any, clock: Any, ids: Any) -> None:
        self.store, self.clock, self.ids = store, clock, ids
        with store.writing(WORKSPACE) as tx:
            tx.execute(
                HEAD.insert().values(
                    workspace_id=WORKSPACE, tree_size=0, frontier=b"", last_at=0, standing_version=0, schema_version=1
                )
            )

    @contextmanager
    def tx(self) -> Iterator[Transaction]:
        with self.store.writing(WORKSPACE) as tx:
            tx.execute(select(HEAD.c.tree_size).where(HEAD.c.workspace_id == WORKSPACE).with_for_update())
            yield tx

    def do(self, action: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """One action of a service in a transaction of its own."""
        with self.tx() as tx:
            return action(tx, WORKSPACE, *arguments, **options)

    def make(self, action: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """The same for an action that makes ids."""
        with self.tx() as tx:
            return action(tx, self.ids, WORKSPACE, *arguments, **options)


def race(racers: list[Callable[[], Any]]) -> list[Any]:
    """Start all at once; what each returned, or the exception it raised."""
    results: list[Any] = [None] * len(racers)
    start = threading.Barrier(len(racers))

    def run(number: int) -> None:
        start.wait()
        try:
            results[number] = racers[number]()
        except Exception as error:  # noqa: BLE001  # the race's result is what each racer got
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(racers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not [thread for thread in threads if thread.is_alive()], "somebody is still racing after a minute"
    return results
