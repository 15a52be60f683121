"""The one table knows every code that the source can answer with."""

from __future__ import annotations

import re
from pathlib import Path

import guardhouse
from guardhouse.errors import GuardhouseError, NotPerformed
from guardhouse.model.answer import Outcome
from guardhouse.surfaces import problem

SOURCE = Path(guardhouse.__file__).parent
_MADE = (
    re.compile(r"Refusal\(\s*\"([a-z_]+)\""),
    re.compile(r"\b(?:deny|hold)\(\s*[\w.\"]+,\s*\"([a-z_]+)\""),
    re.compile(r"Step\(\s*[\w.\"]+,\s*Effect\.(?:DENY|HOLD),\s*\"([a-z_]+)\""),
    re.compile(r"Acted\(\s*\"([a-z_]+)\""),
    re.compile(r"InvalidInput\([^)]*code=\"([a-z_]+)\""),
)


def codes_in_source() -> dict[str, str]:
    found = {}
    for folder in ("gates", "gateway", "governance", "operations", "services"):
        for file in (SOURCE / folder).rglob("*.py"):
            text = file.read_text()
            for pattern in _MADE:
                found.update((code, file.name) for code in pattern.findall(text))
    return found


def errors(kind: type[GuardhouseError]) -> set[str]:
    return {kind.code} | {code for below in kind.__subclasses__() for code in errors(below)}


def test_every_code_in_the_source_is_in_the_table() -> None:
    found = codes_in_source()
    assert {"not_found", "approval_pending", "unsupported_media_type"} <= found.keys(), "the patterns find nothing"
    missing = {code: file for code, file in found.items() if code not in problem.TABLE}
    assert not missing


def test_every_error_of_the_tree_is_in_the_table() -> None:
    assert errors(GuardhouseError) <= problem.TABLE.keys()


def test_only_performed_and_held_are_successes() -> None:
    successes = {code for code, row in problem.TABLE.items() if row.status < 400}
    assert successes == {"performed", "approval_pending"}
    assert {code for code, row in problem.TABLE.items() if row.exit == 0} == {"performed"}
    assert problem.row("a_code_nobody_listed").status == 403


def test_what_is_retryable_says_when() -> None:
    for code, row in problem.TABLE.items():
        error = problem.envelope(code, "m")["error"]
        assert error["retryable"] == row.retryable
        assert ("retry_after_seconds" in error) == row.retryable
        assert not row.retryable or error["retry_after_seconds"] >= 1


def test_details_never_override_the_envelope() -> None:
    outcome = Outcome("held", "m", decision_id="dec_1", error={"code": "performed", "status": 200, "holder": "agt_1"})
    body = problem.of_outcome(outcome, "req_1")
    assert body["error"]["code"] == "held"
    assert body["error"]["status"] == 409
    assert body["error"]["holder"] == "agt_1"
    assert body["detail"] == "m"


def test_an_error_tells_its_decision() -> None:
    body = problem.of_error(NotPerformed("m", decision_id="dec_9"), "req_1")
    assert body["error"]["decision_id"] == "dec_9"
    assert body["error"]["status"] == 503
