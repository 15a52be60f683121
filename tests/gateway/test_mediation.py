"""Complete mediation: every call of a known principal leaves exactly one entry, whatever became of it."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from guardhouse.catalog import Catalog, Context
from guardhouse.errors import Unauthenticated
from guardhouse.gateway import Gateway
from guardhouse.operations import CATALOG
from tests.world import World


def _crash(_context: Context, _ask: Any) -> Any:
    raise RuntimeError("a handler that was written in a hurry")


def _crashing_gateway(home: World) -> Gateway:
    operations = [
        replace(operation, handler=_crash) if operation.name == "renew_lock" else operation for operation in CATALOG
    ]
    return Gateway(home.store, Catalog(operations), home.gateway.bundles, home.clock, home.ids)


def test_a_stranger_leaves_no_entry(home: World) -> None:
    before = home.count()
    for token in (None, "", "gdh_agent_nobody_0000000000000000000000000000000000000000000"):
        with pytest.raises(Unauthenticated):
            home.call(token, "check_locks")
    assert home.count() == before


def test_entries_equal_calls_after_mixed_concurrent_calls(home: World) -> None:
    gateway = _crashing_gateway(home)
    try:
        agents = [home.agent(f"agent-{trust}-{number}", trust=trust) for trust in range(5) for number in range(2)]
        before = home.count()
        kinds: list[tuple[str, bytes, dict[str, Any]]] = [
            ("check_guardrails", b'{"operation_text": "ls -la"}', {}),
            ("check_guardrails", b'{"operation_text": "git push --force origin main"}', {}),
            ("acquire_lock", b'{"key": "res:race"}', {}),
            ("release_lock", b'{"key": "res:race"}', {}),
            ("acquire_lock", b'{"key": "res:keyed", "ttl_seconds": 60}', {"idempotency_key": "one"}),
            ("check_locks", b"{}", {}),
            ("renew_lock", b'{"key": "res:race"}', {}),
            ("acquire_lock", b'{"key": 7}', {}),
            ("acquire_lock", b"\xff\xfe not json", {}),
            ("no_such_operation", b"{}", {}),
            ("add_agent", b'{"handle": "mine", "trust": 4}', {}),
            ("check_locks", b"{" * 5000, {}),
            ("check_locks", b"{}", {"oversized": True}),
            ("lock_file", b'{"key": "README.md"}', {}),
        ]
        chooser = random.Random(20260921)
        plan = [(chooser.choice(agents), *chooser.choice(kinds)) for _ in range(2_000)]

        def carry(item: tuple[Any, str, bytes, dict[str, Any]]) -> tuple[str, str]:
            who, operation, body, options = item
            outcome = gateway.handle(home.raw(who, operation, body, **options))
            return outcome.decision_id, outcome.code

        with ThreadPoolExecutor(48) as pool:
            answers = list(pool.map(carry, plan))
        entries = home.entries()[before:]
        assert len(entries) == len(plan)
        assert Counter(entry["id"] for entry in entries) == Counter(decision for decision, _ in answers)
        outcomes = {entry["id"]: entry["outcome"] for entry in entries}
        assert all(outcomes[decision] == code for decision, code in answers)
        codes = Counter(code for _, code in answers)
        for expected in ("performed", "suspended", "validation", "unknown_operation", "internal_error", "people_only"):
            assert codes[expected], (expected, codes)
        assert any(entry.get("repeats") for entry in entries)
    finally:
        gateway.close()


def test_a_crashing_handler_keeps_nothing_but_its_entry(home: World) -> None:
    def crash_after_writing(context: Context, ask: Any) -> Any:
        CATALOG.find("acquire_lock").handler(context, ask)  # type: ignore[union-attr]
        raise RuntimeError("after the effect")

    acquire = CATALOG.find("acquire_lock")
    assert acquire is not None
    operations = [replace(acquire, handler=crash_after_writing) if item is acquire else item for item in CATALOG]
    gateway = Gateway(home.store, Catalog(operations), home.gateway.bundles, home.clock, home.ids)
    try:
        agent = home.agent("crasher")
        outcome = gateway.handle(home.raw(agent, "acquire_lock", {"key": "res:kept"}))
        assert outcome.code == "internal_error"
        assert "after the effect" not in outcome.message
        assert home.entry(outcome.decision_id)["outcome"] == "internal_error"
        assert home.done(agent, "check_locks", {"key": "res:kept"})["locks"] == []
    finally:
        gateway.close()
