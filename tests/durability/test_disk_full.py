"""SQLite on a disk that fails, under a real gateway and over real sockets: an honest 503, and whole again by itself."""

from __future__ import annotations

import json
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from guardhouse.storage.sqlite import sqlite_path
from tests.durability import unsyncing
from tests.durability.load import Load, founded, query
from tests.server import Server, guardhouse, serving

QUIET = {"GUARDHOUSE_CHECKPOINT_SECONDS": "3600", "GUARDHOUSE_SWEEP_SECONDS": "3600"}
"""Nothing of the gateway's own is written meanwhile, and the log is never emptied."""
HONEST = {"503 not_performed", "503 outcome_unknown"}
CALLS = 12


def _begun(server: Server, operator: str) -> Load:
    """A load whose agent is known, so that its calls take the event loop's way from the first."""
    added = server.call(operator, "add_agent", {"handle": "w", "trust": 2, "profile": "unlimited"})[1]
    load = Load(added["token"])
    with load.on(server, "before", until=8, calls=1):
        pass
    return load


def _fill(server: Server, database: Path, room: int) -> tuple[int, int]:
    """Let the log grow by so many bytes and no more; gives the limits before."""
    grown = database.with_name(database.name + "-wal").stat().st_size + room
    _soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    return resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (grown, hard))


def _settled(server: Server, load: Load, url: str) -> None:
    """Each call has effect and entry or neither, `get_outcome` tells which, and nobody was told otherwise."""
    line = server.connect()
    locks = {row[0] for row in query(url, "SELECT key FROM lock")}
    performed = "SELECT resource_id, id FROM entry WHERE operation = 'acquire_lock' AND outcome = 'performed'"
    entries = [tuple(row) for row in query(url, performed)]
    assert locks == {key for key, _decision in entries}
    assert len(locks) == len(entries)
    assert load.acknowledged.items() <= dict(entries).items()
    for key, told in load.refused.items():
        assert load.outcome(server, line, key) == dict(entries).get(key, ""), key
        assert told == "503 outcome_unknown" or key not in locks, f"{key} was told undone and is there"


def test_sqlite_a_full_disk_is_told_and_the_service_recovers_by_itself(
    new_database: Callable[[str], str], tmp_path: Path
) -> None:
    """Full, emptied, full again and then killed."""
    url = new_database("sqlite")
    env, operator = founded(tmp_path / "home", url)
    with serving(env | QUIET) as server:
        load = _begun(server, operator)
        before = _fill(server, sqlite_path(url), room=300_000)
        with load.on(server, "full", until=9, calls=CALLS):
            pass
        assert load.refused, "the disk was never full"
        assert set(load.refused.values()) <= HONEST
        assert not load.cut
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)
        refused = len(load.refused)
        with load.on(server, "room", until=len(load.acknowledged) + 16, calls=2):
            pass
        assert len(load.refused) == refused, "the service did not recover by itself"
        _settled(server, load, url)
        _fill(server, sqlite_path(url), room=50_000)
        with load.on(server, "again", until=len(load.acknowledged), calls=CALLS):
            pass
        assert len(load.refused) > refused
        server.kill()
    assert set(load.refused.values()) <= HONEST
    with serving(env | QUIET) as server:
        _settled(server, load, url)
    assert json.loads(guardhouse(env, "ledger", "verify", "--json").stdout)["ok"] is True


@pytest.mark.skipif(not unsyncing.may_unsync(), reason="no process may have its syncs fail here")
def test_sqlite_no_call_told_undone_comes_back_after_a_failed_sync_and_a_kill(
    new_database: Callable[[str], str], tmp_path: Path
) -> None:
    """A COMMIT whose sync failed stands in the log all the same, where a recovery would find it."""
    url = new_database("sqlite")
    env, operator = founded(tmp_path / "home", url)
    with serving(env | QUIET, module="tests.durability.unsyncing") as server:
        load = _begun(server, operator)
        server.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 20
        while not (tmp_path / "home" / "unsyncing").exists():
            assert time.monotonic() < deadline, (tmp_path / "home" / "serve.log").read_text()
            time.sleep(0.02)
        with load.on(server, "unsynced", until=8, calls=3):
            pass
        assert len(load.refused) == 24
        assert set(load.refused.values()) <= HONEST
        server.kill()
    with serving(env | QUIET) as server:
        _settled(server, load, url)
    assert json.loads(guardhouse(env, "ledger", "verify", "--json").stdout)["ok"] is True
