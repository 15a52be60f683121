"""Resources: what a client may attach to a conversation by its address. Reading one is a call like any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from mcp_types import Resource, ResourceTemplate

SCHEME = "guardhouse://"
_KIND = "application/json"


@dataclass(frozen=True, slots=True)
class Shelf:
    """One resource, or with `parameter` a family of them: the operation that reads it, and what it is asked."""

    path: str
    operation: str
    words: str
    arguments: Callable[[str], Mapping[str, Any]]
    parameter: str = ""


SHELVES = (
    Shelf("locks", "check_locks", "the locks that are held now", lambda _: {}),
    Shelf("locks", "check_locks", "one lock, by its key", lambda key: {"key": key}, "key"),
    Shelf("work", "list_work", "the tasks that can be claimed now", lambda _: {}),
    Shelf("work/active", "list_work", "the tasks that somebody works on", lambda _: {"view": "active"}),
    Shelf("work/blocked", "list_work", "the tasks that wait for others", lambda _: {"view": "blocked"}),
    Shelf("work", "get_task", "one task, by its id", lambda task_id: {"task_id": task_id}, "task_id"),
    Shelf("handoffs", "read_handoff", "the newest handoffs", lambda _: {}),
    Shelf("memories", "recall", "what was remembered lately", lambda _: {}),
    Shelf("memories", "recall", "memories about something", lambda query: {"query": query}, "query"),
    Shelf("guardrails", "list_guardrails", "the rules of the guardrails in force, each with its reason", lambda _: {"limit": 500}),
    Shelf("guardrails/asked", "query_audit", "what the guardrails were asked lately, and what they said", lambda _: {"operation": "check_guardrails", "limit": 20}),
    Shelf("guardrails", "check_guardrails", "what the guardrails say of a command", lambda text: {"operation_text": text}, "text"),
    Shelf("profile", "get_my_profile", "your trust, your limits, and what you may do", lambda _: {}),
    Shelf("audit", "query_audit", "the newest entries of the ledger", lambda _: {"limit": 50}),
)  # fmt: skip


def listed(offered: frozenset[str]) -> list[Resource]:
    """The resources whose operation the caller is offered."""
    return [
        Resource(uri=SCHEME + shelf.path, name=shelf.path, description=shelf.words, mime_type=_KIND)
        for shelf in SHELVES
        if not shelf.parameter and shelf.operation in offered
    ]


def templates(offered: frozenset[str]) -> list[ResourceTemplate]:
    """The families of resources whose operation the caller is offered."""
    return [
        ResourceTemplate(
            uri_template=f"{SCHEME}{shelf.path}/{{{shelf.parameter}}}",
            name=f"{shelf.path} by {shelf.parameter}",
            description=shelf.words,
            mime_type=_KIND,
        )
        for shelf in SHELVES
        if shelf.parameter and shelf.operation in offered
    ]


def find(uri: str) -> tuple[str, Mapping[str, Any]] | None:
    """The operation and arguments that read an address; None when there is no such resource."""
    if not uri.startswith(SCHEME):
        return None
    path = uri.removeprefix(SCHEME)
    family, _, rest = path.partition("/")
    for shelf in SHELVES:
        if not shelf.parameter and shelf.path == path:
            return shelf.operation, shelf.arguments("")
    for shelf in SHELVES:
        if shelf.parameter and shelf.path == family and rest:
            return shelf.operation, shelf.arguments(unquote(rest))
    return None
