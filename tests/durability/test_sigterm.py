"""SIGTERM under load: whoever was heard is answered, the whole ledger is signed, and nothing stays behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guardhouse.ledger import checkpoint
from tests.durability.load import Load, founded, query
from tests.server import serving


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_sigterm_under_load_answers_all_that_was_taken_and_signs_all_of_it(
    dialect: str, new_database: Callable[[str], str], tmp_path: Path
) -> None:
    """Eight write, and one waits for a person; who was not answered was not heard either."""
    url = new_database(dialect)
    env, operator = founded(tmp_path / "home", url)
    waited: list[tuple[int, dict[str, Any]]] = []
    load = Load()
    with serving(env) as server:
        added = server.call(operator, "add_agent", {"handle": "w", "trust": 2, "profile": "unlimited"})[1]
        load.token = added["token"]
        asked = server.call(load.token, "check_guardrails", {"operation_text": "npm publish"})[1]
        body = {"approval_id": asked["approval_id"], "timeout_seconds": 300}
        line = server.connect()
        waiter = threading.Thread(
            target=lambda: waited.append(server.call(load.token, "wait_approval", body, line)), daemon=True
        )
        waiter.start()
        deadline = time.monotonic() + 20
        while not query(url, "SELECT id FROM entry WHERE operation = 'wait_approval'"):
            assert time.monotonic() < deadline, "nobody waits"
            time.sleep(0.02)
        assert not waited
        with load.on(server, "end", until=60):
            told_at = time.monotonic()
            status = server.stop()
        seconds = time.monotonic() - told_at
        waiter.join(10)
    assert status == 0, (tmp_path / "home" / "serve.log").read_text()
    assert seconds < 20, "a held line held up the end"
    assert [(code, answer["state"]) for code, answer in waited] == [(200, "pending")]
    assert not (tmp_path / "home" / "endpoint.json").exists()
    assert len(load.cut) == 8
    assert not load.refused
    entries = [row[0] for row in query(url, "SELECT id FROM entry WHERE operation = 'acquire_lock'")]
    assert sorted(entries) == sorted(load.acknowledged.values())
    assert {row[0] for row in query(url, "SELECT key FROM lock")} == load.acknowledged.keys()
    [(size, workspace_id)] = query(url, "SELECT tree_size, workspace_id FROM workspace_head")
    assert query(url, "SELECT max(tree_size) FROM checkpoint") == [(size,)]
    noted = (tmp_path / "home" / "checkpoints" / f"{workspace_id}.log").read_text()
    assert checkpoint.parse_text(checkpoint.split_log(noted)[-1]).size == size
