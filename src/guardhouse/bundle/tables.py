"""The tables of law: every version that was ever loaded, and which one is active."""

from __future__ import annotations

from sqlmodel import SQLModel

from guardhouse.storage.columns import counter, identifier, instant, raw, table_of, text


class BundleVersion(SQLModel, table=True):
    """A bundle's files as canonical bytes, under their digest, for ever: a decision names it to be replayed."""

    __tablename__ = "bundle_version"
    workspace_id: str = identifier(key=True)
    digest: str = identifier(key=True)
    body: bytes = raw()
    stored_at: int = instant()


class Activation(SQLModel, table=True):
    """The history of what was active; the row with the highest number is."""

    __tablename__ = "activation"
    workspace_id: str = identifier(key=True)
    number: int = counter(key=True)
    digest: str = identifier()
    law: str = identifier()
    at: int = instant()
    by_id: str = identifier(default="")
    decision_id: str = identifier(default="")
    note: str = text(default="")
    __table_args__ = {"sqlite_with_rowid": False}  # SQLAlchemy reads it once, when the class is made


BUNDLE_VERSION = table_of(BundleVersion)
ACTIVATION = table_of(Activation)
