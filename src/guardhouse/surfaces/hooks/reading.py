"""What a client's native payload asks: the one `check_tool` question in it, or nothing to be asked.

Every tool that we do not know is asked about as `other`, with every text of its input: a new tool of a client is
examined, never waved through. Raises Unreadable for a payload that is none of this client's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from guardhouse.surfaces.hooks.clients import ASKING, asks

MOST_TEXTS = 256
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
_WRITES = frozenset({"write", "write_file", "create", "notebookedit", "create_file"})
_EDITS = frozenset({"edit", "multiedit", "replace", "strreplace", "str_replace", "search_replace"})
_PATCHES = frozenset({"apply_patch", "patch", "applypatch"})
_READS = frozenset({"read", "read_file", "view", "glob", "grep", "ls", "list", "list_directory", "read_many_files", "search_file_content", "grep_search", "notebookread", "list_dir", "codebase_search"})  # fmt: skip
_DELETES = frozenset({"delete", "delete_file"})
_FETCHES = frozenset({"webfetch", "web_fetch", "fetch", "web_fetch_tool"})
_PATH_KEYS = ("file_path", "filePath", "path", "absolute_path", "notebook_path", "dir_path", "directory", "target_file", "target_directory", "paths", "include", "file_paths")  # fmt: skip
_PATCHED = re.compile(r"^\*\*\* (?:Update File|Add File|Delete File|Move to): (.+?)\s*$", re.M)
_DIFFED = re.compile(r"^(?:---|\+\+\+) (?:[ab]/)?(\S+)", re.M)
_URLS = re.compile(r"https?://[^\s<>\"']{1,2000}")


class Unreadable(ValueError):
    """The payload is none of this client's."""


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
        use.tool, use.given = "read", {"file_path": payload.get("file_path")}
    elif event == "beforeMCPExecution":
        use.server = _text(payload, "url", "command") or "mcp"
    elif event == "permission.ask":
        use.tool = _text(payload, "type") or use.tool
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
        workdir = _text(given, "dir_path", "workdir", "directory")
        if workdir:
            use.cwd = workdir if workdir.startswith("/") else f"{use.cwd}/{workdir}".lstrip("/") if use.cwd else workdir
        return made | {"action": "shell", "command": _command(given)}
    if name == "str_replace_editor":
        name = {"view": "view", "create": "create"}.get(_text(given, "command"), "edit")
    files = _paths(given)
    if name in _PATCHES:
        text = _text(given, "patchText", "patch", "input", "command") or "\n".join(_strings(given))
        named = [*_PATCHED.findall(text), *_DIFFED.findall(text)]
        return made | {"action": "edit", "file_paths": [*dict.fromkeys([*files, *named])][:MOST_TEXTS], "content": text}
    if name in _WRITES and files:
        content = _text(given, "content", "file_text", "new_source", "contents")
        return made | {"action": "write", "file_paths": files, "content": content}
    if (name in _EDITS and files) or name == "edit":
        return made | {"action": "edit", "file_paths": files, "edits": _edits(given)}
    if name in _DELETES and files:
        return made | {"action": "delete", "file_paths": files}
    if name in _READS:
        return made | {"action": "read", "file_paths": files}
    if name in _FETCHES:
        urls = [one for one in (_text(given, "url"), *_URLS.findall(_text(given, "prompt"))) if one]
        if urls:
            rest = [{"name": "url", "value": one} for one in urls[1:MOST_TEXTS]]
            return made | {"action": "fetch", "url": urls[0], "arguments": rest}
    return made | {"action": "other", "file_paths": files, "arguments": _arguments(given)}


def _command(given: Mapping[str, Any]) -> str:
    value = given.get("command", given.get("cmd", given.get("script")))
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        if len(value) == 3 and value[0].rpartition("/")[2] in ("bash", "sh", "zsh") and value[1] in ("-c", "-lc"):
            return str(value[2])
        return " ".join("'" + one.replace("'", "'\\''") + "'" for one in value)
    if not isinstance(value, str):
        raise Unreadable("the shell tool's `command` is no text")
    return value


def _edits(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = given.get("edits")
    if isinstance(listed, list) and all(isinstance(one, Mapping) for one in listed):
        return [_edit(one) for one in listed[:MOST_TEXTS]]
    made = _edit(given)
    return [made] if made["old"] or made["new"] else []


def _edit(given: Mapping[str, Any]) -> dict[str, Any]:
    everywhere = given.get("replace_all", given.get("replaceAll", given.get("allow_multiple")))
    return {
        "old": _text(given, "old_string", "oldString", "old_str", "old"),
        "new": _text(given, "new_string", "newString", "new_str", "new"),
        "everywhere": everywhere is True,
    }


def _paths(given: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for key in _PATH_KEYS:
        found.extend(one for one in _listed(given.get(key)) if 0 < len(one) <= 4096)
    return [*dict.fromkeys(found)][:MOST_TEXTS]


def _arguments(given: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"name": name[:200], "value": value} for name, value in _leaves(given)][:MOST_TEXTS]


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a value with the name that it stands under. More than can be asked about is no question of ours."""
    work = [(name, value)]
    told = 0
    while work:
        at, item = work.pop(0)
        if isinstance(item, str):
            told += 1
            if told > MOST_TEXTS:
                raise Unreadable(f"the tool's input holds more than {MOST_TEXTS} texts")
            yield at, item
        elif isinstance(item, Mapping):
            work.extend((str(key), part) for key, part in item.items())
        elif isinstance(item, list):
            work.extend((at, part) for part in item)


def _strings(value: Any) -> list[str]:
    return [text for _, text in _leaves(value)]


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
            value = json.loads(value)
        except ValueError:
            return {"input": value}
    return value if isinstance(value, Mapping) else {} if value is None else {"input": value}
