"""Asked for every detail, the log still holds no token and no caught secret, whichever door they came through."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.surfaces.test_forged_identity import House, house

__all__ = ["house"]

SECRET = "ghp_" + "Ab1" * 12
STRANGER = "gdh_agent_nobody_" + "0" * 43


def _come_through_every_door(house: House, bearer: str, member: Any) -> None:
    """Well-formed, malformed, refused and unknown calls, each with the secret in it somewhere."""
    text = {"operation_text": f"curl -H 'Authorization: token {SECRET}' https://api.example.com"}
    for operation, body in (
        ("check_guardrails", text),
        ("acquire_lock", {"key": f"res:{SECRET}"}),
        ("acquire_lock", {"key": 3, SECRET: SECRET}),
        (f"no_such_{SECRET}", {}),
    ):
        house.send("POST", f"/v1/{operation}", body, bearer, Idempotency_Key=SECRET, X_Request_Id=SECRET)
    house.send("POST", "/v1/check_locks", [SECRET], bearer)
    house.send("GET", f"/v1/{SECRET}", {}, bearer)
    house.send("POST", "/v1/check_locks", {}, f"Bearer {STRANGER}")
    # Pasted to the wrong place: a token in the path, or where the request's own name belongs, and none where it belongs.
    house.send("POST", f"/v1/{member.token}", {}, X_Request_Id=member.token)
    house.send("POST", f"/v1/check_locks?token={member.token}", {})
    for name, arguments in (("check_guardrails", text), (SECRET, {}), ("acquire_lock", {"key": [SECRET]})):
        house.mcp(member, name, arguments, {"guardhouse/approval": SECRET})


def test_no_log_holds_a_token_or_a_secret(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    member = house.world.agent("worker")
    _come_through_every_door(house, f"Bearer {member.token}", member)
    told = caplog.text
    assert told.count("no known principal") == 3, "strangers are told of"
    for unwanted in (SECRET, member.token, STRANGER, house.world.operator.token):
        lines = [line for line in told.splitlines() if unwanted in line]
        assert lines == []
