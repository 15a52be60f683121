"""One question for one use of a tool: what an agent's client is about to do is examined whole, in one decision."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from guardhouse.catalog import Ask, Context, Home, Operation, operation
from guardhouse.guardrails.surroundings import NOWHERE, reach
from guardhouse.guardrails.text import Examined
from guardhouse.model.call import Category, Resource
from guardhouse.model.decision import Verdict
from guardhouse.operations.checks import CheckGuardrailsAnswer, Tighten, Violation, WorkspaceRoot, told

_MOST_VALUES = 256
_MOST_WARNING = 700
_RANK = {"log": 0, "warn": 1, "approval_required": 2, "block": 3}
_PATH_NAMES = (
    "path",
    "file",
    "filename",
    "filepath",
    "file_path",
    "uri",
    "source",
    "destination",
    "dir",
    "directory",
    "root",
    "target",
    "src",
    "dst",
    "dest",
    "db",
    "database",
    "folder",
)
"""Words of an argument's name, such as `relative_path` or `srcFile`, that make its value a path."""
_WORD = re.compile(r"[^\W_]+?(?=[A-Z]|[\W_]|$)")
_CODE_NAMES = ("command", "cmd", "script", "sql", "query", "code", "statement", "args", "expression", "shell")
_DOES = {"read": "cat", "write": "tee", "edit": "tee", "delete": "rm"}
"""What a shell would run to do as much to a file: so the rules on files bind whichever tool touches them."""
_WRITING = re.compile(r"write|edit|create|update|append|save|put|move|rename|copy|upload|patch|replace", re.I)
_DELETING = re.compile(r"delete|remove|unlink|trash", re.I)
_SEARCHING = re.compile(r"grep|search|glob|find", re.I)
_SHELLS = re.compile(r"(?i)(?:^|[^a-z])(?:ba|z)?sh(?:$|[^a-z])|shell|terminal|console|exec|run_?command")
_TYPED = ("line", "input", "text", "cmdline", "commands", "keys")
_URL_NAMES = ("url", "uri", "endpoint", "address", "href")

Short = Annotated[str, Field(max_length=200)]


class Edit(Ask):
    old: Annotated[str, Field(max_length=262_144, description="the text that is replaced; empty for a new file")] = ""
    new: Annotated[str, Field(max_length=262_144, description="the text that takes its place")] = ""
    everywhere: bool = Field(False, description="whether every occurrence is replaced")


class Argument(Ask):
    name: Annotated[str, Field(max_length=200, description="the argument's name, the last part of its path")]
    value: Annotated[str, Field(max_length=262_144, description="its text")]


class CheckToolAsk(Ask):
    action: Literal["shell", "write", "edit", "delete", "read", "fetch", "mcp", "other"] = Field(
        description="what the tool is about to do"
    )
    tool: Annotated[str, Field(max_length=200, description="the tool's name in its client, such as `Bash`")] = ""
    client: Annotated[str, Field(max_length=40, description="the client that asks, such as `claude-code`")] = ""
    command: Annotated[str, Field(max_length=262_144, description="the command of a `shell` action")] = ""
    cwd: Annotated[str, Field(max_length=4096, description="the directory it happens in")] = ""
    workspace_root: WorkspaceRoot = ""
    tighten: Tighten = ""
    file_paths: Annotated[
        tuple[Annotated[str, Field(max_length=4096)], ...],
        Field(max_length=_MOST_VALUES, description="the files it touches"),
    ] = ()
    content: Annotated[
        str, Field(max_length=524_288, description="what a `write` action would write, or an `edit` its patch")
    ] = ""
    edits: Annotated[
        tuple[Edit, ...], Field(max_length=_MOST_VALUES, description="what an `edit` action replaces")
    ] = ()
    url: Annotated[str, Field(max_length=8192, description="where a `fetch` action goes")] = ""
    server: Annotated[str, Field(max_length=200, description="the MCP server of an `mcp` action")] = ""
    arguments: Annotated[
        tuple[Argument, ...], Field(max_length=_MOST_VALUES, description="every text in an MCP tool's arguments")
    ] = ()
    client_session: Annotated[str, Field(max_length=200, description="the client's own name of its session")] = ""
    client_agent: Annotated[str, Field(max_length=200, description="the client's own name of its sub-agent")] = ""

    @field_validator("cwd", "workspace_root")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if "\n" in value:
            raise ValueError("a path has no line breaks here")
        return value


class CheckToolAnswer(CheckGuardrailsAnswer):
    reason: str = Field(description="what to tell the model; empty for `allow`")


def _texts(ask: CheckToolAsk) -> tuple[Examined, ...]:
    here = Examined("", "", cwd=ask.cwd, tool=ask.tool, workspace_root=ask.workspace_root)
    made: list[Examined] = []
    if ask.command:
        made.append(replace(here, field="command", text=ask.command, kind="shell", file_paths=ask.file_paths))
    if ask.action in ("write", "edit", "delete", "read"):
        edits = tuple((one.old, one.new, one.everywhere) for one in ask.edits)
        content = replace(here, field="content", text=ask.content, kind="file", file_paths=ask.file_paths)
        # An edit that does not say what it replaces (a patch) leaves what cannot be seen from here.
        searches = ask.action == "read" and _SEARCHING.search(ask.tool) is not None
        act = "search" if searches else "" if ask.action == "edit" and not edits else ask.action
        if searches and not ask.file_paths and ask.cwd:
            content = replace(content, file_paths=(ask.cwd,))
        made.append(replace(content, act=act, edits=edits))
        made.extend(
            replace(here, field=f"edits.{number}.new", text=one.new, kind="file")
            for number, one in enumerate(ask.edits)
        )
        made.extend(_as_shell(ask.action, ask.file_paths, here))
    if ask.url:
        made.append(replace(here, field="url", text=ask.url, kind="prose"))
    if ask.action in ("mcp", "other"):
        shell = _SHELLS.search(f"{ask.server} {ask.tool}") is not None
        arguments = [_argument(number, one, here, shell=shell) for number, one in enumerate(ask.arguments)]
        if _SEARCHING.search(ask.tool):
            arguments = [replace(one, act="search") if one.file_paths else one for one in arguments]
        made.extend(arguments)
        if ask.file_paths:
            made.append(replace(here, field="file_paths", kind="file", file_paths=ask.file_paths))
        act = "delete" if _DELETING.search(ask.tool) else "write" if _WRITING.search(ask.tool) else "read"
        named = (*ask.file_paths, *(path for one in made for path in one.file_paths))
        made.extend(_as_shell(act, tuple(dict.fromkeys(named)), here))
    return tuple(made)


def _as_shell(act: str, paths: tuple[str, ...], here: Examined) -> tuple[Examined, ...]:
    """A file tool's use as the command that would do the same, if it names a file. `~` is the home in both.

    Clients' hook configurations are left out: the guard of Guardhouse sees what becomes of them and judges that.
    """
    named = [
        path.removeprefix("file://") for path in paths if "\n" not in path and reach(path, here.cwd, NOWHERE) != "hooks"
    ]
    quoted = ["~/" + shlex.quote(path[2:]) if path[:2] == "~/" != path else shlex.quote(path) for path in named]
    text = f"{_DOES[act]} -- {' '.join(quoted)}"
    return (replace(here, field="file_paths", text=text, kind="shell", act=act),) if named else ()


def _argument(number: int, one: Argument, here: Examined, *, shell: bool) -> Examined:
    """An MCP tool's argument: as code where its name says so, else as words; as a path where it may be one.

    `shell`: the tool is one that runs what it is given, so what is typed into it is code whatever it is called.
    """
    name = one.name.casefold()
    words = {name, *(word.casefold() for word in _WORD.findall(one.name))}
    is_path = len(one.value) <= 4096 and (
        any(word.removesuffix("s") in _PATH_NAMES for word in words)
        or (
            "\n" not in one.value
            and (
                one.value.startswith(("/", "~", ".", "file://"))
                or ("/" in one.value and " " not in one.value and "://" not in one.value)
            )
        )
    )
    code = name in _CODE_NAMES or (shell and name in _TYPED)
    return replace(
        here,
        field=f"arguments.{number}.value",
        text=one.value,
        kind="auto" if code else "prose",
        file_paths=(one.value,) if is_path else (),
    )


def _destinations(ask: CheckToolAsk) -> tuple[tuple[str, str], ...]:
    given = [("url", ask.url)] if ask.url else []
    given.extend(
        ("arguments", one.value)
        for one in ask.arguments
        if one.name.casefold() in _URL_NAMES and one.value.startswith(("http://", "https://", "ws://", "wss://"))
    )
    return tuple((name, _host(value)) for name, value in given)


def _host(value: str) -> str:
    try:
        return urlsplit(value).netloc.rpartition("@")[2] or value if "://" in value else value
    except ValueError:
        return value


def _resource(ask: CheckToolAsk, home: Home) -> Resource:
    """A file where one is named, a domain for a fetch, else the command's tool."""
    if ask.action in ("write", "edit", "delete", "read") and ask.file_paths:
        return Resource("File", ask.file_paths[0], home.repository)
    if ask.action == "fetch" and ask.url:
        return Resource("Domain", _host(ask.url)[:253])
    if ask.action == "mcp":
        return Resource("Command", f"mcp:{ask.server}/{ask.tool}")
    return Resource("Command", ask.tool or ask.action)


@operation(
    "check_tool",
    Category.READ,
    ask=CheckToolAsk,
    answer=CheckToolAnswer,
    resource=_resource,
    examines=True,
    texts=_texts,
    tightens=lambda ask: ask.tighten,
    destinations=_destinations,
)
def check_tool(ctx: Context, ask: CheckToolAsk) -> CheckToolAnswer:
    """Ask whether one use of a tool is safe: a command, a file's change, a fetch or an MCP call, in one decision.

    This is what hooks ask before each tool runs. Guardrails examine every text and path, the domain lists
    every destination, and policies may forbid `check_tool` on the tool, file or domain. Nothing is run. With
    the verdict `ask`, a person is asked once; when they have said yes, the same question finds the grant by
    itself and spends it.
    """
    fields = told(ctx, ask.tighten)
    warns = fields["verdict"] is Verdict.WARN
    return CheckToolAnswer(**fields, reason=warning(fields["violations"]) if warns else fields["native_reason"])


def warning(violations: Iterable[Violation]) -> str:
    """What a model is told where it may go on: what was found, the strictest first."""
    ranked = sorted(violations, key=lambda one: -_RANK.get(one.severity, 3))
    said = dict.fromkeys(f"{one.rule_id}: {one.reason.rstrip('.')}" for one in ranked if one.severity != "log")
    return f"Guardhouse lets this pass with a remark. {'. '.join(said)}."[:_MOST_WARNING] if said else ""


OPERATIONS: tuple[Operation, ...] = (check_tool,)
