"""Tool sets: how much of the catalog a client's model is shown. A set saves context; it permits nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from guardhouse.errors import SettingsFault

if TYPE_CHECKING:
    from guardhouse.catalog import Catalog, Operation

GUARD = ("check_guardrails", "check_policy", "get_my_profile", "get_playbook")

CORE = (
    "acquire_lock",
    "release_lock",
    "check_locks",
    "get_work",
    "get_task",
    "complete_work",
    "submit_work",
    "write_handoff",
    "read_handoff",
    "discover_agents",
    "register_session",
    "heartbeat",
    "remember",
    "recall",
    "check_guardrails",
    "get_my_profile",
    "query_audit",
    "check_policy",
    "validate_cedar_policy",
)
"""The nineteen names that agents of other coordinators know too."""

NAMES = ("guard", "core", "all")
DEFAULT = "core"


def named(name: str, source: str) -> str:
    """The set of this name, `core` for none; SettingsFault that names `source` for one that does not exist."""
    chosen = name.strip() or DEFAULT
    if chosen not in NAMES:
        listed = ", ".join(f"`{known}`" for known in NAMES[:-1])
        raise SettingsFault(f"{source}: there is no tool set `{chosen[:40]}`; choose {listed} or `{NAMES[-1]}`")
    return chosen


def members(name: str, catalog: Catalog) -> tuple[Operation, ...]:
    """The operations of a set, in the order that they are shown."""
    if name == "all":
        return tuple(catalog)
    return tuple(_found(CORE if name == "core" else GUARD, catalog))


def _found(names: Iterable[str], catalog: Catalog) -> Iterable[Operation]:
    for name in names:
        declared = catalog.find(name)
        if declared is not None:
            yield declared
