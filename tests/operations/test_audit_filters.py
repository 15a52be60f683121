"""Every filter of `query_audit` finds exactly the entries whose own words fit, alone and together, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from guardhouse.operations.audit import QueryAuditAsk
from tests.world import World, world


@pytest.fixture
def here(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def rules_of(entry: dict[str, Any]) -> set[str]:
    return {rule for step in entry["steps"] for rule in step.get("rules", ())}


FITS: dict[str, Callable[[dict[str, Any], Any], bool]] = {
    "agent_id": lambda entry, value: bool(entry["principal"]["id"] == value),
    "person_id": lambda entry, value: bool(entry["principal"]["id"] == value),
    "session": lambda entry, value: bool(entry.get("session") == value),
    "operation": lambda entry, value: bool(entry["operation"] == value),
    "effect": lambda entry, value: bool(entry["effect"] == value),
    "verdict": lambda entry, value: bool(entry.get("verdict") == value),
    "enforced": lambda entry, value: bool(entry["enforced"] is value),
    "resource_type": lambda entry, value: bool(entry["resource"]["type"] == value),
    "resource": lambda entry, value: bool(entry["resource"]["id"] == value),
    "repository": lambda entry, value: bool(entry["resource"].get("repository") == value),
    "bundle": lambda entry, value: bool(entry["bundle"] == value),
    "decision_id": lambda entry, value: bool(entry["id"] == value),
    "since": lambda entry, value: bool(entry["at"] >= value),
    "until": lambda entry, value: bool(entry["at"] < value),
}
"""What each filter says, read from an entry itself."""


def test_every_filter_finds_what_fits_and_nothing_else(here: World) -> None:
    builder, reader = here.agent("builder", 2), here.agent("reader", 1)
    here.done(builder, "acquire_lock", {"key": "file:one//src/a.py"})
    here.done(builder, "check_guardrails", {"operation_text": "git push --force origin main"})
    asked = here.done(builder, "check_guardrails", {"operation_text": "npm publish"})["approval_id"]
    assert not here.call(reader, "acquire_lock", {"key": "src/b.py"}).performed
    here.later(60)
    here.done(here.operator, "set_mode", {"scope": "agent", "id": reader.id, "seconds": 600})
    here.done(reader, "acquire_lock", {"key": "src/b.py"})
    here.done(here.operator, "list_agents")
    entries = here.entries()
    lock = next(entry for entry in entries if entry["operation"] == "acquire_lock")
    middle = next(entry for entry in entries if entry["operation"] == "set_mode")
    wanted: dict[str, Any] = {
        "agent_id": builder.id,
        "person_id": here.operator.id,
        "session": lock["session"],
        "operation": "acquire_lock",
        "effect": "deny",
        "verdict": "ask",
        "enforced": False,
        "resource_type": "File",
        "resource": lock["resource"]["id"],
        "repository": lock["resource"]["repository"],
        "bundle": lock["bundle"],
        "decision_id": middle["id"],
        "since": middle["at"],
        "until": middle["at"],
    }
    other = {"rule", "approval_id", "text"}
    assert wanted.keys() | other | {"limit", "cursor"} == QueryAuditAsk.model_fields.keys()
    for name, value in wanted.items():
        fits = [entry["id"] for entry in entries if FITS[name](entry, value)]
        assert len(fits) > 0, name
        assert name == "bundle" or len(fits) < len(entries), (name, "tells nothing apart")
        assert found(here, {name: value}, until=len(entries)) == sorted(fits), name
    both = {"agent_id": builder.id, "operation": "check_guardrails", "verdict": "block"}
    fits = [entry["id"] for entry in entries if all(FITS[name](entry, value) for name, value in both.items())]
    assert found(here, both, until=len(entries)) == fits
    assert len(fits) == 1
    assert found(here, {"approval_id": asked}, until=len(entries)) == [
        entry["id"] for entry in entries if entry.get("verdict") == "ask"
    ]
    assert found(here, {"text": "npm publish"}, until=len(entries)) == [
        entry["id"] for entry in entries if entry.get("verdict") == "ask"
    ]
    for rule in ("git.push.force", "agents.read"):
        fits = [entry["id"] for entry in entries if rule in rules_of(entry)]
        assert 0 < len(fits) < len(entries)
        assert found(here, {"rule": rule}, until=len(entries)) == fits, rule


def found(here: World, filters: dict[str, Any], *, until: int) -> list[str]:
    """The ids that a search gives among the first entries, two a page, each page once."""
    ids: list[str] = []
    cursor = ""
    while True:
        page = here.done(here.operator, "query_audit", filters | {"limit": 2, "cursor": cursor})
        assert len(page["entries"]) <= 2
        ids += [entry["id"] for entry in page["entries"] if entry["sequence"] < until]
        if not page["more"]:
            assert len(ids) == len(set(ids))
            return sorted(ids)
        cursor = page["next"]
