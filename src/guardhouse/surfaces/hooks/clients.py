"""How each client is answered: its own words for silence, a warning, a question and a denial.

Standard library only, and no import of ours: the shim loads this file by itself when the gateway cannot be asked.
Formats were taken from the clients' published types and schemas; `docs/hooks.md` names version and source of each.
The traps: Codex runs the command on any answer that it does not understand, `ask` included; Claude Code reads no status
code as a denial; an `allow` may skip the person's own prompt, so nobody is ever told `allow` but OpenCode's plugin,
which is ours.
"""

from __future__ import annotations

from typing import Any

CLIENTS = ("claude-code", "codex", "gemini", "cursor", "copilot", "opencode")
SILENCE: dict[str, bytes] = {
    "claude-code": b"{}",
    "codex": b"",
    "gemini": b"{}",
    "cursor": b"{}",
    "copilot": b"{}",
    "opencode": b'{"decision":"allow"}',
}
"""What a client is sent where Guardhouse has nothing to say: no opinion, never a permit."""
MOST_TOLD = 2_000
ASKING = frozenset(
    [
        "PreToolUse",
        "PermissionRequest",
        "BeforeTool",
        "preToolUse",
        "beforeShellExecution",
        "beforeMCPExecution",
        "beforeReadFile",
        "tool.execute.before",
        "permission.ask",
    ]
)
"""The events that ask before a tool runs."""


def asks(client: str, event: str) -> bool:
    """Whether an event asks before a tool runs. One that cannot be told, or that is new and comes before, does."""
    del client
    return not event or event in ASKING or event.casefold().startswith(("pre", "before"))


def answer(client: str, event: str, verdict: str, reason: str) -> dict[str, Any] | None:
    """The native answer, or None for silence. `verdict` is allow, warn, ask or block; anything else is a block."""
    told = _told(reason)
    if verdict == "allow":
        return None
    if client == "claude-code":
        return _claude(event, verdict, told)
    if client == "codex":
        return _codex(event, verdict, told)
    if client == "gemini":
        return {"systemMessage": told} if verdict == "warn" else {"decision": "deny", "reason": told}
    if client == "cursor":
        return _cursor(event, verdict, told)
    if client == "copilot":
        if verdict == "warn":
            return None
        return {"permissionDecision": "ask" if verdict == "ask" else "deny", "permissionDecisionReason": told}
    if client == "opencode":
        return {"decision": verdict if verdict in ("warn", "ask") else "deny", "reason": told}
    raise ValueError(f"no client `{client}`")


def _claude(event: str, verdict: str, told: str) -> dict[str, Any] | None:
    if event == "PermissionRequest":
        if verdict in ("warn", "ask"):
            return None  # the person is being asked by the client already
        return {
            "hookSpecificOutput": {
                "hookEventName": "PermissionRequest",
                "decision": {"behavior": "deny", "message": told},
            }
        }
    if verdict == "warn":
        return {"systemMessage": told}
    return {
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "ask" if verdict == "ask" else "deny",
            "permissionDecisionReason": told,
        }
    }


def _codex(event: str, verdict: str, told: str) -> dict[str, Any] | None:
    if verdict == "warn":
        return None
    if event == "PermissionRequest":
        if verdict == "ask":
            return None
        return {
            "hookSpecificOutput": {
                "hookEventName": "PermissionRequest",
                "decision": {"behavior": "deny", "message": told},
            }
        }
    return {
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": told,
        }
    }


_CURSOR_ASKS = frozenset({"beforeShellExecution", "beforeMCPExecution"})


def _cursor(event: str, verdict: str, told: str) -> dict[str, Any] | None:
    if verdict == "warn":
        return None
    permission = "ask" if verdict == "ask" and event in _CURSOR_ASKS else "deny"
    return {"permission": permission, "user_message": told, "agent_message": told}


def _told(reason: str) -> str:
    """A reason that no client takes for missing: never empty, one line, printable, bounded."""
    line = "".join(letter if letter.isprintable() else " " for letter in reason).strip()
    return line[:MOST_TOLD] or "Guardhouse blocked this and gave no reason. Report it as blocked."
