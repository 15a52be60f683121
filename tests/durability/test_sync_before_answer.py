"""No answer leaves before a sync of its entry: seen from outside, in the system calls and the wire of the real process."""

from __future__ import annotations

import json
import re
import select
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.durability.holding import held_line
from tests.durability.load import founded
from tests.durability.tracing import may_trace
from tests.server import Server, serving

CALLS = 25


def _agent(server: Server, operator: str) -> str:
    """The token of a new agent."""
    asked = {"handle": "w", "trust": 2, "profile": "unlimited"}
    status, added = server.call(operator, "add_agent", asked)
    assert status == 200, added
    return str(added["token"])


def _call(server: Server, agent: str, connection: Any, number: int, mark: str = "") -> None:
    operation = "check_guardrails" if number % 2 else "acquire_lock"
    body = {"operation_text": "ls"} if number % 2 else {"key": f"res:{mark}{number}"}
    status, answer = server.call(agent, operation, body, connection)
    assert status == 200, answer


def unsynced(events: list[list[Any]]) -> tuple[int, list[int]]:
    """How many answers to calls a trace shows, and the places of those that no sync of what was written went before."""
    asked: dict[int, int] = {}
    wrote = synced = -1
    answers, early = 0, []
    for place, (kind, *said) in enumerate(events):
        if kind == "received" and said[1].startswith("POST /v1/"):
            asked[said[0]] = place
        elif kind == "wrote" and said[0].endswith("-wal"):
            wrote = place
        elif kind == "synced" and said[0].endswith("-wal"):
            synced = wrote
        elif kind == "answers" and said[1].startswith("HTTP/1.1 200") and said[0] in asked:
            answers += 1
            if synced < asked.pop(said[0]):
                early.append(place)
    return answers, early


def test_the_judge_of_traces_finds_an_answer_that_left_too_early() -> None:
    asked, wrote, synced = ["received", 9, "POST /v1/x"], ["wrote", "/x.db-wal"], ["synced", "/x.db-wal"]
    answer = ["answers", 9, "HTTP/1.1 200 OK"]
    assert unsynced([asked, wrote, synced, answer]) == (1, [])
    assert unsynced([asked, wrote, answer, synced]) == (1, [2])
    assert unsynced([asked, synced, wrote, answer]) == (1, [3])
    assert unsynced([wrote, asked, synced, answer]) == (1, [3]), "what was written before the call is not its entry"
    assert unsynced([asked, wrote, synced, answer, asked, answer]) == (2, [5])
    assert unsynced([asked, wrote, ["synced", "/x.db"], answer]) == (1, [3])


@pytest.mark.skipif(not may_trace(), reason="no process may trace its child here, or its system calls are not known")
def test_sqlite_every_answer_follows_a_sync_of_what_was_written_for_it(tmp_path: Path) -> None:
    """Alone and with seven others, whose trains share a sync."""
    env, operator = founded(tmp_path / "home")
    trace = tmp_path / "trace"
    with serving(env, wrap=(sys.executable, "-m", "tests.durability.tracing", str(trace))) as server:
        deadline = time.monotonic() + 30
        while not (trace.exists() and trace.read_text()):
            assert time.monotonic() < deadline, "the tracer did not attach"
            time.sleep(0.01)
        agent, connection = _agent(server, operator), server.connect()
        for number in range(CALLS):
            _call(server, agent, connection, number)

        def worker(mark: str) -> None:
            own = server.connect()
            for number in range(10):
                _call(server, agent, own, number, mark)

        threads = [threading.Thread(target=worker, args=(f"{name}/",)) for name in "abcdefgh"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    answers, early = unsynced([json.loads(line) for line in trace.read_text().splitlines()])
    assert answers == 1 + CALLS + 80, "the trace does not show every answer"
    assert early == []


def test_postgresql_no_answer_before_the_server_has_flushed_and_said_so(
    new_database: Callable[[str], str], tmp_path: Path
) -> None:
    """While COMMIT waits on the wire, or its acknowledgement does, nothing reaches the caller.

    When the acknowledgement stands, the write-ahead log is flushed beyond where it stood when the entry
    had been written and COMMIT was asked for.
    """
    url = new_database("postgresql")
    env, operator = founded(tmp_path / "home", url)
    quiet = {"GUARDHOUSE_CHECKPOINT_SECONDS": "3600", "GUARDHOUSE_SWEEP_SECONDS": "3600"}
    with held_line(url) as line, psycopg.connect(url, autocommit=True) as beside:

        def tell(what: str) -> Any:
            return beside.execute(what).fetchone()[0]  # type: ignore[index,arg-type]

        with serving(env | quiet | {"GUARDHOUSE_DATABASE_URL": line.url}) as server:
            agent, connection = _agent(server, operator), server.connect()
            _call(
                server, agent, connection, 0, "warm"
            )  # whoever is not known yet is read first, and reading commits too
            line.holding = True
            for number in range(8):
                before = tell("SELECT count(*) FROM entry")
                body = json.dumps({"key": f"res:{number}"})
                headers = {"Authorization": f"Bearer {agent}", "Content-Type": "application/json"}
                connection.request("POST", "/v1/acquire_lock", body, headers)
                asked = line.next("asked")
                written = tell("SELECT pg_current_wal_insert_lsn()")
                assert tell("SELECT count(*) FROM entry") == before
                assert not select.select([connection.sock], [], [], 0.05)[0], "answered before COMMIT was sent"
                asked.release()
                acknowledged = line.next("acknowledged")
                assert tell("SELECT count(*) FROM entry") == before + 1
                assert tell(f"SELECT pg_current_wal_flush_lsn() > '{written}'")
                assert not select.select([connection.sock], [], [], 0.05)[0], "answered before COMMIT was acknowledged"
                acknowledged.release()
                answer = connection.getresponse()
                assert (answer.status, json.loads(answer.read())["fence"] > 0) == (200, True)
            line.holding = False
            assert line.commits.empty()
            assert any(b"synchronous_commit=on" in packet for packet in line.startup)
            assert tell("SHOW fsync") == "on"


def test_postgresql_the_flush_position_tells_a_commit_that_did_not_wait(new_database: Callable[[str], str]) -> None:
    """What the test above relies on: without `synchronous_commit` the log is found behind a commit."""
    with psycopg.connect(new_database("postgresql"), autocommit=True) as line:
        line.execute("CREATE TABLE probe (n bigint)")
        behind: dict[str, int] = {}
        for level in ("on", "off"):
            line.execute(f"SET synchronous_commit = {level}")
            behind[level] = 0
            for number in range(50):
                with line.transaction():
                    line.execute("INSERT INTO probe VALUES (%s)", [number])
                    written = line.execute("SELECT pg_current_wal_insert_lsn()").fetchone()[0]  # type: ignore[index]
                flushed = line.execute("SELECT pg_current_wal_flush_lsn() > %s::pg_lsn", [written]).fetchone()[0]  # type: ignore[index]
                behind[level] += not flushed
        assert behind["on"] == 0
        assert behind["off"] > 0


@pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace shows the order of system calls; it is not installed"
)
def test_every_answer_follows_a_sync_of_the_log(tmp_path: Path) -> None:
    env, operator = founded(tmp_path / "home")
    trace = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,read,recvfrom,recvmsg,write,writev,sendto,sendmsg"
    wrap = ("strace", "-f", "-y", "-s", "64", "-o", str(trace), "-e", calls)
    with serving(env, wrap=wrap) as server:
        agent, connection = _agent(server, operator), server.connect()
        for number in range(CALLS):
            _call(server, agent, connection, number)
    waiting = synced = False
    answers = 0
    for line in trace.read_text(errors="replace").splitlines():
        if re.search(r"(read|recvfrom|recvmsg)\(.*(socket|TCP).*POST /v1/", line) or (
            "POST /v1/" in line and "resumed" in line
        ):
            waiting, synced = True, False
        elif re.search(r"f(data)?sync\(\d+<[^>]*-wal>", line):
            synced = True
        elif waiting and re.search(r"(write|writev|sendto|sendmsg)\(.*HTTP/1\.1 200", line):
            assert synced, line
            answers += 1
            waiting = False
    assert answers == 1 + CALLS, "the trace does not show every answer"
