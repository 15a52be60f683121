"""What of Guardhouse's own command and wire an agent may use: its questions and its work, never what governs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import unquote

import re2

from guardhouse.guardrails.match import QUIET
from guardhouse.guardrails.words import UNKNOWN

HARMLESS: frozenset[tuple[str, ...]] = frozenset(
    {
        ("check",),
        ("status",),
        ("why",),
        ("report",),
        ("doctor",),
        ("hook",),
        ("mcp",),
        ("agents", "list"),
        ("people", "list"),
        ("tokens", "list"),
        ("workspaces", "list"),
        ("approvals", "list"),
        ("approvals", "show"),
        ("policy", "check"),
        ("policy", "show"),
        ("policy", "history"),
        ("ledger", "verify"),
        ("ledger", "prove"),
        ("ledger", "receipt"),
        ("ledger", "checkpoint"),
        ("ledger", "replay"),
        ("guardrails", "score"),
        ("guardrails", "list"),
        ("guardrails", "show"),
        ("help",),
    }
)
"""Commands that ask and change nothing. Every other command of the line is for people."""

OPERATIONS = frozenset(
    {
        "activate_policy",
        "add_agent",
        "add_person",
        "allow_decision",
        "create_workspace",
        "disable_person",
        "end_mode",
        "erase_payload",
        "explain_decision",
        "export_audit",
        "grant_approval",
        "issue_token",
        "list_agents",
        "list_approvals",
        "list_controls",
        "list_grants",
        "list_modes",
        "list_people",
        "list_tokens",
        "list_workspaces",
        "list_wrong",
        "mark_wrong",
        "pause_workspace",
        "policy_history",
        "refuse_approval",
        "register_repository",
        "reinstate_agent",
        "resume_workspace",
        "retire_agent",
        "revoke_grant",
        "revoke_token",
        "rollback_policy",
        "set_mode",
        "set_trust",
        "set_workspace",
        "show_policy",
        "stop_agent",
        "stop_workspace",
        "suspend_agent",
    }
)
"""Operations that only people may call; a test holds this against the catalog."""

_ROUTE = re.compile(r"/v1/([a-z_]{3,64})\b")
_TOOL_CALL = re.compile(r"""["']?name["']?\s*[:=]\s*["']?([a-z_]{3,64})""")
_SERVICE = frozenset(
    {"systemctl", "launchctl", "service", "rc-service", "brew", "sv", "supervisorctl", "s6-svc", "initctl"}
)
_CONTAINERS = frozenset({"docker", "podman", "nerdctl", "docker-compose", "kubectl", "oc"})
_STOPS = frozenset(
    ["stop", "restart", "kill", "disable", "mask", "unload", "bootout", "remove", "rm", "down", "delete", "pause", "try-restart", "reload-or-restart", "edit", "revert", "freeze", "scale"]
)  # fmt: skip
_VALUED = frozenset({"--home", "--url", "--workspace", "--token", "-w"})


def governs_line(words: Sequence[str]) -> bool:
    """Whether `guardhouse WORDS…` is for people. What cannot be read is taken to be."""
    named: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in ("-h", "--help", "--version"):
            return False
        elif word in _VALUED:
            skip = True
        elif not word.startswith("-"):
            named.append(word)
    if not named:
        return False
    if named[0] == "call":
        return len(named) < 2 or not re.fullmatch(r"[a-z_]+", named[1]) or named[1] in OPERATIONS
    return (named[0],) not in HARMLESS and tuple(named[:2]) not in HARMLESS


def governs_address(text: str) -> bool:
    """Whether a URL or request line calls an operation that only people may call. The door undoes percent-encodings."""
    if "/v1/" not in text:
        if "%" not in text:
            return False
        text = unquote(text)
    elif "%" in text:
        text = unquote(text)
    return any(name in OPERATIONS for name in _ROUTE.findall(text))


def governs_tool(texts: Iterable[str]) -> bool:
    """Whether a request to the gateway's MCP door calls an operation that only people may call."""
    told = [*texts]
    return any("/mcp" in text for text in told) and any(
        name in OPERATIONS for text in told for name in _TOOL_CALL.findall(text)
    )


def stops_service(program: str, words: Sequence[str]) -> bool:
    """Whether a service or container command stops or changes the gateway's service."""
    if program not in _SERVICE and program not in _CONTAINERS:
        return False
    return any(word in _STOPS for word in words) and any("guardhouse" in word.casefold() for word in words)


_GATEWAY_LINES = (
    "guardhouse",
    "guardhouse serve",
    "/usr/bin/python3 -m guardhouse serve",
    "/venv/bin/python /venv/bin/guardhouse serve --port 8420",
)


def fits_gateway(pattern: str) -> bool:
    """Whether a process pattern would match a gateway's command line. What is not a pattern is compared as text."""
    if len(pattern) > 200 or UNKNOWN in pattern:
        return False
    try:
        made = re2.compile(pattern, options=QUIET)
    except re2.error:
        return any(pattern in line for line in _GATEWAY_LINES)
    return any(made.search(line) is not None for line in _GATEWAY_LINES)
