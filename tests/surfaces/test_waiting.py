"""`wait_approval` on real sockets: one call, one entry, however the waiting ends; and nobody else waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from guardhouse.governance import approvals
from tests.surfaces.doors import Answer, Listening, listening, request
from tests.world import Member, World, world


class Line:
    """A door, an agent with an open question, and what is seen of the watching."""

    def __init__(self, home: World, agent: Member) -> None:
        self.home, self.agent = home, agent
        self.watched = threading.Event()
        self.door: Listening
        asked = home.done(agent, "check_guardrails", {"operation_text": "npm publish"})
        self.approval_id = str(asked["approval_id"])

    def watch(self, workspace_id: str, approval_id: str) -> str:
        with self.home.store.reading(5.0) as connection:
            state = approvals.watched(connection, workspace_id, approval_id, self.home.clock())
        self.watched.set()
        return state

    def body(self, seconds: int) -> bytes:
        return f'{{"approval_id": "{self.approval_id}", "timeout_seconds": {seconds}}}'.encode()

    @contextmanager
    def waiting(self, **headers: str) -> Iterator[Future[Answer]]:
        """While somebody waits, and has been seen to."""
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(self.door.post, "wait_approval", self.body(300), self.agent.token, **headers)
            assert self.watched.wait(10)
            yield answer

    def entries(self) -> list[dict[str, Any]]:
        return [entry for entry in self.home.entries() if entry["operation"] == "wait_approval"]


@pytest.fixture
def line(store: Any, clock: Any, ids: Any, tmp_path: Path) -> Iterator[Line]:
    with world(store, clock, ids) as home:
        made = Line(home, home.agent("waiter"))
        with listening(home.gateway, tmp_path / "home", watch=made.watch) as made.door:
            yield made


def test_a_wait_is_one_call_with_one_entry_and_holds_nobody_up(line: Line) -> None:
    before = line.home.count()
    with line.waiting(Idempotency_Key="once") as answer:
        # Trains run and writers write while the line is held; the grant that ends it is one of them.
        assert line.door.post("acquire_lock", b'{"key": "res:a"}', line.agent.token).status == 200
        assert not answer.done()
        line.home.done(line.home.operator, "grant_approval", {"approval_id": line.approval_id, "reason": "go"})
        told = answer.result(20)
    assert (told.status, told.json["state"], told.json["reason"]) == (200, "granted", "go")
    assert [entry["id"] for entry in line.entries()] == [told.json["decision_id"]]
    assert line.home.count() == before + 3


def test_a_wait_that_nobody_ends_is_one_entry_too(line: Line) -> None:
    told = line.door.post("wait_approval", line.body(0), line.agent.token)
    assert (told.status, told.json["state"]) == (200, "pending")
    assert [entry["id"] for entry in line.entries()] == [told.json["decision_id"]]


@pytest.mark.parametrize(
    ("operation", "status", "code"), [("suspend_agent", 403, "agent_suspended"), ("revoke_token", 401, "token_revoked")]
)
def test_who_may_no_longer_speak_at_the_end_learns_nothing_of_the_question(
    line: Line, operation: str, status: int, code: str
) -> None:
    home = line.home
    with line.waiting() as answer:
        listed = home.done(home.operator, "list_tokens", {"principal_id": line.agent.id})["tokens"]
        ask = {"suspend_agent": {"agent_id": line.agent.id}, "revoke_token": {"token_id": listed[0]["token_id"]}}
        home.done(home.operator, operation, ask[operation])
        home.done(home.operator, "refuse_approval", {"approval_id": line.approval_id, "reason": "hush"})
        told = answer.result(20)
    assert (told.status, told.code) == (status, code), told.body
    assert b"hush" not in told.body
    assert len(line.entries()) == 1


def test_a_caller_who_hangs_up_leaves_the_one_entry(line: Line) -> None:
    with line.door.connect() as connection:
        bearer = {"Content-Type": "application/json", "Authorization": f"Bearer {line.agent.token}"}
        connection.sendall(request("POST", "/v1/wait_approval", line.body(300), **bearer))
        assert line.watched.wait(10)
    line.home.done(line.home.operator, "grant_approval", {"approval_id": line.approval_id})
    assert line.door.post("get_approval", b"{}", line.agent.token).status == 422
    assert len(line.entries()) == 1
