"""The guard watches itself: which commands of a text touch Guardhouse's state, program, process, hooks or government.

Pure: what a path leads to is told by `Surroundings` and by the links that the gateway resolved before. What it does
not see is code that the agent wrote before and runs unseen; `docs/design/threats.md` says so, and the remedy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from guardhouse.guardrails import databases, governing, meddling, patching
from guardhouse.guardrails.surroundings import Reach, Surroundings, absolute, parts, reach
from guardhouse.guardrails.touching import HOOKS, PROGRAM, STATE, SWEEP, UNSEEN, reached, swept, touched
from guardhouse.guardrails.units import Unit, base_name
from guardhouse.guardrails.words import UNKNOWN, Word


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that the guard saw: the event's name, its place, the wrappers around it."""

    event: str
    start: int
    end: int
    via: tuple[str, ...] = ()


ENVIRONMENT, PROCESS, PROCESSES = "guard.environment", "guard.process", "guard.processes"
GOVERN, SWITCH = "guard.govern", "guard.switch"
EVENTS = frozenset({STATE, PROGRAM, HOOKS, UNSEEN, ENVIRONMENT, PROCESS, PROCESSES, GOVERN, SWEEP, SWITCH})

_SPEAKS = frozenset(
    {"echo", "printf", "true", "false", ":", "gh", "glab", "say", "logger", "notify-send", "return", "exit"}
)
_SPEAKING_GIT = frozenset(
    {"commit", "tag", "log", "grep", "notes", "blame", "show", "shortlog", "describe", "remote", "push"}
)
_SEARCHES = frozenset({"grep", "egrep", "fgrep", "rg", "ag", "ack", "zgrep", "ugrep", "ggrep"})
_SCRIPTED = frozenset({"sed", "gsed", "awk", "gawk", "mawk", "nawk", "jq", "yq", "perl"})
_READS = frozenset(
    [*_SEARCHES, "cat", "less", "more", "head", "tail", "ls", "ll", "stat", "wc", "diff", "cmp", "file", "bat", "nl", "tac", "test", "[", "[[", "md5sum", "sha1sum", "sha256sum", "shasum", "cksum", "du", "tree", "realpath", "readlink", "dirname", "basename", "od", "xxd", "hexdump", "strings", "find", "fd", "sort", "uniq", "cut", "column", "jq", "yq", "cd", "pushd", "mkdir", "code", "vimdiff", "delta", "awk", "gawk", "eza", "exa", "which", "type", "source", "."]
)  # fmt: skip
_REMOVES = frozenset(
    ["rm", "unlink", "mv", "shred", "truncate", "rmdir", "trash", "trash-put", "grm", "srm", "wipe", "rimraf", "del-cli", "rename", "gmv", "git-rm"]
)  # fmt: skip
_MOVES = frozenset({"mv", "gmv", "rename", "trash", "trash-put", "rimraf", "del-cli"})
_COPIES = frozenset(
    ["cp", "gcp", "rsync", "tar", "gtar", "bsdtar", "zip", "7z", "7za", "scp", "cpio", "rclone", "borg", "restic", "ditto", "pax"]
)  # fmt: skip
_CHANGES = frozenset(
    [*_REMOVES, "cp", "gcp", "ln", "gln", "install", "ginstall", "sed", "gsed", "chmod", "chown", "chgrp", "chattr", "setfacl", "tee", "patch", "dd", "rsync", "touch", "ed", "ex", "vi", "vim", "nvim", "nano", "emacs", "perl", "tar", "unzip", "git", "sponge", "mount", "bindfs"]
)  # fmt: skip
_GIT_READS = frozenset(
    {"diff", "status", "add", "ls-files", "check-ignore", "rev-parse", "stage", "cat-file", *_SPEAKING_GIT}
)
_RECURSES = re.compile(r"-[a-zA-Z]*[rRa][a-zA-Z]*$|--(?:recursive|archive)")
_VARIABLE = re.compile(
    r"(?:-e|-E|-u|--unset=|--env=|--setenv=)?((?:GUARDHOUSE_|CODEX_SANDBOX)\w*|CLAUDECODE|GEMINI_CLI|CURSOR_AGENT|OPENCODE|COPILOT_CLI)(\+?=|$)"
)
_SETS = frozenset(
    ["export", "declare", "typeset", "readonly", "local", "setenv", "set", "launchctl", "systemctl", "env", "genv", "sudo", "doas", "bwrap", "systemd-run", "dbus-update-activation-environment", "direnv", "dotenv", "tmux"]
)  # fmt: skip
_UNSETS = frozenset({"unset", "unsetenv", "read", "mapfile", "readarray", "getopts"})
_SETTERS = _SETS | _UNSETS | {"printf"}
_MEDDLERS = _SETS | meddling.CONCERNED
_REACHING = re.compile(r"[/~.\x00]|operator\.token")
"""What a word holds that may be a path of ours, beside our own name."""
_CLIENT_HOMES = re.compile(
    r"(?:CLAUDE_CONFIG_DIR|CODEX_HOME|GEMINI_CLI_(?:HOME|SYSTEM_SETTINGS_PATH)|CURSOR_CONFIG_DIR|OPENCODE_CONFIG\w*|COPILOT_HOME|CLAUDE_CODE_(?:SIMPLE|SAFE_MODE))\+?="
)
_CLIENTS = meddling.CLIENTS
_KILLS = frozenset(
    {"kill", "pkill", "killall", "skill", "snice", "killall5", "slay", "fuser", "kill-port", "fkill", "tkill", "renice"}
)
_FINDERS = frozenset(
    ["pgrep", "pidof", "lsof", "fuser", "ss", "netstat", "ps", "systemctl", "grep", "egrep", "awk", "rg", "pstree", "jps", "cat"]
)  # fmt: skip
_PATCHERS = frozenset({"apply_patch", "applypatch", "patch", "gpatch", "git"})
_INSTALLERS = frozenset(
    ["pip", "pip3", "pipx", "uv", "conda", "mamba", "poetry", "pdm", "apt", "apt-get", "brew", "dnf", "yum", "rye", "hatch"]
)  # fmt: skip
_REMOVALS = frozenset({"uninstall", "remove", "purge", "autoremove", "rm", "erase"})
_RUNNERS = frozenset({"uvx", "pipx", "npx", "bunx", "pnpx"})
_PAIRS = frozenset(
    [("approvals", "grant"), ("approvals", "refuse"), ("policy", "activate"), ("policy", "rollback"), ("agents", "trust"), ("agents", "add"), ("tokens", "issue"), ("mode", "observe"), ("mode", "end"), ("people", "add"), ("workspaces", "set")]
)  # fmt: skip
_PYTHON = re.compile(r"(?:python|pypy)[\d.]*$")
_TCP = re.compile(r"/dev/(?:tcp|udp)/[^/]+/(\d+)$")
_WITHIN = re.compile(r"[\s'\"();,<>|&`{}\[\]]+")
MOST_WITHIN = 600
"""Places within longer words, from each word's fourth on, that are looked at in one text; more are told as `size`."""
_JOINED = re.compile(r"""['"]\s*+(?:[+.,]\s*+)?+['"]""")
_CHANGING_CODE = re.compile(
    r"(?i)write|dump|['\"][wax]b?\+?['\"]|unlink|remove|rename|replace|move|copy|symlink|truncate|chmod|append|rmtree|rmsync|delete|put"
)


def watch(
    units: Sequence[Unit],
    codes: Iterable[tuple[str, int, int, tuple[str, ...]]],
    around: Surroundings,
    links: Mapping[str, str],
) -> Iterator[Seen]:
    """Everything seen in the commands and the interpreter code of one text, in no particular order."""
    eye = _Eye(units, around, links)
    spent = False
    for unit in units:
        yield from eye.look(unit)
        if eye.spent and not spent:
            spent = True
            yield Seen("size", unit.start, unit.end, unit.via)
    for code, start, end, via in codes:
        for event in eye.code(code):
            yield Seen(event, start, end, via)
        if eye.spent and not spent:
            spent = True
            yield Seen("size", start, end, via)


class _Eye:
    """Looks at one text's commands, with what the others of the same text tell."""

    def __init__(self, units: Sequence[Unit], around: Surroundings, links: Mapping[str, str]) -> None:
        self._units = units
        self._around = around
        self._links = links
        self._near: dict[str, bool] = {}
        self._left = MOST_WITHIN
        self._asked: tuple[Sequence[str], bool] = ((), False)

    @property
    def spent(self) -> bool:
        """Whether more stood within the words of all commands than was looked at."""
        return self._left < 0

    def _more(self) -> bool:
        self._left -= 1
        return self._left >= 0

    def look(self, unit: Unit) -> Iterator[Seen]:
        for event in {*self._events(unit)} - {""}:
            yield Seen(event, unit.start, unit.end, unit.via)

    def _events(self, unit: Unit) -> Iterator[str]:
        name = unit.program
        if name[:1] == "<":
            yield from self._effect(name, unit)
            return
        words = [word.text for word in unit.args]
        # Most commands name nothing of ours: what each look needs is told of all words at once.
        told = " ".join(words).casefold()
        named = "guardhouse" in told
        if unit.cwd or named or name in _PATCHERS or _REACHING.search(told) is not None:
            yield from self._paths(name, unit, words)
        if self._around.databases and name in databases.CLIENTS:
            yield STATE if {*databases.opened(words)} & {*self._around.databases} else ""
        if name in _SETTERS:
            yield from self._variables(name, words)
        if name in _KILLS:
            yield from self._kills(name, words)
        spoken = any(mark in told for mark in ("/v1/", "/mcp", "%"))
        if named or name == "guardhouse" or spoken or unit.feed is not None or tuple(words[:2]) in _PAIRS:
            yield from self._government(name, unit, words)
        if name in _MEDDLERS or "install" in words:
            yield from self._meddling(name, words)
        if name in _CLIENTS and meddling.switches(name, words):
            yield SWITCH

    # -- paths --------------------------------------------------------------------------------------------------------

    def _effect(self, operator: str, unit: Unit) -> Iterator[str]:
        for word in unit.args:
            text = word.text
            if operator == "<assign>":
                name = text.partition("=")[0]
                if _VARIABLE.match(name):
                    yield ENVIRONMENT
                if _CLIENT_HOMES.match(text) or meddling.elsewhere(text, self._units):
                    yield SWITCH
                continue
            if (tcp := _TCP.match(text)) is not None:
                if int(tcp[1]) == self._around.port:
                    yield GOVERN
                continue
            if operator not in ("<read>", "<send>", "<delete>") and meddling.sets_later(text, self._spoken()):
                yield ENVIRONMENT
            if (
                text.startswith("/sys/fs/cgroup/")
                and operator not in ("<read>", "<send>")
                and not meddling.moves_itself(text, unit.gets)
            ):
                yield PROCESSES
            found = self._reach(text, unit.cwd)
            if found == "state":
                yield STATE
            elif operator in ("<read>", "<send>"):
                continue
            elif found == "program":
                yield PROGRAM
            elif found == "above" and operator == "<delete>":
                yield STATE
            elif found == "hooks":
                yield HOOKS if operator == "<delete>" else UNSEEN
            elif found == "holds" and operator == "<delete>":
                yield HOOKS

    def _reach(self, text: str, cwd: str) -> Reach:
        return reached(text, cwd, self._around, self._links)

    def _may_reach(self, text: str, cwd: str) -> bool:
        """A cheap look at a word: only paths, own names and what stands near a guarded place are resolved."""
        if "/" in text or text[:1] in "~.\x00" or "guardhouse" in text.casefold() or "operator.token" in text:
            return True
        if not cwd:
            return False
        near = self._near.get(cwd)
        if near is None:
            near = self._near[cwd] = reach(cwd, "", self._around) != "" or any(
                link.startswith(absolute(cwd, "", self._around)) for link in self._links
            )
        return near

    def _paths(self, name: str, unit: Unit, words: Sequence[str]) -> Iterator[str]:
        if name in _SPEAKS or (name == "git" and _SPEAKING_GIT & {*words[:3]} and "stash" not in words[:2]):
            return
        if name in _PATCHERS:
            yield from self._patches(unit, words)
            yield UNSEEN if name == "git" and swept(words, unit.cwd, self._around) else ""
        skipped = self._script_of(name, unit.args)
        known: dict[Reach, str] = {}
        for word in unit.args:
            text = word.text
            if word is skipped or not text or not self._may_reach(text, unit.cwd):
                continue
            for found in {*self._found(text, unit.cwd)}:
                event = known.get(found)
                if event is None:
                    event = self._judged(name, found, words, word)
                    if found != "hooks":  # only there it matters which of the words it is
                        known[found] = event
                if event:
                    yield event

    def _patches(self, unit: Unit, words: Sequence[str]) -> Iterator[str]:
        """The files of a patch that stands in the text itself."""
        for text in (*words, unit.feed.text if unit.feed is not None and unit.feed.text else ""):
            if "\n" in text:
                for path, removed in patching.named(text):
                    yield touched(path, "delete" if removed else "", "", unit.cwd, self._around, self._links)

    def _found(self, text: str, cwd: str) -> Iterator[Reach]:
        for number, part in enumerate(parts(text)):
            if number > 2 and not self._more():
                return
            yield self._reach(part, cwd)
        if _WITHIN.search(text):
            for part in dict.fromkeys(_WITHIN.split(text)):
                if "/" in part or part[:1] == "~" or "guardhouse.db" in part or "operator.token" in part:
                    for one in parts(part):
                        if not self._more():
                            return
                        yield self._reach(one, cwd)

    @staticmethod
    def _script_of(name: str, args: Sequence[Word]) -> Word | None:
        """The word that is a pattern or a script and names no file."""
        if name not in _SEARCHES and name not in _SCRIPTED:
            return None
        if any(word.text in ("-e", "-f", "--regexp", "--file", "--expression") for word in args):
            return None
        return next((word for word in args if not word.text.startswith("-")), None)

    def _judged(self, name: str, found: Reach, words: Sequence[str], word: Word) -> str:
        if found == "state":
            return STATE
        if found == "program":
            if name in ("git", "sed", "gsed", "perl", "tar") and not self._changes(name, words):
                return ""
            return PROGRAM if name in _CHANGES else ""
        if found == "hooks":
            if name in _REMOVES or (name == "git" and "rm" in words[:3]) or (name == "find" and "-delete" in words):
                copied = name == "mv" and word.text == words[-1] and len(words) > 1
                return UNSEEN if copied else HOOKS
            if name in _READS and not (name in ("jq", "yq", "awk", "gawk") and self._changes(name, words)):
                return ""
            if name in _COPIES and word.text != words[-1] and not self._unpacks(name, words, word.text):
                return ""
            if name in ("git", "sed", "gsed", "perl") and not self._changes(name, words):
                return ""
            return UNSEEN if name in _CHANGES or name not in _CLIENTS else ""
        if found in ("above", "holds"):
            if found == "above" and meddling.replaces(name, words, above=True):
                return PROGRAM
            recursive = any(_RECURSES.match(one) for one in words)
            if name in _REMOVES and (recursive or name in _MOVES):
                return STATE if found == "above" else HOOKS
            if found == "holds":
                return ""
            if name in ("chmod", "chown", "chgrp", "chattr", "setfacl") and recursive:
                return STATE
            if name == "find" and ("-delete" in words or "-exec" in words or "-execdir" in words):
                return SWEEP
            if name in _COPIES and (
                recursive or name in ("tar", "gtar", "bsdtar", "zip", "7z", "7za", "rclone", "borg", "restic", "ditto")
            ):
                return SWEEP
            if name in _SEARCHES and (recursive or name in ("rg", "ag", "ack")):
                return SWEEP
        return ""

    @staticmethod
    def _unpacks(name: str, words: Sequence[str], source: str) -> bool:
        """Whether a copy of a client's whole folder lands here, or an archive is unpacked into it."""
        if name in ("tar", "gtar", "bsdtar"):
            return any(re.match(r"-?[a-zA-Z]*x|--extract|--get", word) for word in words[:2])
        return "/" in source.strip("./") and words[-1] in (".", "./", "~", "~/", "$PWD")

    def _changes(self, name: str, words: Sequence[str]) -> bool:
        """Told once for all words of a command, of which each may name a path."""
        if self._asked[0] is not words:
            self._asked = (words, _changes(name, words))
        return self._asked[1]

    # -- variables, processes, government -----------------------------------------------------------------------------

    @staticmethod
    def _variables(name: str, words: Sequence[str]) -> Iterator[str]:
        if (name in _UNSETS and any(_VARIABLE.match(word) for word in words)) or (
            name == "printf" and words[:1] == ["-v"] and len(words) > 1 and _VARIABLE.match(words[1])
        ):
            yield ENVIRONMENT
        elif name in _SETS:
            for before, word in zip(["", *words], words, strict=False):
                found = _VARIABLE.match(word)
                if (found is not None and (found[2] or before in ("-u", "--unset", "-x", "-gx", "set-environment", "unset-environment", "setenv", "unsetenv", "-n", "+x"))) or (found is not None and word.startswith(("-u", "--unset"))):  # fmt: skip
                    yield ENVIRONMENT
                if _CLIENT_HOMES.match(word):
                    yield SWITCH

    def _spoken(self) -> Iterator[str]:
        return (
            word.text for unit in self._units if unit.program in _SPEAKS or unit.program == "cat" for word in unit.args
        )

    def _meddling(self, name: str, words: Sequence[str]) -> Iterator[str]:
        pid, port = self._around.pid, self._around.port
        if (
            meddling.attaches(name, words, pid)
            or meddling.cuts_off(name, words, port)
            or meddling.stops_unit(name, words)
        ):
            yield PROCESS
        if meddling.ends_session(name, words):
            yield PROCESSES
        if meddling.forwards(name, words, port):
            yield GOVERN
        if meddling.preferences(name, words) or (
            name in _SETS and any(meddling.elsewhere(word, self._units) for word in words)
        ):
            yield SWITCH
        if meddling.replaces(name, words, above=False):
            yield PROGRAM

    def _kills(self, name: str, words: Sequence[str]) -> Iterator[str]:
        pid, port = str(self._around.pid or "none"), str(self._around.port)
        if name == "renice":
            if pid in words:
                yield PROCESS
            return
        if name in ("fuser", "kill-port", "fkill"):
            targets = {word.lstrip(":").partition("/")[0] for word in words}
            if port in targets and (name != "fuser" or any(word.startswith("-") and "k" in word for word in words)):
                yield PROCESS
            if name == "fkill" and any("guardhouse" in word.casefold() for word in words):
                yield PROCESS
            return
        if name in ("pkill", "killall", "skill", "slay", "killall5"):
            yield from self._by_name(name, words)
            return
        targets = {word for word in words if word not in ("-s", "--signal")}
        if (
            pid in targets
            or f"-{pid}" in targets
            or f"%{pid}" in targets
            or "-1" in words[1:]
            or words[:2] == ["--", "-1"]
            or "--all" in words
            or (any(UNKNOWN in word for word in words) and self._looked_for())
        ):
            yield PROCESS

    def _looked_for(self) -> bool:
        """Whether another command of this text looks for the gateway's process."""
        port = f":{self._around.port}"
        for unit in self._units:
            if unit.program in _FINDERS:
                for word in unit.args:
                    text = word.text.casefold().replace("[", "").replace("]", "")
                    if (
                        "guardhouse" in text
                        or port in text
                        or (unit.program == "pgrep" and governing.fits_gateway(text))
                    ):
                        return True
        return False

    def _by_name(self, name: str, words: Sequence[str]) -> Iterator[str]:
        if name == "killall5" or any(
            word in ("-u", "-U", "--euid", "--uid", "--user") or re.match(r"-[uU]\w", word) for word in words
        ):
            yield PROCESSES
        for word in words:
            if word.startswith("-"):
                continue
            text = word.casefold()
            if "guardhouse" in text.replace("[", "").replace("]", "") or governing.fits_gateway(text):
                yield PROCESS if not re.fullmatch(r"python[\d.]*", text) else PROCESSES
            elif UNKNOWN in text and self._looked_for():
                yield PROCESS

    def _government(self, name: str, unit: Unit, words: Sequence[str]) -> Iterator[str]:
        if name == "guardhouse":
            if governing.governs_line([word.replace(UNKNOWN, "\x00") for word in words]):
                yield GOVERN
            return
        if name in _SPEAKS:
            return
        for at, word in enumerate(words):
            follows = words[at + 1 :]
            if word == "guardhouse" or word.startswith(("guardhouse@", "guardhouse==")):
                installs = name in _INSTALLERS or (_PYTHON.match(name) is not None and "pip" in words[:at])
                module = _PYTHON.match(name) is not None and words[at - 1 : at] == ["-m"]
                if installs and _REMOVALS & {*words[:at]}:
                    yield PROGRAM
                elif (module or name in _RUNNERS) and governing.governs_line(follows):
                    yield GOVERN
            elif (
                _PYTHON.match(name)
                and (word == "-mguardhouse" or base_name(word) == "guardhouse")
                and governing.governs_line(follows)
            ):
                yield GOVERN
            if governing.governs_address(word):
                yield GOVERN
        fed = unit.feed.text if unit.feed is not None and unit.feed.text else ""
        if governing.governs_address(fed) or governing.governs_tool((*words, fed)):
            yield GOVERN
        if tuple(words[:2]) in _PAIRS and name not in ("git", "npm", "cargo", "make", "gh"):
            yield GOVERN
        if governing.stops_service(name, words):
            yield PROCESS

    # -- code ---------------------------------------------------------------------------------------------------------

    def code(self, code: str) -> Iterator[str]:
        """What interpreter code names. It is read as text, with its literals joined: what it computes is not seen."""
        for text in {code, _JOINED.sub("", code)}:
            folded = text.casefold()
            changing = _CHANGING_CODE.search(text) is not None
            for part in dict.fromkeys(_WITHIN.split(text)):
                if "/" not in part and "guardhouse" not in part.casefold() and "operator.token" not in part:
                    continue
                if not self._more():
                    break
                found = self._reach(part, "")
                if found == "state":
                    yield STATE
                elif found in ("hooks", "program") and changing:
                    yield UNSEEN if found == "hooks" else PROGRAM
            if re.search(r"guardhouse_(?:home|database_url|migration_url|signing_key)", folded):
                yield STATE
            elif re.search(r"(?:del|pop|putenv|unsetenv|setenv|delete)\b[^\n;]{0,60}guardhouse_|environ?\W[^\n;]{0,20}guardhouse_\w+\W{1,3}\s*=[^=]|env\.guardhouse_\w+\s*=[^=]", folded):  # fmt: skip
                yield ENVIRONMENT
            if governing.governs_address(text) or governing.governs_tool((text,)) or meddling.runs_package(text):
                yield GOVERN
            if self._around.pid and re.search(rf"kill\w*\b[^\n;]{{0,32}}?\b{self._around.pid}\b", folded):
                yield PROCESS


def _changes(name: str, words: Sequence[str]) -> bool:
    if name == "git":
        return "stash" in words[:3] or not (_GIT_READS & {*words[:3]})
    if name == "tar":
        return any(re.match(r"-?[a-zA-Z]*x|--extract|--get", word) for word in words[:2])
    return any(re.match(r"-[a-zA-Z]*i|--in-?place", word) for word in words)
