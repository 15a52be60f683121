"""Two server processes over one database: one order, one law, one standing; neither starves the other."""

from __future__ import annotations

import threading
import time
from collections import Counter

from tests.journeys.conftest import House, Pair
from tests.server import guardhouse

THREADS = 4
CALLS = 60
RACERS = 6
QUOTA = 40


def test_an_order_through_one_binds_the_next_call_on_the_other(pair: Pair) -> None:
    builder = pair.first.agent("builder")
    for here, there in ((pair.first, pair.second), (pair.second, pair.first)) * 3:
        there.done(builder.token, "check_locks")
        here.done(here.operator, "suspend_agent", {"agent_id": builder.id, "reason": "x"})
        assert there.refused(builder.token, "check_locks") == (403, "agent_suspended")
        here.done(here.operator, "reinstate_agent", {"agent_id": builder.id})
        there.done(builder.token, "check_locks")
        here.done(here.operator, "set_trust", {"agent_id": builder.id, "trust": 1})
        assert there.refused(builder.token, "acquire_lock", {"key": "a"})[0] == 403
        here.done(here.operator, "set_mode", {"scope": "agent", "id": builder.id, "seconds": 600})
        there.done(builder.token, "acquire_lock", {"key": "a"})
        there.done(builder.token, "release_lock", {"key": "a"})
        here.done(here.operator, "end_mode", {"scope": "agent", "id": builder.id})
        assert there.refused(builder.token, "acquire_lock", {"key": "a"})[0] == 403
        here.done(here.operator, "set_trust", {"agent_id": builder.id, "trust": 2})
        extra = here.done(here.operator, "issue_token", {"principal_id": builder.id})
        there.done(extra["token"], "check_locks")
        here.done(here.operator, "revoke_token", {"token_id": extra["token_id"]})
        assert there.refused(extra["token"], "check_locks")[0] == 401


def test_an_activation_through_one_binds_the_next_call_on_the_other_and_so_does_its_end(pair: Pair) -> None:
    builder = pair.first.agent("lawful")
    files = pair.first.done(pair.first.operator, "show_policy")["files"]
    closed = files | {
        "cedar/site.cedar": '@id("site.closed")\nforbid (principal is Agent, action == Action::"acquire_lock", resource);\n'
    }
    for here, there in ((pair.first, pair.second), (pair.second, pair.first)) * 2:
        there.done(builder.token, "acquire_lock", {"key": "res:door"})
        there.done(builder.token, "release_lock", {"key": "res:door"})
        made = here.done(here.operator, "activate_policy", {"files": closed})
        assert there.refused(builder.token, "acquire_lock", {"key": "res:door"}) == (403, "policy_forbidden")
        status, refused = there.call(builder.token, "acquire_lock", {"key": "res:door"})
        assert status == 403
        assert there.entry(refused["error"]["decision_id"])["bundle"] == made["digest"]
        here.done(here.operator, "rollback_policy")


def test_racers_on_both_have_one_winner_and_rising_fences(pair: Pair) -> None:
    racers = [
        ((pair.first, pair.second)[number % 2], pair.first.agent(f"racer-{number}").token) for number in range(RACERS)
    ]
    fences: list[int] = []
    for _ in range(8):
        heard: list[tuple[int, dict[str, object]] | None] = [None] * RACERS
        start = threading.Barrier(RACERS)

        def race(number: int, heard: list[tuple[int, dict[str, object]] | None], start: threading.Barrier) -> None:
            house, token = racers[number]
            start.wait(60)
            heard[number] = house.call(token, "acquire_lock", {"key": "res:lane"})

        threads = [threading.Thread(target=race, args=(number, heard, start)) for number in range(RACERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        statuses = [one[0] for one in heard if one is not None]
        assert sorted(statuses) == [200] + [409] * (RACERS - 1)
        winner = statuses.index(200)
        won = heard[winner]
        assert won is not None
        fences.append(int(str(won[1]["fence"])))
        # Given back through the other server.
        other = (pair.first, pair.second)[(winner + 1) % 2]
        other.done(racers[winner][1], "release_lock", {"key": "res:lane"})
    assert fences == sorted(set(fences))


def _spent(pair: Pair, agent: str) -> Counter[int]:
    """The statuses of more calls than the hour has, sent to both servers by several threads at once."""
    statuses: Counter[int] = Counter()
    guard = threading.Lock()

    def spend(house: House) -> None:
        line = house.server.connect()
        for _ in range(QUOTA // 2):
            status, _answer = house.server.call(agent, "check_locks", connection=line)
            with guard:
                statuses[status] += 1

    threads = [threading.Thread(target=spend, args=(house,)) for house in (pair.first, pair.second) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return statuses


def test_calls_per_hour_are_exact_over_both(pair: Pair) -> None:
    files = pair.first.done(pair.first.operator, "show_policy")["files"]
    files["profiles.yaml"] += f"  few:\n    description: for this test\n    limits: {{calls_per_hour: {QUOTA}}}\n"
    pair.first.done(pair.first.operator, "activate_policy", {"files": files})
    hour = time.time() // 3600
    statuses = _spent(pair, pair.first.agent("spender", profile="few").token)
    if time.time() // 3600 != hour:  # the hour ended meanwhile, and with it what was used; the next is long enough
        statuses = _spent(pair, pair.first.agent("spender-again", profile="few").token)
    assert statuses == {200: QUOTA, 429: QUOTA}
    assert pair.second.done(pair.second.operator, "verify_audit")["ok"] is True


def test_under_load_on_both_neither_starves_and_a_command_still_answers(pair: Pair) -> None:
    """Each server has the same number of calls to carry; while one could starve, its last would come far later."""
    token = pair.first.agent("builder", profile="unlimited").token
    slowest: dict[int, float] = {0: 0.0, 1: 0.0}
    ended: dict[int, float] = {}
    failed: list[object] = []
    guard = threading.Lock()
    begun = time.monotonic()

    def load(side: int, house: House) -> None:
        line = house.server.connect()
        for number in range(CALLS):
            started = time.monotonic()
            try:
                status, answer = house.server.call(
                    token, "check_guardrails", {"operation_text": f"ls {number}"}, connection=line
                )
            except Exception as error:  # noqa: BLE001  # whatever it is, the test fails with it
                failed.append(error)
                return
            took = time.monotonic() - started
            with guard:
                slowest[side] = max(slowest[side], took)
                if status != 200:
                    failed.append(answer)
        with guard:
            ended[side] = time.monotonic() - begun

    threads = [
        threading.Thread(target=load, args=(side, house))
        for side, house in enumerate((pair.first, pair.second))
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    said = guardhouse(pair.first.env | {"GUARDHOUSE_TOKEN": token}, "check", "ls")
    for thread in threads:
        thread.join(120)
    assert failed == []
    assert said.returncode == 0
    assert set(ended) == {0, 1}
    # Generous bounds: a starved process waited for seconds at a time, again and again.
    assert max(slowest.values()) < 5, slowest
    assert max(ended.values()) < 4 * min(ended.values()) + 5, ended
    told = pair.second.done(pair.second.operator, "verify_audit")
    assert told["ok"] is True
