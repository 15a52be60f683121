"""Lock keys: one spelling for one thing.

Grammar: `<namespace>:<path>`; without a namespace a key names a file. A file's key is
`file:<repository>//<path>`, so equal paths in two repositories never collide. `/` separates segments
and prefixes match whole segments only. Pure; knows no tables.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from guardhouse.errors import FieldFault, InvalidInput

NAMESPACES = ("file", "api", "db", "event", "flag", "env", "contract", "feature", "task", "res")
"""What a key may name; another word before a colon is refused, since it is most often a typing error."""

MAX_KEY = 1024
"""The longest canonical key, in bytes of UTF-8."""

MAX_SEGMENT = 255
"""The longest segment, in bytes of UTF-8."""

_PREFIX = re.compile(r"\s*([A-Za-z][A-Za-z0-9_-]*):(.*)\Z", re.DOTALL)
_METHOD = re.compile(r"([A-Za-z]{1,16})[ :]+(.*)\Z", re.DOTALL)
_DRIVE = re.compile(r"[A-Za-z]:")
_HIDDEN = frozenset("\u061c\u180e\u200b\u200c\u200d\u2060\ufeff\u00ad")
_PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class Key:
    """A canonical key. `text` is how it is stored; `repository` is set for files only."""

    namespace: str
    path: str
    repository: str = ""

    @property
    def text(self) -> str:
        return f"file:{self.repository}//{self.path}" if self.namespace == "file" else f"{self.namespace}:{self.path}"


@lru_cache(maxsize=4_096)
def canonical_key(given: str, repository: str = "default", field: str = "key") -> Key:
    """The canonical key of what a caller wrote; bare paths lie in `repository`.

    InvalidInput, naming `field`, when it is not a key.
    """
    key = _read(given, repository, field)
    if not key.path:
        raise _fault(field, "names nothing; give at least one segment, such as `src/app.py` or `res:deploy/staging`")
    return key


def canonical_prefix(given: str, repository: str = "default", field: str = "prefix") -> str:
    """The canonical text of a prefix: a whole key, a folder of keys, or `ns:` for all of a namespace.

    `file:` alone stands for the whole of `repository`. An empty prefix stands for everything and
    stays empty.
    """
    if not given.strip():
        return ""
    return _read(given, repository, field).text


def matches(key: str, prefix: str) -> bool:
    """Whether a canonical key is the prefix itself or lies under it, on a segment boundary."""
    if not prefix or key == prefix:
        return True
    return any(key.startswith(start) for start in starts(prefix))


def starts(prefix: str) -> tuple[str, ...]:
    """The texts with which every key under a prefix begins, apart from the prefix itself.

    `:` ends a segment beside `/`, since `feature:<id>:pause` lies under `feature:<id>`.
    """
    if prefix.endswith((":", "/")):
        return (prefix,)
    return (prefix + "/", prefix + ":") if prefix.startswith("feature:") else (prefix + "/",)


def feature_of(key: Key) -> str:
    """The feature whose pause-lock concerns this key, or "" when none does or it is that pause-lock."""
    if key.namespace != "feature" or is_pause(key):
        return ""
    return re.split(r"[/:]", key.path, maxsplit=1)[0]


def is_pause(key: Key) -> bool:
    """Whether this is a feature's pause-lock."""
    feature, _, rest = key.path.partition(":")
    return key.namespace == "feature" and rest == _PAUSE and "/" not in feature


PAUSES = ("feature:", f":{_PAUSE}")
"""What stands before and behind a feature's name in the key of its pause-lock."""


def pause_key(feature: str) -> str:
    """The canonical text of a feature's pause-lock."""
    return feature.join(PAUSES)


def _read(given: str, repository: str, field: str) -> Key:
    text = unicodedata.normalize("NFC", given).strip()
    _refuse_hidden(text, field)
    found = _PREFIX.match(text)
    namespace = found.group(1).lower() if found else "file"
    if namespace not in NAMESPACES:
        remedy = "; paths must be relative" if _DRIVE.match(text) else ""
        raise _fault(field, f"`{namespace}` is no namespace; use one of {', '.join(NAMESPACES)}{remedy}")
    rest = found.group(2).strip() if found else text
    if namespace == "file":
        return _file(rest, repository, field, qualified=found is not None)
    if namespace == "api":
        return Key("api", _api(rest, field))
    if namespace == "feature":
        return _checked(Key("feature", _feature(rest, field)), field)
    return _checked(Key(namespace, _segments(rest, field)), field)


def _file(rest: str, repository: str, field: str, *, qualified: bool) -> Key:
    owner, mark, path = rest.partition("//") if qualified else ("", "", "")
    if not (mark and owner.strip()):
        owner, path = repository, rest
    key = Key("file", _segments(path, field), _segments(owner, field))
    if _DRIVE.match(key.path):
        raise _fault(field, "names a drive; give the path relative to the repository, such as `src/app.py`")
    return _checked(key, field)


def _api(rest: str, field: str) -> str:
    """`[METHOD ]/path`: the method in upper case, the path with exactly one leading slash."""
    found = _METHOD.match(rest)
    method, path = (found.group(1).upper(), found.group(2)) if found else ("", rest)
    path = _segments(path.strip().lstrip("/"), field)
    whole = (f"{method} " if method else "") + (f"/{path}" if path or rest else "")
    return _checked(Key("api", whole), field).path


def _feature(rest: str, field: str) -> str:
    """Colons written one way, so that no spelling of a feature's key slips past its pause-lock."""
    path = _segments(re.sub(r"[\s/]*:[\s:/]*", ":", rest).strip(": \t"), field)
    feature, mark, tail = path.partition("/")
    return f"{feature}:{_PAUSE}" if mark and tail == _PAUSE and ":" not in feature else path


def _segments(path: str, field: str) -> str:
    if path.strip().startswith(("/", "~", "\\")):
        raise _fault(field, "is absolute; give the path relative to the repository, such as `src/app.py`")
    if "\\" in path:
        raise _fault(field, "holds a backslash; separate segments with `/`")
    kept = [segment for part in path.split("/") if (segment := part.strip()) not in ("", ".")]
    if ".." in kept:
        raise _fault(field, "holds `..`; name the target itself")
    if any(len(segment.encode()) > MAX_SEGMENT for segment in kept):
        raise _fault(field, f"holds a segment longer than {MAX_SEGMENT} bytes")
    if kept and kept[0].startswith("~"):
        raise _fault(field, "begins like an absolute path; give it relative to the repository")
    return "/".join(kept)


def _refuse_hidden(text: str, field: str) -> None:
    for character in text:
        category = unicodedata.category(character)
        if character in _HIDDEN or category in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            raise _fault(field, f"holds the invisible character U+{ord(character):04X}; leave it out")


def _checked(key: Key, field: str) -> Key:
    if len(key.text.encode()) > MAX_KEY:
        raise _fault(field, f"is longer than {MAX_KEY} bytes")
    return key


def _fault(field: str, problem: str) -> InvalidInput:
    return InvalidInput(f"`{field}` {problem}", (FieldFault(field, problem),))
