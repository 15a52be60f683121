"""An agent's day: it checks a command, takes a lock, meets another's, waits for a person, and goes on."""

from __future__ import annotations

import threading

from tests.journeys.conftest import House


def test_an_agents_day(house: House) -> None:
    builder, other = house.agent("builder"), house.agent("other")

    # It asks before it acts.
    fine = house.done(builder.token, "check_guardrails", {"operation_text": "pytest -q", "cwd": "/srv/app"})
    assert (fine["safe"], fine["verdict"], fine["violations"]) == (True, "allow", [])
    bad = house.done(builder.token, "check_guardrails", {"operation_text": "git push --force origin main"})
    assert (bad["safe"], bad["verdict"], bad["approval_id"]) == (False, "block", "")
    assert bad["violations"][0]["rule_id"] == "git.push.force"
    assert bad["violations"][0]["reason"]
    assert "--force-with-lease" in bad["violations"][0]["alternative"]
    assert house.entry(bad["decision_id"])["verdict"] == "block"

    # It takes a file; the other one is told by whom it is held and when to try again, and nothing is lost by that.
    lock = house.done(builder.token, "acquire_lock", {"key": "src/app.py", "reason": "add a route", "ttl_seconds": 300})
    status, held = house.call(other.token, "acquire_lock", {"key": "src//./app.py"})
    assert (status, held["error"]["code"]) == (409, "held")
    assert held["error"]["retry_after_seconds"] > 0
    assert builder.id in str(held["error"])
    seen = house.done(other.token, "check_locks", {"prefix": "src"})["locks"]
    assert [(one["key"], one["agent_id"]) for one in seen] == [(lock["key"], builder.id)]
    assert house.refused(other.token, "release_lock", {"key": "src/app.py"}) == (409, "not_holder")
    house.done(builder.token, "release_lock", {"key": "src/app.py", "fence": lock["fence"]})
    later = house.done(other.token, "acquire_lock", {"key": "src/app.py"})
    assert later["fence"] > lock["fence"]
    assert house.refused(builder.token, "renew_lock", {"key": "src/app.py", "fence": lock["fence"]})[0] == 409


def test_a_retry_with_the_same_key_answers_with_the_first_outcome(house: House) -> None:
    builder = house.agent("builder")
    body = {"key": "res:deploy/staging"}
    first = house.done(builder.token, "acquire_lock", body, Idempotency_Key="deploy-1")
    house.done(builder.token, "release_lock", body)
    again = house.done(builder.token, "acquire_lock", body, Idempotency_Key="deploy-1")
    assert (again["lock_id"], again["fence"]) == (first["lock_id"], first["fence"])
    assert house.done(builder.token, "check_locks")["locks"] == []
    status, answer = house.call(builder.token, "acquire_lock", {"key": "res:other"}, Idempotency_Key="deploy-1")
    assert (status, answer["error"]["code"]) == (409, "idempotency_conflict")


def test_it_waits_on_the_line_while_a_person_decides(house: House) -> None:
    builder = house.agent("builder")
    asked = house.done(builder.token, "check_guardrails", {"operation_text": "npm publish"})
    assert (asked["verdict"], asked["approval_required"]) == ("ask", True)
    question = {"approval_id": asked["approval_id"]}
    assert house.refused(builder.token, "grant_approval", question) == (403, "people_only")
    heard: list[dict[str, object]] = []
    waiting = threading.Thread(
        target=lambda: heard.append(house.done(builder.token, "wait_approval", question | {"timeout_seconds": 60}))
    )
    waiting.start()
    listed = house.done(house.operator, "list_approvals")["approvals"]
    assert [one["approval_id"] for one in listed] == [asked["approval_id"]]
    house.done(house.operator, "grant_approval", question | {"reason": "the release is planned"})
    waiting.join(60)
    assert [one["state"] for one in heard] == ["granted"]
    text = {"operation_text": "npm publish"}
    presented = {"Guardhouse_Approval": asked["approval_id"]}
    assert (
        house.done(builder.token, "check_guardrails", {"operation_text": "npm publish --access public"}, **presented)[
            "safe"
        ]
        is False
    )
    assert house.done(builder.token, "check_guardrails", text, **presented)["safe"] is True
    second = house.done(builder.token, "check_guardrails", text, **presented)
    assert (second["safe"], second["verdict"]) == (False, "ask")
    assert second["approval_id"] != asked["approval_id"]
