"""A ledger's time never goes back, whatever the clock does; every lease and expiry is judged by it."""

from __future__ import annotations

from tests.world import World


def test_a_clock_that_is_set_back_moves_no_entry_and_prolongs_nothing(home: World) -> None:
    holder, rival = home.agent("holder"), home.agent("rival")
    home.later(7_200)
    home.done(holder, "acquire_lock", {"key": "res:lane", "ttl_seconds": 60})
    last = home.entries()[-1]["at"]
    home.clock.advance(-3_600)
    assert home.call(rival, "acquire_lock", {"key": "res:lane"}).code == "held"
    assert home.entries()[-1]["at"] == last
    home.clock.advance(3_600)
    home.later(61)
    assert home.done(rival, "acquire_lock", {"key": "res:lane"})["acquired_at"] > last
    times = [entry["at"] for entry in home.entries()]
    assert times == sorted(times)
