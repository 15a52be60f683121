"""Ways round the guard that name no file of it: the gateway's process, its port, its service, and clients started apart.

Each function looks at one command: its program's base name and the words after it, unknown parts as `UNKNOWN`.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from guardhouse.guardrails.units import Flow

CLIENTS = frozenset({"claude", "codex", "gemini", "cursor-agent", "cursor", "copilot", "opencode", "agent"})
"""The programs of the clients that ask by our hooks."""

_ATTACHES = frozenset(
    ["gdb", "lldb", "strace", "ltrace", "perf", "bpftrace", "py-spy", "pyrasite", "pyrasite-shell", "memray", "austin", "rbspy", "criu", "reptyr", "prlimit", "taskset", "ionice", "chrt", "schedtool", "xkill", "skill", "cpulimit", "nsenter", "gcore", "dd", "trace-cmd", "frida", "frida-trace", "dlv", "jattach"]
)  # fmt: skip
_SWITCHES = re.compile(
    r"(?i)disableallhooks|(?:^|[^a-z])(?:codex_)?hooks?\s*[=:]\s*(?:false|off|0|\{\s*\}|\[\s*\])|^--(?:bare|no-hooks?|safe-mode|pure|config-dir|setting-sources|ignore-user-config)\b|hooksconfig\.enabled|bypass-hook"
)
_CLAUDE_SETTINGS = re.compile(r"(?i)^--settings(?:=|$)")
_FILTERS = frozenset({"iptables", "ip6tables", "nft", "ufw", "firewall-cmd", "pfctl", "ipfw", "tc", "ebtables"})
_FORWARDS = frozenset({"socat", "rinetd", "redir", "simpleproxy", "tcptunnel", "portfwd", "chisel", "ngrok"})
_TUNNELS = frozenset({"ssh", "nc", "ncat", "netcat"})
_ENDS_SESSIONS = frozenset(
    {"terminate-user", "terminate-session", "terminate-seat", "kill-user", "kill-session", "poweroff", "reboot", "halt"}
)
_STOPS = frozenset({"stop", "kill", "disable", "mask", "restart", "try-restart", "isolate", "edit", "revert", "freeze"})
_ABOVE_UNITS = frozenset({"default.target", "basic.target", "graphical-session.target", "user.slice", "app.slice"})
_UNIT = "guardhouse.service"
_MEMBERS = ("/tasks", "/cgroup.procs", "/cgroup.threads")
_STARTS = frozenset({"HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "USERPROFILE", "APPDATA"})
_LOST = re.compile(r"(?:GUARDHOUSE_\w+|CLAUDE_CONFIG_DIR|CODEX_HOME|COPILOT_HOME|OPENCODE_CONFIG\w*)\+?=")
_STARTUP = re.compile(
    r"(?:.*/)?(?:\.?bash(?:rc|_profile|_login|_aliases)|\.?profile|\.?z(?:shrc|shenv|profile|login)|\.pam_environment"
    r"|\.kshrc|config\.fish|environment|environment\.d/.*|profile\.d/.*|conf\.d/.*|\.env(?:rc|\.local)?|\.?mise(?:\.local)?\.toml|\.xsessionrc|\.xprofile)$"
)
_PREFERENCES = re.compile(r"(?i)com\.(?:openai\.codex|anthropic\.claude\w*|google\.gemini\w*|github\.copilot\w*)\b")
_PREFERRERS = frozenset({"defaults", "plutil", "PlistBuddy", "profiles"})
_STASHES_ALL = re.compile(r"-[kuqSp]*a[kuqSp]*|--al?l?")
_CLEANS_IGNORED = re.compile(r"-[dfiqn]*[xX][dfiqnxX]*")
_EXCLUDES = ("-e", "--exclude")
_TRIES_CLEANING = re.compile(r"-[dfiqxX]*n[dfiqnxX]*|--dry-run")
CONCERNED = _ATTACHES | _FILTERS | _FORWARDS | _TUNNELS | _PREFERRERS | {"systemctl", "loginctl"}
"""The programs that this module asks about; beside them only a word `install` matters."""
_CODE = re.compile(
    r"(?:from|import)\s+guardhouse\.(?:app|__main__|surfaces|governance|gateway|storage|operations|services|ledger)\b"
    r"|from\s+guardhouse\s+import\s+(?:app|__main__|surfaces|governance|gateway|storage|operations|services|ledger)\b"
    r"|(?:run_module|import_module|__import__)\s*\(\s*['\"]guardhouse"
)


class _Command(Protocol):
    @property
    def program(self) -> str: ...


def sweeps_ignored(words: Sequence[str]) -> tuple[str, str, list[str]] | None:
    """How git with these words takes away what it ignores: `stash` or `clean`, from which folder, and of which paths.

    None where it takes nothing of it. The folder is empty for where it runs; no path means all. A stash is told of no
    paths, since any of it may be ours.
    """
    at, folder = 0, ""
    while at < len(words) and words[at].startswith("-"):
        if words[at] in ("-C", "-c", "--git-dir", "--work-tree", "--namespace"):
            folder = words[at + 1] if words[at] == "-C" and at + 1 < len(words) else folder
            at += 1
        at += 1
    verb, rest = (words[at] if at < len(words) else ""), words[at + 1 :]
    if verb == "stash" and (not rest or rest[0] in ("push", "save") or rest[0].startswith("-")):
        return (verb, folder, []) if any(_STASHES_ALL.fullmatch(word) for word in rest) else None
    if verb == "clean" and any(_CLEANS_IGNORED.fullmatch(word) for word in rest):
        named = [
            one for one, before in zip(rest, ("", *rest), strict=False) if one[:1] != "-" and before not in _EXCLUDES
        ]
        return None if any(_TRIES_CLEANING.fullmatch(word) for word in rest) else (verb, folder, named)
    return None


def attaches(program: str, words: Sequence[str], pid: int) -> bool:
    """Whether a debugger, tracer or limiter is put onto the gateway's process."""
    if not pid or program not in _ATTACHES:
        return False
    named = re.compile(rf"(?:--?[a-z]+=?)?{pid}$")
    return any(named.match(word) for word in words)


def cuts_off(program: str, words: Sequence[str], port: int) -> bool:
    """Whether a packet filter is told about the gateway's port."""
    return program in _FILTERS and any(re.search(rf"(?:^|\D){port}(?:\D|$)", word) for word in words)


def forwards(program: str, words: Sequence[str], port: int) -> bool:
    """Whether the gateway gets another address, under which its wire would not be known."""
    if program not in _FORWARDS and program not in _TUNNELS:
        return False
    near = any(re.search(rf"(?:^|\D){port}(?:\D|$)", word) for word in words)
    tunnels = program == "ssh" and any(word.startswith(("-L", "-R")) for word in words)
    listens = program in ("nc", "ncat", "netcat") and any(
        re.match(r"-[a-z]*[lec]|--(?:listen|exec|sh-exec)", one) for one in words
    )
    return near and (program in _FORWARDS or tunnels or listens)


def stops_unit(program: str, words: Sequence[str]) -> bool:
    """Whether systemd is told to stop or change the gateway's unit, by a pattern or by what it belongs to."""
    if program != "systemctl" or not _STOPS & {*words}:
        return False
    return any(
        word in _ABOVE_UNITS or (any(mark in word for mark in "*?[") and fnmatch.fnmatchcase(_UNIT, _whole(word)))
        for word in words
        if not word.startswith("-")
    )


def _whole(pattern: str) -> str:
    return pattern if "." in pattern else f"{pattern}.service"


def ends_session(program: str, words: Sequence[str]) -> bool:
    """Whether a whole login is ended, and the gateway with it."""
    return program == "loginctl" and bool(_ENDS_SESSIONS & {*words})


def preferences(program: str, words: Sequence[str]) -> bool:
    """Whether a client's managed preferences are changed."""
    return (
        program in _PREFERRERS
        and bool({"write", "delete", "import", "remove", "-replace"} & {*words})
        and any(_PREFERENCES.search(word) for word in words)
    )


def switches(program: str, words: Sequence[str]) -> bool:
    """Whether a client is told to leave its hooks, or the settings that name them, aside."""
    named = {*words}
    return (
        any(_SWITCHES.search(word) or (program == "claude" and _CLAUDE_SETTINGS.match(word)) for word in words)
        or ("hooks" in named and not named.isdisjoint(("disable", "remove", "uninstall", "off", "--disable")))
        or ("features" in named and not named.isdisjoint(("disable", "--disable")))
    )


def moves_itself(path: str, gets: Flow | None) -> bool:
    """Whether only the writer itself, or a child that it started, moves into a control group. That hinders nobody else.

    A group's list of processes takes a process's number; `0` means whoever writes it.
    """
    if gets is None or not path.endswith(_MEMBERS):
        return False
    return gets.text.strip() == "0" if gets.text is not None else gets.kinds == {"own"}


def elsewhere(assigned: str, commands: Iterable[_Command]) -> bool:
    """Whether a client is started with another home, where its settings do not ask. `assigned` is `NAME=VALUE`."""
    return assigned.partition("=")[0] in _STARTS and any(one.program in CLIENTS for one in commands)


def sets_later(path: str, told: Iterable[str]) -> bool:
    """Whether what is written to a file that shells and sessions start with redirects Guardhouse or a client."""
    return _STARTUP.match(path) is not None and any(_LOST.search(word) for word in told)


def replaces(program: str, words: Sequence[str], *, above: bool) -> bool:
    """Whether an installer puts something else where Guardhouse is. `above`: a word names a folder that it lies in."""
    if above and (
        ((program in ("virtualenv", "uv") or "venv" in words) and "--clear" in words)
        or ("install" in words and any(word.startswith(("--target", "-t", "--prefix", "--root")) for word in words))
        or (program == "patch" and any(word.startswith(("-d", "--directory")) for word in words))
        or (program == "git" and "apply" in words and any(word.startswith("--directory") for word in words))
    ):  # fmt: skip
        return True
    return "install" in words and any(
        re.search(r"(?:^|/)guardhouse[-_.\w]*\.(?:whl|tar\.gz|zip)$", word.casefold()) for word in words
    )


def runs_package(code: str) -> bool:
    """Whether interpreter code uses Guardhouse's own modules, which would govern without asking."""
    return _CODE.search(code) is not None
