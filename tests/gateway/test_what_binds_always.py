"""What no mode, fault or repeat lifts: who may govern, and the hourly limit; and a ground that is gone for readers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import OperationalError

from guardhouse.errors import NotPerformed
from tests.world import World, shipped_bundle


def test_an_observed_workspace_lets_nobody_govern_who_may_not(home: World) -> None:
    auditor = home.person("auditor", "auditor")
    home.done(home.operator, "set_mode", {"scope": "workspace", "seconds": 600, "reason": "try the law"})
    for operation, body in (
        ("add_person", {"name": "mine", "roles": ["operator", "security"]}),
        ("issue_token", {"principal_id": home.operator.id}),
        ("add_agent", {"handle": "mine", "trust": 4}),
    ):
        outcome = home.call(auditor, operation, body)
        assert not outcome.performed, operation
        entry = home.entry(outcome.decision_id)
        assert (entry["effect"], entry["enforced"]) == ("deny", True)
    low = home.agent("low", trust=1)
    assert home.call(low, "acquire_lock", {"key": "res:a"}).performed


def test_malformed_and_repeated_calls_use_up_the_hour(home: World) -> None:
    broken, repeating = home.agent("broken", profile="limited"), home.agent("repeating", profile="limited")
    codes = [home.call(broken, "acquire_lock", {"key": 7}).code for _ in range(45)]
    assert codes.count("validation") == 40
    assert codes[40:] == ["quota_exhausted"] * 5
    codes = [home.call(repeating, "acquire_lock", {"key": "res:same"}, idempotency_key="k").code for _ in range(45)]
    assert codes.count("performed") == 40
    assert codes[40:] == ["quota_exhausted"] * 5


def test_a_spent_grant_is_told_by_its_idempotency_key(home: World) -> None:
    agent = home.agent("asker")
    text = {"operation_text": "terraform apply plan.out", "kind": "shell"}
    asked = home.done(agent, "check_guardrails", text)
    assert asked["verdict"] == "ask", asked
    home.done(home.operator, "grant_approval", {"approval_id": asked["approval_id"], "reason": "fine"})
    spent = home.call(agent, "check_guardrails", text, approval_id=asked["approval_id"], idempotency_key="once")
    assert (spent.result or {})["verdict"] in ("allow", "warn")
    told = home.done(agent, "get_outcome", {"idempotency_key": "once"})
    assert (told["state"], told["outcome_decision_id"]) == ("performed", spent.decision_id)
    again = home.call(agent, "check_guardrails", text, approval_id=asked["approval_id"], idempotency_key="once")
    assert again.repeated == spent.decision_id
    assert (again.result or {})["verdict"] == (spent.result or {})["verdict"]


def test_a_database_gone_for_readers_is_an_honest_answer(home: World) -> None:
    fresh = home.agent("fresh")
    home.done(home.operator, "check_locks")
    real = home.store.reading

    @contextmanager
    def gone(*_arguments: Any) -> Any:
        raise OperationalError("SELECT", {}, OSError("gone"))
        yield

    home.store.reading = gone
    try:
        with pytest.raises(NotPerformed):
            home.call(fresh, "check_locks")
        assert home.call(home.operator, "query_audit").code == "answer_unavailable"
    finally:
        home.store.reading = real
    assert home.call(fresh, "check_locks").performed


def test_nothing_is_gathered_for_a_suspended_caller(home: World, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = home.agent("parser")
    home.done(home.operator, "suspend_agent", {"agent_id": agent.id, "reason": "over"})
    started: list[Any] = []
    monkeypatch.setattr("subprocess.run", lambda *given, **_more: started.append(given))
    outcome = home.call(agent, "validate_cedar_policy", {"policy_text": "permit(principal, action, resource);"})
    assert outcome.code in ("agent_suspended", "suspended")
    assert started == []


def test_a_caught_secret_reaches_no_table_through_a_reason(home: World) -> None:
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    agent = home.agent("named")
    home.done(home.operator, "pause_agent", {"agent_id": agent.id, "reason": f"it printed {secret}", "seconds": 60})
    home.done(home.operator, "set_mode", {"scope": "workspace", "seconds": 60, "reason": secret})
    home.call(home.operator, "register_repository", {"name": f"example.com/{secret}"})
    with home.store.reading() as connection:
        for table in inspect(connection).get_table_names():
            for row in connection.execute(text(f'SELECT * FROM "{table}"')):
                told = "|".join(
                    bytes(v).decode("latin-1") if isinstance(v, (bytes, memoryview)) else str(v) for v in row
                )
                assert secret not in told, table


def test_a_body_of_too_many_values_is_one_small_answer(home: World) -> None:
    agent = home.agent("noisy")
    outcome = home.call(agent, "check_guardrails", {"operation_text": "ls", "file_paths": [1] * 300_000})
    assert outcome.code == "validation"
    outcome = home.call(agent, "check_guardrails", {"operation_text": "ls"} | {f"x{n}": 1 for n in range(5000)})
    assert len(outcome.error["fields"]) <= 20


@pytest.mark.parametrize("key", ["schlüssel", "two words", "x" * 201, "tab\t"])
def test_an_idempotency_key_that_cannot_be_asked_for_is_refused(home: World, key: str) -> None:
    agent = home.agent("keyed")
    assert home.call(agent, "acquire_lock", {"key": "res:a"}, idempotency_key=key).code == "validation"


@pytest.mark.parametrize("approval", ["../x", "apr", "APR_1", "apr_" + "0" * 80])
def test_what_is_no_approval_id_is_refused_and_not_passed_over(home: World, approval: str) -> None:
    agent = home.agent("presenting")
    assert home.call(agent, "acquire_lock", {"key": "res:a"}, approval_id=approval).code == "validation"


def test_nobody_answers_their_own_question_through_anothers_token(home: World) -> None:
    asker, other = home.person("asker", "operator"), home.person("other", "security")
    for who in (other.id, home.operator.id):
        assert home.call(asker, "issue_token", {"principal_id": who}).code == "wrong_role"
    token_id = "tok_" + other.token.split("_")[2]
    assert home.call(asker, "rotate_token", {"token_id": token_id}).code == "wrong_role"
    issued = home.call(home.operator, "issue_token", {"principal_id": other.id})
    assert f"exception:person_token:{other.id}" in home.entry(issued.decision_id)["objects"]


def test_a_short_or_rotated_token_does_not_outlive_itself(home: World) -> None:
    agent = home.agent("holder")
    short = home.done(home.operator, "issue_token", {"principal_id": agent.id, "session": True})["token"]
    long_id = "tok_" + agent.token.split("_")[2]
    assert home.call(short, "rotate_token", {"token_id": long_id}).code == "not_found"
    successor = home.done(agent, "rotate_token")["token"]
    successor_id = "tok_" + successor.split("_")[2]
    assert home.call(agent, "rotate_token", {"token_id": successor_id}).code == "token_not_live"
    assert home.call(successor, "check_locks").performed


def test_a_failing_statement_tells_the_log_nothing_of_its_values(home: World, caplog: pytest.LogCaptureFixture) -> None:
    agent = home.agent("private")
    with home.store.writing("") as tx:
        tx.connection.exec_driver_sql("ALTER TABLE lock RENAME TO lock_away")
    outcome = home.call(agent, "acquire_lock", {"key": "res:a", "reason": "my password is hunter2"})
    assert outcome.code == "internal_error"
    assert "hunter2" not in caplog.text + outcome.message


def test_questions_of_an_older_law_block_nobody(home: World) -> None:
    agent = home.agent("curious")
    for number in range(20):
        asked = home.done(agent, "check_guardrails", {"operation_text": f"terraform apply plan-{number}"})
        assert asked["verdict"] == "ask"
    full = home.done(agent, "check_guardrails", {"operation_text": "terraform apply one-more"})
    assert not full["approval_id"]
    files = {path: data.decode() for path, data in shipped_bundle().files.items()}
    files["network/site.yaml"] = "allow:\n  - {id: net.site, why: ours, domains: [new.example.com]}\n"
    home.done(home.operator, "activate_policy", {"files": files})
    assert home.done(agent, "check_guardrails", {"operation_text": "terraform apply one-more"})["approval_id"]
