"""Locks: one holder, rising fences, expiry by the transaction's own time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from guardhouse.errors import Refusal
from guardhouse.services import locks
from guardhouse.services.keys import canonical_key, canonical_prefix
from guardhouse.services.locks import Holder
from tests.services.conftest import Ground

W = "wsp_1"
ANN, BOB = Holder("agt_ann", "ses_a"), Holder("agt_bob", "ses_b")
SECOND = 1_000_000


def take(ground: Ground, who: Holder, key: str, **options: object) -> locks.Row:
    with ground.tx() as tx:
        return locks.acquire(tx, ground, W, who, canonical_key(key), **options)  # type: ignore[arg-type]


def refused(ground: Ground, who: Holder, key: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        take(ground, who, key)
    return caught.value


def test_a18_of_many_racers_one_wins_and_the_rest_are_told_held(ground: Ground) -> None:
    racers, rounds = 8, 4
    key, fences = canonical_key("res:deploy"), []
    barrier = threading.Barrier(racers)

    def race(number: int) -> int | str:
        barrier.wait(30)
        try:
            with ground.tx() as tx:
                return int(locks.acquire(tx, ground, W, Holder(f"agt_{number}", f"ses_{number}"), key)["fence"])
        except Refusal as refusal:
            return refusal.code

    with ThreadPoolExecutor(racers) as pool:
        for _ in range(rounds):
            results = list(pool.map(race, range(racers)))
            assert sorted(map(str, results)).count("held") == racers - 1, results
            fences += [result for result in results if isinstance(result, int)]
            with ground.tx() as tx:
                locks.revoke(tx, W, "", everything=True)
    assert len(fences) == rounds
    assert fences == sorted(set(fences))


def test_a19_held_names_the_holder_and_another_session_of_it_is_another_instance(ground: Ground) -> None:
    take(ground, ANN, "res:x", ttl_seconds=300, reason="migrating")
    said = refused(ground, BOB, "res:x")
    assert (said.code, said.extra["holder_agent_id"], said.extra["reason"]) == ("held", "agt_ann", "migrating")
    assert said.extra["retry_after_seconds"] == 60
    assert refused(ground, Holder("agt_ann", "ses_other"), "res:x").code == "held"


def test_a20_only_the_holder_renews_and_not_after_expiry(ground: Ground) -> None:
    key = canonical_key("res:x")
    row = take(ground, ANN, "res:x", ttl_seconds=10)
    with ground.tx() as tx:
        assert locks.renew(tx, W, ANN, key, ttl_seconds=20)["expires_at"] == ground.at + 20 * SECOND
        for who, fence, code in ((BOB, None, "not_holder"), (ANN, row["fence"] + 1, "stale_fence")):
            with pytest.raises(Refusal) as caught:
                locks.renew(tx, W, who, key, fence=fence)
            assert caught.value.code == code
    ground.at += 20 * SECOND
    with ground.tx() as tx, pytest.raises(Refusal) as caught:
        locks.renew(tx, W, ANN, key)
    assert caught.value.code == "lease_expired"


def test_a21_release_is_for_the_holder_and_twice_is_no_error(ground: Ground) -> None:
    key = canonical_key("res:x")
    take(ground, ANN, "res:x")
    with ground.tx() as tx:
        with pytest.raises(Refusal, match="held by another"):
            locks.release(tx, W, BOB, key)
        assert locks.release(tx, W, ANN, key) is not None
        assert locks.release(tx, W, ANN, key) is None


def test_a22_expiry_lets_the_next_in_with_a_higher_fence_also_the_same_owner(ground: Ground) -> None:
    first = take(ground, ANN, "res:x", ttl_seconds=1)
    assert take(ground, ANN, "res:x", ttl_seconds=1)["fence"] == first["fence"]
    ground.at += SECOND
    second = take(ground, ANN, "res:x", ttl_seconds=1)
    ground.at += SECOND
    third = take(ground, BOB, "res:x")
    assert first["fence"] < second["fence"] < third["fence"]
    with ground.tx() as tx, pytest.raises(Refusal) as caught:
        locks.renew(tx, W, ANN, canonical_key("res:x"))
    assert caught.value.code == "lease_expired"


def test_a51_prefixes_end_at_segments_and_pages_say_honestly_whether_there_is_more(ground: Ground) -> None:
    for key in ("res:deploy", "res:deploy/a", "res:deploy/B", "res:deploy/é", "res:deployment", "res:deploy-x"):
        take(ground, ANN, key)
    with ground.tx() as tx:
        prefix, seen, after = canonical_prefix("res:deploy"), [], ""
        while True:
            page = locks.list_held(tx, W, prefix=prefix, limit=2, after=after)
            seen += [row["key"] for row in page.rows]
            if not page.more:
                break
            after = seen[-1]
        assert seen == ["res:deploy", "res:deploy/B", "res:deploy/a", "res:deploy/é"]
        assert locks.list_held(tx, "wsp_other").rows == []
        with pytest.raises(Refusal) as caught:
            locks.revoke(tx, W, "")
        assert caught.value.code == "prefix_required"
        assert [row["key"] for row in locks.revoke(tx, W, prefix).rows] == seen
        assert [row["key"] for row in locks.list_held(tx, W).rows] == ["res:deploy-x", "res:deployment"]


def test_c51_a_pause_lock_keeps_others_off_the_feature(ground: Ground) -> None:
    take(ground, ANN, "feature:x:pause")
    for key in ("feature:x", "feature:x/part", "feature:x:y"):
        assert refused(ground, BOB, key).code == "held"
        take(ground, ANN, key)
    take(ground, BOB, "feature:xy")


def test_counts_leave_out_the_key_itself_and_an_end_leaves_none(ground: Ground) -> None:
    take(ground, ANN, "a.py", reason="why", sequence=7)
    take(ground, ANN, "res:b")
    with ground.tx() as tx:
        assert locks.held_count(tx, W, "agt_ann", tx.now) == 2
        assert locks.count(tx, W, "agt_ann", tx.now, but="res:b", namespace="file") == 1
        assert locks.erase_text(tx, W, 7) == 1
        assert locks.list_held(tx, W, namespace="file").rows[0]["reason"] == ""
        assert locks.release_all(tx, W, "agt_ann", "dead") == 2
        assert locks.held_count(tx, W, "agt_ann", tx.now) == 0
