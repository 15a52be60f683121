"""Names that people use, turned into the ids that operations take. Looking a name up is itself a recorded call."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from guardhouse.errors import InvalidInput
from guardhouse.surfaces.cli.door import Door
from guardhouse.surfaces.cli.output import finish

_PAGE = 500
_DIGEST = re.compile(r"(sha256:)?([0-9a-f]{6,64})\Z")


def pages(door: Door, operation: str, body: Mapping[str, Any], items: str, json: bool) -> Iterator[Mapping[str, Any]]:
    """Every item of a list operation, page by page. A page that is refused ends the command with its reason."""
    after: Any = None
    while True:
        cursor = {} if after is None else {"before" if operation == "policy_history" else "after": after}
        reply = door.call(operation, {**body, **cursor, "limit": _PAGE})
        if not reply.performed:
            finish(reply, json)
        yield from reply.result[items]
        after = reply.result["next"]
        if not reply.result["more"]:
            return


def agent_id(door: Door, named: str, json: bool) -> str:
    """The id of an agent given by id or handle. InvalidInput when nobody bears the handle."""
    if named.startswith("agt_"):
        return named
    for item in pages(door, "list_agents", {"retired": True}, "agents", json):
        if item["handle"] == named:
            return str(item["agent_id"])
    raise InvalidInput(f"there is no agent `{named}`: `guardhouse agents list` shows them")


def person_id(door: Door, named: str, json: bool) -> str:
    """The id of a person given by id or name. InvalidInput when nobody bears the name."""
    if named.startswith("per_"):
        return named
    for item in pages(door, "list_people", {}, "people", json):
        if item["name"] == named:
            return str(item["person_id"])
    raise InvalidInput(f"there is no person `{named}`: `guardhouse people list` shows them")


def principal_id(door: Door, named: str, json: bool) -> str:
    """The id of an agent or a person. InvalidInput when nobody bears the name, or one of each does."""
    if named.startswith(("agt_", "per_")):
        return named
    found = [
        str(item["agent_id"])
        for item in pages(door, "list_agents", {"retired": True}, "agents", json)
        if item["handle"] == named
    ]
    found += [
        str(item["person_id"]) for item in pages(door, "list_people", {}, "people", json) if item["name"] == named
    ]
    if len(found) > 1:
        raise InvalidInput(f"both an agent and a person are called `{named}`: give `{found[0]}` or `{found[1]}`")
    if not found:
        raise InvalidInput(
            f"there is no agent or person `{named}`: `guardhouse agents list` and `guardhouse people list` show them"
        )
    return found[0]


def names(door: Door) -> dict[str, str]:
    """Handles and names by id, for tables; what the caller may not list is left out."""
    known: dict[str, str] = {}
    for operation, items, key, name in (
        ("list_agents", "agents", "agent_id", "handle"),
        ("list_people", "people", "person_id", "name"),
    ):
        body: dict[str, Any] = {"limit": _PAGE} | ({"retired": True} if items == "agents" else {})
        while (reply := door.call(operation, body)).performed:
            known |= {item[key]: item[name] for item in reply.result[items]}
            if not reply.result["more"]:
                break
            body["after"] = reply.result["next"]
    return known


def digest(door: Door, given: str, json: bool) -> str:
    """The full digest of a bundle given whole or by at least six of its first digits."""
    match = _DIGEST.match(given)
    if match is None:
        raise InvalidInput(f"`{given}` is not a digest: give `sha256:…` or at least six of its digits")
    if len(match[2]) == 64:
        return f"sha256:{match[2]}"
    begun = f"sha256:{match[2]}"
    found = {
        str(item["digest"])
        for item in pages(door, "policy_history", {}, "activations", json)
        if item["digest"].startswith(begun)
    }
    if len(found) != 1:
        why = "more than one bundle begins" if found else "no bundle that was in force here begins"
        raise InvalidInput(f"{why} with `{given}`: `guardhouse policy history` shows them")
    return found.pop()
