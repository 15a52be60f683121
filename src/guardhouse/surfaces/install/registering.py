"""The agent that a client acts as, `<user>-<client>`: registered once, used again, with a token of its own.

A handle is given once, so where that agent was retired its successor is `<user>-<client>-2`, and so on.
"""

from __future__ import annotations

import getpass
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guardhouse.errors import Refusal
from guardhouse.surfaces.cli import naming

if TYPE_CHECKING:
    from guardhouse.surfaces.cli.door import Door, Reply

ROLE, TRUST = "developer", 2
OBSERVE_SECONDS = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent and its token; `token` is empty where the one at hand still serves.

    `retired` is the handle of the agent that this one follows, because a person retired it; else empty.
    """

    agent_id: str
    handle: str
    token: str
    token_id: str
    new: bool
    observed_until: str = ""
    retired: str = ""


def handle_of(client: str, user: str = "") -> str:
    """The handle, in the letters that a handle may have."""
    name = re.sub(r"[^a-z0-9]+", "-", (user or getpass.getuser()).casefold()).strip("-") or "user"
    return f"{name[: 60 - len(client)]}-{client}"


def register(door: Door, client: str, *, held_token_id: str, observe: bool) -> Agent:
    """Register the agent or find it again. Refusal where the gateway refuses."""
    listed = naming.pages(door, "list_agents", {"retired": True}, "agents", json=True)
    known = {str(one["handle"]): one for one in listed}
    first = handle_of(client)
    handle = next(name for name in _successors(first) if name not in known or _serves(known[name]))
    if handle in known:
        agent_id = str(known[handle]["agent_id"])
        token, token_id = _token(door, agent_id, client, held_token_id)
    else:
        made = _performed(door.call("add_agent", {"handle": handle, "trust": TRUST, "role": ROLE}))
        agent_id, token, token_id = (str(made[name]) for name in ("agent_id", "token", "token_id"))
    until = ""
    if observe:
        body = {"scope": "agent", "id": agent_id, "mode": "observe", "seconds": OBSERVE_SECONDS}
        until = str(_performed(door.call("set_mode", body | {"reason": "installed with --observe"}))["until"])
    new = handle not in known
    return Agent(agent_id, handle, token, token_id, new, until, first if new and handle != first else "")


def _successors(handle: str) -> Iterator[str]:
    yield handle
    for number in itertools.count(2):
        last = f"-{number}"
        yield handle[: 63 - len(last)] + last


def _serves(agent: Mapping[str, Any]) -> bool:
    """Whether an agent of that name may be used: one that retired is over, and a delegate is a client's sub-agent."""
    return not agent["retired_at"] and not agent["delegated_by"]


def _token(door: Door, agent_id: str, client: str, held: str) -> tuple[str, str]:
    """(a new token or "", its id). The one at hand is kept as long as it lives."""
    for one in naming.pages(door, "list_tokens", {"principal_id": agent_id}, "tokens", json=True):
        if held and one["token_id"] == held and one["live"]:
            return "", held
    made = _performed(door.call("issue_token", {"principal_id": agent_id, "label": f"hook of {client}"}))
    return str(made["token"]), str(made["token_id"])


def _performed(reply: Reply) -> dict[str, object]:
    if not reply.performed:
        raise Refusal(reply.code, reply.message or reply.code.replace("_", " "))
    return dict(reply.result)
