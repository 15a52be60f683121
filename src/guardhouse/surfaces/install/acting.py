"""Installing and uninstalling: plans made, shown and carried out, with a record before each file is changed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from guardhouse.errors import GuardhouseError, InvalidInput
from guardhouse.surfaces.install import clients, files, placing, planning, records
from guardhouse.surfaces.install.clients import CLIENTS, Client, Place
from guardhouse.surfaces.install.files import Lying
from guardhouse.surfaces.install.planning import Change
from guardhouse.surfaces.install.records import Record

SCOPES = ("user", "project", "shared")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked for. `root` is the project's folder (None where there is none), `user_home` what `~` means."""

    client: str
    scope: str
    posture: str
    home: Path
    user_home: Path
    root: Path | None
    environment: Mapping[str, str]


def place_of(wish: Wish) -> Place:
    """The file of a scope."""
    client = CLIENTS[wish.client]
    if wish.scope == "user":
        return client.user(wish.user_home, wish.environment)
    return (client.project if wish.scope == "project" else client.shared)(_root(wish))


def _root(wish: Wish) -> Path:
    if wish.root is None:
        raise InvalidInput("the folder that this runs in is gone: go to the project's, then run this again")
    return wish.root


def plan(wish: Wish) -> list[Change]:
    """Every file that an installation would change. InvalidInput where one of them may not be."""
    place = place_of(wish)
    run = placing.run_file(wish.home)
    if wish.scope == "shared":
        script = clients.shared_script(wish.client, wish.posture)
        line = clients.shared_line(script)
        whole = _whole(wish, ["/bin/sh", "-c", script])
    else:
        line = clients.command(wish.client, run, wish.posture)
        whole = _whole(wish, [str(run), wish.client])
    ignored = _ignored(wish, place.path) if wish.scope == "project" else []
    return [planning.put_in(wish.client, wish.scope, place, line, wish.posture, wish.home, whole), *ignored]


def _whole(wish: Wish, run: list[str]) -> str:
    return clients.plugin(run, wish.posture) if wish.client == "opencode" else ""


def _ignored(wish: Wish, path: Path) -> list[Change]:
    """What makes git ignore the file, in this clone alone; nothing where it does already or there is no git."""
    root = _root(wish)
    top = _git(root, "rev-parse", "--show-toplevel")
    if not top:
        return []
    told = os.path.realpath(path)
    if _git(root, "ls-files", "--", told):
        raise InvalidInput(
            f"{path}: is committed: `--shared` is for a file that all of a team have, `--user` for you alone"
        )
    exclude = Path(os.path.join(root, _git(root, "rev-parse", "--git-path", "info/exclude")))
    line = "/" + Path(told).relative_to(os.path.realpath(top)).as_posix()
    already = any(
        one.client == wish.client and one.path == os.path.realpath(exclude) for one in records.read(wish.home)
    )
    if not already and _git_says(root, "check-ignore", "-q", "--", told):
        return []
    return [planning.add_line(wish.client, wish.scope, exclude, line, wish.home)]


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20)  # noqa: S603, S607
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _git_says(root: Path, *arguments: str) -> bool:
    try:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, timeout=20).returncode == 0  # noqa: S603, S607
    except (OSError, subprocess.TimeoutExpired):
        return False


def carry_out(changes: Iterable[Change], home: Path) -> None:
    """Write what was planned. Before each file, its record and the bytes it had; so that no crash leaves one unknown."""
    for change in changes:
        if change.record is None:
            continue
        if change.base is not None:
            records.keep(home, change.base)
        _keep_beside(change)
        records.write(home, planning.merged([change], home))
        if change.nothing or change.after is None:
            continue
        folders = files.write(change.lying, change.after)
        if folders:
            made = replace(change.record, folders=(*change.record.folders, *(str(one) for one in folders)))
            records.write(home, planning.merged([replace(change, record=made)], home))


def _keep_beside(change: Change) -> None:
    if change.beside is not None and not change.beside[0].exists():
        place, data = change.beside
        files.write(Lying(place, place, None, change.lying.mode), data)


@dataclass(frozen=True, slots=True)
class Removal:
    """A file that something of ours is in: by a record, or, where there is none, by the look of it."""

    client: str
    place: Place
    record: Record | None
    home: Path

    def change(self) -> Change:
        """What taking it out would change, as the file lies now."""
        if self.record is not None:
            return planning.take_out(self.record, self.home)
        return planning.take_out_unrecorded(self.place, self.home)


@dataclass(frozen=True, slots=True)
class Left:
    """Something of ours that could not be taken out: whose, where, why, and what a person does then."""

    client: str
    path: str
    why: str

    def told(self) -> dict[str, str]:
        return {"client": self.client, "file": self.path, "why": self.why}


def removals(
    wanted: Iterable[str], home: Path, user_home: Path, root: Path | None, environment: Mapping[str, str]
) -> list[Removal]:
    """Everything of ours that is to go, the last put in first. A file of which nothing is known to be ours is passed over.

    `root` is the folder that one works in, None where that is gone.
    """
    made: list[Removal] = []
    listed = records.read(home)
    for name in wanted:
        mine = [one for one in listed if one.client == name]
        made.extend(Removal(name, Place(Path(one.path)), one, home) for one in reversed(mine))
        for place in _usual(CLIENTS[name], user_home, root, environment):
            known = any(one.path == os.path.realpath(place.path) for one in mine)
            if not known and _ours_by_the_look(place):
                made.append(Removal(name, place, None, home))
    return made


def _ours_by_the_look(place: Place) -> bool:
    """Whether a file holds something of ours; also where it runs our shim and cannot be read any further."""
    try:
        if b"hooks/run" not in place.path.read_bytes():
            return False
    except OSError:
        return False
    try:
        return planning.found(place)
    except GuardhouseError:
        return True


def _usual(client: Client, user_home: Path, root: Path | None, environment: Mapping[str, str]) -> list[Place]:
    found = [client.user(user_home, environment), *([client.project(root)] if root is not None else [])]
    return list({os.path.realpath(one.path): one for one in found}.values())


def shown(planned: Iterable[Removal]) -> tuple[list[Change], list[Left]]:
    """What taking each out would change, and what cannot be taken out as it lies now."""
    changes, left = [], []
    for one in planned:
        try:
            changes.append(one.change())
        except GuardhouseError as error:
            left.append(Left(one.client, str(one.place.path), error.message))
    return changes, left


def take_out(planned: Iterable[Removal]) -> list[Left]:
    """Restore every file that can be, and forget it; what could not be restored or forgotten. One never stops the next."""
    left: list[Left] = []
    unwritten = ""
    for one in planned:
        try:
            change = _restore(one)
        except GuardhouseError as error:
            left.append(Left(one.client, str(one.place.path), error.message))
            continue
        except OSError as error:
            left.append(Left(one.client, str(one.place.path), f"{one.place.path}: {error.strerror or error}"))
            continue
        try:
            _forget(one, str(change.lying.real))
        except GuardhouseError as error:
            unwritten = error.message
        except OSError as error:
            unwritten = (
                f"{records.folder(one.home) / records.NAME}: cannot be written ({error.strerror or error}), so Guardhouse's "
                "own files stay: make room there or make it yours to write, then run this again"
            )
    return [*left, Left("", str(records.folder(one.home)), unwritten)] if unwritten else left


def _restore(one: Removal) -> Change:
    # Planned anew: two clients may have put something into the same file.
    change = one.change()
    _keep_beside(change)
    if not change.nothing:
        if change.after is None:
            files.remove(change.lying, [Path(each) for each in one.record.folders] if one.record else [])
        else:
            files.write(change.lying, change.after)
    return change


def _forget(one: Removal, path: str) -> None:
    """Take a restored file from the records, and with a client's last one its token and configuration."""
    if not records.folder(one.home).exists():
        return
    left = [each for each in records.read(one.home) if (each.path, each.client) != (path, one.client)]
    records.write(one.home, left)
    placing.clear(one.home, one.client, left)


def known(name: str) -> str:
    """A client's name as given. InvalidInput for one that there is not."""
    if name not in CLIENTS:
        raise InvalidInput(f"there is no such client: give one of {', '.join(CLIENTS)}")
    return name
