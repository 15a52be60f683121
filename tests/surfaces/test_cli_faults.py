"""Faults on the command line: for programs one envelope on standard output, for people one line; nothing in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardhouse.surfaces.cli import exits
from tests.surfaces.terminal import Desk


@pytest.mark.parametrize(
    ("words", "status", "code", "says"),
    [
        (("agents", "add", "x", "--trust", "9"), exits.USAGE, "validation", "trust"),
        (("people", "list", "--limit", "0"), exits.USAGE, "validation", "limit"),
        (("approvals", "list", "--state", "foo"), exits.USAGE, "validation", "state"),
        (("serve", "--port", "99999"), exits.USAGE, "validation", "port"),
        (("call", "aquire_lock"), exits.USAGE, "unknown_operation", "did you mean `acquire_lock`?"),
        (("policy", "activate", "/nonexistent-policies"), exits.FAULT, "invalid_bundle", "no such directory"),
        (("ledger", "verify", "/nonexistent.jsonl"), exits.USAGE, "validation", "no file"),
    ],
)
def test_a_program_gets_an_envelope_for_every_fault(
    desk: Desk, words: tuple[str, ...], status: int, code: str, says: str
) -> None:
    json = () if words[0] == "serve" else ("--json",)
    done = desk.run(*words, *json, expect=status)
    if json:
        error = done.json["error"]
        assert error["code"] == code
        assert says in str(error).lower()
    else:
        assert says in done.err
        assert done.out == ""


def test_a_person_gets_no_envelope(desk: Desk, tmp_path: Path) -> None:
    done = desk.run("policy", "activate", str(tmp_path / "none"), expect=exits.FAULT)
    assert done.out == ""
    assert "no such directory" in done.err
