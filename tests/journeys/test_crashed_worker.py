"""A worker killed in the middle of its work: what it held comes back within its lease, with an entry each, and its word is refused.

One real wait: the shortest lease is ten seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from tests.journeys.conftest import Agent, House

LEASE_SECONDS = 10
GRACE_SECONDS = 8
"""How much later than the lease the house may have written everything down; what the lease held is free at once."""

WORKER = """
import http.client, json, sys, time

port, token, task, lease = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
line = http.client.HTTPConnection("127.0.0.1", port)


def call(operation, **body):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    line.request("POST", f"/v1/{operation}", json.dumps(body), headers)
    answer = line.getresponse()
    told = json.loads(answer.read())
    assert answer.status == 200, told
    return told


call("register_session", capabilities=["python"])
claim = call("claim_task", task_id=task)
locks = [call("acquire_lock", key=key, ttl_seconds=lease) for key in ("res:crash/one", "res:crash/two")]
print(json.dumps({"fence": claim["fence"], "locks": [lock["fence"] for lock in locks]}), flush=True)
while True:
    time.sleep(0.2)
    call("check_guardrails", operation_text="pytest -q")
"""


def _crash(house: House, who: Agent, task: str) -> dict[str, Any]:
    """Start a worker that takes the task and two locks, and kill it at work; the fences it was given."""
    command = [sys.executable, "-c", WORKER, str(house.server.port), who.token, task, str(LEASE_SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        told = dict(json.loads(worker.stdout.readline()))
        time.sleep(0.5)  # let it be in the middle of a call
        worker.kill()
        assert worker.wait(30) == -9
    return told


def _ended_by_the_house(house: House, until: float) -> list[dict[str, Any]]:
    """The house's entries, as soon as there are three or time is up."""
    while True:
        found: list[dict[str, Any]] = []
        for operation in ("lapse_task", "lapse_lock"):
            found += house.done(house.operator, "query_audit", {"operation": operation})["entries"]
        if len(found) >= 3 or time.monotonic() > until:
            return found
        time.sleep(0.25)


def test_c05_c26_r11_a_killed_workers_locks_and_task_come_back_within_its_lease(house: House) -> None:
    crashing, other = house.agent("crashing"), house.agent("other")
    body = {"title": "move the data", "lease_seconds": LEASE_SECONDS}
    task = house.done(other.token, "submit_work", body)["task_id"]
    started = time.monotonic()
    fences = _crash(house, crashing, task)
    held = house.done(other.token, "check_locks", {"prefix": "res:crash/"})["locks"]
    assert {lock["agent_id"] for lock in held} == {crashing.id}
    assert house.refused(other.token, "claim_task", {"task_id": task}) == (409, "already_claimed")
    entries = _ended_by_the_house(house, started + LEASE_SECONDS + GRACE_SECONDS)
    assert sorted(entry["operation"] for entry in entries) == ["lapse_lock", "lapse_lock", "lapse_task"]
    assert {entry["principal"]["kind"] for entry in entries} == {"system"}
    taken = house.done(other.token, "claim_task", {"task_id": task})
    assert (taken["attempts"], taken["holder_agent_id"]) == (1, other.id)
    for key, old in zip(("res:crash/one", "res:crash/two"), fences["locks"], strict=True):
        assert house.done(other.token, "acquire_lock", {"key": key})["fence"] > old
        late = {"key": key, "fence": old}
        assert house.refused(crashing.token, "renew_lock", late)[1] in ("stale_fence", "lease_expired", "not_holder")
        assert house.refused(crashing.token, "release_lock", late)[1] in ("stale_fence", "not_holder")
    late = {"task_id": task, "fence": fences["fence"]}
    assert house.refused(crashing.token, "complete_work", late | {"summary": "after all"}) == (409, "stale_fence")
    assert house.refused(crashing.token, "renew_lease", late) == (409, "stale_fence")
    done = {"task_id": task, "fence": taken["fence"], "summary": "moved"}
    assert house.done(other.token, "complete_work", done)["status"] == "done"
