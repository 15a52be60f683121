"""The composition root: the only module that knows every room, and the wall clock."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from guardhouse.bundle import versions
from guardhouse.bundle.load import ActionDecl
from guardhouse.gateway import Gateway
from guardhouse.ledger import checkpoint, keys
from guardhouse.model.ids import Ids, RandomIds
from guardhouse.model.instants import Clock, Micros
from guardhouse.operations import CATALOG
from guardhouse.settings import Settings
from guardhouse.storage.migrate import migrate
from guardhouse.storage.opening import open_store

_log = logging.getLogger("guardhouse.app")


def wall_clock() -> Micros:
    """The time of day, in microseconds since the epoch. Nothing below this module may ask for it."""
    return time.time_ns() // 1_000


def actions() -> Mapping[str, ActionDecl]:
    """What the Cedar schema must equal: every operation's category, and whether it governs."""
    return {declared.name: ActionDecl(declared.category, declared.people_only) for declared in CATALOG}


class Guardhouse:
    """A whole gateway over one database: store, law, corridor, checkpoints. `start` and `close` its threads.

    Without `start` it still carries calls; only the background work (checkpoints, tidying) rests.
    """

    def __init__(self, settings: Settings, *, clock: Clock = wall_clock, ids: Ids | None = None) -> None:
        self.settings = settings
        self.clock = clock
        self.ids = ids or RandomIds(clock)
        self.catalog = CATALOG
        self.store = open_store(settings.resolved_database_url, clock, settings.postgres_pool)
        self.bundles = versions.BundleCache(actions())
        self.signer = keys.load(settings.resolved_signing_key_file)
        self.checkpointer = checkpoint.Checkpointer(self.signer, settings.home / "checkpoints")
        self.gateway = Gateway(
            self.store,
            self.catalog,
            self.bundles,
            clock,
            self.ids,
            fetch_timeout_seconds=settings.fetch_timeout_seconds,
        )
        self._stop = threading.Event()
        self._background: threading.Thread | None = None

    @staticmethod
    def migrate(settings: Settings) -> None:
        """Bring the database to this version's schema. Needs the owner role on PostgreSQL."""
        migrate(settings.migration_url or settings.resolved_database_url)

    def start(self) -> None:
        """Begin the background work: a checkpoint at least every second with new entries, and tidying."""
        self._background = threading.Thread(target=self._work, name="background", daemon=True)
        self._background.start()

    def _work(self) -> None:
        while not self._stop.wait(self.settings.checkpoint_seconds):
            self.tend()

    def tend(self) -> None:
        """One round of background work. A failure is logged and tried again next round; it stops no call."""
        try:
            self.checkpointer.run(self.store, self.clock())
            self.store.tidy()
        except Exception:  # noqa: BLE001  # whatever fails here must not end the thread that would try again
            _log.exception("background work failed and will be tried again")

    def close(self) -> None:
        """Carry what waits, write a last checkpoint, and close everything."""
        self._stop.set()
        if self._background is not None:
            self._background.join(30)
        self.gateway.close()
        self.tend()
        self.store.close()

    def __enter__(self) -> Guardhouse:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
