"""Migrations: the same schema as the models, every trigger in its place, and a service that cannot touch the ledger."""

from __future__ import annotations

import importlib
import itertools
import json
import multiprocessing
import os
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import ProgrammingError
from sqlmodel import SQLModel

import guardhouse.app
import guardhouse.services
from guardhouse.ledger import fsck
from guardhouse.storage import migrate as migrating
from guardhouse.storage.opening import open_store
from tests.conftest import CountingIds, FakeClock, administer
from tests.world import world

# Every room's tables are declared once its modules are loaded.
for found in pkgutil.walk_packages(guardhouse.services.__path__, "guardhouse.services."):
    importlib.import_module(found.name)

TRIGGERS = json.loads((Path(__file__).parent / "triggers.json").read_text())
_numbers = itertools.count(1)


@contextmanager
def opened(url: str) -> Iterator[Connection]:
    address = make_url(url)
    if address.get_backend_name() != "sqlite":
        address = address.set(drivername="postgresql+psycopg")
    engine = create_engine(address)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@pytest.fixture
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """The address of a database that was never migrated."""
    made = []

    def make(dialect: str) -> str:
        if dialect == "sqlite":
            return f"sqlite:///{tmp_path}/empty-{next(_numbers)}.db"
        server = request.getfixturevalue("postgres_server")
        name = f"guardhouse_empty_{os.getpid()}_{next(_numbers)}"
        administer(server, f'CREATE DATABASE "{name}"')
        made.append((server, name))
        return make_url(server).set(database=name).render_as_string(hide_password=False)

    yield make
    for server, name in made:
        administer(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


both = pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])


@both
def test_every_migration_leaves_every_trigger(empty: Callable[[str], str], dialect: str) -> None:
    """A migration that rebuilds a protected table drops its triggers in silence; this list is what tells."""
    url = empty(dialect)
    script = ScriptDirectory.from_config(migrating._config())
    revisions = [revision.revision for revision in reversed(list(script.walk_revisions()))]
    assert revisions[:2] == ["0001", "0002"]
    for revision in revisions:
        assert migrating.migrate(url, revision) == revision
        with opened(url) as connection:
            expected = [] if revision == "0001" else TRIGGERS[dialect]
            assert migrating.triggers(connection) == expected, f"after {revision}"
    with opened(url) as connection:
        assert migrating.current(connection) == migrating.newest()


@both
def test_the_schema_is_that_of_the_models(new_database: Callable[[str], str], dialect: str) -> None:
    def ours(thing: Any, name: str, kind: str, _reflected: bool, _other: Any) -> bool:
        if kind == "table":
            return name != "alembic_version" and not name.startswith("memory_text") and name not in segments
        return kind != "index" or name != "memory_text"

    with opened(new_database(dialect)) as connection:
        segments: set[str] = set()
        if dialect == "postgresql":
            query = "SELECT relname FROM pg_class WHERE relispartition"
            segments = set(connection.execute(text(query)).scalars())
        context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def _migrate(url: str, barrier: Any, results: Any) -> None:
    barrier.wait(30)
    results.put(migrating.migrate(url))


@both
def test_two_processes_may_migrate_at_once(empty: Callable[[str], str], dialect: str) -> None:
    url = empty(dialect)
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(2), spawn.Queue()
    processes = [spawn.Process(target=_migrate, args=(url, barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == [migrating.newest()] * 2
    for process in processes:
        process.join(30)
        assert process.exitcode == 0


@both
def test_migrating_again_changes_nothing(new_database: Callable[[str], str], dialect: str) -> None:
    url = new_database(dialect)
    assert migrating.migrate(url) == migrating.migrate(url) == migrating.newest()


@pytest.fixture
def two_roles(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """A database's address as its owner, and as a role that only serves."""
    owner = new_database("postgresql")
    role = f"guardhouse_service_{os.getpid()}_{next(_numbers)}"
    server = request.getfixturevalue("postgres_server")
    administer(server, f"CREATE ROLE {role} LOGIN PASSWORD 'sample'")
    try:
        migrating.grant_service(owner, role)
        yield owner, make_url(owner).set(username=role, password="sample").render_as_string(hide_password=False)
    finally:
        with opened(owner) as connection:
            connection.execute(text(f"DROP OWNED BY {role}"))
            connection.commit()
        administer(server, f"DROP ROLE {role}")


def test_the_service_role_serves(two_roles: tuple[str, str], clock: FakeClock, ids: CountingIds) -> None:
    """A whole gateway, from founding to a lawful erasure, as a role that owns nothing."""
    store = open_store(two_roles[1], clock)
    try:
        with world(store, clock, ids) as here:
            agent = here.agent("builder")
            checked = here.call(agent, "check_guardrails", {"operation_text": "git status"})
            assert checked.code == "performed"
            here.done(agent, "acquire_lock", {"key": "src/a.py"}, idempotency_key="once")
            here.done(here.operator, "suspend_agent", {"agent_id": agent.id, "reason": "a test"})
            assert here.call(agent, "check_locks", {}).code != "performed"
            erased = here.done(
                here.operator, "erase_payload", {"decision_ids": [checked.decision_id], "reason": "a test"}
            )
            assert erased["erased"] == [checked.decision_id] or erased["erased"] == (checked.decision_id,)
            with store.reading() as connection:
                report = fsck.verify(connection, here.workspace_id)
                assert migrating.ledger_protection(connection) == "protected"
            assert report.ok, report.faults
            assert report.erased == 1
    finally:
        store.close()


def test_migrating_gives_the_service_role_its_rights_again(two_roles: tuple[str, str]) -> None:
    owner, served = two_roles
    role = make_url(owner).set(username=make_url(served).username).username
    with opened(owner) as connection:
        connection.execute(text(f"REVOKE ALL ON workspace, entry_rule FROM {role}"))
        connection.commit()
    migrating.migrate(owner)
    with opened(served) as connection:
        assert connection.execute(text("SELECT count(*) FROM workspace")).scalar_one() == 0
        assert connection.execute(text("SELECT count(*) FROM entry_rule")).scalar_one() == 0
        rights = text("SELECT has_table_privilege('entry', 'INSERT'), has_table_privilege('entry', 'DELETE')")
        assert tuple(connection.execute(rights).one()) == (True, False)


PROTECTED = (
    "entry", "entry_0000", "entry_later", "entry_rule", "payload_0000", "erasure", "content", "bundle_version",
    "activation", "checkpoint", "tile", "sealed_segment",
)  # fmt: skip


def test_the_service_role_may_not_change_the_ledger(two_roles: tuple[str, str]) -> None:
    with opened(two_roles[1]) as connection:
        for table in (*PROTECTED, "payload", "first_outcome", "workspace_head"):
            statements = [f"TRUNCATE {table}", f"ALTER TABLE {table} DISABLE TRIGGER ALL"]
            if table in PROTECTED:
                statements.append(f"DELETE FROM {table}")
            if table != "workspace_head":
                statements.append(f"UPDATE {table} SET workspace_id = 'x'")
            else:
                statements += [f"DELETE FROM {table}", f"UPDATE {table} SET workspace_id = 'x'"]
            for statement in statements:
                with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
                    connection.execute(text(statement))
                connection.rollback()
        for statement in (
            "INSERT INTO sealed_segment SELECT * FROM sealed_segment",
            "DROP TRIGGER entry_no_update ON entry",
        ):
            with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
                connection.execute(text(statement))
            connection.rollback()


def test_protection_is_told(two_roles: tuple[str, str]) -> None:
    owner, service = two_roles
    with opened(owner) as connection:
        assert migrating.ledger_protection(connection) == "unprotected"
    with opened(service) as connection:
        assert migrating.ledger_protection(connection) == "protected"
    with opened(owner) as connection:
        connection.execute(text("ALTER TABLE entry DISABLE TRIGGER entry_no_update"))
        connection.commit()
    with opened(service) as connection:
        assert migrating.ledger_protection(connection) == "unprotected"


def test_sqlite_protection_is_told(new_database: Callable[[str], str]) -> None:
    url = new_database("sqlite")
    with opened(url) as connection:
        assert migrating.ledger_protection(connection) == "protected"
        connection.execute(text("DROP TRIGGER payload_no_delete"))
        assert migrating.ledger_protection(connection) == "unprotected"
