"""One question for one use of a tool: what an agent's client is about to do is examined whole, in one decision."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from guardhouse.catalog import Ask, Context, Home, Operation, operation
from guardhouse.guardrails import governing, patching
from guardhouse.guardrails.surroundings import NOWHERE, reach
from guardhouse.guardrails.text import Examined
from guardhouse.guardrails.turns import turn
from guardhouse.model.call import Category, Resource
from guardhouse.model.decision import Verdict
from guardhouse.operations import arguments
from guardhouse.operations.checks import CheckGuardrailsAnswer, Tighten, Violation, WorkspaceRoot, told

_MOST_VALUES = 256
_MOST_WARNING = 700
_RANK = {"log": 0, "warn": 1, "approval_required": 2, "block": 3}
_DOES = {"read": "cat", "write": "tee", "edit": "tee", "delete": "rm"}
"""What a shell would run to do as much to a file: so the rules on files bind whichever tool touches them."""
_LOCAL = re.compile(r"(?i)^\s*(?:view-source:)?file:|^\s*[/~]")
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
        made.extend(_of_files(ask, here))
    if ask.url:
        own = (ask.url,) if _LOCAL.match(ask.url) else ()
        made.append(replace(here, field="url", text=ask.url, kind="prose", act="fetch", file_paths=own))
        made.extend(_as_shell("read", own, here))
    if ask.action in ("mcp", "other"):
        given = tuple((one.name, one.value) for one in ask.arguments)
        does = arguments.act(ask.tool)
        made.extend(arguments.texts(given, ask.server, ask.tool, here))
        if ask.file_paths:
            made.append(replace(here, field="file_paths", kind="file", file_paths=ask.file_paths, act=does))
        named = (*ask.file_paths, *(value for name, value in given if arguments.is_path(name, value)))
        made.extend(_as_shell(arguments.likeness(ask.tool), tuple(dict.fromkeys(named)), here))
        governed = _governs(ask)
        if governed:
            made.append(replace(here, field="tool", text=f"guardhouse call {governed}", kind="shell", tool=""))
    elif ask.arguments:
        given = tuple((one.name, one.value) for one in ask.arguments)
        made.extend(arguments.texts(given, ask.server, ask.tool, here))
    return tuple(made)


def _governs(ask: CheckToolAsk) -> str:
    """The governing operation that a tool of our own server calls, or empty. It is for people, whoever's token is used."""
    if "guardhouse" not in f"{ask.server} {ask.tool}".casefold():
        return ""
    name = ask.tool.casefold().replace("-", "_")
    return next((one for one in sorted(governing.OPERATIONS) if name == one or name.endswith(f"_{one}")), "")


def _of_files(ask: CheckToolAsk, here: Examined) -> Iterator[Examined]:
    """What a file tool's use is examined as: its files with what it does to them, its texts, and its likeness in a shell."""
    edits = tuple((one.old, one.new, one.everywhere) for one in ask.edits)
    patch = patching.changes(ask.content) if ask.action == "edit" and not edits else ()
    by_patch = {change.path for change in patch} | {change.moved for change in patch}
    paths = tuple(path for path in ask.file_paths if path not in by_patch)
    # An edit that says neither what it replaces nor how it is to be patched leaves what cannot be seen from here.
    act: str = "" if ask.action == "edit" and not edits else ask.action
    if ask.action == "read" and arguments.searches(ask.tool):
        act, paths = "search", paths or ((ask.cwd,) if ask.cwd else ())
    yield replace(here, field="content", text=ask.content, kind="file", file_paths=paths, act=act, edits=edits)
    for change in patch:
        turn()
        hunks = tuple((old, new, False) for old, new in change.hunks or ())
        does = "delete" if change.act == "delete" or change.moved else "patch" if change.hunks is not None else ""
        yield replace(here, field="file_paths", kind="file", file_paths=(change.path,), act=does, edits=hunks)
        if change.moved:
            yield replace(here, field="file_paths", kind="file", file_paths=(change.moved,), edits=hunks)
    for number, one in enumerate(ask.edits):
        yield replace(here, field=f"edits.{number}.new", text=one.new, kind="file")
    removed = tuple(change.path for change in patch if change.act == "delete")
    yield from _as_shell(ask.action, tuple(path for path in ask.file_paths if path not in removed), here)
    yield from _as_shell("delete", removed, here)


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


def _destinations(ask: CheckToolAsk) -> tuple[tuple[str, str], ...]:
    given = [("url", ask.url)] if ask.url else []
    given.extend(
        ("arguments", one.value)
        for one in ask.arguments
        if not {*arguments.words(one.name), one.name.casefold().removesuffix("s")}.isdisjoint(_URL_NAMES)
        and one.value.lstrip().casefold().startswith(arguments.WEB)
    )
    return tuple((name, _host(value.strip())) for name, value in given)


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
