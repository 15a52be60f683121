"""Holding the line: `wait_approval` is carried once, watched while it waits, and its answer read anew at the end.

The carrying leaves the call's one entry. Watching leaves none, since it reads one row's state and tells
nobody; reading anew leaves none, since that entry permits it. Neither holds a train or a writer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

import orjson

from guardhouse.model.answer import Outcome
from guardhouse.model.call import RawCall
from guardhouse.surfaces.limits import Disconnected

Watch = Callable[[str, str], str]
"""Reads an approval's state now: (workspace id, approval id) -> state. May block; asked on a thread."""

LONGEST_SECONDS = 300.0
_DEFAULT_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 2.0


def still_pending(outcome: Outcome) -> bool:
    """Whether a wait for this answer could change it."""
    return outcome.performed and not outcome.repeated and (outcome.result or {}).get("state") == "pending"


def seconds_asked(body: bytes) -> float:
    """How long the caller wants to wait; the gateway has already found the body valid."""
    try:
        asked = orjson.loads(body or b"{}").get("timeout_seconds", _DEFAULT_SECONDS)
        return min(LONGEST_SECONDS, max(0.0, float(asked)))
    except (ValueError, TypeError, AttributeError):
        return 0.0


async def hold_the_line(
    raw: RawCall,
    first: Outcome,
    read_again: Callable[[RawCall, Outcome], Awaitable[Outcome]],
    watch: Watch,
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    ending: asyncio.Event,
) -> Outcome:
    """Wait until the approval is no longer pending, the time is over or the door is `ending`; then read the answer anew.

    Raises `Disconnected` when the caller hangs up. A watch that fails ends the wait early: reading
    tells what can be told.
    """
    approval_id = str((first.result or {}).get("approval_id", ""))
    gone = asyncio.ensure_future(_gone(receive))
    closing = asyncio.ensure_future(ending.wait())
    try:
        async with asyncio.timeout(seconds_asked(raw.body)):
            await _settled(first.workspace_id, approval_id, watch, (gone, closing))
    except Exception:  # noqa: BLE001, S110  # out of time, or the ground failed: reading answers either way
        pass
    finally:
        gone.cancel()
        closing.cancel()
    if gone.done() and not gone.cancelled():
        raise Disconnected
    return await read_again(raw, first)


async def _settled(workspace_id: str, approval_id: str, watch: Watch, ends: Collection[asyncio.Future[Any]]) -> None:
    """Return when the question is no longer pending, or something else has ended the wait."""
    pause = _FIRST_PAUSE
    while (
        not any(end.done() for end in ends) and await asyncio.to_thread(watch, workspace_id, approval_id) == "pending"
    ):
        await asyncio.wait(ends, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        pause = min(_LONGEST_PAUSE, pause * 1.5)


async def _gone(receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
