"""The shipped cases come out, a wrong case is told, and a change is told rule by rule."""

from __future__ import annotations

import pytest

from guardhouse.bundle.check import check_directory, check_files, read_cases, run
from guardhouse.bundle.difference import difference
from guardhouse.bundle.load import load_files, shipped_directory, write_site_skeleton
from guardhouse.errors import LawFault
from guardhouse.gateway.decide import decide
from tests.judging import ACTIONS, SHIPPED, law

CASES = read_cases(SHIPPED, ACTIONS)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_shipped_case_comes_out(case):
    assert run(case, law(), decide) == ()


def test_the_shipped_law_checks():
    report = check_directory(shipped_directory(), ACTIONS, decide)
    assert report.ok
    assert report.cases == len(CASES) >= 25


@pytest.mark.parametrize(
    "expect",
    [
        "{effect: deny}",
        "{effect: allow, code: other}",
        "{effect: allow, rules: [other]}",
        "{effect: allow, verdict: block}",
        "{effect: allow, gate: network, code: listed}",
    ],
)
def test_a_case_that_does_not_come_out_is_told_with_its_line(expect):
    text = f"# one\ncases:\n  - {{name: wrong, as: {{agent: {{trust: 2}}}}, ask: acquire_lock, expect: {expect}}}\n"
    report = check_files(SHIPPED | {"cases/x.yaml": text.encode()}, ACTIONS, decide)
    assert not report.ok
    assert [(problem.file, problem.line) for problem in report.problems] == [("cases/x.yaml", 3)]


@pytest.mark.parametrize(
    "item",
    [
        "3",
        "{}",
        "{name: x, as: {agent: {trust: 2}}, ask: fly, expect: {effect: allow}}",
        "{name: x, as: {agent: {trust: 9}}, ask: check_locks, expect: {effect: allow}}",
        "{name: x, as: {agent: {trust: true}}, ask: check_locks, expect: {effect: allow}}",
        "{name: x, as: {agent: {trust: 2}, person: []}, ask: check_locks, expect: {effect: allow}}",
        "{name: x, ask: check_locks, expect: {effect: allow}}",
        "{name: x, as: {agent: {trust: 2}}, ask: check_locks}",
        "{name: x, as: {agent: {trust: 2}}, ask: check_locks, expect: {effect: perhaps}}",
        "{name: x, as: {agent: {trust: 2}}, ask: check_locks, expect: {effect: [allow]}}",
        "{name: x, as: {agent: {trust: 2}}, ask: check_locks, resource: {type: Castle}, expect: {effect: allow}}",
        "{name: x, as: {agent: {trust: 2}}, ask: check_locks, text: 3, expect: {effect: allow}}",
        "{name: x, as: {agent: {trust: 2}}, ask: check_locks, hour: 24, expect: {effect: allow}}",
        "{name: x, as: {agent: {trust: 2}}, ask: check_locks, surprise: 1, expect: {effect: allow}}",
    ],
)
def test_a_case_that_cannot_be_read_is_a_fault(item):
    with pytest.raises(LawFault):
        read_cases({"cases/x.yaml": f"cases:\n  - {item}\n".encode()}, ACTIONS)


def test_a_difference_is_told_rule_by_rule():
    changed = SHIPPED | {
        "cedar/agents.cedar": SHIPPED["cedar/agents.cedar"].replace(b"trust_level >= 2", b"trust_level >= 3"),
        "cedar/site.cedar": b'@id("site.new") permit (principal, action == Action::"check_locks", resource);',
        "native/guardrails.yaml": b"rules: []\n",
        "network/default.yaml": SHIPPED["network/default.yaml"].replace(b'"*.github.com"', b'"*.example.net"'),
        "profiles.yaml": SHIPPED["profiles.yaml"].replace(b"calls_per_hour: 7200", b"calls_per_hour: 7201"),
    }
    found = difference(law(), load_files(changed, ACTIONS))
    assert found.rules_added == ("cedar:site.new",)
    assert found.rules_removed == ("native:guardrails.trusted",)
    assert found.rules_changed == ("cedar:agents.write", "network:net.code", "profile:ci")
    assert found.added == ("cedar/site.cedar",)
    assert found.law


def test_a_remark_changes_no_rule():
    remarked = {
        name: data + b"\n# a remark\n" for name, data in SHIPPED.items() if name.startswith(("native/", "network/"))
    }
    found = difference(law(), load_files(SHIPPED | remarked, ACTIONS))
    assert found.changed
    assert (found.rules_added, found.rules_removed, found.rules_changed) == ((), (), ())


def test_no_difference_is_none():
    assert not difference(law(), law())


def test_an_upgrade_of_what_is_shipped_is_told(tmp_path):
    write_site_skeleton(tmp_path)
    older = SHIPPED | {
        "profiles.yaml": SHIPPED["profiles.yaml"].replace(b"7200", b"7100"),
        "gateway.yaml": b"engine: cedar\n",
    }
    report = check_directory(tmp_path, ACTIONS, decide, load_files(older, ACTIONS))
    assert report.ok
    assert report.shipped_changed == ("profiles.yaml",)
    (tmp_path / "profiles.yaml").write_bytes(older["profiles.yaml"])
    assert check_directory(tmp_path, ACTIONS, decide, load_files(older, ACTIONS)).shipped_changed == ()
    assert check_directory(tmp_path, ACTIONS, decide).shipped_changed == ()


def test_what_does_not_load_is_told_and_not_raised(tmp_path):
    assert not check_directory(tmp_path / "none", ACTIONS, decide).ok
    write_site_skeleton(tmp_path)
    (tmp_path / "cedar" / "x.cedar").write_text("permit (")
    report = check_directory(tmp_path, ACTIONS, decide)
    assert report.bundle is None
    assert {problem.file for problem in report.problems} == {"cedar/x.cedar"}
