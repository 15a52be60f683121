"""A site's overrides take effect where they were written for, and nowhere else; deciding again decides the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guardhouse.bundle import Bundle, versions
from guardhouse.errors import LawFault
from guardhouse.gateway.replay import replay
from guardhouse.model.decision import Verdict
from guardhouse.model.facts import Facts, Finding
from guardhouse.model.instants import DAY
from tests.judging import NOW, agent, call, facts, judged, law, person
from tests.world import World, shipped_bundle, world

BLOCKS = Finding("git.push.force", "git", "git", "block", 4, "operation_text", 0, 3)
WARNS = replace(BLOCKS, rule="git.stash.drop", severity="warn")
ENDS = NOW + DAY


def site(*lines: str) -> Bundle:
    """The shipped law with overrides; each line lacks only who answers for it."""
    text = "".join(f"  - {{{line}, reason: tried, owner: platform}}\n" for line in lines)
    return law((("guardrails/overrides.yaml", f"overrides:\n{text}".encode()),))


LOOSE = "rule: git.push.force, set: warn, agents: [agt_1], expires: '2030-01-01'"


def verdict(bundle: Bundle, known: Facts) -> Verdict | None:
    return judged(call("check_guardrails"), replace(known, law=bundle.law), bundle).verdict


def test_a_loosening_holds_for_whom_it_names() -> None:
    bundle = site(LOOSE)
    assert verdict(bundle, facts(findings=(BLOCKS,))) is Verdict.WARN
    assert verdict(bundle, facts(agent(id="agt_2"), findings=(BLOCKS,))) is Verdict.BLOCK
    assert verdict(bundle, facts(person("auditor"), findings=(BLOCKS,))) is Verdict.BLOCK
    assert verdict(law(), facts(findings=(BLOCKS,))) is Verdict.BLOCK


def test_work_handed_on_is_loosened_only_where_the_one_behind_it_is_named_too() -> None:
    handed = facts(agent(delegation=("agt_2",)), findings=(BLOCKS,))
    assert verdict(site(LOOSE), handed) is Verdict.BLOCK
    assert verdict(site(LOOSE.replace("[agt_1]", "[agt_1, agt_2]")), handed) is Verdict.WARN
    assert verdict(site(LOOSE.replace("agents: [agt_1]", "roles: [developer]")), handed) is Verdict.BLOCK


def test_a_loosening_ends() -> None:
    bundle = site(LOOSE.replace("2030-01-01", "2026-09-21"))
    ended = 1_789_948_800_000_000
    assert verdict(bundle, facts(findings=(BLOCKS,), now=ended - 1)) is Verdict.WARN
    assert verdict(bundle, facts(findings=(BLOCKS,), now=ended)) is Verdict.BLOCK


def test_a_repository_counts_only_when_it_is_registered() -> None:
    bundle = site("rule: git.push.force, set: 'off', repositories: ['example/*'], expires: '2030-01-01'")
    assert verdict(bundle, facts(findings=(BLOCKS,), registered_repository="example/app")) is Verdict.ALLOW
    assert verdict(bundle, facts(findings=(BLOCKS,))) is Verdict.BLOCK


def test_a_tightening_needs_no_end_and_reaches_everybody() -> None:
    bundle = site("category: git, set: block")
    assert verdict(bundle, facts(findings=(WARNS,))) is Verdict.BLOCK
    assert verdict(bundle, facts(agent(delegation=("agt_2",)), findings=(WARNS,))) is Verdict.BLOCK


def test_what_protects_guardhouse_is_loosened_by_nobody() -> None:
    protecting = replace(BLOCKS, protects=True)
    assert verdict(site(LOOSE), facts(findings=(protecting,))) is Verdict.BLOCK
    with pytest.raises(LawFault, match="protects"):
        site("category: guardhouse, set: warn, expires: '2030-01-01'")


@pytest.mark.parametrize(
    "line",
    [
        "rule: git.push.force, set: warn",
        "rule: git.push.force, set: warn, expires: 2030-01-01",
        "rule: git.push.force, set: warn, expires: '2030-01-01', agents: [claude]",
    ],
)
def test_a_loosening_without_an_end_or_for_a_name_that_may_pass_on_does_not_load(line: str) -> None:
    with pytest.raises(LawFault):
        site(line)


def test_the_step_names_the_rule_that_was_loosened() -> None:
    bundle = site(LOOSE.replace("set: warn", "set: 'off'"))
    known = replace(facts(findings=(BLOCKS,)), law=bundle.law)
    step = next(one for one in judged(call("acquire_lock"), known, bundle).steps if one.gate == "guardrails")
    assert (step.code, step.rules, step.warn) == ("loosened", ("git.push.force", "overrides.yaml:2"), True)


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def test_overrides_are_law_and_every_decision_under_them_comes_out_again(home: World) -> None:
    agents = [home.agent(f"agent-{trust}", trust=trust) for trust in range(1, 4)]
    lines = f"""overrides:
  - {{rule: git.push.force, set: warn, agents: [{agents[0].id}], expires: "2100-01-01", reason: tried, owner: platform}}
  - {{rule: git.push.delete, set: block, reason: never, owner: platform}}
"""
    files = {name: data.decode() for name, data in shipped_bundle().files.items()}
    home.done(home.operator, "activate_policy", {"files": files | {"guardrails/overrides.yaml": lines}})
    told = [
        home.done(who, "check_guardrails", {"operation_text": text})["verdict"]
        for who in agents
        for text in ("git push --force origin main", "git push --delete origin x", "ls")
    ]
    assert told[:6] == ["warn", "block", "allow", "block", "block", "allow"]
    with home.store.reading() as connection:
        result = replay(connection, home.workspace_id, versions.BundleCache())
    assert result.differences == []


@pytest.mark.parametrize("engine", ["cedar", "native", "both"])
def test_the_step_shows_the_policy_that_exempted(engine: str) -> None:
    bundle = law((("gateway.yaml", f"engine: {engine}\n".encode()),))
    decision = judged(call("check_guardrails"), replace(facts(agent(4), findings=(BLOCKS,)), law=bundle.law), bundle)
    (step,) = (one for one in decision.steps if one.gate == "guardrails")
    assert (decision.verdict, step.rules) == (Verdict.WARN, ("git.push.force", "guardrails.trusted"))
    assert "exempted by `guardrails.trusted`" in step.message
    low = judged(call("check_guardrails"), replace(facts(agent(3), findings=(BLOCKS,)), law=bundle.law), bundle)
    assert low.verdict is Verdict.BLOCK
    assert not any("guardrails.trusted" in one.rules for one in low.steps)


def test_the_example_in_the_documentation_loads_and_does_what_it_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")
    text = page.partition("```yaml\n# policies/guardrails/overrides.yaml\n")[2].partition("```")[0]
    bundle = law((("guardrails/overrides.yaml", text.encode()),))
    delete = replace(BLOCKS, rule="git.push.delete", severity="approval_required")
    assert verdict(bundle, facts(agent(role="releaser"), findings=(delete,))) is Verdict.WARN
    assert verdict(bundle, facts(findings=(delete,))) is Verdict.ASK
    dropped = replace(BLOCKS, rule="database.drop", category="database", severity="approval_required")
    assert verdict(bundle, facts(findings=(dropped,))) is Verdict.BLOCK
