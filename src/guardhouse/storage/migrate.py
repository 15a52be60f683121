"""Migrations: bring a database to this version's schema, one process at a time, whole or not at all."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine.url import make_url

from guardhouse.errors import SettingsFault
from guardhouse.storage import private
from guardhouse.storage.sqlite import sqlite_path

logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of its context at every look at the revision

_ADVISORY_LOCK = 0x67756172_64686F75
_RIGHTS = {
    "entry": "SELECT, INSERT",
    "entry_rule": "SELECT, INSERT",
    "payload": "SELECT, INSERT, DELETE",
    "erasure": "SELECT, INSERT",
    "content": "SELECT, INSERT",
    "bundle_version": "SELECT, INSERT",
    "activation": "SELECT, INSERT",
    "checkpoint": "SELECT, INSERT",
    "tile": "SELECT, INSERT",
    "sealed_segment": "SELECT",
    "first_outcome": "SELECT, INSERT, DELETE",
    "workspace_head": "SELECT, INSERT, UPDATE (tree_size, frontier, last_at, standing_version)",
    "alembic_version": "SELECT",
}
"""What serving needs of the ledger and no more; triggers bound the two DELETEs. Everything else it may change."""


def scripts() -> Path:
    """Where the migrations lie: inside an installed wheel, or at the top of a source checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "shipped" / "migrations", package.parents[1] / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise SettingsFault("the migrations are missing from this installation; install Guardhouse again")


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def newest() -> str:
    """The revision that this version of the code expects."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def current(connection: Connection) -> str:
    """The revision a database is at, "" when it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def migrate(url: str, revision: str = "head") -> str:
    """Apply every migration that is missing, or those up to one; the revision afterwards.

    Safe to run from several processes at once.
    """
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        path = sqlite_path(url)
        private.folder(path.parent)
        private.made(path)
        with _file_lock(path), _sqlite_engine(path) as engine:
            return _upgrade(engine, revision)
    engine = create_engine(address.set(drivername="postgresql+psycopg"), hide_parameters=True)
    try:
        reached = _upgrade(engine, revision)
        serving = _serving(engine)
    finally:
        engine.dispose()
    for role in serving:
        grant_service(url, role)
    return reached


@contextmanager
def owning(url: str) -> Iterator[Connection]:
    """One transaction on a PostgreSQL database as the role that `url` names, committed at the end; the owner's own work."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), hide_parameters=True)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _serving(engine: Engine) -> list[str]:
    """The roles that were given what serving needs: a table that a migration made is nobody's until they get it too."""
    with engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee "
                "WHERE c.oid = to_regclass('entry') AND a.privilege_type = 'INSERT' AND a.grantee <> c.relowner "
                "ORDER BY r.rolname"
            )
        )
        return [str(name) for name in found.scalars()]


def _upgrade(engine: Engine, revision: str) -> str:
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        command.upgrade(_config(connection), revision)
        return current(connection)


@contextmanager
def _sqlite_engine(path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{path}", hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: object, _record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]  # the DBAPI connection is untyped here
        connection.execute("PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]  # as above
        connection.execute("PRAGMA synchronous=FULL")  # type: ignore[attr-defined]  # as above

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    handle = private.opened(path.with_name(path.name + ".migrate"), os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def triggers(connection: Connection) -> list[str]:
    """The names of all triggers in a database, sorted; a test compares them after every migration."""
    if connection.dialect.name == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
    else:
        query = "SELECT DISTINCT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname"
    return [str(name) for name in connection.execute(text(query)).scalars()]


def ledger_protection(connection: Connection) -> str:
    """`protected`, or `unprotected` where the serving role could switch the triggers off or they are off.

    On PostgreSQL that role is an owner of the tables or a superuser. On SQLite whoever can write the file
    can; `verify` against an outside checkpoint is what protects there, so the triggers' presence is told.
    """
    tables = sorted(_RIGHTS.keys() - {"alembic_version"})
    if connection.dialect.name == "sqlite":
        present = set(triggers(connection))
        guarded = all(f"{table}_no_delete" in present for table in tables)
        return "protected" if guarded else "unprotected"
    row = connection.execute(
        text(
            "SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) OR EXISTS ("
            "SELECT 1 FROM pg_class WHERE oid = ANY(SELECT to_regclass(name) FROM unnest(CAST(:tables AS text[])) name) "
            "AND pg_has_role(current_user, relowner, 'USAGE')) OR EXISTS ("
            "SELECT 1 FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'D' "
            "AND tgrelid = ANY(SELECT to_regclass(name) FROM unnest(CAST(:tables AS text[])) name)) OR EXISTS ("
            "SELECT 1 FROM unnest(CAST(:tables AS text[])) name WHERE NOT EXISTS (SELECT 1 FROM pg_trigger "
            "WHERE tgrelid = to_regclass(name) AND tgname = name || '_no_truncate'))"
        ),
        {"tables": tables},
    )
    return "unprotected" if row.scalar_one() else "protected"


def grant_service(url: str, role: str) -> None:
    """Give a PostgreSQL role what serving needs and no more: on the ledger SELECT, INSERT and what triggers bound.

    Segments get no rights of their own: they are reached through the table they belong to. `migrate` does it
    again for every role that has them, since a new table begins without rights.
    """
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), hide_parameters=True)
    try:
        with engine.begin() as connection:
            quote = connection.dialect.identifier_preparer.quote
            quoted, schema = quote(role), quote(connection.execute(text("SELECT current_schema()")).scalar_one())
            connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {quoted}"))
            tables = connection.execute(
                text(
                    "SELECT relname, relispartition FROM pg_class "
                    "WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') ORDER BY relname"
                )
            ).all()
            for name, segment in tables:
                connection.execute(text(f"REVOKE ALL ON {schema}.{quote(name)} FROM {quoted}"))
                rights = _RIGHTS.get(name, "SELECT, INSERT, UPDATE, DELETE")
                if not segment:
                    connection.execute(text(f"GRANT {rights} ON {schema}.{quote(name)} TO {quoted}"))
    finally:
        engine.dispose()
