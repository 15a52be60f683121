"""A caller of whom nothing can pass: recorded so often a minute, then answered from memory, and counted."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from guardhouse.governance.tokens import revoke
from guardhouse.ledger.entries import read_head
from guardhouse.surfaces.silences import REFUSALS_A_MINUTE, Silences, lift_when_changed
from tests.surfaces.doors import Listening, listening
from tests.world import Member, World, shipped_bundle, world

CALLS = 200


class Time:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def door(home: World, tmp_path: Path, time: Time) -> Iterator[Listening]:
    with listening(home.gateway, tmp_path / "home", silences=Silences(time)) as made:
        yield made


def storm(door: Listening, token: str, calls: int = CALLS) -> list[int]:
    with ThreadPoolExecutor(8) as pool:
        return [answer.status for answer in pool.map(lambda _: door.post("check_locks", b"{}", token), range(calls))]


def books(home: World, who: Member) -> tuple[int, int]:
    ours = [entry for entry in home.entries() if entry["principal"]["id"] == who.id]
    return len(ours), sum(entry.get("suppressed", 0) for entry in ours)


@pytest.mark.parametrize("how", ["suspended", "revoked", "trust 0"])
def test_refused_calls_are_recorded_to_a_rate_and_then_counted(
    home: World, door: Listening, time: Time, how: str
) -> None:
    agent = home.agent("flood", 0 if how == "trust 0" else 2)
    if how == "suspended":
        home.done(home.operator, "suspend_agent", {"agent_id": agent.id})
    if how == "revoked":
        token_id = home.done(home.operator, "list_tokens", {"principal_id": agent.id})["tokens"][0]["token_id"]
        with home.store.writing(home.workspace_id) as tx:
            revoke(tx, home.workspace_id, token_id)
    statuses = storm(door, agent.token)
    assert set(statuses) == {401 if how == "revoked" else 403, 429}
    entries, reported = books(home, agent)
    # Calls that were under way when the rate was reached are still recorded: no more than the callers there are.
    assert REFUSALS_A_MINUTE <= entries <= REFUSALS_A_MINUTE + 8
    assert entries + reported + door.door.silences.pending == CALLS
    answer = door.post("check_locks", b"{}", agent.token)
    assert answer.code == "rate_limited"
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    time.now += 61
    assert door.post("check_locks", b"{}", agent.token).status in (401, 403)
    entries, reported = books(home, agent)
    assert door.door.silences.pending == 0
    assert entries + reported == CALLS + 2


def test_lifting_a_suspension_through_the_same_door_ends_the_silence_at_once(home: World, door: Listening) -> None:
    agent = home.agent("flood")
    home.done(home.operator, "suspend_agent", {"agent_id": agent.id})
    storm(door, agent.token)
    body = f'{{"agent_id": "{agent.id}"}}'.encode()
    assert door.post("reinstate_agent", body, home.operator.token).status == 200
    assert door.post("check_locks", b"{}", agent.token).status == 200
    entries, reported = books(home, agent)
    assert entries + reported == CALLS + 1


def test_a_raised_quota_ends_the_silence_at_once(home: World, door: Listening) -> None:
    agent = home.agent("eager", profile="limited")
    assert 429 in storm(door, agent.token, 60)
    files = {path: content.decode() for path, content in shipped_bundle().files.items()}
    files["profiles.yaml"] = files["profiles.yaml"].replace("{calls_per_hour: 40}", "{calls_per_hour: 400}")
    look = lift_when_changed(door.door.silences, lambda asked: {name: version(home) for name in asked})
    look()
    assert storm(door, agent.token, 3)[-1] == 429
    look()
    assert door.post("check_locks", b"{}", agent.token).status == 429
    # Activated through another process: this door looks now and then.
    home.done(home.operator, "activate_policy", {"files": files})
    look()
    assert door.post("check_locks", b"{}", agent.token).status == 200


def version(home: World) -> int:
    with home.store.reading() as connection:
        head = read_head(connection, home.workspace_id)
    assert head is not None
    return head.standing_version


def test_counts_survive_a_restart_and_are_told_by_the_next_entry(tmp_path: Path, time: Time) -> None:
    file = tmp_path / "suppressed.json"
    first = Silences(time, file)
    first.silence("quiet", 60, "rate_limited", "wsp_1")
    assert [first.admit("quiet") for _ in range(7)] == [None] * 7
    first.keep()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"quiet" not in file.read_bytes()
    second = Silences(time, file)
    assert second.pending == 7
    assert second.admit("quiet") == 7
    second.keep()
    assert Silences(time, file).pending == 0


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"zz": 1}', b'{"00": "x"}', b'{"' + b"0" * 64 + b'": -1}'])
def test_a_damaged_file_of_counts_keeps_no_door_shut(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "suppressed.json"
    file.write_bytes(damage)
    assert Silences(file=file).pending == 0
