"""Killed without warning, under load, again and again: nothing acknowledged is missing, nothing half done."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine.url import make_url

from tests.server import Server, environment, guardhouse, serving

ROUNDS = 5
WORKERS = 8


def _work(
    server: Server, token: str, worker: int, stop: threading.Event, acknowledged: list[dict[str, Any]], enough: int
) -> None:
    connection = server.connect()
    number = 0
    while not stop.is_set() and number < 2000:
        number += 1
        key = f"res:{server.process.pid}/{worker}/{number}"
        try:
            status, answer = server.call(
                token, "acquire_lock", {"key": key, "ttl_seconds": 86400}, connection, Idempotency_Key=key
            )
        except (OSError, http.client.HTTPException, ValueError):
            return
        assert status == 200, answer
        acknowledged.append({"id": answer["decision_id"], "key": key})
        if len(acknowledged) >= enough:
            stop.set()


def _query(url: str, statement: str) -> list[Any]:
    address = make_url(url)
    if address.get_backend_name() == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    engine = create_engine(address)
    try:
        with engine.connect() as connection:
            return list(connection.execute(text(statement)))
    finally:
        engine.dispose()


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_kill_nine_under_load_loses_nothing(dialect: str, new_database: Callable[[str], str], tmp_path: Path) -> None:
    url = new_database(dialect)
    env = environment(tmp_path / "home", url)
    token = json.loads(guardhouse(env, "init", "--json").stdout)["operator_token"]
    added = guardhouse(
        env | {"GUARDHOUSE_TOKEN": token}, "agents", "add", "w", "--trust", "2", "--profile", "unlimited", "--json"
    )
    agent = json.loads(added.stdout)["token"]
    chooser = random.Random(7)
    acknowledged: list[dict[str, Any]] = []
    for _round in range(ROUNDS):
        with serving(env) as server:
            stop = threading.Event()
            enough = len(acknowledged) + chooser.randrange(40, 250)
            threads = [
                threading.Thread(target=_work, args=(server, agent, worker, stop, acknowledged, enough))
                for worker in range(WORKERS)
            ]
            for thread in threads:
                thread.start()
            assert stop.wait(60)
            server.kill()
            for thread in threads:
                thread.join()
    entries = {row[0]: row[1] for row in _query(url, "SELECT id, outcome FROM entry WHERE operation = 'acquire_lock'")}
    locks = {row[0] for row in _query(url, "SELECT key FROM lock")}
    missing = [one for one in acknowledged if entries.get(one["id"]) != "performed"]
    assert not missing, f"{len(missing)} of {len(acknowledged)} acknowledged decisions are gone"
    assert {one["key"] for one in acknowledged} <= locks
    assert len(locks) == sum(outcome == "performed" for outcome in entries.values())
    verified = guardhouse(env, "ledger", "verify", "--json")
    assert json.loads(verified.stdout)["ok"] is True
