"""Must hold 1: ten thousand calls over real sockets, and every one of them is in the database afterwards.

The server is the real command in a process of its own, over a catalog in which two handlers crash. What
its memory answered (`suppressed`) is counted from the entries too, so the server is ended and started
again before the books are read: the counts must outlive the process that kept them.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from guardhouse import app
from guardhouse.ledger.tables import ENTRY
from guardhouse.settings import Settings
from guardhouse.storage.opening import open_store
from tests.server import Server, environment, serving

CALLS = 10_000
CONNECTIONS = 32
CRASHING = "tests.gateway.crashing"


@dataclass
class Sent:
    """One request as bytes: who sends it (an index; -1 is nobody known), and what it is, for messages."""

    who: int
    kind: str
    data: bytes


@dataclass
class Got:
    """One answer."""

    sent: Sent
    status: int
    decision: str
    code: str


@dataclass
class Load:
    """What is still to be sent, and what came back."""

    plan: list[Sent]
    answers: list[Got] = field(default_factory=list)
    open: int = 0
    reopening: asyncio.Future[None] | None = None
    finished: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Connection(asyncio.Protocol):
    """Sends one request after another; opens anew where the server closes after its answer."""

    def __init__(self, load: Load, port: int) -> None:
        self.load, self.port, self.buffer = load, port, b""
        self.sent: Sent | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._next()

    def _next(self) -> None:
        self.sent = self.load.plan.pop() if self.load.plan else None
        if self.sent is None:
            self.transport.close()
        else:
            self.transport.write(self.sent.data)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
        headers = {name.lower(): value.strip().decode() for name, _, value in lines}
        if len(rest) < int(headers[b"content-length"]):
            return
        assert self.sent is not None
        body = json.loads(rest)
        code = body["error"]["code"] if "error" in body else "performed"
        self.load.answers.append(Got(self.sent, int(head[9:12]), headers.get(b"guardhouse-decision", ""), code))
        self.buffer, self.sent = b"", None
        if headers.get(b"connection") != "close":
            self._next()

    def connection_lost(self, _error: Exception | None) -> None:
        assert self.sent is None, f"no answer to {self.sent}"
        if self.load.plan:
            self.load.reopening = asyncio.ensure_future(open_one(self.load, self.port))
            return
        self.load.open -= 1
        if not self.load.open:
            self.load.finished.set_result(None)


async def open_one(load: Load, port: int) -> None:
    await asyncio.get_running_loop().create_connection(lambda: Connection(load, port), "127.0.0.1", port)


def send_all(server: Server, plan: list[Sent]) -> list[Got]:
    """Send all of it over `CONNECTIONS` sockets; every answer."""

    async def send() -> list[Got]:
        load = Load(plan, open=CONNECTIONS)
        await asyncio.gather(*(open_one(load, server.port) for _ in range(CONNECTIONS)))
        await load.finished
        return load.answers

    return asyncio.run(send())


def request(token: str, operation: str, body: bytes = b"{}", path: str = "", **headers: str) -> bytes:
    named = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(body))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        named["Authorization"] = f"Bearer {token}"
    first = f"GET {path}" if path else f"POST /v1/{operation}"
    lines = [f"{first} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


HUGE = b'{"operation_text": "' + b"x" * 2_000_000 + b'"}'
KINDS: dict[str, tuple[int, Callable[[str], bytes]]] = {
    "check": (20, lambda token: request(token, "check_guardrails", b'{"operation_text": "ls -la"}')),
    "forbidden": (
        10,
        lambda token: request(token, "check_guardrails", b'{"operation_text": "git push --force origin main"}'),
    ),
    "lock": (10, lambda token: request(token, "acquire_lock", b'{"key": "res:race"}')),
    "unlock": (6, lambda token: request(token, "release_lock", b'{"key": "res:race"}')),
    "alias": (4, lambda token: request(token, "lock_file", b'{"key": "README.md"}')),
    "path": (4, lambda token: request(token, "get_task", path="/api/v1/tasks/tsk_00000000000000000000000000")),
    "repeated": (
        10,
        lambda token: request(token, "acquire_lock", b'{"key": "res:keyed", "ttl_seconds": 60}', Idempotency_Key="one"),
    ),
    "conflicting": (4, lambda token: request(token, "acquire_lock", b'{"key": "res:other"}', Idempotency_Key="one")),
    "crashed": (6, lambda token: request(token, "renew_lock", b'{"key": "res:race"}')),
    "crashed after its effect": (6, lambda token: request(token, "acquire_lock", b'{"key": "res:crash"}')),
    "wrong type": (4, lambda token: request(token, "acquire_lock", b'{"key": 7}')),
    "no text": (4, lambda token: request(token, "acquire_lock", b"\xff\xfe not json")),
    "nested": (2, lambda token: request(token, "check_locks", b"{" * 5000)),
    "not JSON by name": (4, lambda token: request(token, "check_locks", b"a=b", Content_Type="text/plain")),
    "no operation": (4, lambda token: request(token, "no_such_operation")),
    "people only": (4, lambda token: request(token, "add_agent", b'{"handle": "mine", "trust": 4}')),
    "stale approval": (
        4,
        lambda token: request(token, "acquire_lock", b'{"key": "res:a"}', Guardhouse_Approval="apr_" + "0" * 26),
    ),
    "oversized": (0, lambda token: request(token, "check_guardrails", HUGE)),
}
STRANGE: list[bytes] = [
    request("", "check_locks"),
    request("gdh_agent_nobody_0000000000000000000000000000000000000000000", "check_locks"),
    request("one, two", "check_locks"),
]


def make_plan(tokens: list[str], weights: list[int], operator: str, swinging: str) -> list[Sent]:
    """Ten thousand calls in one order that is the same in every run, and strangers' requests among them."""
    chooser = random.Random(20260921)
    kinds = list(KINDS)
    often = [KINDS[kind][0] for kind in kinds]
    made = {(who, kind): Sent(who, kind, KINDS[kind][1](tokens[who])) for who in range(len(tokens)) for kind in kinds}
    plan = [
        made[chooser.choices(range(len(tokens)), weights)[0], chooser.choices(kinds, often)[0]]
        for _ in range(CALLS - 60)
    ]
    plan += [made[who % len(tokens), "oversized"] for who in range(20)]
    named = json.dumps({"agent_id": swinging, "reason": "test"}).encode()
    for _ in range(20):
        plan.append(Sent(len(tokens), "suspends", request(operator, "suspend_agent", named)))
        plan.append(
            Sent(
                len(tokens),
                "reinstates",
                request(operator, "reinstate_agent", json.dumps({"agent_id": swinging}).encode()),
            )
        )
    assert len(plan) == CALLS
    plan += [Sent(-1, "stranger", STRANGE[number % len(STRANGE)]) for number in range(300)]
    chooser.shuffle(plan)
    return plan


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_entries_and_suppressed_equal_ten_thousand_calls_over_real_sockets(
    dialect: str, new_database: Callable[[str], str], tmp_path: Path
) -> None:
    url, home = new_database(dialect), tmp_path / "home"
    founded = app.found(Settings(home=home, database_url=url), "default", "olga")
    operator = founded.operator_token
    env = environment(home, url)
    # (trust, profile, weight): two are over their quota of 1,200 an hour in the middle, two are suspended throughout.
    kinds = [(0, "default", 10)] * 2 + [(2, "default", 35)] * 2 + [(trust, "unlimited", 12) for trust in (1, 2, 3, 4)]
    with serving(env, module=CRASHING) as server:
        agents = []
        for number, (trust, profile, _weight) in enumerate(kinds):
            asked = {"handle": f"agent-{number}", "trust": trust, "profile": profile}
            status, added = server.call(operator, "add_agent", asked)
            assert status == 200, added
            agents.append(added)
        tokens = [agent["token"] for agent in agents]
        before = _entries(url, founded.workspace_id)
        plan = make_plan(tokens, [weight for *_, weight in kinds], operator, agents[-1]["agent_id"])
        sent = Counter(one.who for one in plan)
        answers = send_all(server, plan)
        assert server.stop() == 0
    assert Counter(answer.sent.who for answer in answers) == sent
    # Ended and started again: whoever was answered from memory says so in their next entry.
    with serving(env, module=CRASHING) as server:
        for number, token in enumerate([*tokens, operator]):
            server.call(token, "get_my_profile")
            sent[number] += 1
        assert server.stop() == 0

    entries = _entries(url, founded.workspace_id)[len(before) :]
    ids = [agent["agent_id"] for agent in agents] + [founded.person_id]
    told: dict[str, int] = defaultdict(int)
    for entry in entries:
        told[entry["principal"]["id"]] += 1 + entry.get("suppressed", 0)
    assert {who: told[who] for who in ids} == {who: sent[number] for number, who in enumerate(ids)}
    assert sum(sent[number] for number in range(len(ids))) == CALLS + len(ids)

    outcomes = {entry["id"]: entry["outcome"] for entry in entries}
    assert len(outcomes) == len(entries), "two entries of one decision"
    recorded = [answer for answer in answers if answer.decision]
    assert len({answer.decision for answer in recorded}) == len(recorded), "two calls told one decision"
    assert [answer for answer in recorded if outcomes.get(answer.decision) != answer.code] == []
    _mixed(answers, entries)


def _mixed(answers: list[Got], entries: list[dict[str, Any]]) -> None:
    """The load was what it says: each kind really met its fate, and what has no decision was suppressed or a stranger's."""
    seen: dict[str, set[str]] = defaultdict(set)
    for answer in answers:
        seen[answer.sent.kind].add(answer.code)
        if not answer.decision:
            assert (answer.status, answer.sent.who) in {(401, -1)} | {(429, who) for who in range(8)}, answer
    expected = {
        "check": "performed",
        "lock": "held",
        "repeated": "performed",
        "conflicting": "idempotency_conflict",
        "crashed": "internal_error",
        "crashed after its effect": "internal_error",
        "wrong type": "validation",
        "no text": "validation",
        "nested": "validation",
        "not JSON by name": "unsupported_media_type",
        "no operation": "unknown_operation",
        "people only": "people_only",
        "oversized": "payload_too_large",
        "suspends": "performed",
        "stranger": "unauthenticated",
    }
    for kind, code in expected.items():
        assert code in seen[kind], (kind, seen[kind])
    assert {"suspended", "quota_exhausted", "rate_limited", "agent_suspended"} <= set().union(*seen.values())
    assert any(entry.get("repeats") for entry in entries)
    assert sum(entry.get("suppressed", 0) for entry in entries) > 1000


def _entries(url: str, workspace_id: str) -> list[dict[str, Any]]:
    store = open_store(url, lambda: 0)
    try:
        with store.reading() as connection:
            query = select(ENTRY.c.body).where(ENTRY.c.workspace_id == workspace_id).order_by(ENTRY.c.sequence)
            return [json.loads(bytes(body)) for body in connection.execute(query).scalars()]
    finally:
        store.close()
