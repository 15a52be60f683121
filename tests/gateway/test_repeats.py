"""Idempotency keys: the same call sent again is answered with its first outcome, and done once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.world import World, second_process


def test_the_same_key_and_call_is_performed_once_and_each_sending_recorded(home: World) -> None:
    agent = home.agent("sender")
    body = {"key": "res:once", "ttl_seconds": 300}
    first = home.call(agent, "acquire_lock", body, idempotency_key="k1")
    again = home.call(agent, "acquire_lock", body, idempotency_key="k1")
    assert first.performed
    assert again.performed
    assert again.repeated == first.decision_id
    assert dict(again.result or {}) == dict(first.result or {})
    entry = home.entry(again.decision_id)
    assert entry["repeats"] == first.decision_id
    assert entry["steps"][-1]["effect"] == "not_reached"


def test_racing_sendings_of_one_key_have_one_effect(home: World) -> None:
    agent = home.agent("sender")
    with second_process(home) as other, ThreadPoolExecutor(16) as pool:
        outcomes = list(
            pool.map(
                lambda n: (home if n % 2 else other).call(
                    agent, "acquire_lock", {"key": f"res:{'same'}"}, idempotency_key="race"
                ),
                range(32),
            )
        )
    assert all(outcome.performed for outcome in outcomes)
    assert len({(outcome.result or {})["fence"] for outcome in outcomes}) == 1
    assert sum(not outcome.repeated for outcome in outcomes) == 1


def test_the_same_key_for_another_call_is_refused(home: World) -> None:
    agent = home.agent("sender")
    home.done(agent, "acquire_lock", {"key": "res:a"}, idempotency_key="k")
    other = home.call(agent, "acquire_lock", {"key": "res:b"}, idempotency_key="k")
    assert other.code == "idempotency_conflict"
    assert home.done(agent, "check_locks", {"key": "res:b"})["locks"] == []


def test_a_key_belongs_to_its_session(home: World) -> None:
    one, two = home.agent("one"), home.agent("two")
    home.done(one, "acquire_lock", {"key": "res:a"}, idempotency_key="k")
    outcome = home.call(two, "acquire_lock", {"key": "res:b"}, idempotency_key="k")
    assert outcome.performed
    assert not outcome.repeated


def test_a_key_is_forgotten_after_a_day(home: World) -> None:
    agent = home.agent("sender")
    first = home.call(agent, "acquire_lock", {"key": "res:a", "ttl_seconds": 60}, idempotency_key="k")
    home.later(24 * 3600 + 1)
    home.done(agent, "heartbeat")
    later = home.call(agent, "acquire_lock", {"key": "res:a", "ttl_seconds": 60}, idempotency_key="k")
    assert later.performed
    assert not later.repeated
    assert (later.result or {})["fence"] > (first.result or {})["fence"]


def test_a_refusal_is_not_kept_so_that_trying_again_can_succeed(home: World) -> None:
    holder, agent = home.agent("holder"), home.agent("sender")
    home.done(holder, "acquire_lock", {"key": "res:a"})
    assert home.call(agent, "acquire_lock", {"key": "res:a"}, idempotency_key="k").code == "held"
    home.done(holder, "release_lock", {"key": "res:a"})
    assert home.call(agent, "acquire_lock", {"key": "res:a"}, idempotency_key="k").performed


def test_a_suspended_agent_learns_nothing_from_its_key(home: World) -> None:
    agent = home.agent("sender")
    home.done(agent, "acquire_lock", {"key": "res:a"}, idempotency_key="k")
    home.done(home.operator, "suspend_agent", {"agent_id": agent.id, "reason": "over"})
    outcome = home.call(agent, "acquire_lock", {"key": "res:a"}, idempotency_key="k")
    assert not outcome.performed
    assert outcome.result is None


def test_get_outcome_tells_what_became_of_a_key(home: World) -> None:
    agent = home.agent("sender")
    first = home.call(agent, "acquire_lock", {"key": "res:a"}, idempotency_key="k")
    told = home.done(agent, "get_outcome", {"idempotency_key": "k"})
    assert told["state"] == "performed"
    assert told["outcome_decision_id"] == first.decision_id
    assert home.done(agent, "get_outcome", {"idempotency_key": "never"})["state"] == "none"


def test_a_token_issued_under_a_key_is_told_once(home: World) -> None:
    agent = home.agent("receiver")
    body = {"principal_id": agent.id}
    first = home.done(home.operator, "issue_token", body, idempotency_key="k")
    again = home.done(home.operator, "issue_token", body, idempotency_key="k")
    assert first["token"].startswith("gdh_")
    assert "token" not in again
    with home.store.reading() as connection:
        kept = connection.exec_driver_sql("SELECT body FROM first_outcome").scalars().all()
    assert all(first["token"].encode() not in bytes(body) for body in kept)


def _kept(home: World) -> list[bytes]:
    with home.store.reading() as connection:
        return [bytes(one) for one in connection.exec_driver_sql("SELECT body FROM first_outcome").scalars()]


def test_an_erasure_takes_the_kept_answer_too_and_a_repeat_says_so(home: World) -> None:
    agent = home.agent("leaver")
    said = {"title": "Call Quibbleworth", "type": "task", "labels": ["Quibbleworth"]}
    first = home.call(agent, "submit_work", said, idempotency_key="k")
    assert any(b"Quibbleworth" in body for body in _kept(home))
    home.done(home.operator, "erase_payload", {"decision_ids": [first.decision_id], "reason": "asked by the customer"})
    assert not any(b"Quibbleworth" in body for body in _kept(home))
    before = home.count()
    again = home.call(agent, "submit_work", said, idempotency_key="k")
    assert (again.code, again.result) == ("payload_erased", None)
    assert "performed under this key" in again.message
    assert home.count() == before + 1
    told = home.done(agent, "get_outcome", {"idempotency_key": "k"})
    assert (told["state"], told["outcome_decision_id"]) == ("performed", first.decision_id)
