"""Versions of the law in the database: kept for ever by digest, activated whole, compiled once a process."""

from __future__ import annotations

import base64
import threading
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from guardhouse.bundle import Bundle
from guardhouse.bundle.load import load_stored
from guardhouse.bundle.tables import ACTIVATION, BUNDLE_VERSION
from guardhouse.errors import LawFault
from guardhouse.model.canonical import decode, encode
from guardhouse.storage.store import Transaction

_KEPT = 16
_ACTIVE = (
    select(ACTIVATION.c.digest, ACTIVATION.c.law)
    .where(ACTIVATION.c.workspace_id == bindparam("workspace"))
    .order_by(ACTIVATION.c.number.desc())
    .limit(1)
)
_BODY = select(BUNDLE_VERSION.c.body).where(
    BUNDLE_VERSION.c.workspace_id == bindparam("workspace"), BUNDLE_VERSION.c.digest == bindparam("digest")
)


def store(tx: Transaction, workspace_id: str, bundle: Bundle) -> str:
    """Keep a bundle's effective files whole under its digest, once; its digest."""
    if files_of(tx.connection, workspace_id, bundle.digest) is None:
        body = encode({name: base64.b64encode(data).decode() for name, data in bundle.files.items()})
        row = {"workspace_id": workspace_id, "digest": bundle.digest, "body": body, "stored_at": tx.now}
        tx.execute(BUNDLE_VERSION.insert(), row)
    return bundle.digest


def files_of(connection: Connection, workspace_id: str, digest: str) -> dict[str, bytes] | None:
    """The files of a stored version, or None."""
    body = connection.execute(_BODY, {"workspace": workspace_id, "digest": digest}).scalar()
    return None if body is None else {name: base64.b64decode(data) for name, data in decode(bytes(body)).items()}


def activate(
    tx: Transaction, workspace_id: str, digest: str, law: str, by_id: str, decision_id: str, note: str = ""
) -> int:
    """Make a stored version the active one; its number in the history. The caller holds the workspace's lock."""
    number = tx.execute(
        select(func.coalesce(func.max(ACTIVATION.c.number), 0) + 1).where(ACTIVATION.c.workspace_id == workspace_id)
    ).scalar_one()
    row = {"workspace_id": workspace_id, "number": number, "digest": digest, "law": law, "at": tx.now}
    tx.execute(ACTIVATION.insert(), row | {"by_id": by_id, "decision_id": decision_id, "note": note})
    return int(number)


def active(connection: Connection, workspace_id: str) -> tuple[str, str]:
    """The active digest and law; LookupError where nothing was ever activated."""
    row = connection.execute(_ACTIVE, {"workspace": workspace_id}).first()
    if row is None:
        raise LookupError(f"workspace {workspace_id} has no active law")
    return row.digest, row.law


def history(connection: Connection, workspace_id: str, limit: int = 100) -> list[dict[str, Any]]:
    """Activations, newest first."""
    query = select(ACTIVATION).where(ACTIVATION.c.workspace_id == workspace_id)
    found = connection.execute(query.order_by(ACTIVATION.c.number.desc()).limit(limit))
    return [dict(row) for row in found.mappings()]


def previous(connection: Connection, workspace_id: str) -> tuple[str, str] | None:
    """What was active before what is active now, or None."""
    current, _ = active(connection, workspace_id)
    for row in history(connection, workspace_id):
        if row["digest"] != current:
            return row["digest"], row["law"]
    return None


class BundleCache:
    """Compiled bundles by digest, shared by all threads of a process; the last few are kept."""

    def __init__(self) -> None:
        self._unfit: dict[str, LawFault] = {}
        self._bundles: dict[str, Bundle] = {}
        self._latest: dict[str, str] = {}
        self._guard = threading.Lock()
        self._compiling = threading.Lock()
        self.compiled = 0
        """How many bundles were put here that were not here before."""

    def known(self, digest: str) -> Bundle | None:
        """The compiled bundle of this digest, or None; reads nothing."""
        with self._guard:
            return self._bundles.get(digest)

    def latest(self, workspace_id: str) -> Bundle | None:
        """The bundle last loaded for a workspace: a hint, since another may be active by now."""
        with self._guard:
            return self._bundles.get(self._latest.get(workspace_id, ""))

    def unfit(self, digest: str) -> str:
        """Why a stored bundle could not be loaded by this version when that was tried; empty where nothing is known."""
        with self._guard:
            fault = self._unfit.get(digest)
        return "" if fault is None else str(next(iter(fault.problems), fault.message))

    def load(self, connection: Connection, workspace_id: str, digest: str) -> Bundle:
        """The bundle of this digest, compiled once. LookupError when it is not stored, LawFault when it is unfit."""
        bundle = self.known(digest)
        if bundle is None:
            with self._compiling:
                bundle = self.known(digest)
                if bundle is None:
                    known = self._unfit.get(digest)
                    if known is not None:  # the same files come to the same end: found out once, not at every call
                        raise LawFault(known.problems)
                    files = files_of(connection, workspace_id, digest)
                    if files is None:
                        raise LookupError(f"no bundle {digest} is stored")
                    try:
                        bundle = load_stored(files)
                    except LawFault as fault:
                        with self._guard:
                            self._unfit[digest] = fault
                        raise
        self.put(bundle, workspace_id)
        return bundle

    def put(self, bundle: Bundle, workspace_id: str = "") -> None:
        """Keep a compiled bundle."""
        with self._guard:
            if self._bundles.pop(bundle.digest, None) is None:
                self.compiled += 1
            self._bundles[bundle.digest] = bundle
            if workspace_id:
                self._latest[workspace_id] = bundle.digest
            while len(self._bundles) > _KEPT:
                del self._bundles[next(iter(self._bundles))]
