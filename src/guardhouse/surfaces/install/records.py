"""What `install` changed, kept in the home so that `uninstall` needs nothing else: neither gateway, database nor token."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from guardhouse.errors import InvalidInput
from guardhouse.storage import private
from guardhouse.surfaces.install.editing import Splice

FOLDER = "hooks"
NAME = "installed.json"
BACKUPS = "backups"


@dataclass(frozen=True, slots=True)
class Record:
    """One changed file. `before` and `after` are SHA-256 of its bytes; `before` is empty where there was no file.

    `posture` is the one that the file was written for; empty in a record that does not say.
    """

    client: str
    scope: str
    path: str
    kind: str
    before: str
    after: str
    splices: tuple[Splice, ...] = ()
    folders: tuple[str, ...] = ()
    posture: str = ""


def digest(data: bytes | None) -> str:
    """SHA-256 in hexadecimal; empty for no file."""
    return "" if data is None else hashlib.sha256(data).hexdigest()


def folder(home: Path) -> Path:
    """Where the shim, its configurations, tokens, records and backups lie."""
    return home / FOLDER


def read(home: Path) -> list[Record]:
    """Every record of a home; none where there is no file or no readable one."""
    try:
        value = json.loads((folder(home) / NAME).read_text(encoding="utf-8"))
        return [_record(one) for one in value["files"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{folder(home) / NAME}: cannot be read ({type(error).__name__}): move it away") from None


def _record(value: dict[str, Any]) -> Record:
    splices = tuple(Splice(**one) for one in value["splices"])
    return Record(**(value | {"splices": splices, "folders": tuple(value["folders"])}))


def write(home: Path, records: Iterable[Record]) -> None:
    """Replace the records whole."""
    listed = [asdict(one) for one in records]
    private.replaced(folder(home) / NAME, json.dumps({"version": 1, "files": listed}, indent=1) + "\n")


def keep(home: Path, data: bytes) -> None:
    """Keep a file's bytes under their digest, readable by the owner alone."""
    place = folder(home) / BACKUPS
    place.mkdir(mode=0o700, exist_ok=True)
    target = place / digest(data)
    if not target.exists():
        beside = target.with_name(f".{target.name}.new")
        beside.touch(mode=0o600)
        beside.write_bytes(data)
        beside.replace(target)


def kept(home: Path, sha: str) -> bytes | None:
    """The bytes of a digest, if they are there and still the same."""
    try:
        data = (folder(home) / BACKUPS / sha).read_bytes()
    except OSError:
        return None
    return data if digest(data) == sha else None
