"""`GUARDHOUSE_NOTIFY_URL`: one POST a new question, after its commit, never in the way, with nothing secret in it."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from guardhouse import app
from guardhouse.app import Guardhouse
from guardhouse.bundle import load
from guardhouse.governance.tables import APPROVAL
from guardhouse.ledger.tables import ENTRY
from guardhouse.model.answer import Outcome
from guardhouse.model.call import RawCall
from guardhouse.settings import Settings
from guardhouse.surfaces.notify import Notifier

DOCS = Path(__file__).parents[2] / "docs" / "http.md"


_SITE = """\
@id("site.locks_need_a_person")
@effect("approval")
@advice("say what you deploy")
forbid (principal is Agent, action == Action::"acquire_lock", resource is Lock);
"""


@dataclass
class Receiver:
    """A web server of somebody's: what it was sent; how it answers; what was so in the database meanwhile."""

    url: str = ""
    status: int = 200
    asked: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    go: threading.Event = field(default_factory=threading.Event)
    look: Any = None

    def next(self) -> dict[str, Any]:
        """The next notice's body."""
        assert self.arrived.acquire(timeout=20), "nothing was told"
        told: dict[str, Any] = json.loads(self.asked[-1][1])
        return told


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    made.go.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if made.look is not None:
                made.seen.append(made.look(json.loads(body)["approval_id"]))
            made.asked.append(({name.lower(): value for name, value in self.headers.items()}, body))
            made.arrived.release()
            made.go.wait(60)
            self.send_response(made.status)
            self.send_header("Location", f"{made.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.go.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


class Place:
    """A whole gateway with the setting, and an agent that asks."""

    def __init__(self, house: Guardhouse, operator: str) -> None:
        self.house = house
        self.operator = operator
        added = self.call(operator, "add_agent", {"handle": "asker", "trust": 2})
        self.agent = str((added.result or {})["token"])

    def call(self, token: str, operation: str, body: Any = None) -> Outcome:
        return self.house.gateway.handle(RawCall(operation, json.dumps(body or {}).encode(), token, "test"))

    def ask(self, text: str = "npm publish") -> str:
        """Ask about a command that a person must allow; the question's id."""
        answer = self.call(self.agent, "check_guardrails", {"operation_text": text})
        approval: str = (answer.result or {})["approval_id"]
        assert approval
        return approval

    def questions(self, approval_id: str) -> int:
        """How many questions of this id, with their entry, another connection sees."""
        query = select(func.count()).select_from(
            APPROVAL.join(
                ENTRY,
                (APPROVAL.c.workspace_id == ENTRY.c.workspace_id) & (APPROVAL.c.decision_id == ENTRY.c.id),
            )
        )
        with self.house.store.reading() as connection:
            return int(connection.execute(query.where(APPROVAL.c.id == approval_id)).scalar_one())


@contextmanager
def _place(database_url: str, home: Path, notify_url: str) -> Iterator[Place]:
    settings = Settings(home=home, database_url=database_url, notify_url=notify_url)
    load.write_site_skeleton(home / "policies")
    (home / "policies" / "cedar").mkdir(exist_ok=True)
    (home / "policies" / "cedar" / "site.cedar").write_text(_SITE)
    operator = app.found(settings, "default", "olga").operator_token
    with Guardhouse(settings) as house:
        yield Place(house, operator)


@pytest.fixture
def place(database_url: str, tmp_path: Path, receiver: Receiver) -> Iterator[Place]:
    with _place(database_url, tmp_path / "home", receiver.url) as made:
        receiver.look = made.questions
        yield made


def _documented() -> dict[str, Any]:
    """The body that the page shows."""
    page = DOCS.read_text(encoding="utf-8")
    shown = re.search(r"## Telling people.*?```json\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    told: dict[str, Any] = json.loads(shown[1])
    return told


def _shape(value: Any) -> Any:
    return {name: _shape(one) for name, one in value.items()} if isinstance(value, dict) else type(value).__name__


def test_each_new_question_is_posted_once_after_its_commit(place: Place, receiver: Receiver) -> None:
    first = place.ask()
    told = receiver.next()
    assert told["approval_id"] == first
    assert receiver.seen == [1], "the question and its entry were not there yet"
    headers, body = receiver.asked[0]
    assert headers["content-type"] == "application/json"
    assert _shape(json.loads(body)) == _shape(_documented())
    assert {place.ask() for _ in range(3)} == {first}
    second = place.ask("npm publish --tag next")
    assert receiver.next()["approval_id"] == second != first
    place.house.notifier.close()  # delivers what is queued, if anything were
    assert [json.loads(body)["approval_id"] for _headers, body in receiver.asked] == [first, second]


def test_nothing_secret_is_posted(place: Place, receiver: Receiver) -> None:
    """No token of ours and not the text that was asked about; what holds a caught secret is refused and opens no question."""
    secret = "ghp_" + "Ab1" * 12
    place.ask("npm publish --access public-of-ours")
    receiver.next()
    caught = place.call(place.agent, "acquire_lock", {"key": f"res:deploy/{secret}", "reason": f"with {secret}"})
    assert caught.code == "guardrail_blocked"
    held = place.call(place.agent, "acquire_lock", {"key": "res:deploy/shop", "reason": "words-of-ours"})
    assert held.code == "approval_pending"
    told = receiver.next()
    assert told["approval_id"] == held.error["approval_id"]
    assert told["resource"]["id"].startswith("res:deploy/")
    assert "say what you deploy" in told["message"]
    everything = json.dumps([headers for headers, _body in receiver.asked]) + "".join(
        body.decode() for _headers, body in receiver.asked
    )
    for unwanted in (secret, place.agent, place.operator, "gdh_", "public-of-ours", "words-of-ours"):
        assert unwanted not in everything
    assert not {name for headers, _body in receiver.asked for name in headers} & {"authorization", "cookie"}


def test_the_url_itself_is_in_no_log_however_much_is_logged(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """A webhook's URL is its secret; asked for every detail, the log still does not tell it."""
    caplog.set_level(logging.DEBUG)
    for status in (200, 500):
        receiver.status = status
        notifier = Notifier("", f"{receiver.url}/T0-secret-path?key=secret-word")
        notifier.tell("approval_asked", {"approval_id": "apr_1"})
        receiver.next()
        notifier.close()
    assert "answered 500" in caplog.text
    assert "secret" not in caplog.text


def test_a_slow_receiver_slows_no_call(place: Place, receiver: Receiver) -> None:
    receiver.go.clear()
    place.house.notifier._timeout = 60  # so that only the receiver ends the wait, however busy this machine is
    place.ask()
    receiver.next()  # the receiver has it and does not answer
    started = time.monotonic()
    asked = [place.ask(f"npm publish --tag t{number}") for number in range(5)]
    assert place.call(place.agent, "check_locks").performed
    assert time.monotonic() - started < 40, "a call waited for the receiver"
    assert len(receiver.asked) == 1, "the receiver has answered after all"
    receiver.go.set()
    for _ in asked:
        receiver.next()
    assert [json.loads(body)["approval_id"] for _headers, body in receiver.asked[1:]] == asked


@pytest.mark.parametrize("status", [302, 500])
def test_a_failing_receiver_loses_nothing_else(
    place: Place, receiver: Receiver, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """The question stands, the next one is posted, nothing is sent elsewhere or again, and the log says so without the content."""
    receiver.status = status
    first = place.ask()
    receiver.next()
    receiver.status = 200
    second = place.ask("npm publish --tag next")
    assert receiver.next()["approval_id"] == second
    place.house.notifier.close()
    assert len(receiver.asked) == 2
    listed = place.call(place.operator, "list_approvals", {"state": "pending"}).result or {}
    assert {one["approval_id"] for one in listed["approvals"]} == {first, second}
    assert f"answered {status}" in caplog.text
    assert first not in caplog.text


def test_nobody_there_loses_nothing_else(new_database: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with _place(new_database("sqlite"), tmp_path / "home", "http://127.0.0.1:9/hook") as place:
        approval_id = place.ask()
        assert place.questions(approval_id) == 1
        place.house.notifier.close()
    assert "the notify URL failed" in caplog.text
