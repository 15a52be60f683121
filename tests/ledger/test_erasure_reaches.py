"""What an erasure reaches: every word that calls brought, wherever a real operation put it, in every table.

The marker is put into every field of every operation that takes words of one's own. Which fields those are is read
from the catalog, so a new one fails here until it is driven, or listed as an identifier with its reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Column, func, inspect, select, text

from guardhouse.bundle.tables import ACTIVATION
from guardhouse.governance.tables import CONTROL_ORDER, PERSON, TOKEN
from guardhouse.ledger.tables import PAYLOAD
from guardhouse.operations import CATALOG
from tests.world import Member, World, second_process, shipped_bundle, world

MARK = "zqplatypus"
ASKS = "git push origin :topic"
BLOCKS = "git push --force origin main"
IDENTIFIERS = {
    "key": "a lock's key is what the decision was about",
    "prefix": "of keys",
    "repository": "a label that keys and entries carry",
    "feature": "a name that pauses and lists go by",
    "file_paths": "the first names the file that the decision was about",
    "relevant_files": "",
    "url": "its host is what the decision was about",
    "tool": "the command that the decision was about",
    "server": "the command that the decision was about",
    "name": "a repository's name, vouched for: it stands until nobody vouches for it",
    "handle": "an agent's name here, by which it is found; it is given once",
    "role": "what policies go by",
    "profile": "what limits go by",
    "id": "of a mode's scope",
    "category": "of rules",
    "event_type": "of memories",
    "slug": "a workspace's name",
    "person_name": "of a person in another workspace, who is that workspace's",
    "resource_id": "what the question was about",
    "operation": "a name of the catalog",
    "error_code": "a word that programs go by",
    "client": "a program's name",
    "client_agent_type": "a kind of sub-agent: the handle of the delegate is made of it",
    "after": "a cursor",
    "cursor": "a cursor",
    "since": "an instant",
    "until": "an instant",
    "deadline": "an instant",
    "destination": "its host is what the decision was about",
    "idempotency_key": "kept as an HMAC",
    "if_none_match": "a digest",
    "policy_text": "judged and never kept but in the payload",
    "files": "the law itself: kept for ever, since decisions name it by its digest",
    "artifacts": "",
    "tighten": "",
}
"""Fields whose values are names of things and not words about them, or that this test drives by other means (empty)."""
STORED = {"approval", "control_order", "decision_grant", "handoff", "lock", "memory", "observe_mode", "payload"} | {
    "person", "presence", "presence_capability", "session", "task", "token", "verification", "wrong_verdict",
}  # fmt: skip
"""Tables that held the marker before the erasure: what this test could find."""


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def leaves(schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every text in a field's schema."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "string" and not schema.keys() & {"enum", "const"}:
        yield schema
    for below in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(below, ()):
            yield from leaves(part, definitions)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from leaves(schema[key], definitions)
    for part in schema.get("properties", {}).values():
        yield from leaves(part, definitions)


def wordy_fields() -> set[tuple[str, str]]:
    """(operation, field) of every field that takes the marker and is no identifier."""
    found = set()
    for operation in CATALOG:
        schema = operation.ask.model_json_schema()
        for name, field in schema.get("properties", {}).items():
            texts = leaves(field, schema.get("$defs", {}))
            if name not in IDENTIFIERS and any(re.search(one.get("pattern", ""), MARK) for one in texts):
                found.add((operation.name, name))
    return found


def tables_with(home: World, marker: str) -> dict[str, list[str]]:
    """Every table that holds the marker in any column, and the columns.

    The pages of SQLite's full-text index share the beginnings of words, so they are searched for the word's end.
    """
    found: dict[str, list[str]] = {}
    with home.store.reading() as connection:
        for table in inspect(connection).get_table_names():
            sought = (marker[3:] if table.startswith("memory_text_") else marker).encode()
            for row in connection.execute(text(f'SELECT * FROM "{table}"')).mappings():
                for column, value in row.items():
                    plain = bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode()
                    if sought in plain:
                        found.setdefault(table, []).append(column)
    return found


class Said:
    """Calls with the marker in them: each performed, and its fields noted."""

    def __init__(self, home: World) -> None:
        self.home = home
        self.decisions: list[str] = []
        self.fields: set[tuple[str, str]] = set()

    def __call__(self, who: Member, operation: str, body: dict[str, Any], **options: Any) -> dict[str, Any]:
        outcome = self.home.call(who, operation, body, **options)
        assert outcome.code == "performed", (operation, outcome.code, outcome.message, outcome.error)
        if any(MARK in json.dumps(value) for value in body.values()):
            self.decisions.append(outcome.decision_id)
        self.fields |= {(operation, name) for name, value in body.items() if MARK in json.dumps(value)}
        return dict(outcome.result or {}) | {"decision_id": outcome.decision_id}


def work(say: Said, home: World) -> None:
    """What agents say while they work."""
    anna, boss = home.agent("anna"), home.agent("boss", 3)
    words = f"{MARK} of the river"
    say(anna, "register_session", {"capabilities": [MARK], "agent_type": MARK, "branch": MARK, "activity": MARK})
    say(anna, "heartbeat", {"branch": MARK, "activity": MARK})
    say(anna, "discover_agents", {"capabilities": [MARK], "agent_type": MARK})
    say(anna, "acquire_lock", {"key": "src/a.py", "reason": words, "metadata": {"about": words}})
    say(boss, "acquire_lock", {"key": "res:lane", "reason": "x"})
    say(home.operator, "revoke_locks", {"prefix": "res:lane", "reason": words})
    described = {"detail": words, "definition_of_done": words, "labels": [MARK], "input": {"about": words}}
    task = say(anna, "submit_work", {"title": words, **described}, idempotency_key="once")["task_id"]
    say(anna, "claim_task", {"task_id": task})
    say(anna, "release_task", {"task_id": task, "blocked_reason": words})
    say(anna, "reopen_task", {"task_id": task})
    fence = say(anna, "claim_task", {"task_id": task})["fence"]
    say(anna, "complete_work", {"task_id": task, "fence": fence, "summary": words, "result": words, "next": words,
                                "artifacts": [f"file:{MARK}.md"]})  # fmt: skip
    say(boss, "record_verification", {"task_id": task, "gate": "testing", "passed": True, "evidence": words})
    other = say(anna, "submit_work", {"title": "x"})["task_id"]
    say(anna, "cancel_work", {"task_id": other, "reason": words})
    lists = ("completed_work", "in_progress", "decisions", "next_steps", "relevant_files")
    say(anna, "write_handoff", {"summary": words} | {name: [words] for name in lists})
    lesson = {"event_type": "lesson", "summary": words, "details": words, "tags": [MARK], "lessons": [words]}
    memory = say(anna, "remember", lesson)["memory_id"]
    say(anna, "recall", {"query": MARK, "tags": [MARK]})
    say(anna, "forget", {"memory_id": memory, "reason": words})
    run = {"client": "claude-code", "client_session": MARK, "client_agent": "", "client_agent_type": ""}
    say(anna, "open_session", run)
    say(anna, "open_session", run | {"client_session": "s2", "client_agent": MARK, "client_agent_type": ""})
    say(
        anna,
        "open_session",
        run | {"client_session": "s3", "client_agent": "one", "client_agent_type": "the plain one"},
    )
    asked = {"operation_text": f"echo {MARK}", "cwd": f"/srv/{MARK}", "workspace_root": f"/srv/{MARK}"}
    say(anna, "check_guardrails", asked)
    shell = {"action": "shell", "tool": "Bash", "command": f"echo {MARK}", "cwd": f"/srv/{MARK}"}
    say(anna, "check_tool", shell | {"workspace_root": f"/srv/{MARK}", "client_session": MARK, "client_agent": MARK})
    say(anna, "check_tool", {"action": "write", "tool": "Write", "file_paths": ["a.md"], "content": words})
    say(
        anna,
        "check_tool",
        {"action": "edit", "tool": "Edit", "file_paths": ["a.md"], "edits": [{"old": "", "new": words}]},
    )
    named = [{"name": "title", "value": words}]
    say(anna, "check_tool", {"action": "mcp", "tool": "make", "server": "notes", "arguments": named})


def govern(say: Said, home: World) -> None:
    """What people say while they govern."""
    words, chief, subject = f"because of {MARK}", home.operator, home.agent("subject")
    worker = home.agent("worker")
    say(chief, "add_person", {"name": MARK, "roles": ["auditor"]})
    added = say(chief, "add_agent", {"handle": "helped", "trust": 2, "label": words})
    say(chief, "set_trust", {"agent_id": added["agent_id"], "trust": 1, "reason": words})
    token = say(chief, "issue_token", {"principal_id": worker.id, "label": words})
    rotated = say(chief, "rotate_token", {"token_id": token["token_id"]})
    say(chief, "revoke_token", {"token_id": rotated["token_id"], "reason": words})
    for operation in ("pause_agent", "resume_agent", "suspend_agent", "reinstate_agent", "stop_agent", "retire_agent"):
        say(chief, operation, {"agent_id": subject.id, "reason": words})
    for operation in ("pause_workspace", "resume_workspace", "stop_workspace", "resume_workspace"):
        say(chief, operation, {"reason": words})
    say(chief, "set_mode", {"scope": "agent", "id": worker.id, "seconds": 60, "reason": words})
    say(chief, "end_mode", {"scope": "agent", "id": worker.id, "reason": words})
    say(chief, "set_workspace", {"approval_pending_seconds": 600, "reason": words})
    for answer, where in (("grant_approval", "/srv/a"), ("refuse_approval", "/srv/b")):
        question = say(worker, "check_guardrails", {"operation_text": ASKS, "cwd": where})
        say(chief, answer, {"approval_id": question["approval_id"], "reason": words})
    refused = say(worker, "check_guardrails", {"operation_text": BLOCKS, "cwd": "/srv/app"})["decision_id"]
    grant = say(chief, "allow_decision", {"decision_id": refused, "reason": words})["grant_id"]
    say(chief, "revoke_grant", {"grant_id": grant, "reason": words})
    say(chief, "mark_wrong", {"decision_id": refused, "expected": "warn", "reason": words})
    ann = say(chief, "add_person", {"name": "ann", "roles": ["auditor"]})["person_id"]
    say(chief, "disable_person", {"person_id": ann, "reason": words})
    files = {path: data.decode() for path, data in shipped_bundle().files.items()}
    edited = files | {"gateway.yaml": files["gateway.yaml"] + "\n# edited\n"}
    say(chief, "activate_policy", {"files": edited, "note": words})
    say(chief, "rollback_policy", {"note": words})
    filters = ("session", "resource", "resource_type", "rule", "bundle", "text")
    say(chief, "query_audit", dict.fromkeys(filters, MARK))


def test_every_word_goes_from_every_table_and_what_it_stood_beside_stays(home: World) -> None:
    say = Said(home)
    work(say, home)
    govern(say, home)
    missing = wordy_fields() - say.fields - {("erase_payload", "reason")}
    assert missing == set(), "fields that take words, and this test puts none into them"
    before = tables_with(home, MARK)
    assert before.keys() >= STORED, "the marker never stood where this test looks for it"
    assert ("memory_text_data" in before) is (home.store.dialect == "sqlite")
    assert before.keys().isdisjoint({"entry", "entry_rule", "content", "erasure"}), before
    notes = [item["note"] for item in home.done(home.operator, "policy_history")["activations"]]
    assert notes == [f"because of {MARK}", f"because of {MARK}", "first law"]

    person = next(one for one in home.done(home.operator, "list_people")["people"] if one["name"] == MARK)
    standing = _standing(home)
    home.done(home.operator, "disable_person", {"person_id": person["person_id"]})
    for start in range(0, len(say.decisions), 50):
        chosen = say.decisions[start : start + 50]
        erased = home.done(home.operator, "erase_payload", {"decision_ids": chosen, "reason": f"{MARK} asked"})
        assert sorted(erased["erased"]) == sorted(chosen)
    with home.store.reading() as connection:
        own = connection.execute(select(PAYLOAD.c.sequence, PAYLOAD.c.body)).all()
    left = [row.sequence for row in own if MARK.encode() in bytes(row.body)]
    reasons = [entry["id"] for entry in home.entries() if entry["sequence"] in left]
    assert {home.entry(one)["operation"] for one in reasons} == {"erase_payload"}, "its own reason is a call's too"
    home.done(home.operator, "erase_payload", {"decision_ids": reasons, "reason": "and the reasons"})

    assert tables_with(home, MARK) == {}
    assert _standing(home) == standing, "orders, grants, tokens and tasks are what they were, without the words"
    assert {item["note"] for item in home.done(home.operator, "policy_history")["activations"]} == {"", "first law"}
    told = home.done(home.operator, "verify_audit")
    assert (told["ok"], told["faults"]) == (True, [])
    assert told["erased"] == len(say.decisions) + len(reasons)


def _standing(home: World) -> dict[str, list[Any]]:
    """Every row of what stands, without its words and without what the tests' own calls change."""
    words = {"reason", "label", "name", "note", "disabled_at", "revoked_at", "last_seen_at"}
    found: dict[str, list[Any]] = {}
    with home.store.reading() as connection:
        for table in ("control_order", "observe_mode", "approval", "decision_grant", "wrong_verdict", "token", "session",
                      "person", "activation", "agent"):  # fmt: skip
            rows = connection.execute(text(f'SELECT * FROM "{table}"')).mappings()
            found[table] = sorted(str({name: row[name] for name in row if name not in words}) for row in rows)
    return found


def count(home: World, column: Column[Any], value: str) -> int:
    with home.store.reading() as connection:
        return int(connection.execute(select(func.count()).where(column == value)).scalar_one())


def test_a_pause_whose_reason_was_erased_still_pauses_in_every_process(home: World) -> None:
    agent = home.agent("anna")
    with second_process(home) as there:
        assert there.call(agent, "check_locks").performed
        paused = home.call(home.operator, "pause_agent", {"agent_id": agent.id, "reason": MARK})
        assert there.call(agent, "acquire_lock", {"key": "a"}).code == "agent_paused"
        home.done(home.operator, "erase_payload", {"decision_ids": [paused.decision_id], "reason": "asked"})
        assert there.call(agent, "acquire_lock", {"key": "a"}).code == "agent_paused"
    assert count(home, CONTROL_ORDER.c.reason, "") == 1


def test_an_erasure_takes_its_own_calls_words_and_no_other_ones(home: World) -> None:
    agent = home.agent("anna")
    issued = [home.call(home.operator, "issue_token", {"principal_id": agent.id, "label": MARK}) for _ in range(2)]
    home.done(home.operator, "erase_payload", {"decision_ids": [issued[0].decision_id], "reason": "asked"})
    assert count(home, TOKEN.c.label, MARK) == 1
    refused = home.call(home.person("opal", "operator"), "erase_payload",
                        {"decision_ids": [issued[1].decision_id], "reason": "mine"})  # fmt: skip
    assert not refused.performed
    assert count(home, TOKEN.c.label, MARK) == 1, "what is refused erases nothing"
    check = home.call(agent, "check_guardrails", {"operation_text": BLOCKS})
    marks = [
        home.call(home.operator, "mark_wrong", {"decision_id": check.decision_id, "expected": "warn", "reason": reason})
        for reason in (MARK, "another word")
        if home.later(1) is None
    ]
    home.done(home.operator, "erase_payload", {"decision_ids": [marks[0].decision_id], "reason": "asked"})
    assert home.done(home.operator, "list_wrong")["rows"][0]["note"].endswith("another word")


def test_a_session_keeps_what_it_said_after_the_call_that_is_erased(home: World) -> None:
    agent = home.agent("anna")
    first = home.call(agent, "register_session", {"branch": MARK, "agent_type": "claude", "capabilities": ["python"]})
    home.done(agent, "heartbeat", {"branch": "main"})
    home.done(home.operator, "erase_payload", {"decision_ids": [first.decision_id], "reason": "asked"})
    session = home.done(agent, "discover_agents")["sessions"][0]
    assert (session["branch"], session["agent_type"], session["capabilities"]) == ("main", "", [])


def test_a_persons_name_goes_once_they_are_disabled_and_not_before(home: World) -> None:
    added = home.call(home.operator, "add_person", {"name": MARK, "roles": ["auditor"]})
    person = (added.result or {})["person_id"]
    asked = {"decision_ids": [added.decision_id], "reason": "left the company"}
    home.done(home.operator, "erase_payload", asked)
    assert count(home, PERSON.c.name, MARK) == 1, "who still acts here keeps the name they act by"
    home.done(home.operator, "disable_person", {"person_id": person})
    assert home.done(home.operator, "erase_payload", asked)["absent"] == [added.decision_id]
    assert (count(home, PERSON.c.name, MARK), count(home, PERSON.c.name, person)) == (0, 1)


def test_a_note_is_never_kept_where_no_erasure_reaches(home: World) -> None:
    files = {path: data.decode() for path, data in shipped_bundle().files.items()}
    edited = files | {"gateway.yaml": files["gateway.yaml"] + "\n# edited\n"}
    home.done(home.operator, "activate_policy", {"files": edited, "note": MARK})
    assert count(home, ACTIVATION.c.note, MARK) == 0
    assert home.done(home.operator, "policy_history")["activations"][0]["note"] == MARK
