"""An auditor's proof: export, verify, receipt, and nothing that can be quietly changed."""

from __future__ import annotations

import base64
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from guardhouse.ledger import checkpoint, proof
from guardhouse.ledger.keys import load
from guardhouse.storage.opening import open_store
from tests.journeys.conftest import House
from tests.server import guardhouse
from tests.verifier import verify_receipt as independent

SECRET = "ghp_" + "a1B2" * 9


def a_day(house: House) -> tuple[str, list[str]]:
    """Some work; the auditor's token and the decisions, in order."""
    auditor, builder = house.person("ada", "auditor"), house.agent("builder")
    made = [
        house.call(builder.token, operation, body)[1]
        for operation, body in (
            ("check_guardrails", {"operation_text": "rm -rf /"}),
            ("acquire_lock", {"key": "src/app.py", "reason": "a reason only a payload may hold"}),
            ("grant_approval", {"approval_id": "apr_none"}),
            ("acquire_lock", {"key": 7}),
            ("no_such_operation", {}),
            ("check_guardrails", {"operation_text": f"curl -H 'Authorization: token {SECRET}' https://example.com"}),
        )
    ]
    return auditor, [one.get("decision_id") or one["error"]["decision_id"] for one in made]


def exported(house: House, token: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    after, more = -1, True
    while more:
        page = house.done(token, "export_audit", {"after": after, "limit": 4})
        lines += page["lines"]
        after, more = page["next"], page["more"] and len(lines) < 200
    return lines


def test_what_happened_is_what_is_written(house: House, tmp_path: Path) -> None:
    auditor, decisions = a_day(house)
    told = house.done(auditor, "verify_audit")
    assert (told["ok"], told["faults"]) == (True, [])
    assert told["tree_size"] > len(decisions)

    # An auditor reads everything and changes nothing.
    found = house.done(auditor, "query_audit", {"verdict": "block"})["entries"]
    assert [entry["id"] for entry in found] == [decisions[5], decisions[0]]
    assert house.done(auditor, "query_audit", {"text": "only a payload"})["entries"][0]["id"] == decisions[1]
    for operation, body in (
        ("acquire_lock", {"key": "a"}),
        ("set_trust", {"agent_id": "agt_x", "trust": 4}),
        ("erase_payload", {"decision_ids": [decisions[1]], "reason": "no"}),
    ):
        assert house.refused(auditor, operation, body)[0] == 403, operation

    # The export holds each decision once, in order, without a gap, and no secret anywhere.
    lines = exported(house, auditor)
    assert [line["sequence"] for line in lines] == list(range(len(lines)))
    told_ids = [line["entry"]["id"] for line in lines]
    assert [one for one in told_ids if one in decisions] == decisions
    text = json.dumps([line | {"payload": base64.b64decode(line.get("payload", "")).decode()} for line in lines])
    assert SECRET not in text
    assert house.operator not in text

    # The same export, changed by one letter, is found out at the entry where it was changed.
    good, bad = tmp_path / "export.jsonl", tmp_path / "changed.jsonl"
    good.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert house.command("ledger", "verify", str(good))[0] == 0
    target = next(line for line in lines if line["entry"]["id"] == decisions[0])
    body = base64.b64decode(target["body"]).replace(b'"block"', b'"allow"')
    bad.write_text(good.read_text().replace(target["body"], base64.b64encode(body).decode()))
    status, said = house.command("ledger", "verify", "--json", str(bad), check=False)
    assert status == 1
    assert json.loads(said)["faults"][0]["sequence"] == target["sequence"]


def test_a_receipt_holds_offline_and_the_last_checkpoint_covers_everything(
    lone_house: House, database_url: str
) -> None:
    _, decisions = a_day(lone_house)
    assert lone_house.server.stop() == 0
    store = open_store(database_url, lambda: 0)
    try:
        with store.reading() as connection:
            receipts = [proof.receipt(connection, lone_house.workspace_id, one) for one in decisions]
            size = proof_size(checkpoint.latest(connection, lone_house.workspace_id))
    finally:
        store.close()
    outside = (lone_house.home / "checkpoints" / f"{lone_house.workspace_id}.log").read_text()
    assert proof_size(checkpoint.split_log(outside)[-1]) == size
    verifiers = load(lone_house.home / "signing.key", create=False).verifiers
    for decision, receipt in zip(decisions, receipts, strict=True):
        assert json.loads(proof.verify_receipt(receipt, verifiers).body)["id"] == decision
        # And by a program that shares no code with ours.
        assert json.loads(independent.receipt(receipt, [one.text for one in verifiers]))["id"] == decision
    stolen = receipts[0].split("\n")
    stolen[1] = receipts[1].split("\n")[1]
    with pytest.raises(ValueError, match="does not lead"):
        proof.verify_receipt("\n".join(stolen), verifiers)
    report = json.loads(guardhouse(lone_house.env, "ledger", "verify", "--json").stdout)
    assert (report["ok"], report["tree_size"]) == (True, size)


def proof_size(note: str | None) -> int:
    assert note is not None
    return checkpoint.parse_text(note.rpartition("\n\n")[0] + "\n").size


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_entry_that_was_changed_with_full_rights_is_found(lone_house: House, database_url: str) -> None:
    _, decisions = a_day(lone_house)
    lone_house.server.stop()
    with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        changed = connection.execute(
            "UPDATE entry SET body = CAST(replace(body, '\"block\"', '\"allow\"') AS BLOB) WHERE id = ?",
            (decisions[0],),
        )
        assert changed.rowcount == 1
    status, said = lone_house.command("ledger", "verify", "--json", check=False)
    assert status == 1
    assert json.loads(said)["ok"] is False


def test_a_lawful_erasure_verifies_and_is_counted(house: House) -> None:
    auditor, decisions = a_day(house)
    security = house.person("sam", "security")
    asked = {"decision_ids": [decisions[1]], "reason": "asked to be forgotten"}
    assert house.done(security, "erase_payload", asked)["erased"] == [decisions[1]]
    assert house.done(auditor, "query_audit", {"text": "only a payload"})["entries"] == []
    told = house.done(auditor, "verify_audit")
    assert (told["ok"], told["erased"]) == (True, 1)
    assert house.entry(decisions[1])["id"] == decisions[1]
