"""What each client sends for each kind of tool, with the fields of its published format, and what it may be answered.

`ACCEPTED` lists, by client, the fields that the client knows in an answer: one more makes Codex run the tool.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

KINDS = ("shell", "write", "edit", "read", "mcp", "fetch")
EFFECTS = ("allow", "warn", "ask", "deny", "error")
FORCE = "git push --force origin main"
STATE = "~/.local/share/guardhouse/operator.token"

GIVEN: dict[str, dict[str, Any]] = {
    "shell.allow": {"command": "git status"},
    "shell.ask": {"command": "git push --delete origin old-topic"},
    "shell.warn": {"command": "git push --delete origin old-topic"},
    "shell.deny": {"command": FORCE},
    "write.allow": {"path": "/srv/app/src/a.py", "content": "print(1)\n"},
    "write.ask": {"path": "/srv/app/none/.claude/settings.json", "content": "not json"},
    "write.warn": {"path": "/srv/app/.git/hooks/pre-commit", "content": "x\n"},
    "write.deny": {"path": STATE, "content": "x"},
    "edit.allow": {"path": "/srv/app/src/a.py", "old": "1", "new": "2"},
    "edit.ask": {"path": "/srv/app/none/.gemini/settings.json", "old": "a", "new": "b"},
    "edit.warn": {"path": "/srv/app/.git/config", "old": "a", "new": "b"},
    "edit.deny": {"path": STATE, "old": "a", "new": "b"},
    "read.allow": {"path": "/srv/app/src/a.py"},
    "read.ask": {"path": "/srv/app/ask-first.txt"},
    "read.warn": {"path": "~/.ssh/id_rsa"},
    "read.deny": {"path": STATE},
    "mcp.allow": {"arguments": {"title": "A title", "body": "Never run rm -rf / there."}},
    "mcp.ask": {"arguments": {"command": "git push --delete origin old-topic"}},
    "mcp.warn": {"arguments": {"command": "git push --delete origin old-topic"}},
    "mcp.deny": {"arguments": {"command": FORCE}},
    "fetch.allow": {"url": "https://github.com/example/app"},
    "fetch.ask": {"url": "https://example.org/ask-first"},
    "fetch.warn": {"url": "https://example.org/ask-first"},
    "fetch.deny": {"url": "https://exfil.example.net/x"},
}
"""Client-neutral uses, by kind and what they are answered with: for an agent of trust 2, and `warn` for one of trust 4.

No shipped rule asks a person about a read or an address, so these two are asked about by `HOUSE_PACK`.
"""
HOUSE_PACK = """pack: house
category: house
description: "What this house wants to be asked about first."
rules:
  - id: house.first
    pattern: 'ask-first'
    kinds: [shell, prose]
    severity: approval_required
    min_trust: 3
    reason: "This house wants to be asked first."
    alternative: "use what is public"
    must_match: ["cat ask-first.txt", "cat -- /srv/app/ask-first.txt"]
    must_pass: ["cat first.txt", "cat ask.txt"]
"""


def _claude(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    tool, put = {
        "shell": lambda: ("Bash", {"command": given["command"], "description": "x", "timeout": 120000}),
        "write": lambda: ("Write", {"file_path": given["path"], "content": given["content"]}),
        "edit": lambda: (
            "Edit",
            {"file_path": given["path"], "old_string": given["old"], "new_string": given["new"], "replace_all": False},
        ),
        "read": lambda: ("Read", {"file_path": given["path"]}),
        "mcp": lambda: ("mcp__hub__comment", given["arguments"]),
        "fetch": lambda: ("WebFetch", {"url": given["url"], "prompt": "what is it"}),
    }[kind]()
    return {
        "session_id": "5b1c",
        "transcript_path": "/srv/t.jsonl",
        "cwd": "/srv/app",
        "permission_mode": "default",
        "hook_event_name": "PreToolUse",
        "tool_name": tool,
        "tool_input": put,
        "tool_use_id": "toolu_1",
    }


def _codex(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    def patch() -> str:
        if kind == "write":
            return f"*** Begin Patch\n*** Add File: {given['path']}\n+{given['content'].strip()}\n*** End Patch"
        return f"*** Begin Patch\n*** Update File: {given['path']}\n@@\n-{given['old']}\n+{given['new']}\n*** End Patch"

    tool, put = {
        "shell": lambda: ("Bash", {"command": given["command"]}),
        "write": lambda: ("apply_patch", {"command": patch()}),
        "edit": lambda: ("apply_patch", {"command": patch()}),
        "read": lambda: ("Bash", {"command": f"cat {given['path']}"}),
        "mcp": lambda: ("mcp__hub__comment", given["arguments"]),
        "fetch": lambda: ("web_fetch", {"url": given["url"]}),
    }[kind]()
    return {
        "session_id": "0199",
        "turn_id": "3",
        "transcript_path": None,
        "cwd": "/srv/app",
        "hook_event_name": "PreToolUse",
        "model": "m",
        "permission_mode": "default",
        "tool_name": tool,
        "tool_input": put,
        "tool_use_id": "call_1",
    }


def _gemini(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    tool, put = {
        "shell": lambda: ("run_shell_command", {"command": given["command"], "dir_path": "/srv/app"}),
        "write": lambda: ("write_file", {"file_path": given["path"], "content": given["content"]}),
        "edit": lambda: (
            "replace",
            {"file_path": given["path"], "old_string": given["old"], "new_string": given["new"]},
        ),
        "read": lambda: ("read_file", {"file_path": given["path"]}),
        "mcp": lambda: ("mcp_hub_comment", given["arguments"]),
        "fetch": lambda: ("web_fetch", {"prompt": f"summarise {given['url']}"}),
    }[kind]()
    made: dict[str, Any] = {
        "session_id": "g1",
        "transcript_path": "/srv/t.json",
        "cwd": "/srv/app",
        "hook_event_name": "BeforeTool",
        "timestamp": "2026-11-01T10:00:00Z",
        "tool_name": tool,
        "tool_input": put,
    }
    if kind == "mcp":
        made["mcp_context"] = {"server_name": "hub", "tool_name": "comment"}
    return made


_CURSOR = {
    "conversation_id": "c1",
    "generation_id": "g1",
    "model": "m",
    "model_id": "m",
    "model_params": [],
    "cursor_version": "2.1",
    "workspace_roots": ["/srv/app"],
    "user_email": None,
    "transcript_path": None,
}


def _cursor_before(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """The events for one kind of tool alone, which a person may point at the hook too."""
    shared = _CURSOR
    if kind == "shell":
        return shared | {"hook_event_name": "beforeShellExecution", "command": given["command"], "cwd": "/srv/app"}
    if kind == "mcp":
        told = {"tool_name": "comment", "tool_input": json.dumps(given["arguments"]), "command": "hub-server"}
        return shared | {"hook_event_name": "beforeMCPExecution"} | told
    assert kind == "read", f"Cursor has no before event for {kind}"
    return shared | {
        "hook_event_name": "beforeReadFile",
        "file_path": given["path"],
        "content": "",
        "attachments": [],
    }


def _cursor(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """`preToolUse`, the event that `install` uses: it comes before every tool."""
    tool, put = {
        "shell": lambda: ("Shell", {"command": given["command"], "working_directory": "/srv/app"}),
        "read": lambda: ("Read", {"file_path": given["path"]}),
        "mcp": lambda: ("MCP:comment", given["arguments"]),
        "write": lambda: ("Write", {"file_path": given["path"], "content": given["content"]}),
        "edit": lambda: ("Edit", {"file_path": given["path"], "old_string": given["old"], "new_string": given["new"]}),
        "fetch": lambda: ("WebFetch", {"url": given["url"]}),
    }[kind]()
    return _CURSOR | {
        "hook_event_name": "preToolUse",
        "tool_name": tool,
        "tool_input": put,
        "tool_use_id": "t1",
        "cwd": "/srv/app",
        "agent_message": "",
    }


def _copilot(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    tool, put = {
        "shell": lambda: ("bash", {"command": given["command"]}),
        "write": lambda: ("create", {"path": given["path"], "file_text": given["content"]}),
        "edit": lambda: ("edit", {"path": given["path"], "old_str": given["old"], "new_str": given["new"]}),
        "read": lambda: ("view", {"path": given["path"]}),
        "mcp": lambda: ("hub-comment", given["arguments"]),
        "fetch": lambda: ("web_fetch", {"url": given["url"]}),
    }[kind]()
    shared = {"sessionId": "7f3a", "timestamp": 1762000000000, "cwd": "/srv/app"}
    return shared | {"toolName": tool, "toolArgs": json.dumps(put)}


def _opencode(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    tool, put = {
        "shell": lambda: ("bash", {"command": given["command"], "workdir": "/srv/app"}),
        "write": lambda: ("write", {"filePath": given["path"], "content": given["content"]}),
        "edit": lambda: ("edit", {"filePath": given["path"], "oldString": given["old"], "newString": given["new"]}),
        "read": lambda: ("read", {"filePath": given["path"]}),
        "mcp": lambda: ("hub_comment", given["arguments"]),
        "fetch": lambda: ("webfetch", {"url": given["url"], "format": "text"}),
    }[kind]()
    return {
        "event": "tool.execute.before",
        "tool": tool,
        "sessionID": "ses_1",
        "callID": "call_1",
        "args": put,
        "directory": "/srv/app",
        "worktree": "/srv/app",
    }


PAYLOADS: dict[str, Callable[[str, dict[str, Any]], dict[str, Any]]] = {
    "claude-code": _claude,
    "codex": _codex,
    "gemini": _gemini,
    "cursor": _cursor,
    "copilot": _copilot,
    "opencode": _opencode,
}


def _permission(
    make: Callable[[str, dict[str, Any]], dict[str, Any]],
) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """The event of Claude Code and Codex for a tool that the client itself is about to ask its person about."""

    def made(kind: str, given: dict[str, Any]) -> dict[str, Any]:
        payload = make(kind, given) | {"hook_event_name": "PermissionRequest"}
        del payload["tool_use_id"]
        return payload

    return made


def _opencode_permission(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """OpenCode's own question to its person, as a plugin of somebody else's may hand it on."""
    payload = _opencode(kind, given)
    asked = {
        "event": "permission.ask",
        "id": "per_1",
        "type": payload["tool"],
        "title": "x",
        "metadata": payload["args"],
    }
    return {key: payload[key] for key in ("sessionID", "callID", "directory", "worktree")} | asked


FORMS: dict[str, tuple[str, Callable[[str, dict[str, Any]], dict[str, Any]]]] = {
    **{client: (client, make) for client, make in PAYLOADS.items()},
    "cursor-before": ("cursor", _cursor_before),
    "claude-code-permission": ("claude-code", _permission(_claude)),
    "codex-permission": ("codex", _permission(_codex)),
    "opencode-permission": ("opencode", _opencode_permission),
}
"""Every form in which a client asks, by the name of its golden file: the client, and its payload."""
ABSENT: dict[tuple[str, str], str] = {
    (
        "cursor-before",
        kind,
    ): "Cursor has an event before a shell command, an MCP tool and a read alone; preToolUse has the rest"
    for kind in ("write", "edit", "fetch")
}
"""The kinds that a form does not have, and why. Every other form has every kind with every effect."""
ASKS_ITSELF = frozenset({"claude-code-permission", "codex-permission"})
"""Where the client is asking its person already: a question and a warning of ours are silence, and only a denial is said."""
CANNOT_ASK: dict[str, tuple[str, frozenset[str]]] = {
    "codex": ("runs the tool on `ask`, as on any answer that it does not know", frozenset(KINDS)),
    "gemini": ("knew no `ask` before 0.61", frozenset(KINDS)),
    "cursor": ("takes `ask` in preToolUse and does not follow it", frozenset(KINDS)),
    "cursor-before": ("knows no `ask` in beforeReadFile", frozenset({"read"})),
}
"""Where a question is told as a denial that names it: why, and for which kinds."""

ACCEPTED: dict[str, dict[str, Any]] = {
    "claude-code": {
        "systemMessage": str,
        "hookSpecificOutput": {
            "hookEventName": {"PreToolUse", "PermissionRequest"},
            "permissionDecision": {"deny", "ask"},
            "permissionDecisionReason": str,
            "decision": {"behavior": {"deny"}, "message": str},
        },
    },
    "codex": {
        "hookSpecificOutput": {
            "hookEventName": {"PreToolUse", "PermissionRequest"},
            "permissionDecision": {"deny"},
            "permissionDecisionReason": str,
            "decision": {"behavior": {"deny"}, "message": str},
        },
    },
    "gemini": {"decision": {"deny"}, "reason": str, "systemMessage": str},
    "cursor": {"permission": {"deny", "ask"}, "user_message": str, "agent_message": str},
    "copilot": {"permissionDecision": {"deny", "ask"}, "permissionDecisionReason": str},
    "opencode": {"decision": {"allow", "warn", "ask", "deny"}, "reason": str},
}


def accepted(shape: Any, told: Any) -> bool:
    """Whether an answer has only fields that the client knows, each with a value that it takes."""
    if isinstance(shape, dict):
        return isinstance(told, dict) and all(key in shape and accepted(shape[key], part) for key, part in told.items())
    if isinstance(shape, set):
        return told in shape
    return isinstance(told, str) and bool(told) if shape is str else False


def refused(client: str, told: dict[str, Any]) -> str:
    """In the client's own terms: `deny`, `ask`, or empty where the tool runs as if nobody had been asked."""
    specific = told.get("hookSpecificOutput", {})
    given = {
        "claude-code": specific.get("permissionDecision", specific.get("decision", {}).get("behavior", "")),
        "codex": specific.get("permissionDecision", specific.get("decision", {}).get("behavior", "")),
        "gemini": told.get("decision", ""),
        "cursor": told.get("permission", ""),
        "copilot": told.get("permissionDecision", ""),
        "opencode": told.get("decision", ""),
    }[client]
    return given if given in ("deny", "ask") else ""
