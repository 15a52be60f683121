"""Opening a store from its address: the one place that chooses between the two databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from guardhouse.errors import SettingsFault
from guardhouse.model.instants import Clock
from guardhouse.storage import private
from guardhouse.storage.postgres import PostgresStore
from guardhouse.storage.sqlite import SqliteStore

_FORMS = "`sqlite:///path` or `postgresql://…`"


_REMEDIES = (
    ("password", "put the role's right password into the address, or where the server's clients look for one"),
    ("pg_hba.conf", "let this role in there, from this machine and to this database"),
    ("does not exist", "make it first, or mend the address"),
    ("unable to open database file", "see that its folder is there and that you may write in it"),
    ("readonly database", "run this as a user who may write it"),
    ("connection", "see that the server runs at that address and lets this role in"),
)
"""What to do, by a word of the database's own message; the first that fits."""


def unusable(error: DBAPIError) -> str:
    """What a database said against being used, in one line and without its address, and what to do about it."""
    lines = [line.strip() for line in str(error.orig).splitlines() if line.strip()]
    # A client that tried several ways tells of each; what the server itself said is worth more than that it was tried.
    said = next((line.partition("FATAL:")[2].strip() for line in lines if "FATAL:" in line), lines[0] if lines else "")
    remedy = next((words for mark, words in _REMEDIES if mark in said), "")
    return f"{said or 'it does not say why'}{'; ' * bool(remedy)}{remedy}"


@contextmanager
def reaching(variable: str = "GUARDHOUSE_DATABASE_URL") -> Iterator[None]:
    """Turn a database that cannot be reached, opened or used into one SettingsFault that names the variable."""
    try:
        yield
    except DBAPIError as error:
        raise SettingsFault(f"{variable}: the database cannot be used: {unusable(error)}") from error
    except (NoSuchModuleError, ArgumentError, UnicodeError) as error:
        raise SettingsFault(f"{variable} is not an address of a database: use {_FORMS}") from error
    except OSError as error:
        raise SettingsFault(f"{variable}: `{error.filename or 'the database'}`: {private.refused(error)}") from error


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
