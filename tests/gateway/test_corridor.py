"""Who drives a train: threads, an event loop, or whoever finds a loop dead. Nobody is forgotten, nothing blocks."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import pytest

from guardhouse.errors import NotPerformed
from guardhouse.gateway.worker import Worker
from guardhouse.model.answer import Outcome
from guardhouse.storage.sqlite import SqliteStore
from guardhouse.storage.store import Opened
from tests.world import Member, World, second_process

LOCK = {"key": "res:a"}


def _together(home: World, agent: Member, calls: int, *, first: int = 0) -> list[Outcome]:
    """So many calls from one event loop at once, each for a key of its own."""

    async def ask() -> list[Outcome]:
        raws = [home.raw(agent, "acquire_lock", {"key": f"res:{first + number}"}) for number in range(calls)]
        return list(await asyncio.gather(*(home.gateway.handle_async(raw) for raw in raws)))

    return asyncio.run(ask())


def _ends(home: World, ending: Callable[[Opened], Opened]) -> None:
    """Let every transaction that is opened to be handed on, end as `ending` makes it."""
    real = home.store.begin

    def begin(*, wait: bool = True) -> Opened | None:
        opened = real(wait=wait)
        return ending(opened) if opened is not None else None

    home.store.begin = begin


def test_on_sqlite_a_train_is_carried_on_the_loop_that_waits(home: World) -> None:
    agent = home.agent("quick")
    _together(home, agent, 1)  # opens the write connection and learns the law, both on the corridor's thread
    threads: set[threading.Thread] = set()
    home.gateway.on_train(lambda _calls: threads.add(threading.current_thread()))
    assert {outcome.code for outcome in _together(home, agent, 40, first=1)} == {"performed"}
    on_the_loop = threads == {threading.current_thread()}
    assert on_the_loop == isinstance(home.store, SqliteStore)


def test_calls_of_loops_and_threads_all_leave_their_entry(home: World) -> None:
    agent = home.agent("busy")
    before = home.count()
    codes: list[str] = []

    def thread(number: int) -> None:
        for turn in range(20):
            key = f"res:t{number}/{turn}"
            codes.append(home.call(agent, "acquire_lock", {"key": key}).code)

    def loop(number: int) -> None:
        for turn in range(4):
            codes.extend(outcome.code for outcome in _together(home, agent, 10, first=1000 * number + 10 * turn))

    workers = [threading.Thread(target=thread, args=(n,)) for n in range(3)]
    workers += [threading.Thread(target=loop, args=(n,)) for n in range(1, 4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not any(worker.is_alive() for worker in workers)
    assert codes == ["performed"] * (3 * 20 + 3 * 40)
    assert home.count() - before == len(codes)


@pytest.mark.parametrize("holder", ["turnstile", "stranger"])
def test_a_loop_never_waits_for_another_writer(home: World, holder: str) -> None:
    """Another process has the file: ours at the turnstile, or somebody who knows none."""
    if not isinstance(home.store, SqliteStore):
        pytest.skip("only SQLite carries on the loop")
    agent = home.agent("patient")
    _together(home, agent, 1)

    async def ask() -> tuple[bool, Outcome]:
        if holder == "turnstile":
            with second_process(home) as other:
                opened = other.store.begin()
                call = asyncio.create_task(home.gateway.handle_async(home.raw(agent, "acquire_lock", LOCK)))
                for _ in range(200):
                    await asyncio.sleep(0)  # a loop that waited for the lock would never come round
                waits = not call.done()
                opened.rollback()
                return waits, await call
        stranger = sqlite3.connect(home.store.path, isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")
        call = asyncio.create_task(home.gateway.handle_async(home.raw(agent, "acquire_lock", LOCK)))
        for _ in range(200):
            await asyncio.sleep(0)
        waits = not call.done()
        stranger.execute("ROLLBACK")
        stranger.close()
        return waits, await call

    waits, outcome = asyncio.run(ask())
    assert waits
    assert outcome.performed


def test_a_loops_commit_that_fails_takes_back_everything_and_is_carried_again(home: World) -> None:
    agent = home.agent("steady")
    _together(home, agent, 1)
    before, failures = home.count(), iter([True])

    def ending(opened: Opened) -> Opened:
        def commit() -> None:
            if next(failures, False):
                opened.rollback()
                raise OSError("the disk went away at the last moment")
            opened.commit()

        return Opened(opened.tx, commit, opened.rollback)

    _ends(home, ending)
    outcomes = _together(home, agent, 8, first=1)
    del home.store.begin
    assert {outcome.code for outcome in outcomes} == {"performed"}
    assert home.count() - before == 8
    assert len({outcome.sequence for outcome in outcomes}) == 8


def test_a_loops_commit_whose_answer_is_lost_is_not_carried_twice(home: World) -> None:
    agent = home.agent("steady")
    _together(home, agent, 1)
    before, losses = home.count(), iter([True])

    def ending(opened: Opened) -> Opened:
        def commit() -> None:
            opened.commit()
            if next(losses, False):
                raise OSError("the answer was lost")

        return Opened(opened.tx, commit, opened.rollback)

    _ends(home, ending)
    outcomes = _together(home, agent, 8, first=1)
    del home.store.begin
    assert {outcome.code for outcome in outcomes} == {"performed"}, "what was committed is answered as it was decided"
    assert home.count() - before == 8


def test_a_loop_whose_ground_is_gone_answers_not_performed_and_recovers(home: World) -> None:
    agent = home.agent("steady")
    _together(home, agent, 1)
    before = home.count()
    real = home.store.begin

    def gone(*, wait: bool = True) -> Opened | None:
        raise OSError("the disk is away")

    home.store.begin = gone

    async def ask() -> list[Any]:
        raws = [home.raw(agent, "acquire_lock", {"key": f"res:{number}"}) for number in range(5)]
        return await asyncio.gather(*(home.gateway.handle_async(raw) for raw in raws), return_exceptions=True)

    answers = asyncio.run(ask())
    home.store.begin = real
    assert all(isinstance(answer, NotPerformed) for answer in answers), answers
    assert home.count() == before
    assert {outcome.code for outcome in _together(home, agent, 3)} <= {"performed", "lock_held"}
    assert home.count() == before + 3


def test_a_caller_who_hangs_up_is_still_carried(home: World) -> None:
    agent = home.agent("hasty")
    _together(home, agent, 1)
    before = home.count()

    async def hang_up() -> None:
        call = asyncio.create_task(home.gateway.handle_async(home.raw(agent, "acquire_lock", LOCK)))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(hang_up())  # the loop is closed with the call under way
    assert home.call(agent, "check_locks").performed, "a dead loop held up the next caller"
    assert home.count() == before + 2
    assert "res:a" in {lock["key"] for lock in home.done(agent, "check_locks")["locks"]}


def test_closing_carries_what_waits_on_a_loop_that_no_longer_runs(home: World) -> None:
    agent = home.agent("late")
    _together(home, agent, 1)
    before = home.count()
    loop = asyncio.new_event_loop()
    calls = []

    async def ask() -> None:
        for number in range(5):
            raw = home.raw(agent, "acquire_lock", {"key": f"res:{number}/late"})
            calls.append(asyncio.ensure_future(home.gateway.handle_async(raw)))
        await asyncio.sleep(0)

    loop.run_until_complete(ask())
    home.gateway.close()
    assert home.count() == before + 5
    loop.run_until_complete(asyncio.gather(*calls))
    loop.close()
    with pytest.raises(NotPerformed):
        home.call(agent, "check_locks")


@pytest.mark.parametrize("operation", ["check_locks", "check_guardrails", "activate_policy"])
def test_a_gateway_that_closed_before_its_first_call_carries_nothing(home: World, operation: str) -> None:
    """Whatever thread a call would be prepared on: it is not performed, and nothing is written."""
    agent = home.agent("early")
    before = home.count()
    home.gateway.close()
    raw = home.raw(agent, operation, {"operation_text": "git status"} if operation == "check_guardrails" else {})
    with pytest.raises(NotPerformed, match="shutting down"):
        home.gateway.handle(raw)
    for body in (b"{}", b" " * 100_000 + b"{}"):
        with pytest.raises(NotPerformed, match="shutting down"):
            asyncio.run(home.gateway.handle_async(dataclasses.replace(raw, body=body)))
    assert home.count() == before


def test_an_idle_thread_ends_and_another_begins_with_the_next_job() -> None:
    worker = Worker("brief", idle_seconds=0.01)
    done: list[threading.Thread] = []
    for turn in range(3):
        ready = threading.Event()

        def job(ready: threading.Event = ready) -> None:
            done.append(threading.current_thread())
            ready.set()
            if len(done) == 2:
                raise RuntimeError("a job that fails takes no other with it")

        worker.do(job)
        assert ready.wait(10)
        done[turn].join(10)
        assert not done[turn].is_alive()
    assert len(set(done)) == 3


def test_readiness_waits_for_no_writer(home: World) -> None:
    if not isinstance(home.store, SqliteStore):
        pytest.skip("PostgreSQL's readers never meet its writers")
    with home.store.writing(""):
        assert home.store.durability() == {
            "journal_mode": "wal",
            "synchronous": "2",
            "fullfsync": "1",
            "checkpoint_fullfsync": "1",
        }
