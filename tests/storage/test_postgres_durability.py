"""A PostgreSQL that answers before it syncs is not used: what may be set from outside is overruled, or refused by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine.url import make_url

from guardhouse.app import Guardhouse
from guardhouse.errors import NotPerformed, SettingsFault
from guardhouse.settings import Settings
from guardhouse.storage.opening import open_store
from guardhouse.storage.postgres import PostgresStore
from tests.conftest import FakeClock
from tests.server import environment, guardhouse
from tests.world import world

DURABLE = {"synchronous_commit": "on", "fsync": "on"}


def _say(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as line:
        line.execute(statement)  # type: ignore[call-overload]  # a statement of this test's own


def _weakened_database(url: str) -> str:
    _say(url, f'ALTER DATABASE "{make_url(url).database}" SET synchronous_commit = off')
    return url


def _weakened_role(url: str) -> str:
    """A role of its own, so that no other test's is touched; it goes with `_undo`."""
    _say(url, "DROP ROLE IF EXISTS hasty")
    _say(url, "CREATE ROLE hasty LOGIN SUPERUSER")
    _say(url, "ALTER ROLE hasty SET synchronous_commit = off")
    return make_url(url).set(username="hasty").render_as_string(hide_password=False)


def _weakened_address(url: str) -> str:
    return make_url(url).update_query_dict({"options": "-csynchronous_commit=off"}).render_as_string(False)


def _undo(url: str) -> None:
    _say(url, "DROP ROLE IF EXISTS hasty")


@pytest.mark.parametrize("weaken", [_weakened_database, _weakened_role, _weakened_address])
def test_a_weaker_commit_set_for_database_role_or_address_is_overruled(
    new_database: Callable[[str], str], clock: FakeClock, weaken: Callable[[str], str]
) -> None:
    url = new_database("postgresql")
    try:
        weakened = weaken(url)
        with psycopg.connect(weakened) as plain:
            assert plain.execute("SHOW synchronous_commit").fetchone() == ("off",), "nothing was weakened"
        store = open_store(weakened, clock)
        assert isinstance(store, PostgresStore)
        try:
            assert store.durability() == DURABLE
            with store.writing("") as tx:
                assert tx.connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        finally:
            store.close()
    finally:
        _undo(url)


@contextmanager
def _without_fsync(url: str) -> Iterator[None]:
    """The whole server without fsync, as long as this lasts."""

    def turn(statement: str, wanted: str) -> None:
        _say(url, statement)
        _say(url, "SELECT pg_reload_conf()")
        for _ in range(2_000):  # a reload reaches each connection when the server gets round to it
            with psycopg.connect(url) as line:
                if line.execute("SHOW fsync").fetchone() == (wanted,):
                    return
        raise AssertionError(f"fsync did not become {wanted}")

    turn("ALTER SYSTEM SET fsync = off", "off")
    try:
        yield
    finally:
        turn("ALTER SYSTEM RESET fsync", "on")


somebody_elses = pytest.mark.skipif(
    "GUARDHOUSE_TEST_POSTGRES_URL" in os.environ, reason="the server is somebody else's, and stays as durable as it is"
)


@somebody_elses
def test_a_server_without_fsync_is_refused_by_name(new_database: Callable[[str], str], tmp_path: Path) -> None:
    url = new_database("postgresql")
    with _without_fsync(url):
        house = Guardhouse(Settings(home=tmp_path / "home", database_url=url))
        with house, pytest.raises(SettingsFault, match=r"GUARDHOUSE_DATABASE_URL: .*fsync=off") as told:
            house.require_sound()
        assert "\n" not in told.value.message
        done = guardhouse(environment(tmp_path / "other", url), "init", check=False)
        assert done.returncode == 69, done
        assert "GUARDHOUSE_DATABASE_URL" in done.stderr
        assert "fsync=off" in done.stderr
        assert "Traceback" not in done.stderr


@somebody_elses
def test_a_server_that_loses_fsync_while_it_is_used_is_noticed_and_no_longer_written_to(
    new_database: Callable[[str], str], clock: FakeClock, ids: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """At the next round of background work, every second; the calls until then are as durable as the server is."""
    store = open_store(new_database("postgresql"), clock)
    try:
        with world(store, clock, ids) as home:
            agent = home.agent("worker")
            home.done(agent, "check_locks")
            before = home.count()
            with _without_fsync(store.url):
                store.tidy()
                assert "fsync=off" in caplog.text
                with pytest.raises(NotPerformed):
                    home.call(agent, "acquire_lock", {"key": "res:a"})
                assert home.count() == before
            store.tidy()
            home.done(agent, "acquire_lock", {"key": "res:a"})
    finally:
        store.close()
