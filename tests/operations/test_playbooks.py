"""Operations on playbooks: one's own role, cheaply asked again."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardhouse.operations import playbooks
from tests.operations.workbench import Workbench, agent


@pytest.fixture
def bench(store: Any, clock: Any, ids: Any) -> Workbench:
    return Workbench(store, clock, ids)


def test_a24_a25_a26_invariants_for_all_and_ones_own_guide(bench: Workbench) -> None:
    for role, guide in (("developer", "lock, edit, release"), ("reviewer", "read it all"), ("stranger", "")):
        book = bench.call(playbooks.get_playbook, agent("anna", role=role))
        assert (book["role"], book["guide"], book["invariants"]) == (role, guide, ["ask first", "be kind"])
    with pytest.raises(ValidationError):
        playbooks.get_playbook.ask.model_validate({"role": "reviewer"})


def test_a27_roles_are_listed_with_ones_own_marked(bench: Workbench) -> None:
    listed = bench.call(playbooks.list_roles, agent("anna"))
    assert [(item["role"], item["yours"]) for item in listed["roles"]] == [("developer", True), ("reviewer", False)]


def test_a28_asked_again_it_is_not_modified_until_the_text_changes(bench: Workbench) -> None:
    anna = agent("anna")
    first = bench.call(playbooks.get_playbook, anna)
    bench.version = "sha256:two"
    again = bench.call(playbooks.get_playbook, anna, if_none_match=first["etag"])
    assert (again["not_modified"], again["guide"], again["invariants"]) == (True, "", [])
    assert again["version"] == "sha256:two"
    bench.playbooks["developer"] = bench.playbooks["developer"] | {"guide": "new words"}
    changed = bench.call(playbooks.get_playbook, anna, if_none_match=first["etag"])
    assert (changed["not_modified"], changed["guide"]) == (False, "new words")
    assert changed["etag"] != first["etag"]
