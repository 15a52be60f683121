"""Which files and folders a client's own tool is given, whatever the client calls them and however deep they stand."""

from __future__ import annotations

import posixpath
import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

MOST = 256
MOST_VALUES = 20_000
"""Values of a tool's input that are looked at, plain numbers in lists aside. Where there are more, it is not let through."""
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+")
_PLACES = frozenset({"path", "paths", "file", "files", "filename", "filenames", "filepath", "filepaths", "dir", "dirs", "directory", "directories", "folder", "folders", "notebook", "uri", "uris"})  # fmt: skip
"""Last words of a key whose value is a file or folder: `file_path`, `targetDirectory`, `notebook_path`."""
_GLOBS = frozenset({"glob", "globs", "include", "includes", "include_pattern", "includePattern", "glob_pattern", "globPattern"})  # fmt: skip
_GLOBBING = frozenset(
    {"glob", "file_search", "filesearch", "find_files", "findfiles", "glob_file_search", "list_files"}
)
"""Tools whose `pattern` or `query` is one of file names, not of what stands in files."""
_ALL_GLOBS = frozenset({"read_many_files"})
"""Tools that take every path for a pattern."""
_PATTERNS = frozenset({"pattern", "patterns", "query"})


_TARGETS = frozenset({"pid", "pids", "process_id", "processid", "process", "port", "ports"})
_TELLS_NOTHING = frozenset({int, float, bool, type(None)})


class TooMany(ValueError):
    """More files or values than can be asked about in one question."""


def places(tool: str, given: Mapping[str, Any]) -> list[str]:
    """Every path in a tool's input, each once; a pattern of file names is put below the folder that it is looked for in.

    Raises TooMany: a file that is not asked about would be a way round the guard.
    """
    named: dict[str, None] = {}
    patterns: dict[str, None] = {}
    for key, value in leaves(given):
        if key in _GLOBS or (tool in _GLOBBING and key in _PATTERNS) or (tool in _ALL_GLOBS and _is_place(key)):
            patterns.update(dict.fromkeys(one for one in _split(value) if one and one[0] != "!"))
        elif value and _is_place(key):
            named[value] = None
    if tool in _GLOBBING | _ALL_GLOBS and patterns:
        # It looks only where the pattern leads, which begins at the folder.
        found = _crossed([*named] or [""], [*patterns])
    else:
        # A pattern only narrows a search, and one without a folder fits at any depth.
        roots = [*named] or (["."] if patterns else [])
        deep = [one if "/" in one else f"**/{one}" for one in patterns]
        found = [*roots, *_crossed(roots, deep)]
    made = [*dict.fromkeys(found)]
    if len(made) > MOST:
        raise TooMany(f"the tool's input names more than {MOST} files")
    return made


def _crossed(roots: list[str], patterns: list[str]) -> list[str]:
    """Every pattern below every folder. Checked before any is made: a large input names a billion of them."""
    if len(roots) * len(patterns) > MOST * MOST:
        raise TooMany(f"the tool's input names more than {MOST} files")
    return [_below(root, one) for root in roots for one in patterns]


def _below(root: str, path: str) -> str:
    return path if not root or path.startswith(("/", "~")) else posixpath.join(root, path)


def _is_place(key: str) -> bool:
    words = _WORD.findall(key)
    return bool(words) and words[-1].casefold() in _PLACES


def _split(value: str) -> Iterator[str]:
    """Patterns in one text: some clients take several, parted by blanks or commas outside of braces."""
    yield value
    if "{" not in value and ("," in value or " " in value):
        yield from re.split(r"[\s,]+", value)


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a value, and every number of a process or port, with the name that it stands under. A name that is a path counts as one: some tools map files so.

    In the order of depth; work in proportion to the input. Raises TooMany where it holds more than are looked at.
    """
    work: deque[tuple[str, Any]] = deque([(name, value)])
    seen = 0
    while work:
        at, item = work.popleft()
        seen += 1
        if isinstance(item, str):
            yield at, item
        elif isinstance(item, int) and at.casefold() in _TARGETS:
            yield at, str(item)
        elif isinstance(item, Mapping):
            _bounded(seen + len(work) + len(item))
            for key, part in item.items():
                if "/" in str(key):
                    work.append(("path", str(key)))
                work.append((str(key), part))
        elif isinstance(item, list):
            skipped = _TELLS_NOTHING - {int} if at.casefold() in _TARGETS else _TELLS_NOTHING
            parts = [part for part in item if type(part) not in skipped]
            _bounded(seen + len(work) + len(parts))
            work.extend([(at, part) for part in parts])


def _bounded(values: int) -> None:
    if values > MOST_VALUES:
        raise TooMany(f"the tool's input holds more than {MOST_VALUES} values")
