"""Opening a store from its address: the one place that chooses between the two databases."""

from __future__ import annotations

from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import ArgumentError

from guardhouse.errors import SettingsFault
from guardhouse.model.instants import Clock
from guardhouse.storage.postgres import PostgresStore
from guardhouse.storage.sqlite import SqliteStore


def open_store(url: str, clock: Clock, postgres_pool: int = 8) -> SqliteStore | PostgresStore:
    """The store behind `sqlite:///…` or `postgresql://…`; SettingsFault for anything else."""
    try:
        backend = make_url(url).get_backend_name()
    except ArgumentError as error:
        raise SettingsFault(
            "GUARDHOUSE_DATABASE_URL is not an address: use `sqlite:///path` or `postgresql://…`"
        ) from error
    if backend == "sqlite":
        return SqliteStore(url, clock)
    if backend in ("postgresql", "postgres"):
        return PostgresStore(url, clock, postgres_pool)
    raise SettingsFault(f"GUARDHOUSE_DATABASE_URL names `{backend}`: only sqlite and postgresql are supported")
