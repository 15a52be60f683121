"""Examining a text, a destination, a policy: told, never carried, and never a reason to deny the question."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from guardhouse.governance.tables import REFUSED
from guardhouse.ledger.tables import PAYLOAD
from tests.world import Member, World, second_process, world

ASKS = "git push --delete origin topic"
BLOCKS = "git push --force origin main"
SAFE = "ls -la"
SECRET = "hunter22-long-enough"


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def check(home: World, who: Member, text: str, **options: Any) -> dict[str, Any]:
    return home.done(who, "check_guardrails", {"operation_text": text, "kind": "shell"}, **options)


def granted(home: World, who: Member, text: str = ASKS) -> str:
    approval_id = str(check(home, who, text)["approval_id"])
    home.done(home.operator, "grant_approval", {"approval_id": approval_id})
    return approval_id


def test_a_safe_text_is_safe(home: World) -> None:
    told = check(home, home.agent("worker"), SAFE)
    assert told == {
        "safe": True,
        "verdict": "allow",
        "violations": [],
        "approval_required": False,
        "approval_id": "",
        "approval_state": "",
        "enforced": True,
        "native_reason": "",
        "times_refused": 0,
    }


@pytest.mark.parametrize(("text", "verdict"), [(SAFE, "allow"), (ASKS, "ask"), (BLOCKS, "block")])
def test_the_verdict_told_is_the_one_in_the_ledger_and_the_call_itself_is_allowed(
    home: World, text: str, verdict: str
) -> None:
    outcome = home.call(home.agent("worker"), "check_guardrails", {"operation_text": text})
    entry = home.entry(outcome.decision_id)
    assert (outcome.result or {})["verdict"] == entry["verdict"] == verdict
    assert (entry["effect"], entry["outcome"]) == ("allow", "performed")


def test_a_blocked_text_names_rule_span_reason_and_asks_nobody(home: World) -> None:
    told = check(home, home.agent("worker"), f"cd repo && {BLOCKS}")
    found = next(item for item in told["violations"] if item["rule_id"] == "git.push.force")
    text = f"cd repo && {BLOCKS}"
    assert found["matched_text"] == text[found["start"] : found["end"]]
    assert (found["category"], found["severity"]) == ("git", "block")
    assert found["reason"]
    assert (told["safe"], told["approval_required"], told["approval_id"]) == (False, False, "")


def test_a_refusal_tells_the_model_why_and_what_to_do_instead(home: World) -> None:
    outcome = home.call(home.agent("worker"), "check_guardrails", {"operation_text": BLOCKS})
    reason = (outcome.result or {})["native_reason"]
    assert reason.startswith(f"Guardhouse blocked this (git.push.force, decision {outcome.decision_id}): ")
    assert " Instead: git push --force-with-lease origin main. This is a decision, not a fault: " in reason
    assert f"`guardhouse allow {outcome.decision_id} " in reason


def test_what_does_not_bind_refuses_nobody(home: World) -> None:
    assert check(home, home.agent("lead", 3), BLOCKS)["native_reason"] == ""
    home.done(home.operator, "set_mode", {"scope": "workspace", "seconds": 600})
    told = check(home, home.agent("worker"), BLOCKS)
    assert (told["verdict"], told["native_reason"], told["times_refused"]) == ("block", "", 0)


def test_the_finding_that_binds_speaks_not_the_one_that_trust_lifts(home: World) -> None:
    told = check(home, home.agent("lead", 3), f"{BLOCKS} && rm -rf /")
    assert "git.push.force" in [item["rule_id"] for item in told["violations"]]
    assert "git.push.force" not in told["native_reason"]
    assert told["native_reason"].startswith("Guardhouse blocked this (filesystem.")


def test_the_same_refusal_is_counted_by_session_over_processes_and_threads(home: World) -> None:
    worker, other = home.agent("worker"), home.agent("other")
    with second_process(home) as there, ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda number: check((home, there)[number % 2], worker, BLOCKS), range(24)))
    assert sorted(item["times_refused"] for item in told) == list(range(1, 25))
    for item in told:
        often = f"It was refused {item['times_refused']} times in this session."
        assert (often in item["native_reason"]) is (item["times_refused"] > 1)
    assert check(home, other, BLOCKS)["times_refused"] == 1
    assert check(home, worker, BLOCKS + " --verbose")["times_refused"] == 1
    assert check(home, worker, SAFE)["times_refused"] == 0


def test_an_asked_question_is_counted_too(home: World) -> None:
    worker = home.agent("worker")
    assert [check(home, worker, ASKS)["times_refused"] for _ in range(3)] == [1, 2, 3]
    told = check(home, worker, ASKS)
    assert f"A person was asked ({told['approval_id']}) and has not answered yet" in told["native_reason"]
    assert told["native_reason"].endswith("It was refused 4 times in this session.")


def test_old_counts_are_forgotten(home: World) -> None:
    worker = home.agent("worker")
    check(home, worker, BLOCKS)
    home.later(31 * 86_400)
    fresh = home.agent("fresh")
    check(home, fresh, ASKS)
    with home.store.reading() as connection:
        assert connection.execute(select(func.count()).select_from(REFUSED)).scalar_one() == 1


def test_trust_that_overrides_a_rule_leaves_a_trace(home: World) -> None:
    told = check(home, home.agent("lead", 3), BLOCKS)
    assert (told["safe"], told["verdict"]) == (True, "warn")
    assert [item["rule_id"] for item in told["violations"]] == ["git.push.force"]


def test_the_same_question_is_asked_once_and_told_after_commit(home: World) -> None:
    worker = home.agent("worker")
    first, again = check(home, worker, ASKS), check(home, worker, ASKS)
    assert first["approval_required"] is True
    assert first["approval_state"] == again["approval_state"] == "pending"
    assert first["approval_id"] == again["approval_id"] != ""
    assert [kind for kind, _ in home.notices] == ["approval_asked"]


def test_a_presented_grant_is_spent_once_and_the_trace_says_so(home: World) -> None:
    worker = home.agent("worker")
    approval_id = granted(home, worker)
    unpresented = check(home, worker, ASKS)
    assert (unpresented["verdict"], unpresented["approval_id"], unpresented["approval_state"]) == (
        "ask",
        approval_id,
        "granted",
    )
    outcome = home.call(worker, "check_guardrails", {"operation_text": ASKS, "kind": "shell"}, approval_id=approval_id)
    entry = home.entry(outcome.decision_id)
    assert (outcome.result or {})["safe"] is True
    assert (outcome.result or {})["verdict"] == entry["verdict"] == "warn"
    assert [step["code"] for step in entry["steps"] if step["gate"] == "approval"] == ["approved"]
    assert entry["objects"] == [f"approval:{approval_id}"]
    shown = home.done(worker, "get_approval", {"approval_id": approval_id})
    assert shown["state"] == "spent"
    later = check(home, worker, ASKS, approval_id=approval_id)
    assert (later["verdict"], later["approval_state"]) == ("ask", "pending")
    assert later["approval_id"] != approval_id


def test_racers_with_one_grant_have_one_pass(home: World) -> None:
    worker = home.agent("worker")
    approval_id = granted(home, worker)
    with second_process(home) as there, ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda n: check((home, there)[n % 2], worker, ASKS, approval_id=approval_id), range(16)))
    assert sorted(item["verdict"] for item in told).count("warn") == 1


def test_a_grant_serves_neither_another_text_nor_another_agent(home: World) -> None:
    worker, rival = home.agent("worker"), home.agent("rival")
    approval_id = granted(home, worker)
    assert check(home, worker, "git push origin :other", approval_id=approval_id)["verdict"] == "ask"
    assert check(home, rival, ASKS, approval_id=approval_id)["verdict"] == "ask"
    assert check(home, worker, BLOCKS, approval_id=approval_id)["verdict"] == "block"
    assert check(home, worker, SAFE, approval_id=approval_id)["verdict"] == "allow"
    assert check(home, worker, ASKS, approval_id=approval_id)["verdict"] == "warn"


def test_a_refused_question_says_so_and_is_not_reopened(home: World) -> None:
    worker = home.agent("worker")
    approval_id = check(home, worker, ASKS)["approval_id"]
    home.done(home.operator, "refuse_approval", {"approval_id": approval_id, "reason": "no"})
    for options in ({}, {"approval_id": approval_id}):
        told = check(home, worker, ASKS, **options)
        assert (told["safe"], told["approval_id"], told["approval_state"]) == (False, approval_id, "refused")


def test_the_twenty_first_question_is_not_asked_and_the_verdict_still_told(home: World) -> None:
    worker = home.agent("worker")
    asked = [check(home, worker, f"git push --delete origin b{number}") for number in range(21)]
    assert all(item["approval_id"] for item in asked[:20])
    assert (asked[20]["verdict"], asked[20]["approval_id"], asked[20]["approval_state"]) == (
        "ask",
        "",
        "too_many_pending",
    )


def test_in_observe_mode_nothing_is_enforced_and_nobody_asked(home: World) -> None:
    worker = home.agent("worker")
    home.done(home.operator, "set_mode", {"scope": "agent", "id": worker.id, "seconds": 3600})
    outcome = home.call(worker, "check_guardrails", {"operation_text": ASKS})
    told = outcome.result or {}
    assert (told["verdict"], told["enforced"], told["approval_id"]) == ("ask", False, "")
    assert home.entry(outcome.decision_id)["would"] == "hold"
    assert home.done(home.operator, "list_approvals")["approvals"] == []
    assert home.notices == []


def test_a_secret_leaves_neither_in_the_answer_nor_stays_in_the_ledger(home: World) -> None:
    worker = home.agent("worker")
    token = "ghp_" + "a" * 36
    text = f"git push --force https://bot:{SECRET}@example.com/x.git main # {token}"
    outcome = home.call(worker, "check_guardrails", {"operation_text": text, "kind": "shell"})
    answered = json.dumps(dict(outcome.result or {}))
    kept = json.dumps(home.entry(outcome.decision_id))
    with home.store.reading() as connection:
        rows = connection.execute(select(PAYLOAD.c.body)).scalars().all()
    payloads = b"".join(bytes(body) for body in rows).decode()
    assert "git.push.force" in answered
    for secret in (SECRET, token):
        assert secret not in answered
        assert secret not in kept
        assert secret not in payloads
        assert secret not in repr(outcome)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"operation_text": ""},
        {"operation_text": "x" * 262_145},
        {"operation_text": "ls", "kind": "poem"},
        {"operation_text": "ls\x00"},
        {"operation_text": "ls", "trust": 4},
        {"operation_text": "ls", "file_paths": ["x"] * 257},
    ],
)
def test_what_is_examined_has_bounds(home: World, body: dict[str, Any]) -> None:
    assert home.call(home.agent("worker"), "check_guardrails", body).code == "validation"


@pytest.mark.parametrize(
    ("destination", "effect", "code", "rule"),
    [
        ("https://api.github.com/x", "allow", "listed_allowed", "net.code"),
        ("EXAMPLE.com.", "allow", "listed_allowed", "net.example"),
        ("https://user:pw@example.com:8443/x", "allow", "listed_allowed", "net.example"),
        ("http://169.254.169.254/latest", "deny", "listed_denied", "net.metadata"),
        ("http://0x7f.1/", "deny", "listed_denied", "net.inside"),
        ("example.com.evil.test", "deny", "not_listed", ""),
        ("https://example.com@evil.test/", "deny", "not_listed", ""),
        ("http://[::bad", "deny", "unreadable_destination", ""),
    ],
)
def test_a_destination_is_told_and_never_denies_the_question(
    home: World, destination: str, effect: str, code: str, rule: str
) -> None:
    outcome = home.call(home.agent("worker", 1), "check_network", {"destination": destination})
    assert dict(outcome.result or {}) == {"effect": effect, "code": code, "rule": rule}
    assert home.entry(outcome.decision_id)["effect"] == "allow"


@pytest.mark.parametrize("destination", ["", "x" * 2049, 5])
def test_a_destination_has_bounds(home: World, destination: Any) -> None:
    assert home.call(home.agent("worker"), "check_network", {"destination": destination}).code == "validation"


GOOD = '@id("site.x")\npermit (principal is Agent, action == Action::"check_locks", resource);'


def validate(home: World, text: str, author: str = "author", **more: Any) -> dict[str, Any]:
    return home.done(home.agent(author, 1), "validate_cedar_policy", {"policy_text": text, **more})


def test_a_good_policy_is_valid_against_the_active_schema(home: World) -> None:
    told = validate(home, GOOD)
    assert (told["valid"], told["problems"]) == (True, [])
    assert told["bundle"].startswith("sha256:")


def test_a_misspelt_attribute_is_found_with_its_line_only_by_the_schema(home: World) -> None:
    text = GOOD + '\n@id("site.y")\nforbid (principal is Agent, action, resource) when { principal.trust_levle < 2 };'
    told = validate(home, text)
    assert told["valid"] is False
    assert any(item["line"] == 3 and "trust_levle" in item["message"] for item in told["problems"])


def test_without_the_schema_a_policy_only_has_to_be_readable(home: World) -> None:
    text = '@id("site.y") forbid (principal is Nobody, action, resource);'
    told = validate(home, text, check_schema=False)
    assert (told["valid"], told["bundle"]) == (True, "")
    broken = validate(home, "permit (principal", "second", check_schema=False)
    assert broken["valid"] is False
    assert broken["problems"][0]["message"]


@pytest.mark.parametrize(
    "text",
    [
        '@id("x") permit(principal,action,resource) when {' + "(" * 10_000 + "};",
        '@id("x") permit(principal,action,resource) when {' + "!" * 9_000 + "true};",
        '@id("x") permit(principal,action,resource) when {"\u202e" == ""};' + "\u202e",
        "permit (principal, action, resource);",
    ],
    ids=["nested", "negated", "bidi", "no-id"],
)
def test_hostile_policy_text_is_a_problem_and_never_a_crash(home: World, text: str) -> None:
    told = validate(home, text)
    assert told["valid"] is False
    assert told["problems"]


@pytest.mark.parametrize("text", ["", "x" * 1_000_001, "permit\x00", 5])
def test_policy_text_has_bounds(home: World, text: Any) -> None:
    outcome = home.call(home.agent("author"), "validate_cedar_policy", {"policy_text": text})
    assert outcome.code == "validation"
