"""The guardrails in force, as anybody may read them: every rule once, by pages and by category."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.world import World, shipped_bundle, world


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as found:
        yield found


def test_c45_the_rules_in_force_are_listed_with_their_reasons(home: World) -> None:
    looker = home.agent("looker", trust=1)
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {"more": True, "next": ""}
    while page["more"]:
        page = home.done(looker, "list_guardrails", {"limit": 40, "after": page["next"]})
        found += page["rules"]
    known = shipped_bundle().packs.rules
    assert [item["rule_id"] for item in found] == sorted(known)
    assert all(item["reason"] == known[item["rule_id"]].reason for item in found)
    assert page["version"] == home.done(looker, "get_playbook")["version"]
    only = home.done(looker, "list_guardrails", {"category": "git"})["rules"]
    assert {item["category"] for item in only} == {"git"}
    assert len(only) == sum(rule.category == "git" for rule in known.values())
