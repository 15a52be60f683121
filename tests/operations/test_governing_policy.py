"""Activating, rolling back and showing the law, and the ledger's own operations, through the corridor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select

from guardhouse.ledger.tables import PAYLOAD
from guardhouse.operations.policy import ActivatePolicyAsk
from tests.world import World, second_process, shipped_bundle, world


@pytest.fixture
def here(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def edited(text: str = "\n# edited\n") -> dict[str, str]:
    """The shipped files with a remark at the end of `gateway.yaml`: another bundle, the same rules."""
    files = {path: content.decode() for path, content in shipped_bundle().files.items()}
    return files | {"gateway.yaml": files["gateway.yaml"] + text}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"files": {}},
        {"files": {"../gateway.yaml": "x"}},
        {"files": {"/etc/passwd": "x"}},
        {"files": {"cedar/../../x": "x"}},
        {"files": {".hidden": "x"}},
        {"files": {"a": "x"}, "digest": "sha256:" + "0" * 64},
        {"digest": "sha256:0"},
        {"digest": "sha256:" + "0" * 64 + "\n"},
    ],
)
def test_a_bundle_needs_one_source_and_plain_paths(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ActivatePolicyAsk.model_validate_json(json.dumps(body))


def test_an_activation_binds_every_process_and_rolls_back(here: World) -> None:
    worker = here.agent("worker", 2)
    first = shipped_bundle().digest
    with second_process(here) as there:
        there.done(worker, "renew_session")
        made = here.done(here.operator, "activate_policy", {"files": edited(), "note": "a remark"})
        assert made["changed"] is True
        assert made["previous_digest"] == first
        outcome = there.call(worker, "renew_session")
        assert there.entry(outcome.decision_id)["bundle"] == made["digest"]
        again = here.done(here.operator, "activate_policy", {"files": edited()})
        assert (again["changed"], again["number"]) == (False, made["number"])
        assert here.done(here.operator, "rollback_policy")["digest"] == first
        outcome = there.call(worker, "renew_session")
        assert there.entry(outcome.decision_id)["bundle"] == first
    history = here.done(here.operator, "policy_history")["activations"]
    assert [item["digest"] for item in history] == [first, made["digest"], first]
    assert [item["active"] for item in history] == [True, False, False]
    assert history[1]["note"] == "a remark"


def test_the_law_is_shown_as_it_was_activated(here: World) -> None:
    files = edited()
    made = here.done(here.operator, "activate_policy", {"files": files})
    shown = here.done(here.operator, "show_policy")
    assert (shown["digest"], shown["active"]) == (made["digest"], True)
    assert shown["files"] == files
    old = here.done(here.operator, "show_policy", {"digest": shipped_bundle().digest})
    assert old["active"] is False
    assert here.call(here.operator, "show_policy", {"digest": "sha256:" + "0" * 64}).code == "not_found"


@pytest.mark.parametrize("text", ["\nengine: [", "\n" + "[" * 10_000, "\n\u202e: x"])
def test_a_faulty_bundle_changes_nothing(here: World, text: str) -> None:
    outcome = here.call(here.operator, "activate_policy", {"files": edited(text)})
    assert outcome.code == "invalid_bundle"
    assert here.done(here.operator, "show_policy")["digest"] == shipped_bundle().digest


def test_only_security_people_change_the_law(here: World) -> None:
    body = {"files": edited()}
    for who in (here.agent("chief", 4), here.person("ann", "auditor"), here.person("opal", "operator")):
        assert not here.call(who, "activate_policy", body).performed
        assert not here.call(who, "rollback_policy").performed
    assert here.call(here.operator, "rollback_policy").code == "nothing_to_roll_back"
    here.done(here.person("sam", "security"), "activate_policy", body)


def test_the_ledger_verifies_itself(here: World) -> None:
    here.done(here.operator, "list_agents")
    verified = here.done(here.operator, "verify_audit")
    assert verified["ok"] is True
    assert verified["tree_size"] == here.count() - 1
    assert verified["faults"] == []


def test_a_search_filters_and_pages(here: World) -> None:
    worker = here.agent("worker", 2)
    for _ in range(3):
        here.done(worker, "renew_session")
    here.done(here.operator, "list_agents")
    found = here.done(here.operator, "query_audit", {"operation": "renew_session", "limit": 2})
    assert (len(found["entries"]), found["more"]) == (2, True)
    rest = here.done(here.operator, "query_audit", {"operation": "renew_session", "limit": 2, "cursor": found["next"]})
    assert (len(rest["entries"]), rest["more"]) == (1, False)
    assert here.call(here.operator, "query_audit", {"since": "yesterday"}).code == "validation"


def test_a_payload_is_erased_for_good_and_the_ledger_still_verifies(here: World) -> None:
    outcome = here.call(here.operator, "register_repository", {"name": "github.com/example/personal"})
    body = {"decision_ids": [outcome.decision_id], "reason": "a name that should not stay"}
    assert not here.call(here.person("opal", "operator"), "erase_payload", body).performed
    security = here.person("sam", "security")
    assert here.done(security, "erase_payload", body)["erased"] == [outcome.decision_id]
    with here.store.reading() as connection:
        left = connection.execute(select(PAYLOAD.c.sequence).where(PAYLOAD.c.sequence == outcome.sequence)).all()
    assert left == []
    assert "example/personal" not in json.dumps(here.entries()), "an entry names what was vouched for by an HMAC"
    assert here.done(security, "erase_payload", body)["absent"] == [outcome.decision_id]
    verified = here.done(here.operator, "verify_audit")
    assert (verified["ok"], verified["erased"]) == (True, 1)
    missing = {"decision_ids": ["dec_none"], "reason": "x"}
    assert here.call(security, "erase_payload", missing).code == "not_found"


def test_an_entry_names_people_agents_and_repositories_by_id_only(here: World) -> None:
    added = here.call(here.operator, "add_agent", {"handle": "platypus-handle", "trust": 2, "label": "platypus label"})
    here.done(here.operator, "add_person", {"name": "platypus-name", "roles": ["auditor"]})
    first = here.done(here.operator, "register_repository", {"name": "github.com/platypus/app"})
    again = here.call(here.operator, "register_repository", {"name": "github.com/platypus/app"})
    here.done(here.operator, "create_workspace", {"slug": "platypus-slug", "person_name": "platypus"})
    here.done(
        here.operator,
        "set_mode",
        {"scope": "agent", "id": added.result["agent_id"], "seconds": 60, "reason": "platypus"},
    )
    assert (first["created"], again.result["created"]) == (True, False)
    entries = here.entries()
    assert "platypus" not in json.dumps(entries)
    assert here.entry(added.decision_id)["resource"] == {"type": "Agent", "id": "new"}
    named = [name for entry in entries for name in entry.get("objects", ()) if name.startswith("repository:")]
    assert len(named) == 2, "the same repository has the same name in both"
    assert len(set(named)) == 1
