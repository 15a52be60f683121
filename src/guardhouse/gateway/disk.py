"""The disk as one call looks at it: each folder, link and name once, and only so much work in all.

Work is counted in steps of about a microsecond on a common machine, never timed, so that the same call on the same disk is
always answered the same. What the steps do not suffice for is not looked up, which `Disk.short` says, so that nobody hides
a name behind many others.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import stat
from collections.abc import Collection, Sequence
from typing import NamedTuple

from guardhouse.guardrails.surroundings import Surroundings
from guardhouse.guardrails.turns import turn

MOST_STEPS = 5_000
_LOOK = 4
_PART = 4
_PATH = 16
"""One look at a name; at each part of a path that is followed; and taking a path apart before that."""
_PATTERN = 160
"""Making a pattern ready; holding it against six names is a step."""
JUDGED = 12
"""Telling whether a place is guarded."""
USER = 80
"""Asking the system for a user's home."""
PAIR = 2
"""Telling of one name, seen from one folder, whether it has to be looked up."""
_MOST_ENTRIES = 4_000
"""Entries of one folder."""
_FEW = 24
"""So many names are looked at one by one; for more, the folder is read."""
MARKS = re.compile(r"[*?\[]")


class _Folder(NamedTuple):
    """What a folder holds: its links, name and path, and every name, case folded; no names where not all were read.

    `cut`: there are more than are read, so that a pattern may match what nobody looked at.
    """

    links: dict[str, str]
    names: frozenset[str] | None
    cut: bool


class Disk:
    """What one call's names are looked up in. Not for several threads."""

    def __init__(self) -> None:
        self._seen: dict[str, os.stat_result | None] = {}
        self._behind: dict[str, os.stat_result | None] = {}
        self._real: dict[str, str] = {}
        self._folders: dict[str, _Folder] = {}
        self._asked: dict[str, int] = {}
        self.told: dict[tuple[str, str], Sequence[tuple[str, str]]] = {}
        self._patterns: set[str] = set()
        self.users: set[str] = set()
        self._files: dict[tuple[int, int], str] | None = None
        self.left = MOST_STEPS
        """Steps; below none once any was refused."""
        self.short = False

    def take(self, steps: int) -> bool:
        """Take so much work, if it is left; otherwise none is left for anything any more."""
        self.left -= steps
        if self.left < 0:
            self.left = -1
            self.short = True
        return self.left >= 0

    def seen(self, path: str) -> os.stat_result | None:
        """A name itself, no link followed; nothing where none bears it."""
        if path in self._seen:
            return self._seen[path]
        found = None
        if self.take(_LOOK):
            with contextlib.suppress(OSError, ValueError):
                found = os.lstat(path)
        self._seen[path] = found
        return found

    def followed(self, path: str) -> os.stat_result | None:
        """What a name leads to; nothing where that is not there."""
        found = self.seen(path)
        if found is None or not stat.S_ISLNK(found.st_mode):
            return found
        if path not in self._behind:
            self._behind[path] = None
            if self.take(_LOOK + _PART):
                with contextlib.suppress(OSError):
                    self._behind[path] = os.stat(path)
        return self._behind[path]

    def bears(self, folder: str, name: str) -> os.stat_result | None:
        """The entry of a folder, an absolute path, that has no `/` in its name. Where many are asked for, the folder is read once."""
        path = f"{folder}{name}" if folder[-1:] == "/" else f"{folder}/{name}"
        if path in self._seen or name in ("", ".", ".."):
            return self.seen(path)
        held = self._folders.get(folder)
        if held is None:
            asked = self._asked[folder] = self._asked.get(folder, 0) + 1
            held = self._read(folder) if asked > _FEW else None
        # A name in other letters than these is for the system to compare.
        if held is not None and held.names is not None and name.isascii() and name.casefold() not in held.names:
            return None
        return self.seen(path)

    def real(self, path: str) -> str:
        """Where the system finds a path, each link followed before what comes after it.

        Raises:
            OSError, ValueError: it cannot be said.
        """
        kept = self._real.get(path)
        if kept is None:
            folder, name = os.path.split(path)
            if name in ("", ".", "..") or not folder or "//" in path:
                kept = self._whole(path)
            else:
                if folder not in self._real:
                    self._real[folder] = self._whole(folder)
                kept = os.path.join(self._real[folder], name)
                found = self.seen(kept)
                if found is not None and stat.S_ISLNK(found.st_mode):
                    link = kept
                    self._real[path] = self._real[link] = link  # where links go round in a circle, they end here
                    kept = self._real[link] = self._behind_link(link)
            self._real[path] = kept
        return kept

    def _behind_link(self, path: str) -> str:
        """Where a link in a real folder leads. What many links have in common is looked up once."""
        if not self.take(_LOOK):
            return path
        folder, target = os.path.dirname(path), os.readlink(path)
        while target.startswith("../"):
            folder, target = os.path.dirname(folder), target[3:].lstrip("/")
        if ".." in target.split("/"):  # it may lead out of what another link leads to
            return self._whole(path)
        return self.real(os.path.join(folder, target))

    def _whole(self, path: str) -> str:
        if not self.take(_PART * (path.count("/") + 2)):
            return os.path.normpath(path)
        return os.path.realpath(path)

    def plain(self, folder: str) -> bool:
        """Whether a folder is no link and lies below none."""
        return os.path.isabs(folder) and "\0" not in folder and self.real(folder) == os.path.normpath(folder)

    def places(self, path: str) -> Sequence[tuple[str, str]]:
        """(a path, where it leads) of a path as the system walks it and as programs fold it, and of what a pattern matches.

        A file of several names leads to itself, by its number and that of its device. Raises as `real` does.
        """
        if not self.take(_PATH):
            return ()
        folded = os.path.normpath(path)
        found = [(one, self.real(one)) for one in dict.fromkeys((path, folded))]
        found = [(one, real) for one, real in found if real != folded]
        seen = self.followed(folded)
        if seen is not None and stat.S_ISREG(seen.st_mode) and seen.st_nlink > 1:
            found.append((folded, f"{seen.st_dev}:{seen.st_ino}"))
        found += self.matched(folded)
        self.take(JUDGED * len(found))
        return found

    def links(self, folder: str) -> Collection[str]:
        """The paths of all links in a folder; of one of very many entries those that were met first."""
        return self._read(folder).links.values() if os.path.isabs(folder) else ()

    def matched(self, path: str) -> list[tuple[str, str]]:
        """The links that a pattern at a path's end matches, and where each leads. Raises as `real` does."""
        folder, name = os.path.split(path)
        if not MARKS.search(name) or MARKS.search(folder):
            return []
        held = self._read(folder)
        self.short = self.short or held.cut
        if not held.links:
            return []
        new = name not in self._patterns
        self._patterns.add(name)
        if not self.take(_PATTERN * new + len(held.links) // 6):
            return []
        return [(held.links[link], self.real(held.links[link])) for link in fnmatch.filter(held.links, name)]

    def _read(self, folder: str) -> _Folder:
        held = self._folders.get(folder)
        if held is None:
            turn()
            links: dict[str, str] = {}
            names: list[str] = []
            whole = cut = False
            with contextlib.suppress(OSError, ValueError), os.scandir(folder) as entries:
                whole = True
                for number, entry in enumerate(entries):
                    if number == _MOST_ENTRIES or not self.take(number & 1):
                        whole, cut = False, True
                        break
                    if number % 512 == 511:
                        turn()
                    names.append(entry.name.casefold())
                    if entry.is_symlink():
                        links[entry.name] = entry.path
            held = self._folders[folder] = _Folder(links, frozenset(names) if whole else None, cut)
        return held

    def twin(self, path: str, around: Surroundings) -> str:
        """The file of the state, or of a client's hook configuration, that a path is a second name of, or empty."""
        seen = self.followed(path)
        if seen is None or seen.st_nlink < 2 or not stat.S_ISREG(seen.st_mode):
            return ""
        if self._files is None:
            self._files = {}
            for place in (*around.state, *around.hooks):
                for one in self._inside(place):
                    held = self.followed(one)
                    if held is not None:
                        self._files[held.st_dev, held.st_ino] = one
        return self._files.get((seen.st_dev, seen.st_ino), "")

    def _inside(self, place: str) -> list[str]:
        """The entries of a folder, or the file itself."""
        try:
            return [os.path.join(place, name) for name in os.listdir(place)]
        except NotADirectoryError:
            return [place]
        except OSError:
            return []
