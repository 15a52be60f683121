"""In how many ways one path can be read: what file tools and servers undo of a spelling before they open the file.

A shell's words are read by the shell reader. What a file tool is given goes to other programs: editors that trim and
normalise, servers that take `file:` URLs, percent-encodings or variables, file systems that ignore invisible letters,
globs with braces. A path is judged by every reading, since which one is taken is not known here. Pure.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import unquote

from guardhouse.guardrails.surroundings import Surroundings
from guardhouse.guardrails.words import UNKNOWN

MOST = 64
"""Readings of one path at most; more are made by braces only."""
MOST_LETTERS = 262_144
_KEPT = 512
_ODD = re.compile(r"[^A-Za-z0-9_./~+,=-]|[ .](?=/|\Z)|^[A-Za-z][A-Za-z0-9+.-]*:")
_FILE = re.compile(r"(?i)^(?:view-source:)?file:(?:/{2}(?:localhost|127(?:\.\d+){3}|\[::1\])?(?=/))?")
_SCHEME = re.compile(r"(?i)^([a-z][a-z0-9+.-]+):(?:[a-z0-9+.-]+:)*/+")
_WEB = frozenset({"http", "https", "ws", "wss", "ftp", "ftps", "git", "ssh", "git+ssh", "data", "mailto"})
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))|%(\w+)%")
_INVISIBLE = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_ENDS = re.compile(r"(?<=[^/.\s])[ .]+(?=/|\Z)")
_OWN_FOLDER = re.compile(r"^/proc/(?:self|thread-self)/cwd(?=/|\Z)")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_SPACES = " \t\r\n\v\f\u00a0\ufeff"


def spelled(path: str, cwd: str, around: Surroundings) -> tuple[str, ...]:
    """Every reading of a path given to a tool, the one as written first; each once, none longer than a path can be."""
    if len(path) <= 4096 and not _ODD.search(path):
        return (_OWN_FOLDER.sub(cwd or ".", path),) if path.startswith("/proc/") else (path,)
    return _spelled(path, cwd, around) if len(path) <= _KEPT else _spelled.__wrapped__(path, cwd, around)


@lru_cache(maxsize=2048)
def _spelled(path: str, cwd: str, around: Surroundings) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for one in _readings(path[:MOST_LETTERS], cwd, around):
        if len(one) > 4096 or "\n" in one:
            # A client that normalises makes a short path of a long one, and takes away a folder that is none.
            one = posixpath.normpath(one).replace("\n", "\x01")
        if one and len(one) <= 4096:
            found[one] = None
        if len(found) == MOST:
            break
    return tuple(found)


def _readings(path: str, cwd: str, around: Surroundings) -> Iterator[str]:
    yield path
    text = path.strip(_SPACES)
    text = text.strip("'\"`").removeprefix("@")
    yield text
    plain = _FILE.sub("", text)
    if plain != text:
        text = plain
        yield text
        text = re.split(r"[?#]", text, maxsplit=1)[0]
    elif (scheme := _SCHEME.match(text)) is not None and scheme[1].casefold() not in _WEB:
        text = text[scheme.end() - 1 :]
        yield re.split(r"[?#]", text, maxsplit=1)[0]
        yield "/" + text.lstrip("/").partition("/")[2]
    yield text
    for _ in range(2):
        if "%" in text:
            text = unquote(text)
            yield text
    text = _INVISIBLE.sub("", unicodedata.normalize("NFC", text)).replace("\x00", UNKNOWN)
    text = _VARIABLE.sub(lambda match: _value(match, around), text)
    yield text
    text = text.replace("\\", "/")
    yield text
    text = _ENDS.sub("", _OWN_FOLDER.sub(cwd or ".", text))
    yield text
    yield from _unbraced(text)


def _value(match: re.Match[str], around: Surroundings) -> str:
    name = (match[1] or match[2] or match[3]).upper()
    if name in ("HOME", "USERPROFILE"):
        return around.user_home or "~"
    if name == "XDG_DATA_HOME":
        return f"{around.user_home or '~'}/.local/share"
    known = around.variables.get(name)
    return known[0] if known is not None else match[0]


def _unbraced(text: str) -> Iterator[str]:
    """A glob's alternatives, each as a path of its own. Too many are left as they stand."""
    work = [text]
    for _ in range(MOST):
        if not work:
            return
        one = work.pop()
        match = _BRACES.search(one)
        if match is None:
            yield one
            continue
        work.extend(one[: match.start()] + part + one[match.end() :] for part in match[1].split(","))
