"""A wait ends when its time is over, and only then; somebody else's cancellation stays a cancellation."""

from __future__ import annotations

import asyncio

import pytest

from guardhouse.surfaces.patience import Patience


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def waiting(patience: Patience) -> str:
    try:
        with patience.bound():
            await forever()
    except TimeoutError:
        return "over"
    return "never"


def test_each_wait_ends_though_one_timer_serves_them_all() -> None:
    async def play() -> list[str]:
        patience = Patience(0.02)
        first = [asyncio.create_task(waiting(patience)) for _ in range(3)]
        await asyncio.sleep(0.01)
        later = [asyncio.create_task(waiting(patience)) for _ in range(3)]
        told = await asyncio.wait_for(asyncio.gather(*first, *later), 20)
        again = await asyncio.wait_for(waiting(patience), 20)
        return [*told, again]

    assert asyncio.run(play()) == ["over"] * 7


def test_what_ends_in_time_is_left_alone() -> None:
    async def play() -> tuple[str, int]:
        patience = Patience(0.02)

        async def quick() -> str:
            with patience.bound():
                await asyncio.sleep(0)
            await asyncio.sleep(0.06)
            return "done"

        task = asyncio.create_task(quick())
        slow = asyncio.create_task(waiting(patience))
        assert await slow == "over"
        return await task, task.cancelling()

    assert asyncio.run(play()) == ("done", 0)


def test_being_cancelled_is_not_being_late() -> None:
    async def play() -> None:
        task = asyncio.create_task(waiting(Patience(20)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(play())


def test_both_at_once_is_being_cancelled() -> None:
    async def play() -> None:
        task = asyncio.create_task(waiting(Patience(0.0)))
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        loop.call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(play())


def test_another_loop_is_served_as_well() -> None:
    patience = Patience(0.01)
    assert [asyncio.run(asyncio.wait_for(waiting(patience), 20)) for _ in range(2)] == ["over", "over"]


def test_an_error_inside_stays_itself() -> None:
    async def play() -> None:
        with pytest.raises(KeyError), Patience(5).bound():
            raise KeyError("x")

    asyncio.run(play())
