"""An entry stays small: a typical check takes less than 1.5 KB of the ledger, and what is left out is what goes without saying."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from guardhouse.gateway.replay import recorded_form
from guardhouse.ledger.tables import ENTRY
from guardhouse.model.decision import written_out
from tests.world import World, world

MOST = 1_500
FAR = 9_999_999
"""A sequence as long as a busy ledger's: the bytes must be few there too."""
CHECKS: tuple[dict[str, Any], ...] = (
    {"operation_text": "git status"},
    {"operation_text": "git push origin topic/login", "kind": "shell", "cwd": "/srv/checkouts/app", "tool": "Bash"},
    {"operation_text": "x" * 5_000, "kind": "file", "file_paths": ["src/app/main.py", "src/app/more.py"]},
)


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def stored(home: World, decision_id: str) -> bytes:
    with home.store.reading() as connection:
        return bytes(connection.execute(select(ENTRY.c.body).where(ENTRY.c.id == decision_id)).scalar_one())


def test_a_typical_checks_entry_is_below_the_bound(home: World) -> None:
    agent = home.agent("worker", profile="default")
    sizes = []
    for body in CHECKS:
        options = {"surface": "http", "address": "203.0.113.254", "request_id": "req_" + "a" * 26}
        outcome = home.call(agent, "check_guardrails", body, **options)
        assert outcome.performed
        entry = json.loads(stored(home, outcome.decision_id))
        sizes.append(len(stored(home, outcome.decision_id)) + len(str(FAR)) - len(str(entry["sequence"])))
    assert max(sizes) < MOST, sizes
    # Findings are what an auditor asks for first: each is told whole, beside the rest.
    found = home.call(agent, "check_guardrails", {"operation_text": "git push --force-with-lease origin topic"})
    assert len(stored(home, found.decision_id)) < 2 * MOST


def test_what_is_left_out_is_what_goes_without_saying(home: World) -> None:
    agent, idle = home.agent("worker"), home.agent("idle", trust=0)
    calls = [home.call(agent, "check_guardrails", CHECKS[0]), home.call(idle, "check_locks")]
    home.done(home.operator, "set_mode", {"scope": "workspace", "seconds": 60, "reason": "to see"})
    calls.append(home.call(agent, "check_guardrails", CHECKS[0]))
    plain, denied, observed = (home.entry(call.decision_id) for call in calls)
    assert (plain["v"], "mode" in plain, observed["mode"]) == (2, False, "observe")
    assert all("effect" not in step for step in plain["steps"])
    assert [step.get("effect", "allow") for step in denied["steps"]] == ["deny"] + ["not_reached"] * 6
    whole = written_out(plain)
    assert (whole["mode"], {step["effect"] for step in whole["steps"]}) == ("enforce", {"allow"})
    for entry in (plain, denied, observed):
        assert recorded_form(written_out(entry)) == recorded_form(entry), "format 1 says the same in more words"


def test_the_formats_differ_in_nothing_else() -> None:
    golden = Path(__file__).parents[1] / "golden"
    first, second = (
        [json.loads(line)["entry"] for line in (golden / f"ledger_v{version}.jsonl").read_text().splitlines()]
        for version in (1, 2)
    )
    for old, new in zip(first, second, strict=True):
        assert (old["operation"], old["outcome"]) == (new["operation"], new["outcome"])
        assert old.keys() - new.keys() <= {"mode"}
        assert [step["gate"] for step in old["steps"]] == [step["gate"] for step in new["steps"]]
        assert [step["effect"] for step in old["steps"]] == [step["effect"] for step in written_out(new)["steps"]]
    assert len(first) == len(second) >= 10
