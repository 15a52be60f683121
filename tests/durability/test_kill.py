"""Killed without warning, under load, again and again: nothing acknowledged is missing, nothing half done."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.durability.load import Load, founded, query
from tests.server import guardhouse, serving

ROUNDS = 5


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_kill_nine_under_load_loses_nothing(dialect: str, new_database: Callable[[str], str], tmp_path: Path) -> None:
    """The load goes on until the kill cuts its lines; what became of each call cut, `get_outcome` tells afterwards."""
    url = new_database(dialect)
    env, operator = founded(tmp_path / "home", url)
    load = Load()
    chooser = random.Random(7)
    under_way = 0
    for number in range(ROUNDS):
        with serving(env) as server:
            if not load.token:
                load.token = server.call(operator, "add_agent", {"handle": "w", "trust": 2, "profile": "unlimited"})[1][
                    "token"
                ]
            with load.on(server, f"round{number}", until=len(load.acknowledged) + chooser.randrange(20, 200)):
                killed = time.monotonic()
                server.kill()
        under_way += sum(key.startswith(f"res:round{number}/") and sent < killed for key, sent in load.cut.items())
    assert under_way >= ROUNDS, "the kills met hardly any call under way"
    assert not load.refused
    with serving(env) as server:
        line = server.connect()
        outcomes = {key: load.outcome(server, line, key) for key in load.cut}
    asked = query(url, "SELECT id, outcome, resource_id FROM entry WHERE operation = 'acquire_lock'")
    entries = {row[0]: row[1] for row in asked}
    locks = {row[0] for row in query(url, "SELECT key FROM lock")}
    missing = [key for key, decision in load.acknowledged.items() if entries.get(decision) != "performed"]
    assert not missing, f"{len(missing)} of {len(load.acknowledged)} acknowledged decisions are gone"
    assert sorted(locks) == sorted(row[2] for row in asked if row[1] == "performed")
    assert locks == load.acknowledged.keys() | {key for key, decision in outcomes.items() if decision}
    told = sorted([*load.acknowledged.values(), *filter(None, outcomes.values())])
    assert told == sorted(decision for decision, outcome in entries.items() if outcome == "performed")
    verified = guardhouse(env, "ledger", "verify", "--json")
    assert json.loads(verified.stdout)["ok"] is True
