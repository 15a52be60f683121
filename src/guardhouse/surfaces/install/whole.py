"""A client's file that is ours from the first byte to the last, such as a plugin, and what to do where a person changed it.

Nothing that a person wrote is lost: what stood there before comes back, and what they made of ours since is kept beside
the file, under a name that no client loads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from guardhouse.surfaces.install import clients, records
from guardhouse.surfaces.install.files import Lying
from guardhouse.surfaces.install.records import Record

ENDING = ".kept"
"""What the name of a file kept beside another ends with: no client loads such a one."""
_CONSTANTS = re.compile(r'^const SHIM = \[.*\]$|^const POSTURE = "[a-z]*"$', re.M)


@dataclass(frozen=True, slots=True)
class Without:
    """A file without what is ours (None: away), what has to be kept beside it (None: nothing), and why, for people."""

    base: bytes | None
    beside: bytes | None = None
    note: str = ""


def ours(text: str) -> bool:
    """Whether a text still asks Guardhouse, whoever wrote the rest of it."""
    return "guardhouse" in text.casefold() and "hooks/run" in text


def untouched(text: str) -> bool:
    """Whether a text is the plugin as this version writes it, whichever hook it runs and whatever its posture."""
    return _CONSTANTS.sub("", text) == _CONSTANTS.sub("", clients.plugin([], "closed"))


def without(home: Path, lying: Lying, record: Record | None) -> Without:
    """The file without ours. `record` is that of our installing it, None where there is none (any more)."""
    known = record is not None and bool(record.before)
    before = records.kept(home, record.before) if record is not None and known else None
    lost = f"{lying.path}: what stood here before Guardhouse is not kept any more, so it does not come back"
    note = lost if known and before is None else ""
    if lying.data is None:
        return Without(before, note=note)
    if record is not None and records.digest(lying.data) == record.before:
        return Without(lying.data)
    if record is not None and records.digest(lying.data) == record.after:
        return Without(before, note=note)
    text = lying.text
    if not ours(text):
        # A person put their own in its place, so that stays; what they had before that is not to be lost either.
        told = (
            f"{lying.path}: is not Guardhouse's any more and stays; what stood here before Guardhouse is kept beside it"
        )
        return Without(lying.data, before, told) if before is not None else Without(lying.data, note=note)
    if untouched(text):
        return Without(before, note=note)
    return Without(before, lying.data, f"{lying.path}: was changed since Guardhouse wrote it; that is kept beside it")


def beside(path: Path, data: bytes) -> Path:
    """Where to keep bytes beside a file: a name that is free, or that holds these very bytes already."""
    number = 0
    while True:
        place = path.with_name(f"{path.name}{ENDING}{f'-{number}' if number else ''}")
        try:
            if place.read_bytes() == data:
                return place
        except FileNotFoundError:
            if not place.is_symlink():
                return place
        except OSError:
            pass  # a folder, or not to be read: it is somebody's
        number += 1
