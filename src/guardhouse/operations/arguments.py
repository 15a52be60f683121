"""How a tool's arguments are read: which are paths, which are code, which are addresses, and what the tool does to them.

A server names its tools and arguments as it likes, so each is judged by every sign there is: its name, its tool's name,
and what its value looks like. JSON in a text is opened, since servers open it too.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace

from guardhouse.guardrails import sql
from guardhouse.guardrails.text import Examined
from guardhouse.operations import ending

MOST = 256
_MOST_OPENED = 262_144
_PATH_NAMES = frozenset(
    ["path", "file", "filename", "filepath", "uri", "source", "destination", "dir", "directory", "root", "target", "src", "dst", "dest", "db", "database", "folder", "dsn", "connection", "glob", "cwd", "workdir", "location"]
)  # fmt: skip
"""Words of an argument's name, such as `relative_path` or `srcFile`, that make its value a path."""
_WORD = re.compile(r"[^\W_]+?(?=[A-Z]|[\W_]|$)")
_CODE_NAMES = frozenset(
    {"command", "cmd", "script", "sql", "query", "code", "statement", "args", "expression", "shell", "javascript", "js"}
)
_TYPED = frozenset({"line", "input", "text", "cmdline", "commands", "keys", "chars", "source", "cell", "snippet"})
_SHELLS = re.compile(r"(?i)(?:^|[^a-z])(?:ba|z)?sh(?:$|[^a-z])|shell|terminal|console|exec|run_?command|stdin")
_WRITING = re.compile(r"(?i)write|edit|create|update|append|save|put|move|rename|copy|upload|patch|replace")
_CHANGING = re.compile(
    rf"{_WRITING.pattern}|set|insert|modify|truncate|link|chmod|touch|add|apply|restore|sync|extract|unzip|download|export|dump|init|install|format|refactor"
)
"""More than is likened to a write: what might change a file, where that matters."""
_DELETING = re.compile(r"(?i)delete|remove|unlink|trash|(?:^|[^a-z])rm(?:$|[^a-z])|purge|erase")
_SEARCHING = re.compile(r"(?i)grep|search|glob|find|ripgrep|(?:^|[^a-z])rg(?:$|[^a-z])|read_?many|(?:^|_)tree(?:$|_)")
_READING = re.compile(
    r"(?i)^(?:[a-z]+[_-])?(?:read|get|list|view|show|stat|head|cat|open|info|describe|browse|ls|exists|hash|diff|count|create_?director(?:y|ies)|mkdir)"
)
_MAKES_FOLDER = re.compile(r"(?i)create_?director(?:y|ies)|mkdir")
_SCHEME = re.compile(r"(?i)^[a-z][a-z0-9+.-]*:")
_OURS = re.compile(r"(?:GUARDHOUSE|CLAUDE|CODEX|GEMINI|CURSOR|OPENCODE|COPILOT)_[A-Z_]+(?:=|$)")
_ENVIRONMENTS = frozenset({"env", "environment", "envs", "vars", "variables", "env_vars"})
_PROGRAMS = frozenset({"command", "cmd", "program", "executable", "binary", "exe"})
_ARGVS = frozenset({"args", "argv", "command_args", "cmd_args"})
_ARGUMENTS = frozenset({"arguments", "parameters", "params"})
_HOSTED = re.compile(r"(?i)\s*(?:(?:[\w.-]+|\[[0-9a-f:]+\]):\d+/|/v1/)")
"""An address without its scheme, or the part of one that a server puts behind a host given apart."""
_BARE = re.compile(r"[\w.+@=-]{1,128}")
"""What could be a file's name in the folder that is worked in, and lead elsewhere from there."""
WEB = ("http://", "https://", "ws://", "wss://")
_STARTS = ("/", "~", ".", "file:", "$", "%", "@/", "\\")


def searches(tool: str) -> bool:
    """Whether a tool of this name looks through folders."""
    return _SEARCHING.search(tool) is not None and _CHANGING.search(tool) is None and _DELETING.search(tool) is None


def act(tool: str) -> str:
    """What a server's tool of this name does to files: `search`, `read`, `delete`, or empty where that is not known."""
    if _DELETING.search(tool):
        return "delete"
    if searches(tool):
        return "search"
    return "read" if _READING.search(tool) and not _CHANGING.search(_MAKES_FOLDER.sub("", tool)) else ""


def likeness(tool: str) -> str:
    """The act of a file tool that a server's tool is put as, so that the rules on files bind it too."""
    return "delete" if _DELETING.search(tool) else "write" if _WRITING.search(tool) else "read"


def words(name: str) -> frozenset[str]:
    """An argument's name, and each word of it, in lower case."""
    return frozenset([name.casefold(), *(word.casefold() for word in _WORD.findall(name))])


def texts(given: tuple[tuple[str, str], ...], server: str, tool: str, here: Examined) -> Iterator[Examined]:
    """What a tool's arguments, (name, value) each, have to be examined as. `here` is the context of all of them."""
    runs = _SHELLS.search(f"{server} {tool}") is not None
    does = act(tool)
    for number, (name, value) in enumerate(given):
        field = f"arguments.{number}.value"
        yield _text(replace(here, field=field), name, value, does, runs=runs)
        inside = -1
        for inside, (inner, part) in enumerate(_opened(value, name)):
            yield _text(replace(here, field=f"{field}.{inside}"), inner, part, does, runs=runs)
        if inside >= MOST - 1:
            # Not all of it was opened: the rest is looked through as it stands.
            yield replace(here, field=f"{field}.rest", text=value, kind="prose", act="run")
    for line in (_joined(given), *ending.likened(f"{server} {tool}", given)):
        if line:
            yield replace(here, field="arguments", text=line, kind="shell", tool="")


def _joined(given: tuple[tuple[str, str], ...]) -> str:
    """A program and its arguments, given apart, as the one command that they are; empty where they are not."""
    program = next((value for name, value in given if name.casefold() in _PROGRAMS), "")
    words = [value for name, value in given if name.casefold() in (_ARGVS | _ARGUMENTS if program else _ARGVS)]
    if not words or len(words) + bool(program) < 2:
        return ""
    return " ".join([program, shlex.join(words)]).strip()


def _text(here: Examined, name: str, value: str, does: str, *, runs: bool) -> Examined:
    """One argument: as code where its name says so, else as words; as a path where it may be one.

    `runs`: the tool is one that runs what it is given, so what is typed into it is code whatever it is called.
    """
    if _OURS.match(name) or (name.casefold() in _ENVIRONMENTS and _OURS.match(value)):
        # A variable for what the tool runs, judged as a shell's own.
        told = f"{name}={value}" if _OURS.match(name) else value
        return replace(here, text=f"export {shlex.quote(told)}", kind="shell", tool="")
    named = [name.casefold(), *(word.casefold() for word in _WORD.findall(name))]
    code = any({word, word.removesuffix("s")} & _CODE_NAMES for word in (named[0], named[-1])) or (
        runs and not (_TYPED | _CODE_NAMES).isdisjoint(named)
    )
    if code and does == "search" and named[-1] == "query" and not sql.starts(value):
        code = False  # words that are looked for
    if code:
        paths = (value,) if is_path(name, value) else ()
        return replace(here, text=value, kind="auto", file_paths=paths, act="run")
    if value.lstrip()[:8].casefold().startswith(WEB) or _HOSTED.match(value):
        return replace(here, text=value, kind="prose", act="fetch")
    if is_path(name, value) or _BARE.fullmatch(value):
        return replace(here, text=value, kind="prose", file_paths=(value,), act=does)
    return replace(here, text=value, kind="prose")


def is_path(name: str, value: str) -> bool:
    """Whether a value may be a path, by the words of its name or by its looks. One bare word is none by its looks."""
    if not value or len(value) > _MOST_OPENED or (len(value) > 4096 and "/" not in value):
        return False
    if "\n" in value.strip():
        return "/../" in value and len(value) <= 4096
    if any(word.removesuffix("s") in _PATH_NAMES for word in words(name)):
        return True
    text = value.strip(" \t\r\n\"'`\ufeff")
    if text.startswith(_STARTS) or "/../" in text or ("guardhouse" in text.casefold() and " " not in text):
        return True
    if "://" in text or _SCHEME.match(text):
        return " " not in text and not text.casefold().startswith(WEB)
    return ("/" in text or "\\" in text) and " " not in text


def _opened(value: str, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a JSON value that stands in a text, with its name; paths may stand as names. Nothing for another text."""
    if value.lstrip()[:1] not in ("{", "[", '"') or len(value) > _MOST_OPENED:
        return
    try:
        work = [(name, json.loads(value))]
    except (ValueError, RecursionError):
        return
    told = 0
    while work and told < MOST:
        at, item = work.pop(0)
        if isinstance(item, str):
            told += 1
            yield at, item
            if item.lstrip()[:1] in ("{", "[", '"') and len(item) < len(value):
                yield from _opened(item, at)
        elif isinstance(item, Mapping):
            for key, part in item.items():
                if "/" in key:
                    work.append(("path", key))
                work.append((key, part))
        elif isinstance(item, list):
            work.extend((at, part) for part in item)
