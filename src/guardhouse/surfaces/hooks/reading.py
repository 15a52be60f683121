"""What a client's native payload asks: the one `check_tool` question in it, or nothing to be asked.

Every tool that we do not know is asked about as `other`, with every text of its input: a new tool of a client is
examined, never waved through. Raises Unreadable for a payload that is none of this client's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from guardhouse.guardrails import patching
from guardhouse.surfaces.hooks import places
from guardhouse.surfaces.hooks.clients import ASKING, asks

MOST_TEXTS = 256
MOST_PATH = 4096
_TOOLED = frozenset({"tool_name", "toolName", "tool"})
"""An event that we do not know asks all the same when it comes before a tool."""
_SHELLS = frozenset(
    {
        "bash",
        "shell",
        "run_shell_command",
        "powershell",
        "local_shell",
        "terminal",
        "exec_command",
        "unified_exec",
        "run_terminal_cmd",
        "monitor",
    }
)
_WRITES = frozenset({"write", "write_file", "create", "create_file"})
_NOTEBOOKS = frozenset({"notebookedit", "notebook_edit", "edit_notebook"})
_EDITS = frozenset({"edit", "multiedit", "replace", "strreplace", "str_replace", "search_replace"})
_PATCHES = frozenset({"apply_patch", "patch", "applypatch"})
_READS = frozenset({"read", "read_file", "view", "glob", "grep", "ls", "list", "list_directory", "read_many_files", "search_file_content", "grep_search", "notebookread", "list_dir", "codebase_search", "grep_files", "rg", "ripgrep", "file_search", "glob_file_search", "find_files", "list_files", "search_files", "view_image"})  # fmt: skip
_DELETES = frozenset({"delete", "delete_file"})
_FETCHES = frozenset({"webfetch", "web_fetch", "fetch", "web_fetch_tool"})
_CONTENTS = ("content", "file_text", "new_source", "contents")
_URLS = re.compile(r"(?i)(?:https?://|file:)[^\s<>\"']{1,2000}")


class Unreadable(ValueError):
    """The payload is none of this client's; the message says why."""


class TooMuch(Unreadable):
    """The tool's input is more than is examined whole; the message says what is too much, and how much may be.

    MUST be raised where anything would be left out: what was not examined is not let through.
    """


@dataclass(frozen=True, slots=True)
class Reading:
    """A payload read. `body` is the `check_tool` question, None where the event asks nothing. `event` is the client's.

    `session`, `agent` and `agent_type` are the client's own names of its session, of the sub-agent that asks ("" for
    the client itself) and of what kind that is.
    """

    event: str
    body: dict[str, Any] | None = None
    session: str = ""
    agent: str = ""
    agent_type: str = ""


@dataclass(slots=True)
class _Use:
    """A tool's use, client-neutral."""

    tool: str
    given: Mapping[str, Any]
    cwd: str = ""
    roots: list[str] = field(default_factory=list)
    session: str = ""
    agent: str = ""
    agent_type: str = ""
    server: str = ""


def read(client: str, payload: Any) -> Reading:
    """What one native payload asks."""
    if not isinstance(payload, dict):
        raise Unreadable("the payload is not a JSON object")
    event = _event(client, payload)
    if event not in ASKING and not (asks(client, event) and _TOOLED & payload.keys()):
        return Reading(event)
    use = _use(client, event, payload)
    body = _question(use)
    body["client"] = client
    if use.roots:
        body["workspace_root"] = use.roots[0][:4096]
        # Where a client names no folder, relative paths are meant below the one that is worked in.
        use.cwd = use.cwd or use.roots[0][:4096]
    tighten = _text(payload.get("guardhouse_context"), "tighten")
    if tighten:
        body["tighten"] = tighten
    for name, value in (("cwd", use.cwd), ("client_session", use.session), ("client_agent", use.agent)):
        if value:
            body[name] = value
    # A type without an agent is the client itself, started as that kind of agent.
    return Reading(event, body, use.session, use.agent, use.agent_type if use.agent else "")


def _event(client: str, payload: Mapping[str, Any]) -> str:
    named = payload.get("hook_event_name", payload.get("event"))
    if named is None and client == "copilot" and "toolName" in payload:
        return "preToolUse"
    if named is None and client == "opencode" and "tool" in payload:
        return "tool.execute.before"
    if not isinstance(named, str) or not named:
        raise Unreadable("the payload names no event")
    return named


def _use(client: str, event: str, payload: Mapping[str, Any]) -> _Use:
    use = _Use(
        tool=_text(payload, "tool_name", "toolName", "tool"),
        given=_mapping(payload.get("tool_input", payload.get("toolArgs", payload.get("args")))),
        cwd=_text(payload, "cwd", "directory"),
        roots=[one for one in _listed(payload.get("workspace_roots")) if one],
        session=_name(payload, "session_id", "sessionID", "conversation_id", "sessionId"),
        agent=_name(payload, "agent_id", "agentId"),
        agent_type=_name(payload, "agent_type", "agentType"),
    )
    if use.agent and not use.session:
        use.session = "unnamed"
    root = _text(payload.get("guardhouse_context"), "workspace_root") or _text(payload, "worktree")
    if root.strip("/"):  # OpenCode calls `/` the working tree where there is none
        use.roots = [root]
    if event == "beforeShellExecution":
        use.tool, use.given = "shell", {"command": payload.get("command")}
    elif event == "beforeReadFile":
        use.tool, use.given = "read", {key: payload.get(key) for key in ("file_path", "attachments")}
    elif event == "beforeMCPExecution":
        use.server = _text(payload, "url", "command") or "mcp"
    elif event == "permission.ask":
        use.tool = _text(payload, "type") or use.tool
        use.given = use.given or _mapping(payload.get("metadata"))
    _name_server(client, payload, use)
    if not use.tool:
        raise Unreadable("the payload names no tool")
    if not isinstance(payload.get("cwd", ""), str):
        raise Unreadable("`cwd` is no text")
    return use


def _name_server(client: str, payload: Mapping[str, Any], use: _Use) -> None:
    """MCP tools by the client's manner of naming them."""
    context = payload.get("mcp_context") or payload.get("mcp_server")
    if use.tool.startswith("mcp__"):
        _, _, rest = use.tool.partition("__")
        use.server, _, tool = rest.partition("__")
        use.tool = tool or rest
    elif client == "gemini" and use.tool.startswith("mcp_"):
        server = _text(context, "server_name") if isinstance(context, Mapping) else ""
        use.server = server or use.tool[4:].partition("_")[0]
        use.tool = (_text(context, "tool_name") if isinstance(context, Mapping) else "") or use.tool[4:]
    elif use.tool.upper().startswith("MCP:"):
        use.server, use.tool = use.server or "mcp", use.tool[4:].strip()


def _question(use: _Use) -> dict[str, Any]:
    name, given = use.tool.casefold(), use.given
    made: dict[str, Any] = {"tool": use.tool[:200]}
    if use.server:
        return made | {"action": "mcp", "server": use.server[:200], "arguments": _arguments(given)}
    if name in _SHELLS:
        workdir = _text(given, "dir_path", "workdir", "working_directory", "directory", "cwd")
        if workdir:
            use.cwd = workdir if workdir.startswith("/") else f"{use.cwd}/{workdir}".lstrip("/") if use.cwd else workdir
        around = _arguments({key: given[key] for key in ("env", "environment") if key in given})
        return made | {"action": "shell", "command": _command(given)} | ({"arguments": around} if around else {})
    if name == "str_replace_editor":
        name = {"view": "view", "create": "create"}.get(_text(given, "command"), "edit")
    files = _places(name, given)
    if name in _PATCHES:
        text = "\n".join(_strings(given))
        named = dict.fromkeys([*files, *(path for path, _removed in patching.named(text))])
        if len(named) > MOST_TEXTS:
            raise TooMuch(f"the patch names more than {MOST_TEXTS} files")
        return made | {"action": "edit", "file_paths": [*named], "content": text}
    if name in _WRITES and files:
        return made | {"action": "write", "file_paths": files, "content": _one_of(given, *_CONTENTS)}
    if name in _NOTEBOOKS and files:
        return made | {"action": "edit", "file_paths": files, "content": _one_of(given, *_CONTENTS)}
    if (name in _EDITS and files) or name == "edit":
        return made | {"action": "edit", "file_paths": files, "edits": _edits(given)}
    if name in _DELETES and files:
        return made | {"action": "delete", "file_paths": files}
    if name in _READS:
        return made | {"action": "read", "file_paths": files}
    if name in _FETCHES:
        urls = [_text(given, "url"), *(one for _, text in _leaves(given) for one in _URLS.findall(text))]
        urls = [*dict.fromkeys(one for one in urls if one)]
        if len(urls) > MOST_TEXTS:
            raise TooMuch(f"the tool's input names more than {MOST_TEXTS} addresses")
        if urls:
            rest = [{"name": "url", "value": one} for one in urls[1:]]
            return made | {"action": "fetch", "url": urls[0], "arguments": rest}
    return made | {"action": "other", "file_paths": files, "arguments": _arguments(given)}


def _command(given: Mapping[str, Any]) -> str:
    named = [given[key] for key in ("command", "cmd", "script") if given.get(key) is not None]
    if any(one != named[0] for one in named):
        raise Unreadable("the shell tool's command is given twice, and not the same")
    value = named[0] if named else None
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        if len(value) == 3 and value[0].rpartition("/")[2] in ("bash", "sh", "zsh") and value[1] in ("-c", "-lc"):
            return str(value[2])
        return " ".join("'" + one.replace("'", "'\\''") + "'" for one in value)
    if not isinstance(value, str):
        raise Unreadable("the shell tool's `command` is no text")
    return value


def _edits(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed, single = given.get("edits"), _edit(given)
    if isinstance(listed, list) and all(isinstance(one, Mapping) for one in listed):
        if len(listed) > MOST_TEXTS:
            raise TooMuch(f"the tool's input holds more than {MOST_TEXTS} edits")
        if single["old"] or single["new"]:
            raise Unreadable("the edit is given twice, as `edits` and beside them")
        return [_edit(one) for one in listed]
    return [single] if single["old"] or single["new"] else []


def _edit(given: Mapping[str, Any]) -> dict[str, Any]:
    everywhere = given.get("replace_all", given.get("replaceAll", given.get("allow_multiple")))
    return {
        "old": _one_of(given, "old_string", "oldString", "old_str", "old"),
        "new": _one_of(given, "new_string", "newString", "new_str", "new"),
        "everywhere": everywhere is True,
    }


def _one_of(given: Mapping[str, Any], *names: str) -> str:
    """A text that clients call by different names. Under two of them with two values, nobody could tell which is taken."""
    told = [one for name in names if isinstance(one := given.get(name), str)]
    if any(one != told[0] for one in told):
        raise Unreadable(f"the tool's input gives `{names[0]}` under two names, and not the same")
    return told[0] if told else ""


def _places(name: str, given: Mapping[str, Any]) -> list[str]:
    try:
        found = places.places(name, given)
    except places.TooMany as error:
        raise TooMuch(str(error)) from None
    if any(len(one) > MOST_PATH for one in found):
        raise TooMuch(f"a path in the tool's input is longer than {MOST_PATH} characters")
    return found


def _arguments(given: Mapping[str, Any]) -> list[dict[str, str]]:
    made = [{"name": name[:200], "value": value} for name, value in _leaves(given)]
    if len(made) > MOST_TEXTS:
        raise TooMuch(f"the tool's input holds more than {MOST_TEXTS} texts")
    return made


def _strings(value: Any) -> list[str]:
    return [text for _, text in _leaves(value)]


def _leaves(value: Any) -> Iterator[tuple[str, str]]:
    try:
        yield from places.leaves(value)
    except places.TooMany as error:
        raise TooMuch(str(error)) from None


def _listed(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _text(given: Any, *names: str) -> str:
    if isinstance(given, Mapping):
        for name in names:
            value = given.get(name)
            if isinstance(value, str) and value:
                return value
    return ""


def _name(given: Any, *names: str) -> str:
    """What a client calls something of its own: one line, at most 200 characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in _text(given, *names)[:200])


def _mapping(value: Any) -> Mapping[str, Any]:
    """A tool's input: an object, or (Copilot, Cursor) an object as JSON text; anything else under one name."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)  # which takes no half of a character, as the door takes none
        except ValueError:
            return {"input": value}
    return value if isinstance(value, Mapping) else {} if value is None else {"input": value}
