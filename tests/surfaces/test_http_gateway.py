"""The whole way: a request over a socket through the gateway into the ledger, on each database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from guardhouse.app import Guardhouse
from guardhouse.model.answer import Outcome
from guardhouse.model.call import RawCall
from guardhouse.operations import CATALOG
from guardhouse.settings import Settings
from tests.surfaces.doors import Answer, Listening, Script, listening, parse, request
from tests.world import World, world


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


@pytest.fixture
def door(home: World, tmp_path: Path) -> Iterator[Listening]:
    with listening(home.gateway, tmp_path / "home") as made:
        yield made


def test_a_call_is_answered_with_the_decision_that_its_entry_records(home: World, door: Listening) -> None:
    agent = home.agent("worker")
    answer = door.post("check_guardrails", b'{"operation_text": "ls"}', agent.token, **{"X-Request-Id": "mine"})
    assert answer.status == 200, answer.body
    entry = home.entry(answer.json["decision_id"])
    assert (entry["surface"], entry["request"], entry["outcome"]) == ("http", "mine", "performed")
    assert answer.headers["guardhouse-decision"] == entry["id"]


@pytest.mark.parametrize(
    ("operation", "body", "kind", "status", "code"),
    [
        ("acquire_lock", b"\xff\xfe", "application/json", 422, "validation"),
        ("acquire_lock", b'{"key": "a", "key": "b"}', "application/json", 422, "validation"),
        ("acquire_lock", b'{"key": "a\\u0000"}', "application/json", 422, "validation"),
        ("acquire_lock", b'{"key": "\\ud800"}', "application/json", 422, "validation"),
        ("acquire_lock", b'{"key": 99999999999999999999999}', "application/json", 422, "validation"),
        ("acquire_lock", b'{"key": ' + b"[" * 50_000, "application/json", 422, "validation"),
        ("acquire_lock", b"key=a", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        ("acquire_lock", b"x" * 5_000_000, "application/json", 413, "payload_too_large"),
        ("no_such_thing", b"{}", "application/json", 404, "unknown_operation"),
        ("../../etc/passwd%00", b"{}", "application/json", 404, "unknown_operation"),
    ],
)
def test_hostile_calls_of_a_known_principal_leave_their_entry(
    home: World, door: Listening, operation: str, body: bytes, kind: str, status: int, code: str
) -> None:
    agent = home.agent("worker")
    before = home.count()
    answer = door.post(operation, body, agent.token, **{"Content-Type": kind})
    assert (answer.status, answer.code) == (status, code), answer.body
    assert home.count() == before + 1
    assert home.entry(answer.json["error"]["decision_id"])["outcome"] == code


def test_strangers_and_pages_leave_no_entry(home: World, door: Listening) -> None:
    before = home.count()
    assert door.post("check_locks", b"{}", "gdh_agent_nobody_00000000000000000000000000000000").status == 401
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert door.get(path).status == 200
    assert parse(door.raw(request("GET", "/v1/check_locks", b""))).status == 405
    assert home.count() == before


def test_the_same_key_repeats_the_first_outcome(home: World, door: Listening) -> None:
    agent = home.agent("worker")
    first = door.post("acquire_lock", b'{"key": "res:a"}', agent.token, **{"Idempotency-Key": "k"})
    again = door.post("acquire_lock", b'{"key": "res:a"}', agent.token, **{"Idempotency-Key": "k"})
    assert (first.status, again.status) == (200, 200), (first.body, again.body)
    assert again.headers["guardhouse-repeats"] == first.json["decision_id"]
    other = door.post("acquire_lock", b'{"key": "res:b"}', agent.token, **{"Idempotency-Key": "k"})
    assert other.code == "idempotency_conflict"


def test_entries_and_suppressed_calls_equal_calls_over_quota(home: World, door: Listening) -> None:
    agent = home.agent("eager", profile="limited")
    before = home.count()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: door.post("check_locks", b"{}", agent.token), range(300)))
    entries = home.entries()[before:]
    reported = sum(entry.get("suppressed", 0) for entry in entries)
    assert len(entries) + reported + door.door.silences.pending == len(answers)
    statuses = {answer.status for answer in answers}
    assert statuses == {200, 429}
    assert len(entries) < len(answers)


def test_racers_over_the_wire_have_one_winner(home: World, door: Listening) -> None:
    agents = [home.agent(f"racer-{number}") for number in range(8)]
    body = json.dumps({"key": "res:prize"}).encode()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda agent: door.post("acquire_lock", body, agent.token), agents))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 7
    lost = next(answer for answer in answers if answer.status == 409)
    assert lost.code == "held"
    assert int(lost.headers["retry-after"]) >= 1


def test_c52_a_scheduler_polls_a_task_at_its_own_path(home: World, door: Listening) -> None:
    """`GET /api/v1/tasks/{task_id}` is `get_task`: the same answer, judged and recorded the same."""
    agent, stranger = home.agent("worker"), "gh_agt_nobody"
    task = home.done(agent, "submit_work", {"title": "x"})

    def poll(path: str, token: str, method: str = "GET") -> Any:
        return parse(door.raw(request(method, path, b"", Authorization=f"Bearer {token}")))

    before = home.count()
    answer = poll(f"/api/v1/tasks/{task['task_id']}", agent.token)
    assert answer.status == 200, answer.body
    assert {**answer.json, "decision_id": ""} == {**task, "decision_id": ""}
    entry = home.entry(answer.json["decision_id"])
    assert (entry["operation"], entry["surface"], entry["resource"]["id"]) == ("get_task", "http", task["task_id"])
    assert poll("/api/v1/tasks/tsk_0", agent.token).code == "not_found"
    assert poll("/api/v1/tasks/%00", agent.token).code == "validation"
    assert poll("/api/v1/tasks/a/b", agent.token).code == "validation"
    assert home.count() == before + 4
    assert poll(f"/api/v1/tasks/{task['task_id']}", stranger).status == 401
    assert poll(f"/api/v1/tasks/{task['task_id']}", agent.token, "POST").status == 405
    assert home.count() == before + 4
    suspended = home.agent("low", trust=0)
    assert poll(f"/api/v1/tasks/{task['task_id']}", suspended.token).code == "suspended"


def test_a28_a_playbook_that_is_known_is_answered_304(home: World, door: Listening) -> None:
    """As for any page: with GET and `If-None-Match`; with POST the tag is a header of the answer and a field of the body."""
    agent = home.agent("worker")
    known = {"Authorization": f"Bearer {agent.token}"}

    def read(tag: str = "", method: str = "GET", path: str = "/v1/get_playbook") -> Answer:
        return parse(door.raw(request(method, path, b"", **known, **({"If-None-Match": tag} if tag else {}))))

    before = home.count()
    first = read()
    assert (first.status, first.json["not_modified"]) == (200, False)
    tag = first.headers["etag"]
    assert tag == f'"{first.json["etag"]}"'
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = read(given)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
        assert "content-type" not in again.headers
        entry = home.entry(again.headers["guardhouse-decision"])
        assert (entry["operation"], entry["outcome"], entry["surface"]) == ("get_playbook", "performed", "http")
    for given in ('"other"', first.json["etag"], '"' + "x" * 5_000 + '"', '"one", "two"', ","):
        again = read(given)
        assert (again.status, again.json["guide"], again.headers["etag"]) == (200, first.json["guide"], tag)
    assert home.count() == before + 10
    posted = read(tag, "POST")
    assert (posted.status, posted.json["guide"], posted.headers["etag"]) == (200, first.json["guide"], tag)
    asked = door.post("get_playbook", json.dumps({"if_none_match": first.json["etag"]}).encode(), agent.token)
    assert (asked.status, asked.json["not_modified"], asked.headers["etag"]) == (200, True, tag)
    put = read("", "PUT")
    assert (put.status, put.headers["allow"]) == (405, "GET, POST")
    assert "etag" not in door.post("check_locks", b"{}", agent.token).headers
    refused = read(tag, "GET", "/v1/list_roles")
    assert (refused.status, refused.headers["allow"]) == (405, "POST")
    suspended = home.agent("low", trust=0)
    known["Authorization"] = f"Bearer {suspended.token}"
    assert read(tag).status == 403


def test_what_is_no_call_is_answered_with_what_to_do_instead(home: World, door: Listening) -> None:
    """Each in the one envelope, and each message ends with a next step."""
    agent = home.agent("worker")
    known = {"Authorization": f"Bearer {agent.token}", "Content-Type": "application/json"}
    stranger = {"Authorization": "Bearer gdh_agent_nobody_0000000000000000"}
    form = known | {"Content-Type": "text/plain"}
    for sent, status, code, says in (
        (request("POST", "/v1/check_locks", b"{}"), 401, "unauthenticated", "`guardhouse agents add`"),
        (request("POST", "/v1/check_locks", b"{}", **stranger), 401, "unauthenticated", "`guardhouse tokens issue`"),
        (request("GET", "/v1/check_locks", b"", **known), 405, "method_not_allowed", "use POST here"),
        (request("POST", "/api/v1/tasks/tsk_1", b"", **known), 405, "method_not_allowed", "use GET here"),
        (request("POST", "/readyz", b"", **known), 405, "method_not_allowed", "use GET"),
        (request("GET", "/v2/check_locks", b"", **known), 404, "not_found", "`/openapi.json` lists them all"),
        (request("POST", "/v1/chek_locks", b"", **known), 404, "unknown_operation", "did you mean `check_locks`?"),
        (request("POST", "/v1/qqqqqq", b"", **known), 404, "unknown_operation", "`/openapi.json` lists them all"),
        (request("POST", "/v1/check_locks", b"x", **form), 415, "unsupported_media_type", "send it with `Content-Type"),
        (
            request("POST", "/v1/check_locks", b"x" * 2_000_000, **known),
            413,
            "payload_too_large",
            "send less, or split",
        ),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "validation", "`http://` or `https://`"),
        (request("GET", "/", b"", **{"X-Long": "x" * 70_000}), 431, "validation", "send fewer or shorter headers"),
    ):
        answer = parse(door.raw(sent))
        assert (answer.status, answer.code) == (status, code), answer
        assert says in answer.json["error"]["message"], answer.json
        assert answer.json["detail"] == answer.json["error"]["message"]


def test_readiness_is_told_in_the_types_that_are_documented(tmp_path: Path, database_url: str) -> None:
    """Numbers are numbers; what a real gateway tells is in the OpenAPI document, name by name."""
    kinds = {"string": str, "integer": int}
    house = Guardhouse(Settings(home=tmp_path / "home", database_url=database_url))
    with house, listening(house.gateway, tmp_path / "home", ready=house.ready) as served:
        told = served.get("/readyz").json
        document = served.get("/openapi.json").json
    schema = document["paths"]["/readyz"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert told["status"] == "ready"
    assert (
        {"queued", "checkpoint_lag", "database", "migrations", "ledger"} <= told.keys() <= schema["properties"].keys()
    )
    for name, value in told.items():
        wanted = schema["properties"][name]
        assert value in wanted["enum"] if "enum" in wanted else type(value) is kinds[wanted["type"]], (name, value)
    assert (type(told["queued"]), type(told["checkpoint_lag"])) == (int, int)


class Counted:
    """The catalog, and how often it was gone through from end to end."""

    def __init__(self) -> None:
        self.times = 0

    def __iter__(self) -> Iterator[Any]:
        self.times += 1
        return iter(CATALOG)

    def find(self, name: str) -> Any:
        return CATALOG.find(name)


def test_the_openapi_document_is_made_once_however_many_ask_at_first(tmp_path: Path) -> None:
    script = Script()
    with listening(script, tmp_path) as door:
        counted = script.catalog = Counted()  # type: ignore[assignment]  # as much of a catalog as the document needs
        with ThreadPoolExecutor(8) as pool:
            pages = {pool.submit(door.get, "/openapi.json") for _ in range(8)}
        assert {page.result().status for page in pages} == {200}
        assert len({page.result().body for page in pages}) == 1
    assert counted.times == 1


class Slow(Script):
    """Answers in half a second."""

    async def handle_async(self, raw: RawCall) -> Outcome:
        await asyncio.sleep(0.5)
        return await super().handle_async(raw)


def test_reading_law_may_take_longer_than_other_answers(tmp_path: Path) -> None:
    with listening(Slow(), tmp_path, change={"request_timeout_seconds": 0.1}) as door:
        late = door.post("check_locks")
        assert (late.status, late.code) == (503, "outcome_unknown")
        assert door.post("activate_policy").status == 200
        assert door.post("validate_cedar_policy").status == 200
