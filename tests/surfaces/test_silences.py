"""A caller of whom nothing can pass: recorded so often a minute, then answered from memory, and counted."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from guardhouse.governance.tokens import issue, revoke
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


def test_more_tokens_of_one_agent_get_no_more_recorded(home: World, door: Listening) -> None:
    agent = home.agent("flood")
    with home.store.writing(home.workspace_id) as tx:
        tokens = [issue(tx, home.ids, home.workspace_id, "agent", agent.id).text for _ in range(5)]
    home.done(home.operator, "suspend_agent", {"agent_id": agent.id})
    for token in tokens * 2:
        storm(door, token, 40)
    entries, reported = books(home, agent)
    # A token that was not seen before is not known to be theirs: its first calls, up to as many as there are callers, count.
    assert REFUSALS_A_MINUTE <= entries <= REFUSALS_A_MINUTE + 5 * 8
    assert entries + reported + door.door.silences.pending == 400
    other = home.agent("other")
    assert door.post("check_locks", b"{}", other.token).status == 200
    home.done(home.operator, "reinstate_agent", {"agent_id": agent.id})
    door.door.silences.lift(home.workspace_id)
    assert door.post("check_locks", b"{}", tokens[3]).status == 200
    entries, reported = books(home, agent)
    assert (door.door.silences.pending, entries + reported) == (0, 401)


def test_who_hammers_with_a_revoked_token_does_not_silence_a_good_one(home: World, door: Listening) -> None:
    agent = home.agent("worker")
    with home.store.writing(home.workspace_id) as tx:
        lost = issue(tx, home.ids, home.workspace_id, "agent", agent.id)
        revoke(tx, home.workspace_id, lost.token_id)
    assert set(storm(door, lost.text)) == {401, 429}
    assert set(storm(door, agent.token, 20)) == {200}


def kept(file: Path) -> int:
    """What a process that begins now would find."""
    copy = file.with_name("copy.log")
    copy.write_bytes(file.read_bytes())
    found = Silences(file=copy).pending
    copy.unlink()
    return found


def killed(file: Path, work: str) -> None:
    """Do something to counts in a process of its own, which is then killed."""
    code = (
        "import os, signal, sys; from pathlib import Path; from guardhouse.surfaces.silences import Silences\n"
        f"silences = Silences(file=Path(sys.argv[1]))\n{work}\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_killed_process_has_counted_every_call_that_it_answered(tmp_path: Path, time: Time) -> None:
    file = tmp_path / "suppressed.log"
    flood = "silences.silence('{}', 60, 'rate_limited', 'wsp_1', 'agt_1')\n"
    killed(file, flood.format("one") + flood.format("two") + "[silences.admit('one') for _ in range(2000)]")
    killed(file, "pass")
    second = Silences(time, file)
    assert second.pending == 2000
    # Any known token of the principal tells; what a call carries is off the books when its entry stands, not before.
    assert second.admit("two") == 2000
    assert kept(file) == 2000
    second.told("two", 2000)
    assert kept(file) == 0


def test_a_count_whose_call_was_not_recorded_is_told_later(tmp_path: Path, time: Time) -> None:
    file = tmp_path / "suppressed.log"
    first = Silences(time, file)
    first.silence("quiet", 60)
    assert [first.admit("quiet") for _ in range(3)] == [None] * 3
    time.now += 61
    assert first.admit("quiet") == 3
    first.give_back("quiet", 3)
    assert first.admit("quiet") == 3
    first.told("quiet", 3)
    assert (first.pending, kept(file)) == (0, 0)


def test_a_file_of_counts_stays_short_and_private(tmp_path: Path, time: Time) -> None:
    file = tmp_path / "suppressed.log"
    silences = Silences(time, file)
    silences.silence("quiet", 60)
    for _ in range(3_000):
        assert silences.admit("quiet") is None
    long = file.stat().st_size
    silences.keep()
    assert file.stat().st_size < 100 < long
    assert silences.admit("quiet") is None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"quiet" not in file.read_bytes()
    assert kept(file) == 3_001
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"zz 1\n", b"00 1\n", b"0" * 64 + b" x\n", b"0" * 64 + b" -1\n", b"\xff\x00\n", b"0" * 64]
)
def test_a_damaged_file_of_counts_keeps_no_door_shut(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "suppressed.log"
    file.write_bytes(damage)
    assert kept(file) == 0
    file.write_bytes(b"1" * 64 + b" 4\n" + damage)
    silences = Silences(file=file)
    assert silences.pending == 4
    silences.silence("quiet", 60)
    assert silences.admit("quiet") is None
    assert kept(file) == 5


def test_two_processes_of_one_home_do_not_take_each_others_counts(tmp_path: Path, time: Time) -> None:
    file = tmp_path / "suppressed.log"
    first = Silences(time, file)
    first.silence("quiet", 60)
    assert first.admit("quiet") is None
    second = Silences(time, file)
    assert second.pending == 0
    second.silence("quiet", 60)
    assert second.admit("quiet") is None
    second.keep()
    assert (kept(file), first.pending, second.pending) == (1, 1, 1)


def test_a_file_that_cannot_be_written_keeps_no_door_shut(tmp_path: Path, time: Time) -> None:
    silences = Silences(time, tmp_path / "absent" / "suppressed.log")
    silences.silence("quiet", 60)
    assert silences.admit("quiet") is None
    time.now += 61
    assert silences.admit("quiet") == 1
