"""`allow`, `grants`, `why` and `wrong`: what a person does about a verdict, over a real gateway."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from guardhouse.app import actions
from guardhouse.bundle.load import load_files, read_directory, shipped_directory
from guardhouse.errors import LawFault
from guardhouse.guardrails.scoring import read_rows
from guardhouse.surfaces.cli import exits
from guardhouse.surfaces.cli.grants import proposal
from tests.surfaces.terminal import Desk

BLOCKS = "git push --force origin main"
BLOCK = exits.of_verdict("block")


_numbers = itertools.count(1)


def _token(desk: Desk) -> str:
    return str(desk.json("agents", "add", f"builder-{next(_numbers)}", "--trust", "2")["token"])


def _refused(desk: Desk, token: str) -> str:
    return str(desk.json("check", "--cwd", "/srv/app", BLOCKS, token=token, expect=BLOCK)["decision_id"])


def test_a_person_allows_lists_and_takes_back(desk: Desk) -> None:
    token = _token(desk)
    decision = _refused(desk, token)
    told = desk.run("allow", decision, "--for", "2h", "--reason", "release night").out
    assert "may do it again and again" in told
    assert f"guardhouse allow {decision} --override" in told
    assert desk.run("check", "--cwd", "/srv/app", f" {BLOCKS} ", token=token).out.startswith("warn")
    listed = desk.json("grants", "list")["grants"]
    assert [(item["state"], item["refused_decision_id"]) for item in listed] == [("live", decision)]
    assert "builder" in desk.run("grants", "list").out
    desk.run("grants", "revoke", listed[0]["grant_id"], "--reason", "done")
    assert desk.run("check", "--cwd", "/srv/app", BLOCKS, token=token, expect=BLOCK).out.startswith("block")
    assert "nothing is granted" in desk.run("grants", "list").out


def test_once_and_for_exclude_each_other_and_a_reason_is_needed(desk: Desk) -> None:
    assert "not both" in desk.run("allow", "dec_1", "--once", "--for", "2h", "--reason", "r", expect=64).err
    desk.run("allow", "dec_1", expect=64)


def test_an_agent_s_token_allows_nothing(desk: Desk) -> None:
    token = _token(desk)
    refused = desk.run("allow", _refused(desk, token), "--once", "--reason", "mine", token=token, expect=77)
    assert "people_only" in refused.err


def test_the_override_printed_loads_as_it_is(desk: Desk) -> None:
    token = _token(desk)
    reason = 'a "quoted" reason: with #signs\n- and lines'
    text = desk.run("allow", _refused(desk, token), "--override", "--reason", reason).out
    assert "rule: git.push.force" in text
    load_files(read_directory(shipped_directory()) | {"guardrails/overrides.yaml": text.encode()}, actions())
    assert all(item["refused_decision_id"] not in text for item in desk.json("grants", "list")["grants"])


def test_a_fault_in_overrides_is_told_with_its_line() -> None:
    text = proposal(["git.push.force", "no.such.rule"], "agt_1", "r", "2030-01-01").encode()
    with pytest.raises(LawFault) as told:
        load_files(read_directory(shipped_directory()) | {"guardrails/overrides.yaml": text}, actions())
    assert [(one.file, one.line) for one in told.value.problems] == [("guardrails/overrides.yaml", 8)]


def test_why_shows_the_trace_to_people_and_programs(desk: Desk) -> None:
    token = _token(desk)
    decision = _refused(desk, token)
    told = desk.run("why", decision).out
    for words in ("block", BLOCKS, "builder", "guardrails  allow (examined) by git.push.force", "allowed by: trust 3"):
        assert words in told
    assert desk.json("why", decision)["entry"]["id"] == decision
    assert "not_found" in desk.run("why", "dec_0nobody", expect=None).err


def test_wrong_keeps_rows_that_score_reads(desk: Desk, tmp_path: Path) -> None:
    token = _token(desk)
    decision = _refused(desk, token)
    assert "--reason" in desk.run("wrong", decision, expect=64).err
    desk.run("wrong", decision, "--expected", "allow", "--reason", "a branch of one's own")
    rows = desk.run("wrong").out
    assert {row.command for row in read_rows(rows.encode(), "wrong.jsonl")} == {BLOCKS}
    assert json.loads(rows.splitlines()[-1])["expected"] == "allow"
    (tmp_path / "wrong.jsonl").write_text(rows)
    desk.run("guardrails", "score", str(tmp_path / "wrong.jsonl"))
