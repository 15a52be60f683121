"""What stands in the envelope beside a refusal's code, for programs: who, why, until when, which host, what is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from guardhouse.surfaces import problem
from tests.world import Member, World, shipped_bundle, world

WHY = "the release is being cut"


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def told(home: World, who: Member, operation: str, body: dict[str, Any], code: str) -> dict[str, Any]:
    """The error of a refused call as every door builds it."""
    outcome = home.call(who, operation, body)
    assert outcome.code == code, (outcome.code, outcome.message)
    error: dict[str, Any] = problem.of_outcome(outcome, "req_1")["error"]
    assert WHY not in json.dumps(home.entry(outcome.decision_id)), "an entry holds no reason"
    return error


ORDERS = (
    ("pause_agent", "agent_paused", "paused", True),
    ("suspend_agent", "agent_suspended", "suspended", False),
    ("stop_agent", "agent_stopped", "stopped", False),
    ("pause_workspace", "workspace_not_active", "paused", True),
    ("stop_workspace", "workspace_not_active", "stopped", False),
)


@pytest.mark.parametrize(("order", "code", "state", "ends"), ORDERS, ids=[order[0] for order in ORDERS])
def test_an_order_that_binds_says_by_whom_why_and_until_when(
    home: World, order: str, code: str, state: str, ends: bool
) -> None:
    agent = home.agent("worker")
    body = {"reason": WHY} | ({"agent_id": agent.id} if order.endswith("agent") else {})
    given = home.call(home.operator, order, body | ({"seconds": 600} if ends else {}))
    error = told(home, agent, "acquire_lock", {"key": "a"}, code)
    at = home.entry(given.decision_id)["at"]
    assert {name: error[name] for name in ("state", "by", "by_alias", "reason")} == {
        "state": state,
        "by": home.operator.id,
        "by_alias": "first",
        "reason": WHY,
    }
    assert error["until"] == ((given.result or {})["until"] if ends else "")
    assert (error["until"] > at) is ends
    if code in ("agent_paused", "workspace_not_active"):
        assert error["retry_after_seconds"] == (600 if ends else 60)
    home.done(home.operator, "erase_payload", {"decision_ids": [given.decision_id], "reason": "asked"})
    after = told(home, agent, "acquire_lock", {"key": "a"}, code)
    assert (after["reason"], after["by"]) == ("", home.operator.id), "the order stands, its reason was erased"


def test_of_two_pauses_the_one_that_runs_longest_is_told(home: World) -> None:
    agent, opal, other = home.agent("worker"), home.person("opal", "operator"), home.agent("other")
    home.done(home.operator, "pause_agent", {"agent_id": other.id, "seconds": 30, "reason": "another's"})
    home.done(home.operator, "pause_agent", {"agent_id": agent.id, "seconds": 60, "reason": "short"})
    home.done(opal, "pause_agent", {"agent_id": agent.id, "seconds": 900, "reason": WHY})
    error = told(home, agent, "acquire_lock", {"key": "a"}, "agent_paused")
    assert (error["by"], error["by_alias"], error["reason"], error["retry_after_seconds"]) == (
        opal.id,
        "opal",
        WHY,
        900,
    )
    auditor = home.agent("boss", 3)
    refused = told(home, auditor, "resume_agent", {"agent_id": agent.id}, "not_pauser")
    assert (refused["by"], refused["by_alias"], refused["reason"], refused["state"]) == (opal.id, "opal", WHY, "paused")
    assert refused["until"] == error["until"]


def test_a_destination_that_the_lists_refuse_is_named_as_its_host(home: World) -> None:
    files = {path: data.decode() for path, data in shipped_bundle().files.items()}
    lists = "allow: []\ndeny:\n  - {id: site.bad, domains: ['*.bad.example'], why: it is bad}\n"
    law = {path: text for path, text in files.items() if not path.startswith("network/")} | {"network/site.yaml": lists}
    home.done(home.operator, "activate_policy", {"files": law})
    agent = home.agent("worker")
    for url, domain, rule, because in (
        (
            "https://user:hunter2hunter2@www.bad.example:8443/secret/path?q=1",
            "www.bad.example",
            "site.bad",
            "listed_denied",
        ),
        ("https://unknown.example/x", "unknown.example", "", "not_listed"),
        ("http://[::1]:80/", "::1", "", "not_listed"),
        ("not a destination", "", "", "unreadable_destination"),
    ):
        error = told(home, agent, "check_tool", {"action": "fetch", "tool": "WebFetch", "url": url}, "network_denied")
        assert (error["domain"], error["rule"]) == (domain, rule), url
        assert error["domains"] == [{"field": "url", "domain": domain, "rule": rule, "because": because}]
        assert not rule or rule in error["rule_ids"]
        assert "hunter2" not in json.dumps(error)
        assert "secret/path" not in json.dumps(error)


def test_what_a_caller_lacks_is_named(home: World) -> None:
    files = {path: data.decode() for path, data in shipped_bundle().files.items()}
    files["profiles.yaml"] += "  readers:\n    description: for a test\n    trust_ceiling: 1\n"
    home.done(home.operator, "activate_policy", {"files": files})
    capped, agent = home.agent("capped", 3, profile="readers"), home.agent("worker")
    assert told(home, capped, "acquire_lock", {"key": "a"}, "trust_too_low")["needed"] == {"trust": 2}
    claimed = told(home, agent, "acquire_lock", {"key": "a", "agent_id": capped.id}, "sender_mismatch")
    assert claimed["needed"] == {"principal": agent.id}
    assert told(home, agent, "list_agents", {}, "people_only")["needed"] == {"kind": "person"}
    asked = told(home, agent, "query_audit", {"agent_id": capped.id}, "forbidden_scope")
    assert asked["needed"] == {"trust": 3}
    boss = home.agent("boss", 3)
    task = home.done(boss, "submit_work", {"title": "x"})["task_id"]
    fence = home.done(boss, "claim_task", {"task_id": task})["fence"]
    home.done(boss, "complete_work", {"task_id": task, "fence": fence, "summary": "x"})
    own = told(
        home, boss, "record_verification", {"task_id": task, "gate": "testing", "passed": True}, "self_verification"
    )
    assert own["needed"] == {"other_than": [boss.id]}


def test_what_is_used_up_is_named(home: World) -> None:
    agent = home.agent("hasty", profile="limited")
    for _ in range(40):
        home.done(agent, "renew_session")
    error = told(home, agent, "renew_session", {}, "quota_exhausted")
    assert error["bucket"] == "calls_per_hour"
    assert error["retry_after_seconds"] > 0
    assert problem.envelope("rate_limited", "x")["error"]["bucket"] == "refusals_per_minute"


def test_a_profiles_bound_on_size_says_how_much_and_what_to_do(home: World) -> None:
    files = {path: data.decode() for path, data in shipped_bundle().files.items()}
    files["profiles.yaml"] += "  terse:\n    description: for a test\n    limits: {payload_bytes: 100}\n"
    home.done(home.operator, "activate_policy", {"files": files})
    agent = home.agent("worker", profile="terse")
    body = {"key": "a", "reason": "x" * 200}
    outcome = home.call(agent, "acquire_lock", body)
    assert (outcome.code, problem.status(outcome.code)) == ("payload_too_large", 413)
    size = len(json.dumps(body))
    assert outcome.message.startswith(
        f"at most 100 bytes a call in this profile, and this call has {size}: send less, or split"
    )
    assert "payload_bytes" in outcome.message
    assert home.call(agent, "acquire_lock", {"key": "a"}).performed


def test_instants_are_told_as_every_other_answer_tells_them(home: World) -> None:
    agent = home.agent("worker")
    given = home.done(home.operator, "pause_agent", {"agent_id": agent.id, "seconds": 600})
    error = told(home, agent, "acquire_lock", {"key": "a"}, "agent_paused")
    assert error["until"] == given["until"]
