"""The guard guards itself: every way round it that we know is caught, whatever the trust, and look-alikes pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from guardhouse.gateway.disk import Disk
from guardhouse.gateway.surroundings import placed
from guardhouse.guardrails import governing
from guardhouse.guardrails.kept import applied, kept
from guardhouse.guardrails.surroundings import SAMPLE, Surroundings
from guardhouse.guardrails.text import Examined
from guardhouse.model.facts import Finding
from guardhouse.operations import CATALOG
from tests.guardrails.packs import shipped

CASES: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "selfguard.yaml").read_text())
ATTACKS = [(group, text) for group, texts in CASES["attacks"].items() for text in texts]
HELD = ("block", "approval_required")


def found(text: str, **context: Any) -> list[Finding]:
    context = {"cwd": "/srv/user/project", "around": SAMPLE, **context}
    return [one for one in shipped().examine((Examined("operation_text", text, **context),)) if one.protects]


@pytest.mark.parametrize(("group", "text"), ATTACKS, ids=[text[:60] for _, text in ATTACKS])
def test_a_way_round_the_guard_is_held_by_the_pack_that_nobody_overrides(group: str, text: str) -> None:
    held = [one for one in found(text) if one.severity in HELD]
    assert held, f"{group}: nothing found"
    assert all(one.min_trust == 5 for one in held)


@pytest.mark.parametrize("text", CASES["lookalikes"], ids=[text[:60] for text in CASES["lookalikes"]])
def test_work_that_only_looks_alike_is_let_pass_by_the_pack(text: str) -> None:
    assert found(text) == []


def test_there_are_more_ways_than_sixty() -> None:
    assert len(ATTACKS) >= 320


def test_every_operation_that_governs_is_known_to_the_guard() -> None:
    assert {one.name for one in CATALOG if one.people_only} == governing.OPERATIONS


@pytest.mark.parametrize("act", ["read", "write", "edit", "delete", ""])
def test_no_file_tool_reaches_the_state(act: str) -> None:
    for path in (
        "/srv/user/.local/share/guardhouse/operator.token",
        "../.local/share/guardhouse/x",
        "~/.local/share/guardhouse",
    ):
        assert [one.rule for one in found("x", kind="file", file_paths=(path,), act=act)] == ["guardhouse.state"], path


def test_a_link_is_followed_by_the_gateway(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    (home / "operator.token").write_text("x")
    (work / "notes").symlink_to(home)
    (work / "n.txt").symlink_to(home / "operator.token")
    around = Surroundings(user_home=str(tmp_path), state=(str(home.resolve()),))
    for text in ("cat notes/operator.token", "cat n.txt", "cat ./n.txt", f"cat {work}/notes/operator.token"):
        texts = placed((Examined("t", text, "shell", str(work)),), around, Disk())
        assert "guardhouse.state" in [one.rule for one in shipped().examine(texts)], text
    texts = placed((Examined("t", "", "file", str(work), file_paths=("n.txt",), act="read"),), around, Disk())
    assert [one.rule for one in shipped().examine(texts)] == ["guardhouse.state"]
    plain = placed((Examined("t", "cat other.txt", "shell", str(work)),), around, Disk())
    assert shipped().examine(plain) == ()


HOOKED = """{
  // mine
  "model": "x",
  "hooks": {"PreToolUse": [{"matcher": "*", "hooks": [{"type": "command", "command": "/opt/guardhouse hook claude-code"}]}]},
}
"""


@pytest.mark.parametrize(
    ("after", "wanted"),
    [
        (HOOKED.replace('"x"', '"y"'), "same"),
        (HOOKED.replace('"hooks": {', '"env": {"A": "b"}, "hooks": {'), "same"),
        (HOOKED.replace('"*"', '"Read"'), "changed"),
        (HOOKED.replace("hook claude-code", "hook claude-code || true"), "changed"),
        (HOOKED.replace('"model"', '"disableAllHooks": true, "model"'), "changed"),
        (HOOKED.replace('"model": "x"', '"model": "x", "hooks": {}'), "changed"),
        ("{}", "changed"),
        ("", "changed"),
        (None, "changed"),
        ("not json", "changed"),
    ],
)
def test_an_edit_passes_only_if_our_entries_stay_as_they_were(after: str | None, wanted: str, tmp_path: Path) -> None:
    assert kept("settings.json", HOOKED, after) == wanted
    settings = tmp_path / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text(HOOKED)
    if after is None:
        return
    text = Examined("t", after, "file", str(tmp_path), file_paths=(str(settings),), act="write")
    rules = [one.rule for one in shipped().examine(placed((text,), SAMPLE, Disk())) if one.protects]
    assert rules == ([] if wanted == "same" else ["guardhouse.hooks"])


def test_edits_are_applied_as_the_client_would(tmp_path: Path) -> None:
    assert applied("a b a", (("a", "c", True),)) == "c b c"
    assert applied("a b a", (("a", "c", False),)) is None
    assert applied("a", (("z", "c", False),)) is None
    settings = tmp_path / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text(HOOKED)

    def rules(*edits: tuple[str, str, bool]) -> list[str]:
        text = Examined("t", "", "file", str(tmp_path), file_paths=(".claude/settings.json",), act="edit", edits=edits)
        return [one.rule for one in shipped().examine(placed((text,), SAMPLE, Disk())) if one.protects]

    assert rules(('"x"', '"y"', False)) == []
    assert rules(("hook claude-code", "true", False)) == ["guardhouse.hooks"]
    assert rules(("no such text", "y", False)) == ["guardhouse.hooks.unseen"]


def test_a_configuration_with_none_of_our_entries_is_free_but_for_its_switches() -> None:
    assert kept("config.toml", 'model = "x"\n', 'model = "y"\n') == "same"
    assert kept("config.toml", 'model = "x"\n', "[features]\nhooks = false\n") == "changed"
    assert kept("plugin.js", "// guardhouse\n", "// else\n") == "changed"
    assert kept("settings.json", None, '{"a": 1}') == "same"


@pytest.mark.parametrize("text", ["cat " + "a/" * 3000, "kill " + "9 " * 500, "x=" + "$(" * 200, "\x00/~*?[" * 50])
def test_hostile_text_never_raises(text: str) -> None:
    shipped().examine((Examined("t", text, "shell", "/srv/user", around=SAMPLE),))
