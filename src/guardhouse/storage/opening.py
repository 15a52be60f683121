"""Opening a store from its address: the one place that chooses between the two databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from guardhouse.errors import SettingsFault
from guardhouse.model.instants import Clock
from guardhouse.storage.postgres import PostgresStore
from guardhouse.storage.sqlite import SqliteStore

_FORMS = "`sqlite:///path` or `postgresql://…`"


@contextmanager
def reaching(variable: str = "GUARDHOUSE_DATABASE_URL") -> Iterator[None]:
    """Turn a database that cannot be reached, opened or used into one SettingsFault that names the variable."""
    try:
        yield
    except DBAPIError as error:
        told = str(error.orig).strip().splitlines()
        raise SettingsFault(f"{variable}: the database cannot be used: {told[0] if told else 'unknown'}") from error
    except (NoSuchModuleError, ArgumentError, UnicodeError) as error:
        raise SettingsFault(f"{variable} is not an address of a database: use {_FORMS}") from error
    except OSError as error:
        raise SettingsFault(f"{variable}: `{error.filename or 'the database'}`: {error.strerror}") from error


def backend_of(url: str, variable: str = "GUARDHOUSE_DATABASE_URL") -> str:
    """`sqlite` or `postgresql`; SettingsFault for an address that is damaged or names anything else."""
    try:
        backend = make_url(url).get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise SettingsFault(f"{variable} is not an address: use {_FORMS}") from error
    if backend not in ("sqlite", "postgresql", "postgres"):
        raise SettingsFault(f"{variable} names `{backend}`: only sqlite and postgresql are supported")
    return "sqlite" if backend == "sqlite" else "postgresql"


def open_store(url: str, clock: Clock, postgres_pool: int = 8) -> SqliteStore | PostgresStore:
    """The store behind `sqlite:///…` or `postgresql://…`; SettingsFault for anything else."""
    with reaching():
        if backend_of(url) == "sqlite":
            return SqliteStore(url, clock)
        return PostgresStore(url, clock, postgres_pool)
