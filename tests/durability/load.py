"""A load of keyed calls over real sockets, whose books are kept: what was acknowledged, refused, and cut off."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine.url import make_url

from guardhouse import app
from guardhouse.settings import Settings
from tests.server import Server, environment

WORKERS = 8
_MOST_CALLS = 5_000


def founded(home: Path, url: str = "") -> tuple[dict[str, str], str]:
    """A founded home: its environment, and its operator's token."""
    settings = Settings(home=home, database_url=url)
    app.migrate(settings)
    return environment(home, url), app.found(settings, "default", "olga").operator_token


def query(url: str, statement: str) -> list[Any]:
    """All rows of a query, read beside the gateway."""
    address = make_url(url)
    if address.get_backend_name() == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    engine = create_engine(address)
    try:
        with engine.connect() as connection:
            return list(connection.execute(text(statement)))
    finally:
        engine.dispose()


@dataclass
class Load:
    """Workers that take one lock after another, each under an idempotency key of the same name.

    `acknowledged`: key -> decision id. `refused`: key -> error code, of every answer but 200. `cut`: key -> when it
    was sent (`time.monotonic`), of the calls whose line broke before the answer.
    """

    token: str = ""
    acknowledged: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    cut: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def on(self, server: Server, mark: str, until: int, calls: int = _MOST_CALLS) -> Iterator[None]:
        """While the load is on, from the moment at which `until` calls in all are acknowledged.

        A worker ends when its line breaks, or after so many `calls`; the end of the block waits for all of them.
        """
        reached = threading.Event()
        threads = [
            threading.Thread(target=self._work, args=(server, f"res:{mark}/{worker}", until, reached, calls))
            for worker in range(WORKERS)
        ]
        for thread in threads:
            thread.start()
        try:
            assert reached.wait(60), "the load does not get on"
            yield
        finally:
            for thread in threads:
                thread.join(60)
                assert not thread.is_alive()

    def _work(self, server: Server, prefix: str, until: int, reached: threading.Event, calls: int) -> None:
        connection = server.connect()
        for number in range(calls):
            key = f"{prefix}/{number}"
            asked = {"key": key, "ttl_seconds": 86_400}
            sent = time.monotonic()
            try:
                status, answer = server.call(self.token, "acquire_lock", asked, connection, Idempotency_Key=key)
            except (OSError, http.client.HTTPException, ValueError):
                self.cut[key] = sent
                return
            if status == 200:
                self.acknowledged[key] = answer["decision_id"]
            else:
                self.refused[key] = f"{status} {answer['error']['code']}"
            if len(self.acknowledged) >= until:
                reached.set()

    def outcome(self, server: Server, line: http.client.HTTPConnection, key: str) -> str:
        """The decision that performed a call, as `get_outcome` tells it; empty where nothing did."""
        status, told = server.call(self.token, "get_outcome", {"idempotency_key": key}, line)
        assert status == 200, told
        assert (told["state"] == "performed") is bool(told["outcome_decision_id"]), told
        return str(told["outcome_decision_id"])
