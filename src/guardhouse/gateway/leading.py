"""Which names in a text lead, on this machine, to what the guard guards: over links, out of folders, through patterns.

Looks at the disk, bounded in names, letters and folder entries. A name of another machine leads nowhere here.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import stat
from collections.abc import Iterable, Iterator

from guardhouse.guardrails.spelling import spelled
from guardhouse.guardrails.surroundings import Surroundings, absolute, reach
from guardhouse.guardrails.text import Examined
from guardhouse.guardrails.turns import turn

KINDS = frozenset({"shell", "auto"})
"""Kinds of text whose words may be names of files."""
_TOKENS = re.compile(r"""[^\s'"();&|<>=,`{}$]+""")
_QUOTED = re.compile(r""""([^"\n$`]{1,256})"|'([^'\n]{1,256})'""")
_ESCAPED = re.compile(r"""(?:[^\s'"();&|<>`\\$]|\\ )+""")
_HOME = re.compile(r"""\$(?:HOME\b|\{HOME\})|"\$(?:HOME|\{HOME\})\"""")
_MARKS = re.compile(r"[*?\[]")
_ENTERS = frozenset({"cd", "pushd", "-C", "--directory", "--chdir", "env", "make", "tar", "find"})
_MOST_TOKENS = 1_024
_MOST_LETTERS = 65_536
_MOST_FOLDERS = 4
_MOST_ENTRIES = 1_000
_MOST_ENTRIES_A_CALL = 8_000
_MOST_TRIES_A_CALL = 20_000
_MOST_LINKS_A_CALL = 500
"""Entries of all folders, links held against patterns, and links followed, for all names in a call."""


class Disk:
    """What one call's names are looked up in: no folder is read twice, no link followed twice, and so much in all.

    What is over the bounds is not looked up, which `short` says, so that nobody hides a name behind many others. Of a
    folder of too many entries only so many are read, and that is not said. The clock has no part in it.
    """

    def __init__(self) -> None:
        self._links: dict[str, dict[str, str]] = {}
        self._real: dict[str, str] = {}
        self._there: dict[str, bool] = {}
        self._entries = _MOST_ENTRIES_A_CALL
        self._tries = _MOST_TRIES_A_CALL
        self.short = False

    def matched(self, path: str) -> list[tuple[str, str]]:
        """The links that a pattern at a path's end matches, and where each leads."""
        folder, name = os.path.split(path)
        if not _MARKS.search(name) or _MARKS.search(folder):
            return []
        links = self._read(folder)
        self._tries -= 1 + len(links)
        if self._tries < 0:
            self.short = True
            return []
        found = []
        for link in fnmatch.filter(links, name) if links else []:
            one = links[link]
            real = self._real.get(one)
            if real is None:
                if len(self._real) == _MOST_LINKS_A_CALL:
                    self.short = True
                    break
                real = self._real[one] = os.path.realpath(one)
            found.append((one, real))
        return found

    def _read(self, folder: str) -> dict[str, str]:
        """The links in a folder, name and path."""
        links = self._links.get(folder)
        if links is None:
            links = self._links[folder] = {}
            self.short = self.short or not self._entries
            turn()
            with contextlib.suppress(OSError, ValueError), os.scandir(folder) as entries:
                for _, entry in zip(range(min(_MOST_ENTRIES, self._entries)), entries, strict=False):
                    self._entries -= 1
                    if entry.is_symlink():
                        links[entry.name] = entry.path
        return links

    def lacks(self, name: str, base: str, *, plain: bool) -> bool:
        """Whether a name of several parts leads nowhere, since nothing bears its first part. False where nobody looked.

        Below a folder that is a link, what is not there yet leads elsewhere all the same.
        """
        if plain:
            name, base = _climbed(name, base)
        elif name[:1] != "/":
            return False
        lead, mark, rest = name.partition("/")
        if not mark or ".." in rest or name[0] == "~" or _MARKS.search(lead):
            return False
        first = os.path.join(base, lead) if lead else "/" + rest.partition("/")[0]
        there = self._there.get(first)
        if there is None:
            there = self._there[first] = os.path.lexists(first)
        return not there


def links(text: Examined, around: Surroundings, disk: Disk | None = None) -> Iterator[tuple[str, str]]:
    """(name as the guard will see it, where it leads), for each that leads to a guarded place which it does not name."""
    disk = disk or Disk()
    names, bases = _names(text, around, disk)
    if not names:
        return
    bare = any("/" not in name or name.startswith("../") for name in names)
    grounds = [(base, bare and _plain(base)) for base in bases]
    for name in names:
        turn()
        if name[:1] == "-" or len(name) > 1024:
            continue
        for base, plain in grounds[:1] if name[:1] == "/" else grounds:
            if base[:1] != "/" and name[:1] not in ("/", "~"):
                continue
            try:
                leads = _led(name, base, around, disk, plain=plain)
            except (OSError, ValueError):
                continue
            for real in leads:
                yield absolute(name, base, around), real


def leads(texts: Iterable[Examined], around: Surroundings, disk: Disk | None = None) -> tuple[tuple[str, str], ...]:
    """Names in texts that lead elsewhere on this machine, with where to: a leave for them ends when that changes.

    The same names as the guard looks at, seen from the same folders, and wherever they lead. A file of several names
    leads to itself, so that another in its place counts. Sorted, each once. Names of another machine, or that no file
    bears here, lead nowhere. Never raises.
    """
    found: set[tuple[str, str]] = set()
    disk = disk or Disk()
    for text in texts:
        names, bases = _names(text, around, disk)
        grounds = [(base, _plain(base)) for base in bases]
        for name in dict.fromkeys([text.cwd, *names]):
            turn()
            if not name or name[0] == "-" or len(name) > 1024:
                continue
            for base, plain in grounds[:1] if name[0] == "/" else grounds:
                told = _told(name, base, disk, plain=plain)
                if told is not None:
                    found.update(told)
                    continue
                with contextlib.suppress(OSError, ValueError):
                    path = os.path.join(base, expanded(name, around))
                    if os.path.isabs(path):
                        found.update(_places(path, disk))
    return tuple(sorted(found))


def _places(path: str, disk: Disk) -> Iterator[tuple[str, str]]:
    """(a path, where it leads) of a path as the system walks it and as programs fold it, and of what a pattern matches."""
    folded = os.path.normpath(path)
    for one in dict.fromkeys((path, folded)):
        real = os.path.realpath(one)
        if real != folded:
            yield one, real
    seen = os.stat(folded) if os.path.lexists(folded) else None
    if seen is not None and stat.S_ISREG(seen.st_mode) and seen.st_nlink > 1:
        yield folded, f"{seen.st_dev}:{seen.st_ino}"
    yield from disk.matched(folded)


def _names(text: Examined, around: Surroundings, disk: Disk) -> tuple[dict[str, None], list[str]]:
    """The names that a text may mean files by, and the folders that they may be meant from."""
    names: dict[str, None] = {}
    for path in text.file_paths:
        turn()
        names.update(dict.fromkeys(spelled(path, text.cwd, around)))
    bases = [text.cwd]
    if text.kind in KINDS:
        tokens = [*dict.fromkeys(_words(text.text[:_MOST_LETTERS]))]
        if len(tokens) > _MOST_TOKENS:
            disk.short = True
            del tokens[_MOST_TOKENS:]
        names.update(dict.fromkeys(tokens))
        if not _ENTERS.isdisjoint(tokens):
            bases.extend(_folders(tokens, text.cwd, around))
    return names, bases


def _plain(base: str) -> bool:
    """Whether a folder is no link and lies below none."""
    return os.path.isabs(base) and "\0" not in base and os.path.realpath(base) == os.path.normpath(base)


def _led(name: str, base: str, around: Surroundings, disk: Disk, *, plain: bool) -> list[str]:
    told = _told(name, base, disk, plain=plain)
    if told is not None:
        return [real for _link, real in told if reach(real, "", around)]
    path = os.path.join(base, expanded(name, around))
    return [*_leading(path, around, disk)] if os.path.isabs(path) else []


def _told(name: str, base: str, disk: Disk, *, plain: bool) -> list[tuple[str, str]] | None:
    """(link, where it leads) of a name that one look tells all of; None of one that has to be followed."""
    if disk.lacks(name, base, plain=plain) or (plain and _itself(name, base)):
        return []
    return disk.matched(os.path.join(base, name)) if plain and _only_marks(name, base) else None


def _climbed(name: str, base: str) -> tuple[str, str]:
    """A name below a plain folder without what only leads out of it, and the folder that it then is below."""
    while name.startswith("../"):
        name, base = name[3:].lstrip("/"), os.path.dirname(os.path.normpath(base))
    return name or ".", base


def _only_marks(name: str, base: str) -> bool:
    """Whether a bare name in a plain folder is a pattern, and no file's own name."""
    return "/" not in name and name[:1] != "~" and bool(_MARKS.search(name)) and not os.path.lexists(f"{base}/{name}")


def _itself(name: str, base: str) -> bool:
    """Whether one look says that a bare name in a plain folder is no file, as most words are, or just the file it seems."""
    name, base = _climbed(name, base)
    if "/" in name or name[:1] == "~" or _MARKS.search(name):
        return False
    try:
        seen = os.lstat(f"{base}/{name}")
    except (OSError, ValueError):
        return True
    return not stat.S_ISLNK(seen.st_mode) and seen.st_nlink < 2


def _words(text: str) -> Iterator[str]:
    """The words of a command that may be names, and those with blanks in them that quotes or backslashes keep together."""
    plain = _HOME.sub("~", text) if "$" in text else text
    if '"' in plain or "'" in plain:
        for match in _QUOTED.finditer(plain):
            word = match[1] or match[2]
            if " " in word and "/" in word:
                yield word
    if "\\ " in plain:
        yield from (one.replace("\\ ", " ") for one in _ESCAPED.findall(plain) if "\\ " in one)
    yield from _TOKENS.findall(plain)


def _folders(tokens: list[str], cwd: str, around: Surroundings) -> Iterator[str]:
    """Folders that a command names and may go into before it names a file in them."""
    found = 0
    for token in tokens:
        path = os.path.join(cwd, expanded(token, around))
        if found < _MOST_FOLDERS and os.path.isabs(path) and "\0" not in path and os.path.isdir(path):
            found += 1
            yield path


def expanded(path: str, around: Surroundings) -> str:
    """A path with `~` spelled out as the guard understands it."""
    if path[:1] != "~":
        return path
    if around.user_home and (path == "~" or path.startswith("~/")):
        return around.user_home + path[1:]
    return os.path.expanduser(path)


def _leading(path: str, around: Surroundings, disk: Disk) -> Iterator[str]:
    """Where a path leads: as the system walks it, link by link before `..`, and as programs fold it before they ask."""
    folded = os.path.normpath(path)
    for one in {path, folded}:
        real = os.path.realpath(one)
        if real != folded and reach(real, "", around):
            yield real
    twin = _twin(folded, around)
    if twin:
        yield twin
    for _link, real in disk.matched(folded):
        if reach(real, "", around):
            yield real


def _twin(path: str, around: Surroundings) -> str:
    """The file of the state, or of a client's hook configuration, that a path is a second name of, or empty."""
    try:
        seen = os.stat(path)
    except OSError:
        return ""
    if seen.st_nlink < 2 or not stat.S_ISREG(seen.st_mode):
        return ""
    for place in (*around.state, *around.hooks):
        inside = os.scandir(place) if os.path.isdir(place) else None
        if inside is None:
            if os.path.exists(place) and os.path.samestat(seen, os.stat(place)):
                return place
            continue
        with inside as entries:
            for entry in entries:
                if entry.inode() == seen.st_ino and os.path.samestat(seen, entry.stat()):
                    return entry.path
    return ""
