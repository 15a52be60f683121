"""Column forms that every table shares: identifiers, instants, canonical JSON, bytes."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import BigInteger, Integer, LargeBinary, String, Table, Text
from sqlmodel import Field, SQLModel


def table_of(model: type[SQLModel]) -> Table:
    """The Core table that a SQLModel class declares; the corridor speaks Core, never an ORM session."""
    return cast(Table, model.__table__)  # type: ignore[attr-defined]  # SQLModel sets it on table classes


def identifier(*, key: bool = False, **options: Any) -> Any:
    """An opaque id or another short machine word, at most 200 characters."""
    return Field(sa_type=String(200), primary_key=key, **options)


def instant(**options: Any) -> Any:
    """Microseconds since the epoch; 0 stands for none."""
    return Field(sa_type=BigInteger, **options)


def counter(*, key: bool = False, **options: Any) -> Any:
    """A whole number that may outgrow 32 bits."""
    return Field(sa_type=BigInteger, primary_key=key, **options)


def small(**options: Any) -> Any:
    """A small whole number."""
    return Field(sa_type=Integer, **options)


def text(**options: Any) -> Any:
    """Text of any length."""
    return Field(sa_type=Text, **options)


def json_text(**options: Any) -> Any:
    """Canonical JSON kept as text, so that both databases give back the very bytes that were written."""
    return Field(sa_type=Text, **options)


def raw(**options: Any) -> Any:
    """Bytes."""
    return Field(sa_type=LargeBinary, **options)
