"""Hostile law is an error, never a crash: not of the child's parent, whatever becomes of the child."""

from __future__ import annotations

import sys

import pytest

from guardhouse.bundle import child
from guardhouse.bundle.child import Limits, parse_untrusted
from tests.forking import ANEW
from tests.judging import ACTIONS, SHIPPED

SCHEMA = SHIPPED["schema.cedarschema"]
HOSTILE = {
    "nested": b'@id("x") permit(principal,action,resource) when {' + b"(" * 10_000 + b"};",
    "large": b"x" * 10_000_001,
    "nul": b"\0",
    "bidi": "\u202e".encode(),
    "negated": b'@id("x") permit(principal,action,resource) when {' + b"!" * 9_000 + b"true};",
}


@pytest.fixture(autouse=True)
def _anew(monkeypatch):
    """Each child here is an interpreter of its own, as it is outside of the tests."""
    monkeypatch.setattr(child, "command", ANEW)


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_is_a_problem(kind):
    assert parse_untrusted({"schema.cedarschema": SCHEMA, "cedar/a.cedar": HOSTILE[kind]})


def test_good_text_has_none():
    text = b'@id("x") permit(principal, action, resource);'
    assert parse_untrusted({"schema.cedarschema": SCHEMA, "cedar/a.cedar": text}) == ()


def test_a_whole_bundle_is_loaded_in_the_child():
    assert parse_untrusted(SHIPPED, actions=ACTIONS) == ()
    broken = SHIPPED | {"network/x.yaml": b"allow: [{id: x, domains: ['*']}]", "native/x.yaml": b"rules: 3"}
    assert {item.file for item in parse_untrusted(broken, actions=ACTIONS)} == {"network/x.yaml", "native/x.yaml"}


def slow_start(monkeypatch, tmp_path, seconds):
    """An interpreter that first waits, as one does on a machine with too much to do."""
    slow = tmp_path / "python"
    slow.write_text(f'#!/bin/sh\nsleep {seconds}\nexec {sys.executable} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))


def test_a_busy_machine_refuses_no_policy_that_a_quiet_one_takes(monkeypatch, tmp_path):
    """Twice as long by the clock as there is processor time: the work itself is within its bound."""
    slow_start(monkeypatch, tmp_path, 4)
    text = b'@id("x") permit(principal, action, resource);'
    assert parse_untrusted({"cedar/a.cedar": text}, typed=False, limits=Limits(seconds=2)) == ()


def test_a_child_that_waits_too_long_is_a_problem(monkeypatch, tmp_path):
    slow_start(monkeypatch, tmp_path, 30)
    (problem,) = parse_untrusted(SHIPPED, actions=ACTIONS, limits=Limits(patience=1))
    assert "not parsed within 1 seconds by the clock" in problem.message


def test_a_child_that_works_too_long_is_a_problem():
    items = b"rules:\n" + b"  - {id: x, effect: permit}\n" * 200_000
    (problem,) = parse_untrusted({"native/x.yaml": items}, actions=ACTIONS, limits=Limits(seconds=1))
    assert "not parsed within 1 seconds of processor time" in problem.message


@pytest.mark.parametrize("memory", [30_000_000, 100_000_000], ids=["at its start", "while it reads"])
def test_a_child_that_runs_out_of_memory_is_a_problem(memory):
    items = b"rules:\n" + b"  - {id: x, effect: permit}\n" * 30_000
    problems = parse_untrusted({"native/x.yaml": items}, actions=ACTIONS, limits=Limits(seconds=30, memory=memory))
    assert any("crashed" in problem.message or "MemoryError" in problem.message for problem in problems)


def test_a_child_that_is_killed_is_a_problem(monkeypatch, tmp_path):
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nkill -SEGV $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))
    (problem,) = parse_untrusted(SHIPPED, actions=ACTIONS)
    assert "crashed" in problem.message


def test_a_child_that_cannot_be_started_is_a_problem(monkeypatch):
    monkeypatch.setattr(child.sys, "executable", "/nonexistent/python")
    (problem,) = parse_untrusted(SHIPPED, actions=ACTIONS)
    assert "started" in problem.message


def test_a_child_that_says_nothing_is_a_problem(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/true")
    (problem,) = parse_untrusted(SHIPPED, actions=ACTIONS)
    assert "no answer" in problem.message
