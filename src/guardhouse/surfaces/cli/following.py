"""Following: look again and again through one gateway, and find it again when it goes away for a while."""

from __future__ import annotations

import time
from collections.abc import Callable

from guardhouse.errors import NotPerformed
from guardhouse.surfaces.cli import render
from guardhouse.surfaces.cli.composition import Composition
from guardhouse.surfaces.cli.door import Door, Reply, open_door
from guardhouse.surfaces.cli.output import finish

_LONGEST_PAUSE = 30.0
_WAIT = frozenset({"not_performed", "answer_unavailable", "outcome_unknown", "quota_exhausted", "rate_limited"})


def follow(composition: Composition, look: Callable[[Door], float | None]) -> None:
    """Call `look` until it gives None; it gives the seconds to rest before the next look.

    `look` raises NotPerformed when the gateway cannot answer now. The first look must succeed: a gateway
    that was never there is an error, one that went away is waited for.
    """
    seen, failures = False, 0
    while True:
        try:
            with open_door(composition) as door:
                while True:
                    pause = look(door)
                    seen, failures = True, 0
                    if pause is None:
                        return
                    time.sleep(pause)
        except NotPerformed as error:
            if not seen:
                raise
            if not failures:
                render.say(f"{error.message}; trying again", "yellow", stderr=True)
            failures += 1
            time.sleep(min(_LONGEST_PAUSE, 0.5 * 2**failures))


def answered(reply: Reply, json: bool) -> Reply:
    """The reply of a look; NotPerformed when waiting helps, the end of the command when nothing does."""
    if reply.code in _WAIT:
        raise NotPerformed(reply.message or "the gateway cannot answer now")
    if not reply.performed:
        finish(reply, json)
    return reply
