"""Which names in a text lead, on this machine, to what the guard guards: over links, out of folders, through patterns.

Looks at the disk, bounded in names and letters here and in work by `Disk`. A name of another machine leads nowhere here.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from guardhouse.gateway.disk import JUDGED, MARKS, PAIR, USER, Disk
from guardhouse.guardrails.spelling import spelled
from guardhouse.guardrails.surroundings import Surroundings, absolute, reach
from guardhouse.guardrails.text import Examined
from guardhouse.guardrails.touching import MOST_LINKS
from guardhouse.guardrails.turns import turn

KINDS = frozenset({"shell", "auto"})
"""Kinds of text whose words may be names of files."""
_TOKENS = re.compile(r"""[^\s'"();&|<>=,`{}$]+""")
_QUOTED = re.compile(r""""([^"\n$`]{1,256})"|'([^'\n]{1,256})'""")
_ESCAPED = re.compile(r"""(?:[^\s'"();&|<>`\\$]|\\ )+""")
_HOME = re.compile(r"""\$(?:HOME\b|\{HOME\})|"\$(?:HOME|\{HOME\})\"""")
_ENTERS = frozenset({"cd", "pushd", "-C", "--directory", "--chdir", "env", "make", "tar", "find"})
_ODD = re.compile(r"['\"\\$`*?\[{=,@~]|/proc/")
"""What lets a text mean a name that it does not spell: quotes, patterns, variables. So does what is longer than is looked up."""
_INTO = re.compile(r"""(?:\b(?:cd|pushd)|-C|--directory|--chdir)[\s=]++["']?([^\s;&|"')]+)""")
_LONGEST = 1_024
_MOST_TOKENS = 1_024
_MOST_LETTERS = 65_536
_MOST_FOLDERS = 4


def links(text: Examined, around: Surroundings, disk: Disk) -> Iterator[tuple[str, str]]:
    """(name as the guard will see it, where it leads), for each that leads to a guarded place which it does not name."""
    names, bases = _names(text, around, disk)
    for name, base, places in _walked(text.cwd, names, bases, around, disk):
        for place, real in places if name in names else ():
            guarded = real if real[:1] == "/" else disk.twin(place, around)
            if guarded and reach(guarded, "", around):
                yield absolute(name, base, around), guarded
    said = (text.text, *text.file_paths) if text.kind in KINDS else text.file_paths
    if any(len(one) > _LONGEST or _ODD.search(one) for one in said):
        folders = [text.cwd]
        for entered in islice(_INTO.findall(text.text[:_MOST_LETTERS]), _MOST_FOLDERS):
            folders.append(os.path.join(folders[-1], _spelled_out(entered, around, disk)))
        if around.user_home and any("~" in one or "HOME" in one for one in said):
            folders.append(around.user_home)
        yield from _unnamed(folders, around, disk)


def _unnamed(folders: list[str], around: Surroundings, disk: Disk) -> Iterator[tuple[str, str]]:
    """(path, where it leads) of every link in these folders that leads to a guarded place: a text may mean one in other letters."""
    found = 0
    for folder in dict.fromkeys(folders):
        for path in disk.links(folder):
            turn()
            real = ""
            with contextlib.suppress(OSError, ValueError):
                real = disk.real(path)
            if real and reach(real, "", around):
                found += 1
                if found > MOST_LINKS or not disk.take(JUDGED):
                    disk.short = True
                    return
                yield absolute(path, "", around), real


def leads(texts: Iterable[Examined], around: Surroundings, disk: Disk) -> tuple[tuple[str, str], ...]:
    """Names in texts that lead elsewhere on this machine, with where to: a leave for them ends when that changes.

    The same names as the guard looks at, seen from the same folders, and wherever they lead. A file of several names
    leads to itself, so that another in its place counts. Sorted, each once. Names of another machine, or that no file
    bears here, lead nowhere. Never raises.
    """
    found: set[tuple[str, str]] = set()
    for text in texts:
        names, bases = _names(text, around, disk)
        for _name, _base, places in _walked(text.cwd, names, bases, around, disk):
            found.update(places)
    return tuple(sorted(found))


def _walked(
    cwd: str, names: dict[str, None], bases: list[str], around: Surroundings, disk: Disk
) -> Iterator[tuple[str, str, Sequence[tuple[str, str]]]]:
    """(name, folder that it is seen from, where it leads from there), for each that leads anywhere; the caller's folder too.

    Walking the same again takes no more of `disk`.
    """
    grounds = [(base, disk.plain(base)) for base in bases]
    for name in dict.fromkeys([cwd, *names]):
        turn()
        if not name or name[0] == "-" or len(name) > _LONGEST:
            continue
        for base, plain in grounds[:1] if name[0] == "/" else grounds:
            places = disk.told.get((base, name))
            if places is None:
                if not disk.take(PAIR):
                    return
                places = disk.told[base, name] = _places(name, base, around, disk, plain=plain)
            if places:
                yield name, base, places


def _places(name: str, base: str, around: Surroundings, disk: Disk, *, plain: bool) -> Sequence[tuple[str, str]]:
    with contextlib.suppress(OSError, ValueError):
        told = _told(name, base, disk, plain=plain)
        if told is not None:
            return told
        path = os.path.join(base, _spelled_out(name, around, disk))
        if os.path.isabs(path):
            return disk.places(path)
    return ()


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
            bases.extend(_folders(tokens, text.cwd, around, disk))
    return names, bases


def _told(name: str, base: str, disk: Disk, *, plain: bool) -> Sequence[tuple[str, str]] | None:
    """(link, where it leads) of a name that one look tells all of; None of one that has to be followed."""
    if plain:
        if name == base:
            return ()
        last, folder = _climbed(name, base)
        if "/" not in last and last[0] != "~" and not MARKS.search(last):
            seen = disk.bears(folder, last)
            if seen is None:
                return ()
            many = stat.S_ISREG(seen.st_mode) and seen.st_nlink > 1
            return None if many or stat.S_ISLNK(seen.st_mode) else ()
        if "/" not in name and name[0] != "~" and disk.bears(base, name) is None:
            return disk.matched(os.path.join(base, name))
    return () if _lacks(name, base, disk, plain=plain) else None


def _lacks(name: str, base: str, disk: Disk, *, plain: bool) -> bool:
    """Whether a name of several parts leads nowhere, since nothing bears its first part. False where nobody looked.

    Below a folder that is a link, what is not there yet leads elsewhere all the same.
    """
    if plain:
        name, base = _climbed(name, base)
    elif name[:1] != "/":
        return False
    lead, mark, rest = name.partition("/")
    if not mark or ".." in rest or name[0] == "~" or MARKS.search(lead):
        return False
    if lead:
        return disk.bears(base, lead) is None
    return disk.bears("/", rest.partition("/")[0]) is None


def _climbed(name: str, base: str) -> tuple[str, str]:
    """A name below a plain folder without what only leads out of it, and the folder that it then is below."""
    while name.startswith("../"):
        name, base = name[3:].lstrip("/"), os.path.dirname(os.path.normpath(base))
    return name or ".", base


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


def _folders(tokens: list[str], cwd: str, around: Surroundings, disk: Disk) -> Iterator[str]:
    """Folders that a command names and may go into, one from another, before it names a file in them."""
    found: list[str] = []
    for token in tokens:
        bare = "/" not in token and token[0] != "~"
        for base in (cwd, *found):
            if len(found) == _MOST_FOLDERS:
                return
            if bare and (not os.path.isabs(base) or disk.bears(base, token) is None):
                continue
            path = os.path.join(base, _spelled_out(token, around, disk))
            seen = disk.followed(path) if os.path.isabs(path) else None
            if seen is not None and stat.S_ISDIR(seen.st_mode):
                found.append(path)
                yield path
                break


def _spelled_out(path: str, around: Surroundings, disk: Disk) -> str:
    """As `expanded`; looking up another user's home is work, too."""
    user = path.partition("/")[0]
    if user[:1] == "~" and user != "~" and user not in disk.users:
        if not disk.take(USER):
            return path
        disk.users.add(user)
    return expanded(path, around)


def expanded(path: str, around: Surroundings) -> str:
    """A path with `~` spelled out as the guard understands it."""
    if path[:1] != "~":
        return path
    if around.user_home and (path == "~" or path.startswith("~/")):
        return around.user_home + path[1:]
    return os.path.expanduser(path)
