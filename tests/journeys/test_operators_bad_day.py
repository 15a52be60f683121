"""An operator's bad day: suspend, pause, stop, revoke, rotate, and an agent that will not stop calling."""

from __future__ import annotations

import http.client
import json
import re
from pathlib import Path

from guardhouse.bundle.load import read_directory, shipped_directory
from tests.journeys.conftest import House


def test_whatever_is_ordered_binds_the_very_next_call(house: House) -> None:
    builder, other = house.agent("builder"), house.agent("other")
    lead = house.agent("lead", trust=3)
    works = ("check_locks", {})
    house.done(builder.token, *works)
    house.done(builder.token, "acquire_lock", {"key": "src/app.py"})

    house.done(house.operator, "suspend_agent", {"agent_id": builder.id, "reason": "strange calls"})
    assert house.refused(builder.token, *works) == (403, "agent_suspended")
    house.done(other.token, *works)
    house.done(house.operator, "reinstate_agent", {"agent_id": builder.id})
    house.done(builder.token, *works)

    # A pause by an agent of trust 3 ends by itself, or when its pauser says so; nobody below may pause.
    assert house.refused(other.token, "pause_agent", {"agent_id": builder.id})[0] == 403
    house.done(lead.token, "pause_agent", {"agent_id": builder.id, "seconds": 3600, "reason": "a deploy runs"})
    house.done(builder.token, *works)  # who is paused may still look, and give back what it holds
    status, paused = house.call(builder.token, "acquire_lock", {"key": "src/app.py"})
    assert (status, paused["error"]["code"]) == (409, "agent_paused")
    assert 0 < paused["error"]["retry_after_seconds"] <= 3600
    house.done(lead.token, "resume_agent", {"agent_id": builder.id})
    house.done(builder.token, *works)

    # The whole workspace stands still for agents, and people go on governing.
    house.done(house.operator, "stop_workspace", {"reason": "find out first"})
    assert house.refused(builder.token, *works)[0] in (403, 409)
    assert house.refused(lead.token, *works)[0] in (403, 409)
    house.done(house.operator, "resume_workspace", {"reason": "found"})
    house.done(house.operator, "revoke_locks", {"prefix": "file:", "reason": "start clean"})
    assert house.done(other.token, "check_locks")["locks"] == []

    house.done(house.operator, "set_trust", {"agent_id": builder.id, "trust": 1})
    house.done(builder.token, *works)
    assert house.refused(builder.token, "acquire_lock", {"key": "src/app.py"})[0] == 403


def test_a_token_is_rotated_with_grace_and_a_stolen_one_is_revoked(house: House) -> None:
    builder = house.agent("builder")
    rotated = house.done(builder.token, "rotate_token")
    house.done(rotated["token"], "check_locks")
    house.done(builder.token, "check_locks")  # ten minutes of grace
    assert house.refused(builder.token, "rotate_token")[1] == "token_not_live"
    house.done(house.operator, "revoke_token", {"token_id": builder.token_id, "reason": "it leaked"})
    assert house.refused(builder.token, "check_locks")[0] == 401
    assert house.refused(rotated["token"], "check_locks") == (401, "token_revoked"), (
        "whoever stole it may have rotated it"
    )
    house.done(house.operator, "retire_agent", {"agent_id": builder.id, "reason": "gone"})
    assert house.refused(rotated["token"], "check_locks")[0] in (401, 403)
    for forged in ("", "x", builder.token[:-1], builder.token + "0", "Bearer " + builder.token):
        assert house.refused(forged, "check_locks") == (401, "unauthenticated"), forged


def suppressed(house: House) -> int:
    """How many calls this server has answered from memory."""
    line = house.server.connect()
    line.request("GET", "/metrics")
    found = re.search(r"^guardhouse_suppressed_calls_total (\d+)", line.getresponse().read().decode(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_an_agent_over_its_quota_is_recorded_once_and_then_answered_from_memory(house: House, site: Path) -> None:
    security = house.person("sam", "security")
    limited = "\n  tiny:\n    description: hardly anything\n    limits: {calls_per_hour: 5}\n"
    (site / "profiles.yaml").write_text((shipped_directory() / "profiles.yaml").read_text() + limited)
    house.done(security, "activate_policy", {"files": {k: v.decode() for k, v in read_directory(site).items()}})
    eager = house.agent("eager", profile="tiny")

    line = http.client.HTTPConnection("127.0.0.1", house.server.port, timeout=60)
    headers = {"Authorization": f"Bearer {eager.token}", "Content-Type": "application/json"}
    sent, before = 30, suppressed(house)
    heard: list[tuple[int, str | None, dict[str, object]]] = []
    for _ in range(sent):
        line.request("POST", "/v1/check_locks", "{}", headers)
        answer = line.getresponse()
        heard.append((answer.status, answer.getheader("Retry-After"), json.loads(answer.read())))
    line.close()
    counted = suppressed(house) - before

    performed = [one for one in heard if one[0] == 200]
    refused = [one for one in heard if one[0] == 429]
    # At most two windows of an hour, when the clock's hour turned while this ran.
    assert len(performed) in range(5, 11)
    assert len(performed) + len(refused) == sent
    for _, wait, body in refused:
        error = body["error"]
        assert isinstance(error, dict)
        assert error["code"] == "quota_exhausted"
        assert int(wait or 0) == error["retry_after_seconds"] > 0
    silent = [body for _, _, body in refused if body["error"].get("suppressed")]  # type: ignore[attr-defined]

    # Entries and suppressed calls together are the calls.
    entries = house.done(house.operator, "query_audit", {"agent_id": eager.id})["entries"]
    assert silent
    assert counted == len(silent)
    assert len(entries) + len(silent) == sent
    assert len([entry for entry in entries if entry["outcome"] == "quota_exhausted"]) == len(refused) - len(silent) >= 1

    # Others are not slowed, and a person may still look after it.
    house.done(house.operator, "suspend_agent", {"agent_id": eager.id, "reason": "a loop"})
    house.done(house.agent("calm").token, "check_locks")
