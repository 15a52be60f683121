"""A repository's own file makes verdicts stricter and nothing else, whatever stands in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardhouse.errors import InvalidInput
from guardhouse.guardrails.overrides import Override, apply
from guardhouse.guardrails.text import Rule
from guardhouse.guardrails.tighten import FILE_NAME, LEVELS, MOST_BYTES, UNREAD, explain, read_tighten, tightened
from guardhouse.model.facts import Finding
from guardhouse.surfaces.cli import tightening

ASKS = Finding("git.push.delete", "git", "git", "approval_required", 3, "t", 0, 4)
WARNS = Finding("git.stash.drop", "git", "git", "warn", 3, "t", 0, 4)
RULES = {one.rule: Rule(one.rule, one.pack, one.category, one.severity, one.min_trust, "why") for one in (ASKS, WARNS)}


def after(text: str, *findings: Finding) -> list[str]:
    """The severities in force under a file, with no override of the site."""
    return [one.severity for one in apply(tightened(findings, text, RULES), (), now=0)]


def test_the_command_reads_the_file_that_the_engine_means() -> None:
    assert (tightening.FILE_NAME, tightening.MOST_BYTES) == (FILE_NAME, MOST_BYTES)


def test_without_a_file_nothing_changes() -> None:
    for text in ("", " \n", "# a comment\n", "tighten:\n", "tighten: []\n"):
        assert tightened((ASKS, WARNS), text, RULES) == (ASKS, WARNS)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("tighten: [{rule: git.push.delete, set: block}]", ["block", "warn"]),
        ("tighten: [{rule: 'git.*', set: block, reason: never}]", ["block", "block"]),
        ("tighten: [{category: git, set: approval_required}]", ["approval_required", "approval_required"]),
        ("tighten: [{category: git, set: warn}]", ["approval_required", "warn"]),
        ("tighten: [{category: git, set: block, paths: [root]}]", ["approval_required", "warn"]),
    ],
)
def test_it_raises_and_never_lowers(text: str, wanted: list[str]) -> None:
    assert after(text, ASKS, WARNS) == wanted


@pytest.mark.parametrize("level", ["off", "log", "warn"])
def test_no_override_of_the_site_goes_below_it(level: str) -> None:
    found = tightened((ASKS,), "tighten: [{rule: git.push.delete, set: block}]", RULES)
    loose = Override(level, category="git", expires=10, reason="r", owner="o")
    assert [one.severity for one in apply(found, (loose,), now=0)] == ["block"]
    assert [one.severity for one in apply((ASKS,), (loose,), now=0)] == ([] if level == "off" else [level])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tighten: [{rule: git.push.delete, set: 'off'}]", "can only tighten"),
        ("tighten: [{rule: git.push.delete, set: off}]", "can only tighten"),
        ("tighten: [{rule: git.push.delete, set: warn}]", "can only tighten"),
        ("tighten: [{rule: no.such, set: block}]", "not one of the packs"),
        ("tighten: [{set: block}]", "either a `rule` or a `category`"),
        ("tighten: [{rule: a, category: b, set: block}]", "either a `rule` or a `category`"),
        ("tighten: [{rule: git.push.delete, set: loud}]", "`set` is one of"),
        ("tighten: [{rule: git.push.delete, set: block, agents: [x]}]", "nothing else"),
        ("tighten: [{category: git, set: block, paths: [[]]}]", "`paths` is a list"),
        ("tighten: {}", "a list of at most"),
        ("overrides: []", "a key that is not known"),
        ("- a", "a mapping with a list `tighten`"),
        ("tighten: [", "not YAML"),
        ("a: &x [1]\ntighten: *x", "anchors and aliases"),
        ("!!python/object/apply:os.getcwd []", "not YAML"),
        ("[" * 5000, "too deep"),
        ("tighten: " + "[" * 30 + "]" * 30, "too deep"),
        ("#" * (MOST_BYTES + 1), "longer than"),
        ("ä" * MOST_BYTES, "longer than"),
    ],
)
def test_a_fault_asks_and_says_what_to_mend(text: str, told: str) -> None:
    found = tightened((ASKS,), text, RULES)
    assert [one.rule for one in found] == [ASKS.rule, UNREAD]
    assert (found[1].severity, found[1].min_trust) == ("approval_required", 5)
    (words,) = explain(found, text, RULES)
    assert told in words.reason
    assert ".guardhouse.yaml" in words.reason


def test_the_line_of_a_fault_is_told() -> None:
    text = "tighten:\n  - {rule: git.push.delete, set: block}\n\n  - {rule: git.push.delete, set: loud}\n"
    assert read_tighten(text).line == 4


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300) | st.lists(st.sampled_from(list("{}[]:-,&*!|> \n'\"#")), max_size=200).map("".join))
def test_no_text_lowers_or_removes_anything(text: str) -> None:
    made = tightened((ASKS, WARNS), text, RULES)
    assert [one.rule for one in made[:2]] == [ASKS.rule, WARNS.rule]
    for before, one in zip((ASKS, WARNS), apply(made, (), now=0), strict=False):
        assert LEVELS.index(one.severity) >= LEVELS.index(before.severity)


def test_the_files_of_every_directory_above_count_each_by_itself(tmp_path: Path) -> None:
    inner = tmp_path / "made" / "inside"
    inner.mkdir(parents=True)
    (tmp_path / FILE_NAME).write_text("tighten: [{rule: git.push.delete, set: block}]\n")
    (inner / ".git").mkdir()
    root, text = tightening.repository(str(inner))
    assert (root, after(text, ASKS, WARNS)) == (str(inner), ["block", "warn"])
    (inner / FILE_NAME).write_text("tighten:\n  - {category: git, set: approval_required}")
    assert after(tightening.repository(str(inner))[1], ASKS, WARNS) == ["block", "approval_required"]
    # No text of the inner file's hides the outer one.
    for hostile in ("...", "%YAML 1.1", "x: |\n", "'", "---\ntighten: [", "{", "tighten: 3"):
        (inner / FILE_NAME).write_text(hostile)
        found = tightened((ASKS,), tightening.repository(str(inner))[1], RULES)
        assert {one.rule for one in found} & {UNREAD} or found[0].severity == "block"
    (inner / FILE_NAME).unlink()
    (inner / FILE_NAME).mkdir()
    with pytest.raises(InvalidInput, match="cannot be read"):
        tightening.repository(str(inner))
