"""Operations of presence, and the composition that frees what the silent hold."""

from __future__ import annotations

from typing import Any

import pytest

from guardhouse.errors import Refusal
from guardhouse.operations import backlog, presence, queue
from guardhouse.services import keys, locks
from tests.operations.workbench import Workbench, agent
from tests.services.workshop import WORKSPACE

ANNA, BERT = agent("anna"), agent("bert", trust=3)
ALSO_ANNA = agent("anna", session="ses_0anna2")


@pytest.fixture
def bench(store: Any, clock: Any, ids: Any) -> Workbench:
    return Workbench(store, clock, ids)


def test_c40_c41_c42_register_heartbeat_discover(bench: Workbench) -> None:
    said = bench.call(presence.register_session, ANNA, capabilities=["python", "review"], branch="feat/x")
    assert (said["status"], said["repository"], said["heartbeat_seconds"]) == ("active", "web", 900)
    bench.call(presence.register_session, BERT, capabilities=["python"])
    found = bench.call(presence.discover_agents, BERT, capabilities=["review"])
    assert [item["agent_id"] for item in found["sessions"]] == [ANNA.id]
    assert bench.call(presence.discover_agents, BERT, limit=1)["more"]
    assert bench.call(presence.heartbeat, ANNA, activity="working")["was"] == "active"


def test_c40_a_session_that_only_sent_heartbeats_is_found_in_its_own_repository(bench: Workbench) -> None:
    bench.call(presence.heartbeat, ANNA)
    for name, found in (("web", [ANNA.id]), ("default", []), ("", [ANNA.id])):
        told = bench.call(presence.discover_agents, BERT, repository=name)["sessions"]
        assert [item["agent_id"] for item in told if item["agent_id"] == ANNA.id] == found, name
        assert all(item["repository"] for item in told)


def test_c05_what_a_silent_agent_holds_is_freed_and_its_live_session_keeps_its_own(bench: Workbench) -> None:
    tasks = [bench.call(queue.submit_work, BERT, title="t")["task_id"] for _ in range(2)]
    long = {"lease_seconds": 86_400}
    held = bench.call(queue.claim_task, ANNA, task_id=tasks[0], **long)
    bench.call(queue.claim_task, ALSO_ANNA, task_id=tasks[1], **long)
    with bench.shop.tx() as tx:
        for session, key in (("ses_0anna", "res:deploy/a"), ("ses_0anna2", "res:deploy/b")):
            locks.acquire(
                tx, bench.shop.ids, WORKSPACE, locks.Holder(ANNA.id, session), keys.canonical_key(key), ttl_seconds=9000
            )
    bench.clock.advance(600)
    with pytest.raises(Refusal) as excinfo:
        bench.call(presence.free_silent_agent, BERT, agent_id=ANNA.id)
    assert excinfo.value.code == "not_silent"
    bench.call(presence.heartbeat, ALSO_ANNA)
    bench.clock.advance(300)
    freed = bench.call(presence.free_silent_agent, BERT, agent_id=ANNA.id)
    assert (freed["sessions"], freed["locks"], freed["tasks"], freed["more"]) == (
        ["ses_0anna"],
        ["res:deploy/a"],
        [tasks[0]],
        False,
    )
    assert {item.split(":")[0] for item in bench.objects} == {"session", "lock", "task"}
    assert bench.call(backlog.get_task, BERT, task_id=tasks[0])["status"] == "todo"
    assert bench.call(backlog.get_task, BERT, task_id=tasks[1])["status"] == "doing"
    with pytest.raises(Refusal) as excinfo:
        bench.call(queue.complete_work, ANNA, task_id=tasks[0], fence=held["fence"], summary="late")
    assert excinfo.value.code == "stale_fence"
    with pytest.raises(Refusal):
        bench.call(presence.free_silent_agent, BERT, agent_id=ANNA.id)
    back = bench.call(presence.heartbeat, ANNA)
    assert (back["was"], back["tasks"]) == ("gone", [])
