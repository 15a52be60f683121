"""A client's file that is ours whole: whatever a person wrote there, before or since, is to be found after all is taken out."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardhouse.surfaces.install import acting, clients, records
from tests.surfaces.install.test_planning import Person

MINE = b"\xef\xbb\xbf// mine\r\nexport const Mine = async () => ({})\n"


@pytest.fixture
def person(tmp_path: Path) -> Person:
    (tmp_path / "user" / "work").mkdir(parents=True)
    return Person(tmp_path / "user", tmp_path / "guardhouse")


def _file(person: Person, data: bytes | None = None) -> Path:
    file = person.file("opencode")
    if data is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return file


def _notes(person: Person) -> list[str]:
    planned = acting.removals(["opencode"], person.home, person.user, person.user / "work", {})
    changes, left = acting.shown(planned)
    assert not left
    return [one.note for one in changes if one.note]


def test_a_file_of_a_persons_own_that_was_changed_since_comes_back_and_the_change_is_kept_beside(
    person: Person,
) -> None:
    file = _file(person, MINE)
    person.install("opencode")
    changed = file.read_bytes() + b"// tuned\n"
    file.write_bytes(changed)
    beside = file.with_name("guardhouse.js.kept")
    assert _notes(person) == [f"{file}: was changed since Guardhouse wrote it; that is kept beside it: {beside}"]
    person.uninstall("opencode")
    assert (file.read_bytes(), beside.read_bytes()) == (MINE, changed)
    assert not records.folder(person.home).exists()


def test_what_was_there_before_survives_a_second_installing_over_a_change(person: Person) -> None:
    file = _file(person, MINE)
    person.install("opencode")
    file.write_bytes(b"// guardhouse hooks/run, my way\n")
    assert person.install("opencode") == ["guardhouse.js"]
    assert b"const SHIM" in file.read_bytes()
    person.uninstall("opencode")
    assert file.read_bytes() == MINE
    assert file.with_name("guardhouse.js.kept").read_bytes() == b"// guardhouse hooks/run, my way\n"


def test_a_file_that_a_person_removed_or_put_their_own_in_the_place_of(person: Person) -> None:
    file = _file(person, MINE)
    person.install("opencode")
    file.unlink()
    person.uninstall("opencode")
    assert file.read_bytes() == MINE, "what they removed was ours"
    person.install("opencode")
    file.write_bytes(b"// another of mine\n")
    (note,) = _notes(person)
    assert "is not Guardhouse's any more and stays" in note
    person.uninstall("opencode")
    assert file.read_bytes() == b"// another of mine\n"
    assert file.with_name("guardhouse.js.kept").read_bytes() == MINE


def test_a_name_that_is_taken_is_not_written_over(person: Person) -> None:
    file = _file(person)
    person.install("opencode")
    file.write_bytes(file.read_bytes() + b"// tuned\n")
    taken = file.with_name("guardhouse.js.kept")
    taken.write_bytes(b"theirs")
    file.with_name("guardhouse.js.kept-1").mkdir()
    person.uninstall("opencode")
    assert not file.exists()
    assert taken.read_bytes() == b"theirs"
    assert file.with_name("guardhouse.js.kept-2").read_bytes().endswith(b"// tuned\n")


def test_a_copy_that_is_lost_with_the_home_is_told(person: Person) -> None:
    file = _file(person, MINE)
    person.install("opencode")
    shutil.rmtree(records.folder(person.home) / records.BACKUPS)
    (note,) = _notes(person)
    assert note == f"{file}: what stood here before Guardhouse is not kept any more, so it does not come back"
    person.uninstall("opencode")
    assert not file.exists()


def test_an_older_plugin_of_a_home_that_is_gone_is_no_ones_own(person: Person) -> None:
    file = _file(person)
    person.install("opencode", posture="open")
    shutil.rmtree(person.home)
    person.install("opencode")
    person.uninstall("opencode")
    assert not file.exists()
    assert list(file.parent.glob("*.kept*")) == []


def test_hooks_that_a_person_put_into_the_file_named_after_us_stay(person: Person) -> None:
    """Copilot reads every file of a folder, so ours is a file of its own, and a person may write into it."""
    file = person.file("copilot")
    person.install("copilot")
    made = json.loads(file.read_text())
    assert made == {"version": 1, "hooks": {"preToolUse": made["hooks"]["preToolUse"]}}
    mine = {"type": "command", "bash": "lint"}
    made["hooks"]["postToolUse"] = [mine]
    file.write_text(json.dumps(made))
    person.install("copilot")
    again = json.loads(file.read_text())["hooks"]
    assert ([len(again[name]) for name in ("preToolUse", "postToolUse")], again["postToolUse"]) == ([1, 1], [mine])
    person.uninstall("copilot")
    assert json.loads(file.read_text())["hooks"] == {"postToolUse": [mine]}
    for forgotten in (False, True):
        file.unlink(missing_ok=True)
        person.install("copilot")
        file.write_text(json.dumps(json.loads(file.read_text())))
        if forgotten:
            shutil.rmtree(person.home)
        person.uninstall("copilot")
        assert not file.exists(), "written anew by a formatter, it still holds nothing but ours"


STEPS = st.sampled_from(["install", "open", "uninstall", "append", "replace", "remove"])


@settings(max_examples=120, deadline=None)
@given(st.one_of(st.none(), st.text(max_size=40).map(str.encode), st.just(MINE)), st.lists(STEPS, max_size=7))
def test_nothing_that_a_person_wrote_is_ever_lost(before: bytes | None, steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        person = Person(Path(place) / "user", Path(place) / "guardhouse")
        (person.user / "work").mkdir(parents=True)
        file = _file(person, before)
        written = {
            clients.plugin([str(person.home / "hooks" / "run"), "opencode"], one).encode() for one in ("open", "closed")
        }
        owed: set[bytes] = set()
        for number, step in enumerate(["install", *steps, "uninstall"]):
            here = file.read_bytes() if file.exists() else None
            if step in ("install", "open", "uninstall"):
                if here is not None and here not in written:
                    owed.add(here)
                if step == "uninstall":
                    person.uninstall("opencode")
                else:
                    person.install("opencode", posture="open" if step == "open" else "closed")
                continue
            # What a person overwrites or removes themselves is theirs to lose.
            owed.discard(here or b"")
            if step == "remove":
                file.unlink(missing_ok=True)
            else:
                _file(person, ((here or b"") if step == "append" else b"") + f"// mine {number}\n".encode())
        found = {one.read_bytes() for one in person.user.rglob("*") if one.is_file()}
        assert owed <= found
        assert not file.exists() or b"hooks/run" not in file.read_bytes()
        assert before is not None or owed or not file.exists()
        assert not records.folder(person.home).exists()
