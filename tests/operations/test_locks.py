"""Locks through the whole corridor, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from guardhouse.gates.profile import NAME as PROFILE
from tests.world import World, second_process, shipped_bundle, world


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def test_a18_of_many_racers_over_two_processes_one_wins_with_rising_fences(home: World) -> None:
    racers = [home.agent(f"racer-{number}") for number in range(8)]
    fences = []
    with second_process(home) as there, ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            outcomes = list(
                pool.map(
                    lambda n: (home, there)[n % 2].call(racers[n], "acquire_lock", {"key": "res:deploy"}), range(8)
                )
            )
            assert sorted(outcome.code for outcome in outcomes) == ["held"] * 7 + ["performed"]
            fences += [(outcome.result or {})["fence"] for outcome in outcomes if outcome.performed]
            home.done(home.operator, "revoke_locks", {"prefix": "res:deploy", "reason": "next round"})
    assert fences == sorted(set(fences))


def test_a19_acquire_tells_holder_times_and_fence_and_refusals_name_the_holder(home: World) -> None:
    ann, bob = home.agent("ann"), home.agent("bob")
    body = {"key": "deploy", "ttl_seconds": 300, "reason": "migrating", "metadata": {"ticket": 7}}
    outcome = home.call(ann, "acquire_lock", body)
    told = outcome.result or {}
    assert (told["key"], told["agent_id"], told["session_id"]) == ("file:default//deploy", ann.id, ann.session_id)
    assert (told["reason"], told["metadata"], told["fence"]) == ("migrating", {"ticket": 7}, 1)
    assert told["acquired_at"] < told["expires_at"]
    assert home.entry(outcome.decision_id)["objects"] == [f"lock:{told['lock_id']}"]
    refused = home.call(bob, "acquire_lock", body)
    assert refused.code == "held"
    assert (refused.error["holder_agent_id"], refused.error["key"]) == (ann.id, told["key"])
    assert (refused.error["holder_alias"], refused.error["reason"]) == ("ann", "migrating")
    assert refused.error["expires_at"] == told["expires_at"]
    assert refused.error["retry_after_seconds"] > 0
    assert home.entry(refused.decision_id)["effect"] == "allow"


def test_a20_only_the_holder_renews_and_not_after_expiry(home: World) -> None:
    ann, bob = home.agent("ann"), home.agent("bob")
    first = home.done(ann, "acquire_lock", {"key": "res:x", "ttl_seconds": 60})
    renewed = home.done(ann, "renew_lock", {"key": "res:x"})
    assert renewed["expires_at"] > first["expires_at"]
    assert renewed["fence"] == first["fence"]
    not_his = home.call(bob, "renew_lock", {"key": "res:x"})
    assert not_his.code == "not_holder"
    assert (not_his.error["holder_alias"], not_his.error["current_fence"]) == ("ann", first["fence"])
    stale = home.call(ann, "renew_lock", {"key": "res:x", "fence": first["fence"] + 1})
    assert (stale.code, stale.error["current_fence"]) == ("stale_fence", first["fence"])
    home.later(3600)
    assert home.call(ann, "renew_lock", {"key": "res:x"}).code == "lease_expired"


def test_a21_only_the_holder_releases_and_twice_is_no_error(home: World) -> None:
    ann, bob = home.agent("ann"), home.agent("bob")
    fence = home.done(ann, "acquire_lock", {"key": "res:x"})["fence"]
    assert home.call(bob, "release_lock", {"key": "res:x"}).code == "not_holder"
    assert home.call(ann, "release_lock", {"key": "res:x", "fence": fence + 1}).code == "stale_fence"
    assert home.done(ann, "release_lock", {"key": "res:x", "fence": fence}) == {"key": "res:x", "released": True}
    assert home.done(ann, "release_lock", {"key": "res:x"}) == {"key": "res:x", "released": False}


def test_a22_a_lapsed_lock_is_anybodys_under_a_higher_fence(home: World) -> None:
    ann, bob = home.agent("ann"), home.agent("bob")
    first = home.done(ann, "acquire_lock", {"key": "res:x", "ttl_seconds": 1})
    assert home.call(bob, "acquire_lock", {"key": "res:x"}).code == "held"
    home.later(1)
    assert home.done(bob, "check_locks", {"key": "res:x"})["locks"] == []
    assert home.done(bob, "acquire_lock", {"key": "res:x"})["fence"] > first["fence"]
    assert home.call(ann, "release_lock", {"key": "res:x"}).code == "not_holder"


@pytest.mark.parametrize("key", ["res:deploy/staging", "db:migration/users", "res:protect/main", "src/app.py"], ids=str)
def test_a23_each_use_is_exclusive(home: World, key: str) -> None:
    ann, bob = home.agent("ann"), home.agent("bob")
    home.done(ann, "acquire_lock", {"key": key})
    assert home.call(bob, "acquire_lock", {"key": key}).code == "held"
    home.done(ann, "release_lock", {"key": key})
    home.done(bob, "acquire_lock", {"key": key})


def test_a48_a49_short_and_long_patterns(home: World) -> None:
    ann = home.agent("ann")
    home.done(ann, "acquire_lock", {"key": "res:build/site", "ttl_seconds": 300})
    assert home.done(ann, "release_lock", {"key": "res:build/site"})["released"] is True
    taken = home.done(ann, "acquire_lock", {"key": "res:migration/main", "ttl_seconds": 3600})
    for _ in range(3):
        home.later(3500)
        renewed = home.done(ann, "renew_lock", {"key": "res:migration/main", "ttl_seconds": 3600})
        assert renewed["lock_id"] == taken["lock_id"]


def test_a50_one_spelling_for_one_thing(home: World) -> None:
    ann, bob = home.agent("ann"), home.agent("bob")
    assert home.done(ann, "acquire_lock", {"key": " RES:deploy//./staging/ "})["key"] == "res:deploy/staging"
    assert home.call(bob, "acquire_lock", {"key": "res:deploy/staging"}).code == "held"
    composed, decomposed = "res:caf\u00e9/\u00fcber", "res:cafe\u0301/u\u0308ber"
    assert home.done(ann, "acquire_lock", {"key": decomposed})["key"] == composed
    assert home.call(bob, "acquire_lock", {"key": composed}).code == "held"


def test_a51_list_by_prefix_on_segment_boundaries_a_page_at_a_time(home: World) -> None:
    ann = home.agent("ann")
    for key in ("res:deploy/a", "res:deploy/b", "res:deploy/c", "res:deployment/x", "db:deploy"):
        home.done(ann, "acquire_lock", {"key": key})
    first = home.done(ann, "check_locks", {"prefix": "res:deploy", "limit": 2})
    assert [item["key"] for item in first["locks"]] == ["res:deploy/a", "res:deploy/b"]
    assert first["more"] is True
    rest = home.done(ann, "check_locks", {"prefix": "res:deploy", "limit": 2, "after": first["next"]})
    assert ([item["key"] for item in rest["locks"]], rest["more"], rest["next"]) == (["res:deploy/c"], False, "")
    assert len(home.done(ann, "check_locks", {"prefix": "res:"})["locks"]) == 4


def test_a51_revoking_a_prefix_needs_authority_and_names_every_key_in_the_ledger(home: World) -> None:
    ann, lead = home.agent("ann"), home.agent("lead", 3)
    for key in ("res:deploy/a", "res:deploy/b", "res:deployment/x"):
        home.done(ann, "acquire_lock", {"key": key})
    body = {"prefix": "res:deploy", "reason": "stuck"}
    refused = home.call(ann, "revoke_locks", body)
    assert refused.code in ("policy_not_permitted", "policy_forbidden")
    assert not home.call(home.person("ada", "auditor"), "revoke_locks", body).performed
    assert home.call(lead, "revoke_locks", {"prefix": "res:deploy"}).code == "validation"
    outcome = home.call(lead, "revoke_locks", body)
    revoked = (outcome.result or {})["revoked"]
    assert [(item["key"], item["agent_id"]) for item in revoked] == [("res:deploy/a", ann.id), ("res:deploy/b", ann.id)]
    assert home.entry(outcome.decision_id)["objects"] == [f"lock:{item['lock_id']}" for item in revoked]
    assert [item["key"] for item in home.done(ann, "check_locks")["locks"]] == ["res:deployment/x"]
    assert home.call(ann, "renew_lock", {"key": "res:deploy/a"}).code == "not_holder"


def test_a51_everything_must_be_meant(home: World) -> None:
    ann, lead = home.agent("ann"), home.agent("lead", 3)
    for number in range(3):
        home.done(ann, "acquire_lock", {"key": f"res:{number}"})
    assert home.call(lead, "revoke_locks", {"prefix": "", "reason": "x"}).code == "validation"
    told = home.done(lead, "revoke_locks", {"prefix": "", "everything": True, "reason": "x", "limit": 2})
    assert (len(told["revoked"]), told["more"]) == (2, True)


def test_c01_equal_paths_in_two_repositories_never_collide(home: World) -> None:
    ann, bob = home.agent("ann"), home.agent("bob")
    here = home.done(ann, "acquire_lock", {"key": "src/app.py"})
    there = home.done(bob, "acquire_lock", {"key": "file:github.com/example/site//src/app.py"})
    assert (here["key"], there["key"]) == ("file:default//src/app.py", "file:github.com/example/site//src/app.py")
    assert home.call(bob, "acquire_lock", {"key": "file:default//src/app.py"}).code == "held"


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("lock_file", "acquire_lock"),
        ("lock_acquire", "acquire_lock"),
        ("lock_renew", "renew_lock"),
        ("lock_list", "check_locks"),
        ("unlock_file", "release_lock"),
        ("lock_release", "release_lock"),
    ],
)
def test_c31_c32_c33_an_alias_is_the_operation_itself(home: World, alias: str, name: str) -> None:
    ann = home.agent("ann")
    home.done(ann, "acquire_lock", {"key": "src/app.py"})
    outcome = home.call(ann, alias, {"key": "src/app.py"})
    assert outcome.performed
    assert home.entry(outcome.decision_id)["operation"] == name


def test_c31_taking_again_refreshes_and_keeps_the_fence(home: World) -> None:
    ann = home.agent("ann")
    first = home.done(ann, "acquire_lock", {"key": "res:x", "ttl_seconds": 60})
    again = home.done(ann, "acquire_lock", {"key": "res:x", "ttl_seconds": 600})
    assert (again["lock_id"], again["fence"]) == (first["lock_id"], first["fence"])
    assert again["expires_at"] > first["expires_at"]


def test_c33_who_holds_what_by_owner_and_namespace(home: World) -> None:
    ann, bob = home.agent("ann"), home.agent("bob", 1)
    home.done(ann, "acquire_lock", {"key": "src/app.py"})
    home.done(ann, "acquire_lock", {"key": "db:users"})
    assert [item["key"] for item in home.done(bob, "check_locks")["locks"]] == ["db:users", "file:default//src/app.py"]
    assert [item["key"] for item in home.done(bob, "check_locks", {"namespace": "db"})["locks"]] == ["db:users"]
    assert home.done(bob, "check_locks", {"own": True})["locks"] == []
    assert len(home.done(ann, "check_locks", {"own": True})["locks"]) == 2


@pytest.mark.parametrize(
    ("key", "kind", "canonical"),
    [
        ("api:auth/login", "Lock", "api:/auth/login"),
        ("db:users", "Lock", "db:users"),
        ("event:user.created", "Lock", "event:user.created"),
        ("flag:dark-mode", "Lock", "flag:dark-mode"),
        ("env:DATABASE_URL", "Lock", "env:DATABASE_URL"),
        ("contract:auth-api", "Lock", "contract:auth-api"),
        ("feature:add-auth:pause", "Lock", "feature:add-auth:pause"),
        ("src/app.py", "File", "file:default//src/app.py"),
    ],
)
def test_c50_every_namespace_has_its_canonical_resource(home: World, key: str, kind: str, canonical: str) -> None:
    outcome = home.call(home.agent("ann"), "acquire_lock", {"key": key})
    assert (outcome.result or {})["key"] == canonical
    resource = home.entry(outcome.decision_id)["resource"]
    assert (resource["type"], resource["id"]) == (kind, canonical)


@pytest.mark.parametrize(
    "key",
    ["table:users", "res:", "", "/etc/passwd", "../x", "~/x", "C:/x", "a\\b", "res:a\u200bb", "x" * 1025, "a\nb", 5],
)
def test_c50_what_is_no_key_is_refused_naming_the_field(home: World, key: Any) -> None:
    outcome = home.call(home.agent("ann"), "acquire_lock", {"key": key})
    assert outcome.code == "validation"
    assert [fault["field"] for fault in outcome.error["fields"]] == ["key"]


@pytest.mark.parametrize(
    "body",
    [
        {"ttl_seconds": 0},
        {"ttl_seconds": 86_401},
        {"ttl_seconds": "60"},
        {"reason": "x" * 2001},
        {"metadata": {"x": "y" * 4097}},
        {"metadata": []},
        {"trust": 4},
    ],
)
def test_a_lock_has_bounds(home: World, body: dict[str, Any]) -> None:
    assert home.call(home.agent("ann"), "acquire_lock", {"key": "res:x"} | body).code == "validation"


def test_the_longest_ttl_and_metadata_are_taken(home: World) -> None:
    metadata = {"x": "y" * (4096 - 8)}
    told = home.done(home.agent("ann"), "acquire_lock", {"key": "res:x", "ttl_seconds": 86_400, "metadata": metadata})
    assert told["metadata"] == metadata


def test_c51_a_paused_feature_is_closed_to_everyone_but_the_pauser(home: World) -> None:
    ann, bob = home.agent("ann"), home.agent("bob")
    home.done(ann, "acquire_lock", {"key": "feature:add-auth:pause"})
    refused = home.call(bob, "acquire_lock", {"key": "feature:add-auth/api"})
    assert (refused.code, refused.error["key"]) == ("held", "feature:add-auth:pause")
    home.done(ann, "acquire_lock", {"key": "feature:add-auth/api"})
    home.done(bob, "acquire_lock", {"key": "feature:add-authors/api"})
    home.done(ann, "release_lock", {"key": "feature:add-auth/api"})
    home.done(ann, "release_lock", {"key": "feature:add-auth:pause"})
    home.done(bob, "acquire_lock", {"key": "feature:add-auth/api"})


def test_the_profiles_limit_on_held_locks_is_exact_under_a_race(home: World) -> None:
    limit = shipped_bundle().rules[PROFILE].profiles["default"].limits["held_locks"]
    ann = home.agent("ann", profile="default")
    with second_process(home) as there, ThreadPoolExecutor(8) as pool:
        outcomes = list(
            pool.map(lambda n: (home, there)[n % 2].call(ann, "acquire_lock", {"key": f"res:{n}"}), range(limit + 6))
        )
    codes = [outcome.code for outcome in outcomes]
    assert (codes.count("performed"), codes.count("limit_reached")) == (limit, 6)
    mine = home.done(ann, "check_locks", {"own": True})["locks"]
    assert len(mine) == limit
    home.done(ann, "acquire_lock", {"key": mine[0]["key"]})
    home.done(ann, "release_lock", {"key": mine[0]["key"]})
    home.done(ann, "acquire_lock", {"key": "res:another"})


def test_a_lost_answer_is_asked_for_again_under_the_same_key(home: World) -> None:
    ann = home.agent("ann")
    first = home.call(ann, "acquire_lock", {"key": "res:x"}, idempotency_key="k")
    home.done(ann, "release_lock", {"key": "res:x"})
    again = home.call(ann, "acquire_lock", {"key": "res:x"}, idempotency_key="k")
    assert again.repeated == first.decision_id
    assert home.done(ann, "check_locks", {"key": "res:x"})["locks"] == []


def test_an_untrusted_agent_looks_and_does_not_take(home: World) -> None:
    reader, nobody = home.agent("reader", 1), home.agent("nobody", 0)
    assert home.call(reader, "check_locks").performed
    assert home.call(reader, "acquire_lock", {"key": "res:x"}).code == "policy_not_permitted"
    assert home.call(nobody, "check_locks").code == "suspended"


def test_retiring_an_agent_frees_what_it_held(home: World) -> None:
    ann, bob = home.agent("ann"), home.agent("bob")
    home.done(ann, "acquire_lock", {"key": "res:x"})
    home.done(home.operator, "retire_agent", {"agent_id": ann.id})
    home.done(bob, "acquire_lock", {"key": "res:x"})
