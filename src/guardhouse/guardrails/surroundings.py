"""Where this deployment keeps what no agent may touch, and whether a path as written reaches it."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from guardhouse.guardrails import databases
from guardhouse.guardrails.paths import resolve
from guardhouse.guardrails.words import UNKNOWN

Reach = Literal["", "state", "program", "hooks", "above", "holds"]
"""What a path reaches: Guardhouse's state, its installed code, a client's hook configuration, a folder above state or code.

`holds` is a folder above a hook configuration that `install` wrote: it may be searched and copied, not removed.
"""


_DEFAULT_STATE = (".local/share/guardhouse", "library/application support/guardhouse")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The deployment as the guard of itself must know it. All paths absolute, with `/`, links followed.

    `user_home` is what `~` means; `state` are files and folders of keys, tokens, databases and checkpoints (a folder
    means everything in it); `program` is the installed package, its command and the hook shims; `pid` and `port` are
    the gateway's; `databases` are those on servers, as `databases.named` tells them; `hooks` are the files, and
    the folders of plugins, by which clients were told to ask, wherever they lie; `records` is the file that lists them. Empty where unknown: the default places are guarded all the same.
    """

    user_home: str = ""
    state: tuple[str, ...] = ()
    program: tuple[str, ...] = ()
    pid: int = 0
    port: int = 8420
    databases: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    records: str = ""
    variables: Mapping[str, tuple[str, frozenset[str]]] = field(init=False, repr=False, compare=False)
    """What our own variables stand for in a command: places in the state, whatever their true values."""
    places: tuple[tuple[Literal["state", "program"], str], ...] = field(init=False, repr=False, compare=False)
    """State and program with the usual places of state, case folded."""
    told: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """`hooks`, case folded."""

    def __post_init__(self) -> None:
        usual = tuple(f"{self.user_home}/{place}" for place in _DEFAULT_STATE) if self.user_home else ()
        places = [("state", place.casefold()) for place in (*self.state, *usual)]
        places += [("program", place.casefold()) for place in self.program]
        object.__setattr__(self, "places", tuple(places))
        object.__setattr__(self, "told", tuple(place.casefold() for place in self.hooks))
        home = self.state[0] if self.state else "~/.local/share/guardhouse"
        known = {
            "GUARDHOUSE_HOME": home,
            "GUARDHOUSE_DATABASE_URL": f"sqlite:///{home}/guardhouse.db",
            "GUARDHOUSE_MIGRATION_URL": f"sqlite:///{home}/guardhouse.db",
            "GUARDHOUSE_SIGNING_KEY_FILE": f"{home}/signing.key",
        }
        object.__setattr__(self, "variables", {name: (value, frozenset()) for name, value in known.items()})


NOWHERE = Surroundings()
SAMPLE = Surroundings(
    user_home="/srv/user",
    state=("/srv/user/.local/share/guardhouse", "/srv/guardhouse/keys/signing.key"),
    program=("/opt/venv/lib/python3.11/site-packages/guardhouse", "/opt/venv/bin/guardhouse"),
    pid=4711,
)
"""What the examples of packs are judged in."""

_ROOTED = re.compile(
    r"^(?:/proc/(?:self|thread-self|\d+)(?:/task/\d+)?/root(?=/|$)|/System/Volumes/Data(?=/))+", re.IGNORECASE
)
"""A second name for the whole tree."""
_INSIDE = re.compile(
    r"^/proc/(\d+)/(?:task/\d+/)?(?:environ|mem|fd|fdinfo|map_files|cwd|root|exe|oom_adj|oom_score_adj|autogroup|comm|clear_refs)(?:/|$)"
)
"""Where a process's memory, variables and open files are read, and how it is made the first to go."""
_STARTED_WITH = re.compile(r"/(?:sitecustomize|usercustomize)\.py$|\.pth$")
_OWN_NAMES = frozenset({"operator.token", "guardhouse.db", "guardhouse.db-wal", "guardhouse.db-shm"})
"""Names that nothing else has: guarded also where the folder is not known."""
_STATE_NAMES = _OWN_NAMES | {"signing.key", "endpoint.json", "suppressed.log"}
"""Names of state whose folder decides, or, where that is only known when run, the name alone."""

_HOOKS = re.compile(
    r"(?:.*/)?(?:"
    r"\.claude/(?:settings(?:\.local)?\.json|hooks(?:/.*)?)"
    r"|\.claude\.json"
    r"|\.codex/(?:config\.toml|hooks\.json|requirements\.toml|managed_config\.toml|hooks(?:/.*)?)"
    r"|\.gemini/(?:settings\.json|trusted[_-]?hooks\.json|hooks(?:/.*)?)"
    r"|\.cursor/(?:hooks\.json|cli-config\.json|cli\.json|permissions\.json|hooks(?:/.*)?)"
    r"|\.(?:github|copilot)/hooks(?:/.*)?|\.github/copilot/settings(?:\.local)?\.json|\.copilot/config\.json|\.copilot/settings\.json"
    r"|(?:\.config/opencode|\.opencode)/(?:opencode\.jsonc?|plugins?(?:/.*)?)|opencode\.jsonc?"
    r"|claude-?code/managed-settings(?:\.d(?:/.*)?|\.json)"
    r"|etc/(?:codex|gemini-cli|cursor|github-copilot|opencode)(?:/.*)?"
    r"|(?:application support|program ?files(?: \(x86\))?|program ?data)/(?:claudecode|cursor|geminicli|gemini-cli|opencode|github/copilot)(?:/.*)?"
    r"|guardhouse\.service(?:\.d(?:/.*)?)?|[^/]*guardhouse[^/]*\.plist"
    r")",
    re.S,
)
"""Files by which a client is told to ask: hooks, their switches, plugins, managed settings; and the gateway's own service."""
_MARKED = re.compile(r"[*?\[\x00]")
"""What may stand for more than itself in a part of a path: the marks of a glob, and `UNKNOWN`."""
_HOOK_FOLDERS = frozenset(
    {".claude", ".codex", ".gemini", ".cursor", ".copilot", ".opencode", "opencode", "claude-code"}
)


def absolute(text: str, cwd: str, around: Surroundings) -> str:
    """A path as written, seen from `cwd`, with `~` spelled out and case folded; it may keep globs and `UNKNOWN`."""
    path = resolve(text, cwd)
    if path.startswith("~"):
        head, _, rest = path.partition("/")
        path = f"{around.user_home or '~'}/{rest}".rstrip("/") if head == "~" or _is_user(head, around) else path
    return (_ROOTED.sub("", path) or "/" if path[:1] == "/" else path).casefold()


def _is_user(head: str, around: Surroundings) -> bool:
    return bool(around.user_home) and head[1:] == posixpath.basename(around.user_home)


def reach(text: str, cwd: str, around: Surroundings) -> Reach:
    """What a path written in a command that runs in `cwd` reaches. Globs and unknown parts count as what they could be."""
    return "" if not text or len(text) > 4096 or "\n" in text else _reach(text, cwd, around)


@lru_cache(maxsize=8192)
def _reach(text: str, cwd: str, around: Surroundings) -> Reach:
    if around.databases and "://" in text and databases.named(text) in around.databases:
        return "state"
    if text.startswith("file://"):
        text = "/" + text[7:].lstrip("/")
    inside = _INSIDE.match(text) if around.pid else None
    if inside is not None and int(inside[1]) == around.pid:
        return "state"
    path = absolute(text, cwd, around)
    name = path.rpartition("/")[2]
    if name in _OWN_NAMES or (UNKNOWN in path[: -len(name) or None] and name in _STATE_NAMES):
        return "state"
    if any(mark in name for mark in "*?[") and any(
        own[:5] == name[:5] and fnmatch.fnmatchcase(own, name) for own in _OWN_NAMES
    ):
        return "state"
    if any(f"/{place}/" in f"/{path}/" for place in _DEFAULT_STATE):
        return "state"
    found: Reach = ""
    plain = not any(mark in path for mark in "*?[\x00{")
    for kind, place in around.places:
        how = _covers(path, place, plain=plain)
        if how == "in":
            return kind
        if how == "above":
            found = "above"
        if kind == "program" and _STARTED_WITH.search(path) and path.rpartition("/")[0] == place.rpartition("/")[0]:
            return "program"
    if _HOOKS.fullmatch(path) or (UNKNOWN in path and _HOOKS.fullmatch(path.replace(UNKNOWN, "x"))):
        return "hooks"
    if name in _HOOK_FOLDERS or (any(mark in path for mark in "*?[") and _globbed_hooks(path)):
        return found or "hooks"
    return found or (_installed(path, around.told, plain=plain) if around.told else "")


def _installed(path: str, hooks: tuple[str, ...], *, plain: bool) -> Reach:
    """Whether a path is one of clients' files as `install` wrote them, or a folder above one. An unknown part is none."""
    found: Reach = ""
    if UNKNOWN in path:
        return found
    for place in hooks:
        how = _covers(path, place, plain=plain)
        if how and not plain and _hidden_from(path, place):
            continue
        if how == "in":
            return "hooks"
        if how == "above":
            found = "holds"
    return found


def _hidden_from(pattern: str, place: str) -> bool:
    """Whether a part of a place begins with a dot where the pattern has a mark, which no shell's mark matches."""
    return any(
        wanted[:1] == "." and mark[:1] in ("*", "?", "[")
        for wanted, mark in zip(place.split("/"), pattern.split("/"), strict=False)
    )


def _globbed_hooks(path: str) -> bool:
    head, _, name = path.rpartition("/")
    return posixpath.basename(head) in _HOOK_FOLDERS and any(
        fnmatch.fnmatchcase(one, name)
        for one in ("settings.json", "settings.local.json", "hooks.json", "config.toml", "hooks", "config.json")
    )


def _covers(path: str, place: str, *, plain: bool) -> str:
    """Whether `path` (a pattern where it is not `plain`) lies in `place`, or `place` beneath it."""
    if plain:
        if path == place or path.startswith(place + "/"):
            return "in"
        return "above" if path == "/" or place.startswith(path + "/") else ""
    wanted, have = place.split("/"), path.split("/")
    if not path.startswith("/"):
        return ""
    deep = "**" in have
    if deep:
        last, have = have[-1], have[: have.index("**")]
    for one, pattern in zip(wanted, have, strict=False):
        if one == pattern:
            continue
        if _MARKED.search(pattern) is None or not fnmatch.fnmatchcase(one, pattern.replace(UNKNOWN, "*")):
            return ""
    if len(have) >= len(wanted):
        return "in"
    if deep:
        return "in" if last in _STATE_NAMES else "above"
    return "in" if have[-1] in ("*", "**") and len(have) == len(wanted) else "above"


def parts(text: str) -> Iterable[str]:
    """Where paths may stand in one word: the whole, and what follows `=`, `:`, `@` or a short option."""
    yield text
    for mark in "=@":
        _, found, rest = text.partition(mark)
        if found and rest:
            yield rest.lstrip("@'\"")
    if "://" in text:
        yield "/" + text.partition("://")[2].lstrip("/")
        yield "/" + text.partition("://")[2].partition("/")[2].lstrip("/")
    elif ":" in text:
        yield from (one for one in text.split(":") if one)
    if text.startswith("-") and len(text) > 3 and text[2] in "/~.":
        yield text[2:]
    if "," in text:
        yield from (one.rpartition("=")[2] for one in text.split(",") if one)
