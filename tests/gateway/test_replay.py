"""Every decision can be made again from its entry."""

from __future__ import annotations

from guardhouse.app import actions
from guardhouse.bundle import versions
from guardhouse.gateway.replay import replay
from tests.world import World


def _busy_day(home: World) -> None:
    agents = [home.agent(f"agent-{trust}", trust=trust) for trust in range(5)]
    for agent in agents:
        for text in ("ls", "git push --force origin main", "rm -rf /", "kubectl delete namespace prod"):
            home.call(agent, "check_guardrails", {"operation_text": text})
        home.call(agent, "acquire_lock", {"key": "res:shared"})
        home.call(agent, "check_network", {"destination": "https://github.com/x"})
        home.call(agent, "check_network", {"destination": "http://198.51.100.7/"})
        home.call(agent, "revoke_locks", {"prefix": "res:shared"})
        home.call(agent, "acquire_lock", {"key": 3})
        home.call(agent, "nothing", {})
        home.call(agent, "check_locks", {}, approval_id="apr_00000000000000000000000000")
    home.done(home.operator, "pause_agent", {"agent_id": agents[2].id, "reason": "lunch", "seconds": 600})
    home.call(agents[2], "acquire_lock", {"key": "res:paused"})
    home.later(601)
    home.call(agents[2], "acquire_lock", {"key": "res:unpaused"})
    home.done(
        home.operator,
        "set_mode",
        {"scope": "workspace", "seconds": 60, "reason": "see"},
    )
    home.call(agents[1], "acquire_lock", {"key": "res:observed"})


def test_deciding_again_equals_the_record(home: World) -> None:
    _busy_day(home)
    with home.store.reading() as connection:
        result = replay(connection, home.workspace_id, versions.BundleCache(actions()))
    assert result.entries == home.count() > 50
    assert result.differences == []
