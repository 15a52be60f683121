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


def links(text: Examined, around: Surroundings) -> Iterator[tuple[str, str]]:
    """(name as the guard will see it, where it leads), for each that leads to a guarded place which it does not name."""
    names, bases = _names(text, around)
    if not names:
        return
    bare = any("/" not in name for name in names)
    grounds = [(base, bare and _plain(base)) for base in bases]
    for name in names:
        turn()
        if name[:1] == "-" or len(name) > 1024:
            continue
        for base, plain in grounds:
            if base[:1] != "/" and name[:1] not in ("/", "~"):
                continue
            try:
                leads = _led(name, base, around, plain=plain)
            except (OSError, ValueError):
                continue
            for real in leads:
                yield absolute(name, base, around), real


def leads(texts: Iterable[Examined], around: Surroundings) -> tuple[tuple[str, str], ...]:
    """Names in texts that lead elsewhere on this machine, with where to: a leave for them ends when that changes.

    The same names as the guard looks at, seen from the same folders, and wherever they lead. A file of several names
    leads to itself, so that another in its place counts. Sorted, each once. Names of another machine, or that no file
    bears here, lead nowhere. Never raises.
    """
    found: set[tuple[str, str]] = set()
    for text in texts:
        names, bases = _names(text, around)
        grounds = [(base, _plain(base)) for base in bases]
        for name in dict.fromkeys([text.cwd, *names]):
            turn()
            if not name or name[0] == "-" or len(name) > 1024:
                continue
            for base, plain in grounds:
                if plain and _itself(name, base):
                    continue
                with contextlib.suppress(OSError, ValueError):
                    path = os.path.join(base, expanded(name, around))
                    if os.path.isabs(path):
                        found.update(_places(path))
    return tuple(sorted(found))


def _places(path: str) -> Iterator[tuple[str, str]]:
    """(a path, where it leads) of a path as the system walks it and as programs fold it, and of what a pattern matches."""
    folded = os.path.normpath(path)
    for one in dict.fromkeys((path, folded)):
        real = os.path.realpath(one)
        if real != folded:
            yield one, real
    seen = os.stat(folded) if os.path.lexists(folded) else None
    if seen is not None and stat.S_ISREG(seen.st_mode) and seen.st_nlink > 1:
        yield folded, f"{seen.st_dev}:{seen.st_ino}"
    for entry in _matched(folded):
        yield entry.path, os.path.realpath(entry.path)


def _matched(path: str) -> Iterator[os.DirEntry[str]]:
    """The links that a pattern at a path's end matches."""
    folder, name = os.path.split(path)
    if _MARKS.search(name) and not _MARKS.search(folder):
        with os.scandir(folder) as entries:
            for _, entry in zip(range(_MOST_ENTRIES), entries, strict=False):
                if entry.is_symlink() and fnmatch.fnmatchcase(entry.name, name):
                    yield entry


def _names(text: Examined, around: Surroundings) -> tuple[dict[str, None], list[str]]:
    """The names that a text may mean files by, and the folders that they may be meant from."""
    names: dict[str, None] = {}
    for path in text.file_paths:
        turn()
        names.update(dict.fromkeys(spelled(path, text.cwd, around)))
    bases = [text.cwd]
    if text.kind in KINDS:
        tokens = [*dict.fromkeys(_words(text.text[:_MOST_LETTERS]))][:_MOST_TOKENS]
        names.update(dict.fromkeys(tokens))
        if not _ENTERS.isdisjoint(tokens):
            bases.extend(_folders(tokens, text.cwd, around))
    return names, bases


def _plain(base: str) -> bool:
    """Whether a folder is no link and lies below none."""
    return os.path.isabs(base) and "\0" not in base and os.path.realpath(base) == os.path.normpath(base)


def _led(name: str, base: str, around: Surroundings, *, plain: bool) -> list[str]:
    if plain and _itself(name, base):
        return []
    path = os.path.join(base, expanded(name, around))
    return [*_leading(path, around)] if os.path.isabs(path) else []


def _itself(name: str, base: str) -> bool:
    """Whether one look says that a bare name in a plain folder is no file, as most words are, or just the file it seems."""
    if "/" in name or name[:1] == "~" or _MARKS.search(name):
        return False
    try:
        seen = os.lstat(f"{base}/{name}")
    except OSError:
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


def _leading(path: str, around: Surroundings) -> Iterator[str]:
    """Where a path leads: as the system walks it, link by link before `..`, and as programs fold it before they ask."""
    folded = os.path.normpath(path)
    for one in {path, folded}:
        real = os.path.realpath(one)
        if real != folded and reach(real, "", around):
            yield real
    twin = _twin(folded, around)
    if twin:
        yield twin
    for entry in _matched(folded):
        real = os.path.realpath(entry.path)
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
