"""Checkpoints: signed statements of tree size and root, in the table and in a file outside the database.

The form is C2SP's (c2sp.org/tlog-checkpoint): origin, size and base64 root, a line each, as a signed
note. The origin of a workspace's ledger is `guardhouse/` and the workspace's id.
"""

from __future__ import annotations

import base64
import fcntl
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite

from guardhouse.ledger import thinning
from guardhouse.ledger.keys import SEPARATOR, Signer, Verifier, open_note, unbase64
from guardhouse.ledger.tables import CHECKPOINT, HEAD
from guardhouse.ledger.tree import Frontier, SubtreeHash
from guardhouse.model.instants import Micros
from guardhouse.storage import private
from guardhouse.storage.store import Store

_TAIL = 4096
_LONG = 262_144
"""An outside file is thinned when it has so many bytes, and again when it has doubled since."""

_log = logging.getLogger("guardhouse.checkpoints")


@dataclass(frozen=True, slots=True)
class Statement:
    """What a checkpoint says."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The signed text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def origin_of(workspace_id: str) -> str:
    """The name of a workspace's ledger."""
    return f"guardhouse/{workspace_id}"


def parse(note: str, verifiers: tuple[Verifier, ...]) -> Statement:
    """The statement in a checkpoint that a known key signed; ValueError otherwise."""
    return parse_text(open_note(note, verifiers))


def parse_text(text: str) -> Statement:
    """The statement in a checkpoint's text, signatures aside; ValueError when it is not one."""
    lines = text.split("\n")
    if len(lines) < 4 or not lines[1].isdigit() or (lines[1] != "0" and lines[1].startswith("0")):
        raise ValueError("not a checkpoint")
    root = unbase64(lines[2])
    if len(root) != 32:
        raise ValueError("the root of this checkpoint is not a SHA-256 value")
    return Statement(lines[0], int(lines[1]), root)


def split_log(data: str) -> list[str]:
    """The notes of an outside file, in its order. Each ends with an empty line of its own.

    What a crash tore is closed by two empty lines, or by the end of the file within a line. It comes back
    without signature lines; `verify` tells of it.
    """
    notes: list[str] = []
    current, whole = "", False
    for line in data.splitlines(keepends=True):
        if line != "\n":
            if whole:
                notes.append(current)
                current, whole = "", False
            current += line
        elif whole or current.endswith("\n\n"):
            notes.append(_torn(current))
            current, whole = "", False
        elif _is_signed(current):
            whole = True
        elif current:
            current += line
    if current.strip():
        notes.append(current if whole or (_is_signed(current) and current.endswith("\n")) else _torn(current))
    return notes


def _is_signed(text: str) -> bool:
    return text.rstrip("\n").rpartition("\n")[2].startswith(SEPARATOR)


def _torn(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(SEPARATOR))


class Checkpointer:
    """Writes checkpoints for every workspace with new entries. `folder` lies outside the database.

    `subtrees` reads a workspace's tree, for thinning; without it the files are never thinned. `long`: from how many bytes.
    """

    def __init__(
        self,
        signer: Signer,
        folder: Path,
        subtrees: Callable[[Connection, str], SubtreeHash] | None = None,
        long: int = _LONG,
    ) -> None:
        self._subtrees = subtrees
        self.signer = signer
        self.folder = folder
        self._long = long
        self._enough: dict[str, int] = {}

    def run(self, store: Store, now: Micros) -> int:
        """One round over all workspaces; how many checkpoints were written.

        The file comes first: a checkpoint that only the database knows protects nothing.
        """
        with store.reading() as connection:
            due = self._due(connection)
        for workspace_id, statement, note in due:
            self._append(workspace_id, note)
            values = {"workspace_id": workspace_id, "tree_size": statement.size, "at": now, "note": note}
            with store.writing(workspace_id) as tx:
                # Another process may have been first with this size; its checkpoint says the same.
                dialect = postgresql if tx.dialect == "postgresql" else sqlite
                tx.execute(dialect.insert(CHECKPOINT).values(values).on_conflict_do_nothing())
            self._thin(store, workspace_id)
        return len(due)

    def _due(self, connection: Connection) -> list[tuple[str, Statement, str]]:
        last = (
            select(CHECKPOINT.c.workspace_id, func.max(CHECKPOINT.c.tree_size).label("size"))
            .group_by(CHECKPOINT.c.workspace_id)
            .subquery()
        )
        heads = (
            select(HEAD.c.workspace_id, HEAD.c.tree_size, HEAD.c.frontier)
            .outerjoin(last, last.c.workspace_id == HEAD.c.workspace_id)
            .where(HEAD.c.tree_size > func.coalesce(last.c.size, 0))
        )
        due = []
        for row in connection.execute(heads):
            root = Frontier.decode(row.tree_size, bytes(row.frontier)).root
            statement = Statement(origin_of(row.workspace_id), row.tree_size, root)
            due.append((row.workspace_id, statement, self.signer.signed_note(statement.text)))
        return due

    def _append(self, workspace_id: str, note: str) -> None:
        """Add a note to the outside file and wait for the disk. Processes take turns, so that notes stay whole.

        A note torn by an earlier crash is closed off, never cut away: the file may be append-only for us.
        """
        private.folder(self.folder)
        handle = self._locked(workspace_id)
        try:
            size = os.fstat(handle).st_size
            tail = os.pread(handle, _TAIL, max(0, size - _TAIL)).decode(errors="replace")
            torn = size > 0 and not (_is_signed(tail) and tail.endswith("\n\n"))
            write_whole(handle, (("\n\n\n" if torn else "") + note + "\n").encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        if size == 0:
            _sync_folder(self.folder)

    def _path(self, workspace_id: str) -> Path:
        return self.folder / f"{workspace_id}.log"

    def _locked(self, workspace_id: str) -> int:
        """The outside file, open and locked: the one that stands there now, not one that was thinned away meanwhile."""
        path = self._path(workspace_id)
        while True:
            handle = private.opened(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                if os.fstat(handle).st_ino == path.stat().st_ino:
                    return handle
            except FileNotFoundError:
                pass
            os.close(handle)

    def _thin(self, store: Store, workspace_id: str) -> None:
        """Shorten an outside file that has grown, where the database agrees with it; see `thinning`."""
        path = self._path(workspace_id)
        if self._subtrees is None or path.stat().st_size < self._enough.get(workspace_id, self._long):
            return
        handle = self._locked(workspace_id)
        try:
            notes = split_log(path.read_text(errors="replace"))
            with store.reading() as connection:
                kept = self._worth_keeping(notes, origin_of(workspace_id), self._subtrees(connection, workspace_id))
            if len(kept) < len(notes):
                thinning.replace(path, kept)
        except thinning.Disagreement as error:
            _log.error("the checkpoints of %s are all kept: %s; run `guardhouse ledger verify`", workspace_id, error)
        except OSError as error:
            _log.warning("the checkpoints of %s cannot be thinned: %s", workspace_id, error.strerror)
        finally:
            os.close(handle)
        self._enough[workspace_id] = max(self._long, 2 * path.stat().st_size)

    def _worth_keeping(self, notes: list[str], origin: str, subtrees: SubtreeHash) -> list[str]:
        """The notes that stay, in their order. What nobody can vouch for stays too; a torn piece, which says nothing, goes."""
        said: dict[str, tuple[int, bytes]] = {}
        whole = [note for note in dict.fromkeys(notes) if f"\n{SEPARATOR} " in note]
        for note in whole:
            try:
                statement = parse(note, self.signer.verifiers)
            except ValueError:
                continue
            if statement.origin == origin:
                said[note] = statement.size, statement.root
        proved = thinning.require_agreement(subtrees, sorted(set(said.values())))
        if not said or max(said.values()) not in proved:
            return notes
        sizes = thinning.kept_sizes(size for size, _root in said.values())
        return [note for note in whole if note not in said or said[note] not in proved or said[note][0] in sizes]


def write_whole(handle: int, data: bytes, write: Callable[[int, bytes], int] = os.write) -> None:
    """Write all of `data`: the system may take less than it is given. OSError where it takes nothing more."""
    while data:
        taken = write(handle, data)
        if taken <= 0:
            raise OSError("the file takes no more")
        data = data[taken:]


def _sync_folder(folder: Path) -> None:
    """A new file's name is durable only when its folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def latest(connection: Connection, workspace_id: str, at_least: int = 0) -> str | None:
    """The smallest stored checkpoint of at least a size, else None; size 0 asks for the newest."""
    query = select(CHECKPOINT.c.note).where(CHECKPOINT.c.workspace_id == workspace_id)
    if at_least:
        query = query.where(CHECKPOINT.c.tree_size >= at_least).order_by(CHECKPOINT.c.tree_size)
    else:
        query = query.order_by(CHECKPOINT.c.tree_size.desc())
    return connection.execute(query.limit(1)).scalar()
