"""The words of refusals: every code there is can be told, and tells what, why and what next."""

from __future__ import annotations

import re

import pytest

from guardhouse.surfaces import problem
from guardhouse.surfaces.cli import meanings
from guardhouse.surfaces.mcp import refusing

_REFUSALS = sorted(code for code in meanings.CODES if code != "performed")


@pytest.mark.parametrize("code", _REFUSALS)
def test_every_code_is_told_in_words_that_end_with_something_to_do(code: str) -> None:
    for operation in ("acquire_lock", ""):
        envelope = problem.envelope(code, code.replace("_", " "), decision_id="dec_1", extra={"approval_id": "apr_1"})
        lines = refusing.told(operation, envelope).splitlines()
        assert re.match(
            r"(?:`acquire_lock`|The request) (?:was not done|waits for a person's approval) \(\w+\)\.", lines[0]
        )
        why, following = (next(line for line in lines if line.startswith(start)) for start in ("Why: ", "Next: "))
        assert len(why) > 20, "a bare code is no reason"
        assert re.match(r"Next: [A-Z].*[.!?]$", following), following
        assert "{" not in following
        assert lines[-1] == "Decision: dec_1"


def test_what_is_known_is_told_and_nothing_else() -> None:
    extra = {
        "retry_after_seconds": 870,
        "rule_ids": ["site.lane"],
        "advice": ["ask in the reason"],
        "fields": [{"field": "key", "problem": "should be a text"}],
    }
    told = refusing.told(
        "acquire_lock", problem.envelope("held", "another agent holds it", request_id="req_1", extra=extra)
    )
    assert told == (
        "`acquire_lock` was not done (held).\n"
        "Why: Another agent holds it.\n"
        "Instead: Ask in the reason.\n"
        "Next: Call `acquire_lock` again after 870 seconds.\n"
        "Field `key`: Should be a text.\n"
        "Rules: `site.lane`\n"
        "Request: req_1"
    )
