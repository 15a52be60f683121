"""What deciding may not look up itself: where this deployment lies, which links lead there, what an edit would leave.

Asked in prepare, before the train and without any lock. Nothing here decides: it adds to the texts what the guard of
Guardhouse itself judges by. Paths of a caller on another machine name nothing here, and are judged as written.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import guardhouse
from guardhouse.gateway.disk import Disk
from guardhouse.gateway.leading import KINDS, expanded
from guardhouse.gateway.leading import links as found_links
from guardhouse.guardrails import databases
from guardhouse.guardrails.kept import MOST, Kept, applied, kept
from guardhouse.guardrails.patching import patched
from guardhouse.guardrails.spelling import spelled
from guardhouse.guardrails.surroundings import Surroundings, absolute, reach
from guardhouse.guardrails.text import Examined
from guardhouse.settings import Settings


def locate(settings: Settings, *, port: int = 0, pid: int = 0) -> Surroundings:
    """This deployment's places. `pid` and `port` are 0 where no gateway serves."""
    home = _real(settings.home)
    state = {home, _real(settings.resolved_signing_key_file)}
    url = settings.resolved_database_url
    if url.startswith("sqlite:///"):
        database = _real(Path(url.removeprefix("sqlite:///")))
        state |= {database, f"{database}-wal", f"{database}-shm", f"{database}.now", f"{database}.next"}
    urls = (url, settings.migration_url)
    package = Path(guardhouse.__file__).resolve().parent
    command = Path(sys.executable).parent / "guardhouse"
    return Surroundings(
        user_home=_real(Path.home()),
        state=tuple(sorted(state)),
        program=(package.as_posix(), command.as_posix()),
        pid=pid,
        port=port or settings.port,
        databases=tuple(sorted({one for one in map(databases.named, urls) if one})),
        records=f"{home}/hooks/installed.json",
    )


_LISTS = frozenset({"settings.json", "settings.local.json", "hooks.json"})
"""Names of clients' own files: beside one, the client's others say as much of its hooks."""
_BESIDE = {
    "claude-code": ("settings.json", "settings.local.json", ".claude.json"),
    "codex": ("hooks.json", "config.toml", "requirements.toml", "managed_config.toml"),
    "gemini": ("settings.json", "trusted_hooks.json"),
    "cursor": ("hooks.json", "cli-config.json", "cli.json", "permissions.json"),
    "copilot": ("settings.json", "config.json"),
}


def hooked(around: Surroundings) -> Surroundings:
    """The same with the clients' files that `install` has written down in this home by now. Never raises.

    Another file of records is read when its time or its size is another; one that cannot be read names nothing, and
    the usual names are guarded all the same.
    """
    if not around.records:
        return around
    try:
        seen = os.stat(around.records)
    except OSError:
        return around
    return _hooked(around, seen.st_mtime_ns, seen.st_size, seen.st_ino)


@lru_cache(maxsize=16)
def _hooked(around: Surroundings, _written: int, _size: int, _file: int) -> Surroundings:
    found: dict[str, None] = {}
    try:
        listed = json.loads(Path(around.records).read_text(encoding="utf-8"))["files"]
        for one in listed:
            if one["kind"] != "line":
                found.update(dict.fromkeys(_files(str(one["client"]), Path(os.path.realpath(one["path"])))))
    except (OSError, ValueError, KeyError, TypeError):
        return around
    return replace(around, hooks=tuple(found))


def _files(client: str, path: Path) -> list[str]:
    """The files and folders that decide of a client's hooks, told by the one that `install` wrote."""
    if path.parent.name in ("hooks", "plugin", "plugins"):
        beside = _BESIDE.get(client, ())
        return [path.parent.as_posix(), *(path.parent.with_name(one).as_posix() for one in beside)]
    beside = _BESIDE.get(client, ()) if path.name in _LISTS else ()
    return [path.as_posix(), *(path.with_name(one).as_posix() for one in beside if one != path.name)]


def placed(texts: tuple[Examined, ...], around: Surroundings, disk: Disk) -> tuple[Examined, ...]:
    """The texts with what the guard needs to judge them. Never raises: what cannot be looked up is left out."""
    around = hooked(around)
    return tuple([_placed(text, around, disk) for text in texts])


def _placed(text: Examined, around: Surroundings, disk: Disk) -> Examined:
    named = text.kind in KINDS or bool(text.file_paths)
    links = tuple(found_links(text, around, disk)) if named else ()
    left: Kept = ""
    if text.act in ("write", "edit", "patch"):
        try:
            left = _left(text, around, dict(links))
        except (OSError, ValueError):
            left = ""
    return text.at(around, links, left, crowded=named and disk.short)


def _left(text: Examined, around: Surroundings, links: dict[str, str]) -> Kept:
    """What a write or edit of clients' configuration would leave of our entries, over all its files."""
    worst: Kept = "same"
    for path in text.file_paths:
        forms = [
            one
            for one in spelled(path, text.cwd, around)
            if "hooks"
            in (reach(one, text.cwd, around), reach(links.get(absolute(one, text.cwd, around), ""), "", around))
        ]
        if not forms:
            continue
        where = Path(os.path.join(text.cwd, expanded(path, around)))
        if forms[0] != path or not where.is_absolute():
            return ""
        one = _kept(where, text)
        if one == "changed":
            return one
        worst = one if one == "" else worst
    return worst


def _kept(where: Path, text: Examined) -> Kept:
    before = _read(where)
    if text.act == "write":
        after: str | None = text.text
    else:
        after = patched(before, text.edits) if text.act == "patch" else applied(before, text.edits)
    if after is None:
        return ""
    found = kept(where.name, before, after)
    if found == "same" and before is None and not where.parent.is_dir() and not Path(text.cwd or "/nowhere").is_dir():
        # Neither the file nor the folder that it is written from is here: the caller's machine is another.
        return ""
    return found


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            data = file.read(MOST + 1)
    except FileNotFoundError:
        return None
    if len(data) > MOST:
        raise ValueError("too long to compare")
    return data.decode("utf-8")


def _real(path: Path) -> str:
    return Path(os.path.realpath(path.expanduser())).as_posix()
