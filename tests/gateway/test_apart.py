"""Recalls read apart: the same answers, whatever becomes of the process that reads them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine.url import make_url

from guardhouse.bundle import versions
from guardhouse.gateway import Gateway, apart
from guardhouse.gateway.apart import Recaller
from guardhouse.model.answer import Outcome
from guardhouse.operations import CATALOG
from guardhouse.services import memory, recaller, recalling
from guardhouse.storage import framing
from guardhouse.storage.opening import open_store
from guardhouse.storage.postgres_reading import spoken
from tests.conftest import START, CountingIds, FakeClock
from tests.services.workshop import WORKSPACE, Workshop
from tests.world import Member, World, world

CASES = json.loads((Path(__file__).parents[1] / "cases" / "recall.json").read_text())
ASKED: dict[str, Any] = {"workspace_id": WORKSPACE, "now": START}


class Seconds:
    """A clock of seconds that moves only when told to."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def path(new_database: Callable[[str], str]) -> Path:
    return Path(new_database("sqlite").removeprefix("sqlite:///"))


def described(url: str) -> Mapping[str, Any]:
    """What a server on this database would tell the process."""
    store = open_store(url, FakeClock())
    try:
        return store.for_readers()
    finally:
        store.close()


@contextlib.contextmanager
def recalls(place: Path | str, seconds: Seconds, **options: Any) -> Iterator[Recaller]:
    database = {"sqlite": str(place)} if isinstance(place, Path) else described(place)
    made = Recaller(database, clock=seconds, **{"patience_seconds": 30.0} | options)
    try:
        yield made
    finally:
        made.close()


def begun(one: Recaller, **asked: Any) -> int:
    """Have a process started, and wait until it has opened the file; its id."""
    assert one.recall(ASKED | asked, 20.0) is None, "while it starts, the server reads"
    held = one._held
    assert held is not None
    assert select.select([held.line], [], [], 60)[0], "it does not start"
    return held.process.pid


def gone(pid: int) -> bool:
    """Whether nothing of a process is left, no zombie either."""
    return not Path(f"/proc/{pid}").exists()


# -- the same answers -------------------------------------------------------------------------------------------------


def _filled(url: str) -> Workshop:
    clock = FakeClock()
    shop = Workshop(open_store(url, clock), clock, CountingIds())
    with shop.tx() as tx:
        for sequence, case in enumerate(CASES["memories"]):
            tx.now = START - case["days_ago"] * 86_400_000_000
            said = {name: case[name] for name in ("event_type", "summary", "details", "outcome", "lessons")}
            memory.remember(
                tx, shop.ids, WORKSPACE, agent_id=case["agent"], tags=case["tags"], sequence=sequence, **said
            )
    return shop


HOSTILE = [
    {"query": query}
    for query in ["'", '"', "a OR b", "NEAR(x)", "x*", "& | !", "\\", ":now", "😀", "数据库", "the", "", "x" * 1000]
] + [
    {"query": " ".join(f"w{number}" for number in range(330)), "limit": 50},
    {"query": "cache", "limit": 1},
    {"query": "cache", "limit": 50},
    {"query": "cache", "below": 0},
    {"query": "cache", "below": 100},
    {"query": "", "below": 2**62},
    {"tags": ["Cache", "x:y", "é" * 60]},
    {"agent_id": "agt_nobody"},
    {"query": "cache", "outcome": "success"},
    {"event_type": "error", "limit": 50},
    {"repository": "git@example.com:a b/c"},
    {"query": "cache", "now": 0},
]


def test_the_same_is_found_as_in_the_server(database_url: str, seconds: Seconds) -> None:
    """200 memories, 40 queries, and questions that try to break something: the same to the last byte."""
    shop = _filled(database_url)
    asked = [{"query": case["query"], "limit": limit} for case in CASES["queries"] for limit in (10, 50)] + HOSTILE
    with recalls(database_url, seconds) as one:
        pid = begun(one)
        for each in asked:
            told = one.recall(ASKED | each, 20.0)
            with shop.store.reading() as connection:
                here = memory.recall(connection, **ASKED | each)
            assert told is not None, each
            assert json.dumps(recalling.packed(told)) == json.dumps(recalling.packed(here)), each
            assert told == here
        assert (one.pid, one._held and one._held.answers) == (pid, len(asked))
    shop.store.close()


def test_what_a_recall_shows_is_all_of_a_memory_but_what_it_was_found_by() -> None:
    columns = [column.name for column in memory.MEMORY.c]
    assert list(recalling.SHOWN) == [name for name in columns if name not in ("workspace_id", "terms")]
    whole = {column.name for column in memory.MEMORY.c if column.type.python_type is int}
    assert whole == recalling._FORMS.keys()


def test_eight_threads_are_all_answered(database_url: str, seconds: Seconds) -> None:
    shop = _filled(database_url)
    queries = [case["query"] for case in CASES["queries"]]
    with recalls(database_url, seconds) as one, ThreadPoolExecutor(8) as pool:
        begun(one)
        told = list(pool.map(lambda query: one.recall(ASKED | {"query": query}, 20.0), queries * 4))
    with shop.store.reading() as connection:
        here = [memory.recall(connection, **ASKED, query=query) for query in queries]
    assert told == here * 4
    shop.store.close()


# -- through the gateway ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def house(url: str, seconds: Seconds, **options: Any) -> Iterator[tuple[World, Recaller, Member]]:
    """A world whose gateway has recalls read apart, that process begun, and an agent."""
    clock = FakeClock()
    store = open_store(url, clock)
    with world(store, clock, CountingIds()) as made, recalls(url, seconds) as one:
        gateway = Gateway(store, CATALOG, versions.BundleCache(), clock, made.ids, **options)
        gateway.recall_by(one)
        here = World(store, clock, made.ids, gateway, made.workspace_id, made.operator)
        anna = here.agent("anna")
        try:
            begun(one)
            yield here, one, anna
        finally:
            gateway.close()
    store.close()


LESSON = {"event_type": "error", "summary": "the walrus job needs more memory", "tags": ["ci"], "lessons": ["ask ops"]}


def test_what_others_write_is_seen_and_what_is_forgotten_or_erased_is_not(database_url: str, seconds: Seconds) -> None:
    """Every state between two recalls, each read by the process apart."""
    with house(database_url, seconds) as (here, one, anna):
        bert, olga = here.agent("bert"), here.person("olga", "security")

        def found() -> list[str]:
            assert one._held is not None
            before = one._held.answers
            told = here.done(bert, "recall", {"query": "walrus"})
            assert one._held is not None
            assert one._held.answers == before + 1, "it was read in the server"
            return [item["summary"] for item in told["memories"]]

        assert found() == []
        first = here.call(anna, "remember", LESSON)
        assert first.result is not None
        assert found() == [LESSON["summary"]]
        other = here.done(bert, "remember", {"event_type": "error", "summary": "walrus again", "repository": "web"})
        assert sorted(found()) == sorted([LESSON["summary"], "walrus again"])
        here.done(bert, "forget", {"memory_id": other["memory_id"]})
        assert found() == [LESSON["summary"]]
        here.done(olga, "erase_payload", {"decision_ids": [first.decision_id], "reason": "asked for"})
        assert found() == []


def test_an_answer_is_the_same_wherever_it_is_read(database_url: str, seconds: Seconds) -> None:
    with house(database_url, seconds) as (here, one, anna):
        here.done(anna, "remember", LESSON | {"details": "é" * 5_000 + "\u2028😀\x7f"})
        apart_from = here.call(anna, "recall", {"query": "walrus", "tags": ["CI"]})
        assert one._held is not None
        assert one._held.answers == 1
        one.close()
        assert one.pid is None
        in_it = here.call(anna, "recall", {"query": "walrus", "tags": ["CI"]})
        assert json.dumps(apart_from.result) == json.dumps(in_it.result)
        assert apart_from.result is not None
        assert len(apart_from.result["memories"]) == 1


def test_a_process_killed_in_the_middle_of_a_question_costs_no_answer(database_url: str, seconds: Seconds) -> None:
    with house(database_url, seconds) as (here, one, anna), ThreadPoolExecutor(1) as pool:
        here.done(anna, "remember", LESSON)
        here.done(anna, "recall", {"query": "walrus"})
        pid, entries = one.pid, here.count()
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        waiting = pool.submit(here.call, anna, "recall", {"query": "walrus"})
        _until(one._turn.locked)
        assert not waiting.done()
        os.kill(pid, signal.SIGKILL)
        told = waiting.result(30)
        assert (told.code, [item["summary"] for item in (told.result or {})["memories"]]) == (
            "performed",
            [LESSON["summary"]],
        )
        assert here.count() == entries + 1
        assert gone(pid)
        here.done(anna, "recall", {"query": "walrus"})
        assert one.pid is None, "nobody starts another at once"
        seconds.at += apart._FIRST_DELAY
        assert begun(one) != pid
        here.done(anna, "recall", {"query": "walrus"})
        assert one._held is not None
        assert one._held.answers == 1


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_process_that_stands_still_holds_up_one_recall_and_for_its_time_only(
    database_url: str, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "GRACE_SECONDS", 0.2)
    with house(database_url, seconds, fetch_timeout_seconds=1.5) as (here, one, anna), ThreadPoolExecutor(1) as pool:
        here.done(anna, "remember", LESSON)
        here.done(anna, "recall", {"query": "walrus"})
        one._patience = 0.02
        pid, entries = one.pid, here.count()
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        waiting = pool.submit(here.call, anna, "recall", {"query": "walrus"})
        _until(one._turn.locked)
        others = [here.call(anna, "recall", {"query": "walrus"}) for _ in range(3)]
        assert [len((each.result or {})["memories"]) for each in others] == [1, 1, 1]
        late: Outcome = waiting.result(30)
        assert (late.code, late.result) == ("answer_unavailable", None)
        assert here.count() == entries + 4
        assert (gone(pid), one.pid) == (True, None)
        assert here.done(anna, "recall", {"query": "walrus"})["memories"]


def test_a_question_that_takes_too_long_is_ended_and_its_process_lives_on(
    database_url: str, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "GRACE_SECONDS", 30.0)  # it may have to wait for a processor
    shop = _filled(database_url)
    with recalls(database_url, seconds) as one:
        pid = begun(one)
        words = {"query": " ".join(f"w{number}" for number in range(20_000)) + " cache"}
        with pytest.raises(TimeoutError):
            one.recall(ASKED | words, 0.0)
        assert one.pid == pid
        assert one.recall(ASKED | words, 20.0) is not None
    shop.store.close()


def test_closing_the_gateway_ends_it_with_a_question_in_flight(database_url: str, seconds: Seconds) -> None:
    with house(database_url, seconds) as (here, one, anna), ThreadPoolExecutor(1) as pool:
        here.done(anna, "remember", LESSON)
        here.done(anna, "recall", {"query": "walrus"})
        pid = one.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        waiting = pool.submit(here.call, anna, "recall", {"query": "walrus"})
        _until(one._turn.locked)
        here.gateway.close()
        assert (gone(pid), one.pid) == (True, None)
        assert (waiting.result(30).result or {})["memories"]
        assert one.recall(ASKED, 20.0) is None
        assert one.pid is None, "a closed gateway starts nothing"


# -- how it is started, left alone and lost ---------------------------------------------------------------------------


def test_left_alone_it_is_ended_and_the_next_recall_starts_another(path: Path, seconds: Seconds) -> None:
    with recalls(path, seconds) as one:
        one.tend()
        assert one.pid is None, "nobody has asked"
        first = begun(one)
        seconds.at += apart.IDLE_SECONDS
        one.tend()
        assert one.pid == first
        seconds.at += 0.1
        one.tend()
        assert (one.pid, gone(first)) == (None, True)
        assert begun(one) != first
        assert one.recall(ASKED, 20.0) is not None


def test_one_that_ended_by_itself_is_buried(path: Path, seconds: Seconds) -> None:
    with recalls(path, seconds) as one:
        pid = begun(one)
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        one.tend()
        assert (one.pid, gone(pid)) == (None, True)


def test_a_process_that_cannot_be_started_is_tried_ever_more_rarely(path: Path, seconds: Seconds) -> None:
    tried: list[float] = []

    def nothing() -> list[str]:
        tried.append(seconds.at)
        return [str(path.parent / "no-such-program")]

    with recalls(path, seconds, command=nothing) as one:
        for _ in range(1_500):
            assert one.recall(ASKED, 20.0) is None
            seconds.at += 0.25
    pauses = [after - before for before, after in itertools.pairwise(tried)]
    assert pauses[:9] == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_no_room_for_a_line_costs_no_answer(path: Path, seconds: Seconds) -> None:
    """As many files open as may be: the server still reads, and leaves none open that nobody knows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with recalls(path, seconds) as one:
        lowest = os.open(os.devnull, os.O_RDONLY)
        for room in range(3):
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1 + room, hard))
            try:
                assert one.recall(ASKED, 20.0) is None
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert one.pid is None
            seconds.at += 60
        os.close(lowest)
        begun(one)
        assert one.recall(ASKED, 20.0) is not None


CHILD = """
import socket, struct, sys
line = socket.socket(fileno=0)
def told(data): line.sendall(struct.pack("!I", len(data)) + data)
def heard():
    (length,) = struct.unpack("!I", line.recv(4))
    while length: length -= len(line.recv(length))
heard()
kind = sys.argv[1]
if kind == "dies": sys.exit(3)
told(b'{"ready": false}' if kind == "unready" else b'{"ready": true}')
heard()
if kind == "overlong": line.sendall(struct.pack("!I", 2**25 + 1)); line.recv(1)
if kind == "half": line.sendall(struct.pack("!I", 1000) + b"{"); sys.exit(0)
told({
    "noise": b"\\xff\\xfe", "list": b"[]", "null": b"null", "number": b'{"number": 2, "found": [[], false, 0, true]}',
    "shape": b'{"number": 1, "found": [[[1, "mem_1"]], false, 1, true]}',
    "forms": b'{"number": 1, "found": [[], 0, 0, true]}', "words": b'{"number": 1, "found": "nothing"}',
}[kind])
line.recv(1)
"""


@pytest.mark.parametrize(
    "kind",
    ["dies", "unready", "overlong", "half", "noise", "list", "null", "number", "shape", "forms", "words"],
)
def test_a_wrong_answer_is_none_and_ends_its_process(kind: str, path: Path, seconds: Seconds, tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    started: list[str] = []

    def another() -> list[str]:
        started.append(kind)
        return [sys.executable, "-I", "-S", str(script), kind]

    with recalls(path, seconds, command=another) as one:
        pid = begun(one)
        assert one.recall(ASKED, 20.0) is None
        assert (gone(pid), one.pid) == (True, None)
        assert one.recall(ASKED, 20.0) is None
        assert len(started) == 1, "not again on every call"


def test_one_that_never_says_it_is_ready_is_given_up(path: Path, seconds: Seconds) -> None:
    with recalls(path, seconds, command=lambda: [sys.executable, "-I", "-S", "-c", "input()"]) as one:
        assert one.recall(ASKED, 20.0) is None
        pid = one.pid
        assert pid is not None
        seconds.at += apart.START_SECONDS
        one.tend()
        assert one.pid == pid
        seconds.at += 0.1
        one.tend()
        assert (one.pid, gone(pid)) == (None, True)


# -- what the process itself is ---------------------------------------------------------------------------------------


def test_it_holds_nothing_of_its_parent_and_ends_with_its_line(
    path: Path, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARDHOUSE_TOKEN", "tok_secret")
    with socket.create_server(("127.0.0.1", 0)) as listening, recalls(path, seconds) as one:
        os.set_inheritable(listening.fileno(), True)
        pid = begun(one)
        assert one.recall(ASKED, 20.0) is not None
        proc = Path(f"/proc/{pid}")
        held = [os.readlink(each) for each in (proc / "fd").iterdir()]
        assert len({each for each in held if each.startswith("socket:")}) == 1
        assert f"socket:[{os.stat(listening.fileno()).st_ino}]" not in held
        assert b"GUARDHOUSE" not in (proc / "environ").read_bytes()
        assert str(path).encode() not in (proc / "cmdline").read_bytes()
        assert os.getsid(pid) == pid, "a terminal's signals do not reach it"
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            os.kill(pid, number)
        assert one.recall(ASKED, 20.0) is not None
        assert one._held is not None
        end = os.pidfd_open(pid)
        one._held.line.close()
        assert select.select([end], [], [], 30)[0], "it outlives its parent"
        os.close(end)


def test_it_cannot_write(database_url: str) -> None:
    source = recaller.opened(described(database_url))
    with pytest.raises(Exception, match=r"readonly|read-only"), source.reading(20.0) as asking:
        asking.one("INSERT INTO memory_term (workspace_id, term, documents) VALUES ('w', 't', 1) RETURNING 1", {})
    with source.reading(20.0) as asking:
        assert asking.one("SELECT count(*) FROM memory_term", {}) == 0
    source.close()


def test_it_makes_no_file(tmp_path: Path, seconds: Seconds) -> None:
    missing = tmp_path / "nothing.db"
    with recalls(missing, seconds) as one:
        begun(one)
        assert one.recall(ASKED, 20.0) is None
        assert one.pid is None
    assert not missing.exists()


def test_a_lost_server_costs_no_answer_and_a_password_is_seen_by_nobody(
    new_database: Callable[[str], str], seconds: Seconds, capfd: pytest.CaptureFixture[str]
) -> None:
    """The server ends the process's connection: the answer is read in the server, and later by another process."""
    url = new_database("postgresql")
    told = described(make_url(url).set(password="hush-hush").render_as_string(hide_password=False))
    assert told["postgresql"]["password"] == "hush-hush"
    with recalls(url, seconds) as one:
        one._database = told
        pid = begun(one)
        assert one.recall(ASKED, 20.0) is not None
        for name in ("environ", "cmdline"):
            assert b"hush" not in Path(f"/proc/{pid}/{name}").read_bytes()
        store = open_store(url, FakeClock())
        with store.writing("") as tx:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            assert tx.execute(text(ended)).scalars().all() == [True]
        store.close()
        assert one.recall(ASKED, 20.0) is None
        assert one.recall(ASKED, 20.0) is None
        assert (gone(pid), one.pid) == (True, None)
        seconds.at += apart._FIRST_DELAY
        begun(one)
        assert one.recall(ASKED, 20.0) is not None
    assert "hush" not in "".join(capfd.readouterr())


def test_a_question_is_spoken_in_the_drivers_style() -> None:
    said = "SELECT '50%', a::text FROM t WHERE b = :b AND c LIKE :c_1 || '%'"
    assert spoken(said) == "SELECT '50%%', a::text FROM t WHERE b = %(b)s AND c LIKE %(c_1)s || '%%'"


def test_one_that_has_served_long_is_replaced(path: Path, seconds: Seconds) -> None:
    with recalls(path, seconds) as one:
        first = begun(one)
        for _ in range(31):
            assert one.recall(ASKED, 20.0) is not None
            one.tend()
            assert one.pid == first
            seconds.at += 59
        one.tend()
        assert (one.pid, gone(first)) == (None, True)
        assert begun(one) != first


def test_it_loads_no_library_of_the_server() -> None:
    """A small process: what it loads is a choice."""
    heavy = {
        "sqlalchemy",
        "psycopg",
        "sqlmodel",
        "pydantic",
        "cedarpy",
        "fastapi",
        "starlette",
        "uvicorn",
        "re2",
        "sqlglot",
    }
    script = (
        "import sys, guardhouse.services.recaller; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    command = [sys.executable, "-P", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert "guardhouse" in done
    assert not heavy & set(done)


def test_a_fault_names_its_kind_and_nothing_of_the_question(database_url: str) -> None:
    shop = _filled(database_url)
    source = recaller.opened(described(database_url))
    asked = ASKED | {"query": "cache", "limit": "secret"}
    for number in (7, 8):
        told = recaller.answer(source, {"number": number, "seconds": 20.0, "asked": asked})
        assert told == {"number": number, "fault": "TypeError"}
    told = recaller.answer(source, {"number": 9, "seconds": 20.0, "asked": ASKED | {"query": "cache"}})
    assert told["found"][0], "a fault ends no more than its question"
    source.close()
    shop.store.close()


# -- the line ---------------------------------------------------------------------------------------------------------


def test_a_line_gives_back_what_was_sent_and_believes_no_length() -> None:
    one, other = socket.socketpair()
    with one, other:
        value = {"a": ["é", 1, None, True], "b": "x" * 100_000}
        sending = threading.Thread(target=framing.send, args=(one, value))
        sending.start()
        assert framing.receive(other, 1 << 20) == value
        sending.join(30)
        one.sendall(struct.pack("!I", 11))
        with pytest.raises(ValueError, match="11 bytes, more than 10"):
            framing.receive(other, 10)
        with pytest.raises(TimeoutError):
            framing.receive(other, 10, time.monotonic() + 0.01)
        with pytest.raises(TimeoutError):
            framing.send(one, 1, time.monotonic() - 1)
        one.sendall(struct.pack("!I", 5) + b"12")
        one.close()
        with pytest.raises(EOFError):
            framing.receive(other, 10)


@pytest.mark.parametrize(
    "value",
    [None, 1, "abcd", [], [[], False, 0], [[], 0, 0, True], [[], False, False, True], [[[]], False, 0, True],
     [[None], False, 0, True], [[["1", *["x"] * 18]], False, 1, True], {"a": 1, "b": 2, "c": 3, "d": 4}],
)  # fmt: skip
def test_what_is_no_recollection_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whichever of them it is
        recalling.unpacked(value)
