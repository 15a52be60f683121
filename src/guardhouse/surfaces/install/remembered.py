"""What a client was installed with before, so that installing it again repairs it and changes nothing that a person chose."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from guardhouse.surfaces.install import placing, records
from guardhouse.surfaces.install.clients import CLIENTS

POSTURES = ("closed", "open")


@dataclass(frozen=True, slots=True)
class Where:
    """One file that was changed before: its scope, and the folder of its project (None for `user`)."""

    scope: str
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """What was chosen before. `posture` and `url` are empty where nothing says so; `notes` is for people."""

    posture: str = ""
    url: str = ""
    places: tuple[Where, ...] = ()
    notes: tuple[str, ...] = ()


def before(client: str, home: Path) -> Before:
    """What the client's own configuration says, and where that is gone, the records of the files that were changed."""
    told = placing.configured(home, client)
    listed = [one for one in records.read(home) if one.client == client and one.kind != "line"]
    said = [told.get("posture"), *(one.posture for one in listed)]
    posture = next((str(one) for one in said if one in POSTURES), "")
    places: dict[Where, None] = {}
    notes = []
    for one in listed:
        if one.scope == "user":
            places[Where("user")] = None
            continue
        folder = _folder(client, one.scope, Path(one.path))
        if folder is None:
            notes.append(f"{one.path}: is left as it is, since its folder is gone or the file was moved")
        else:
            places[Where(one.scope, folder)] = None
    return Before(posture, str(told.get("url") or ""), tuple(places), tuple(notes))


def _folder(client: str, scope: str, path: Path) -> Path | None:
    """The project's folder that a file of it lies in."""
    place = CLIENTS[client].project if scope == "project" else CLIENTS[client].shared
    for folder in path.parents:
        if os.path.realpath(place(folder).path) == str(path):
            return folder if folder.is_dir() else None
    return None
