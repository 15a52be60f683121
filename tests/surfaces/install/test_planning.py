"""Whole files: put in and taken out through links, modes, marks and line ends; every file that was not ours is as it was."""

from __future__ import annotations

import os
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardhouse.errors import InvalidInput
from guardhouse.surfaces.install import acting, editing, placing, records
from guardhouse.surfaces.install.clients import CLIENTS
from guardhouse.surfaces.install.jsonc import parse
from tests.surfaces.install import shapes

JSON_CLIENTS = ("claude-code", "codex", "gemini", "cursor")


@dataclass
class Person:
    """A person's machine: `user` is the home folder, `home` Guardhouse's."""

    user: Path
    home: Path

    def wish(self, client: str, scope: str = "user", posture: str = "closed") -> acting.Wish:
        return acting.Wish(client, scope, posture, self.home, self.user, self.user / "work", {})

    def file(self, client: str, scope: str = "user") -> Path:
        return acting.place_of(self.wish(client, scope)).path

    def install(self, client: str, scope: str = "user", posture: str = "closed") -> list[str]:
        """The names of the files that were changed."""
        changes = acting.plan(self.wish(client, scope, posture))
        placing.place(self.home)
        placing.configure(self.home, placing.Hooked(client, "", posture), "token")
        acting.carry_out(changes, self.home)
        return [one.lying.path.name for one in changes if not one.nothing]

    def uninstall(self, *wanted: str) -> None:
        assert not acting.take_out(acting.removals(wanted or CLIENTS, self.home, self.user, self.user / "work", {}))

    def all(self) -> dict[str, bytes]:
        """Every file with its bytes, and every folder."""
        return {
            str(one.relative_to(self.user)): one.read_bytes() if one.is_file() else b"/" for one in self.user.rglob("*")
        }


@pytest.fixture
def person(tmp_path: Path) -> Person:
    (tmp_path / "user" / "work").mkdir(parents=True)
    return Person(tmp_path / "user", tmp_path / "guardhouse home")


def _put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@settings(max_examples=50, deadline=None)
@given(shapes.settings(), st.sampled_from(JSON_CLIENTS), st.booleans(), st.booleans())
def test_installed_and_uninstalled_a_file_has_the_bytes_it_had(text: str, client: str, mark: bool, twice: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        person = Person(Path(place) / "user", Path(place) / "guardhouse")
        data = (b"\xef\xbb\xbf" if mark else b"") + text.encode()
        file = _put(person.file(client), data)
        before = person.all()
        assert person.install(client) == [file.name]
        after = file.read_bytes()
        if twice:
            assert person.install(client) == []
            assert file.read_bytes() == after
        person.uninstall(client)
        assert person.all() == before
        assert not records.folder(person.home).exists()


@settings(max_examples=40, deadline=None)
@given(shapes.settings(), st.data())
def test_what_the_person_changed_in_between_stays_and_only_ours_goes(text: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place:
        person = Person(Path(place) / "user", Path(place) / "guardhouse")
        file = _put(person.file("claude-code"), text.encode())
        person.install("claude-code")
        mine = data.draw(st.sampled_from([{"command": "lint"}, {"matcher": "*", "hooks": [{"command": "x"}]}]))
        where = data.draw(st.sampled_from([("hooks", "PreToolUse"), ("hooks", "Stop"), ("mine",)]))
        edited = editing.add(file.read_text(), where, mine)
        file.write_bytes(edited.text.encode())
        if data.draw(st.booleans()):
            (records.folder(person.home) / records.NAME).unlink()
        person.uninstall("claude-code")
        left = parse(file.read_text())
        wanted = parse(editing.add(text, where, mine).text)
        assert left is not None
        assert wanted is not None
        assert editing.theirs(left.plain(), editing.marked) == editing.theirs(wanted.plain(), editing.marked)
        assert "hooks/run" not in file.read_text()


def test_a_hook_of_ours_in_a_group_of_somebody_elses_goes_alone(person: Person) -> None:
    person.install("claude-code")
    file = person.file("claude-code")
    text = file.read_text()
    node = parse(text)
    assert node is not None
    ours = node.plain()["hooks"]["PreToolUse"][0]["hooks"][0]
    joined = editing.add("", ("hooks", "PreToolUse"), {"matcher": "*", "hooks": [{"command": "lint"}, ours]}).text
    file.write_text(joined)
    person.uninstall("claude-code")
    left = parse(file.read_text())
    assert left is not None
    assert left.plain() == {"hooks": {"PreToolUse": [{"matcher": "*", "hooks": [{"command": "lint"}]}]}}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("scope", acting.SCOPES)
def test_where_there_was_nothing_there_is_nothing_again(person: Person, client: str, scope: str) -> None:
    before = person.all()
    assert person.install(client, scope)
    file = person.file(client, scope)
    assert "hooks/run" in file.read_text()
    assert person.install(client, scope) == []
    person.uninstall(client)
    assert person.all() == before
    assert not records.folder(person.home).exists()


def test_another_posture_takes_the_place_of_the_first(person: Person) -> None:
    file = _put(person.file("claude-code"), b'{"model": "x"}\n')
    person.install("claude-code", posture="closed")
    person.install("claude-code", posture="open")
    node = parse(file.read_text())
    assert node is not None
    groups = node.plain()["hooks"]["PreToolUse"]
    assert len(groups) == 1
    assert "exit 0" in groups[0]["hooks"][0]["command"]
    assert "onFailure" not in groups[0]["hooks"][0]
    person.uninstall()
    assert file.read_bytes() == b'{"model": "x"}\n'


def test_a_file_behind_a_link_is_changed_and_the_link_stays(person: Person) -> None:
    true = _put(person.user / "dotfiles" / "claude.json", b'{"a": 1}')
    link = person.file("claude-code")
    link.parent.mkdir()
    link.symlink_to(true)
    person.install("claude-code")
    assert link.is_symlink()
    assert b"hooks/run" in true.read_bytes()
    person.uninstall("claude-code")
    assert link.is_symlink()
    assert true.read_bytes() == b'{"a": 1}'


def test_another_name_of_the_same_file_shows_the_same(person: Person) -> None:
    file = _put(person.file("gemini"), b"{}")
    os.link(file, person.user / "other.json")
    person.install("gemini")
    assert (person.user / "other.json").read_bytes() == file.read_bytes() != b"{}"
    person.uninstall("gemini")
    assert (person.user / "other.json").read_bytes() == b"{}"


def test_the_mode_of_a_file_stays(person: Person) -> None:
    file = _put(person.file("cursor"), b"{}")
    file.chmod(0o640)
    person.install("cursor")
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{"a": 1,\n "b" }', ":2:6: "),
        (b'{"hooks": {"PreToolUse": {}}}', ":1:26: "),
        (b'{"hooks": {}, "hooks": {}}', ":1:15: "),
        (b'{"a":\n"\xff"}', ":2: not UTF-8"),
        (b"\xff\xfe{\x00}\x00", ":1: not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line_and_left(person: Person, data: bytes, told: str) -> None:
    file = _put(person.file("claude-code"), data)
    with pytest.raises(InvalidInput) as caught:
        person.install("claude-code")
    assert f"{file}{told}" in str(caught.value)
    assert file.read_bytes() == data
    assert not records.read(person.home)


def test_a_read_only_file_a_folder_and_a_link_to_nothing_are_refused(person: Person) -> None:
    file = _put(person.file("claude-code"), b"{}")
    file.chmod(0o444)
    with pytest.raises(InvalidInput, match="read-only: run `chmod u\\+w"):
        person.install("claude-code")
    file.unlink()
    file.mkdir()
    with pytest.raises(InvalidInput, match="not a file"):
        person.install("claude-code")
    file.rmdir()
    file.symlink_to(person.user / "nowhere")
    with pytest.raises(InvalidInput, match="a link to"):
        person.install("claude-code")
    assert file.is_symlink()


def test_codex_with_inline_hooks_keeps_one_representation(person: Person) -> None:
    config = b'model = "x" # mine\r\n\r\n[[hooks.PostToolUse]]\r\nmatcher = "Bash"\r\n'
    file = _put(person.user / ".codex" / "config.toml", config)
    assert person.install("codex") == ["config.toml"]
    assert not (person.user / ".codex" / "hooks.json").exists()
    assert file.read_bytes().startswith(config)
    assert person.install("codex") == []
    changed = file.read_bytes() + b"\n[tui]\nx = 1\n"
    file.write_bytes(changed)
    person.uninstall("codex")
    assert file.read_bytes() == config + b"\n[tui]\nx = 1\n"


def _hooks_of_others(text: str) -> object:
    held = tomllib.loads(text)
    return editing.theirs(held, editing.marked)


@settings(max_examples=60, deadline=None)
@given(shapes.tables(), st.booleans(), st.sampled_from(["file", "link", "two names"]), st.booleans())
def test_put_into_tables_and_taken_out_they_have_the_bytes_they_had(
    text: str, mark: bool, lies: str, twice: bool
) -> None:
    """`~/.codex/config.toml`, whatever stands in it and however it lies there."""
    with tempfile.TemporaryDirectory() as place:
        person = Person(Path(place) / "user", Path(place) / "guardhouse")
        file = person.user / ".codex" / "config.toml"
        data = (b"\xef\xbb\xbf" if mark else b"") + text.encode()
        other = _put(person.user / "other.toml" if lies != "file" else file, data)
        if lies != "file":
            file.parent.mkdir(parents=True)
            file.symlink_to(other) if lies == "link" else os.link(other, file)
        before = person.all()
        assert person.install("codex") == ["config.toml"]
        after = file.read_bytes()
        assert after.startswith(data)
        assert _hooks_of_others(after.decode("utf-8-sig")) == _hooks_of_others(text)
        ours = tomllib.loads(after.decode("utf-8-sig"))["hooks"]["PreToolUse"][-1]["hooks"][0]
        assert (ours["type"], "hooks/run codex" in ours["command"]) == ("command", True)
        if twice:
            assert person.install("codex") == []
            assert file.read_bytes() == after
        person.uninstall("codex")
        assert person.all() == before
        assert file.is_symlink() == (lies == "link")
        assert not records.folder(person.home).exists()


@settings(max_examples=40, deadline=None)
@given(shapes.tables(), st.sampled_from(["first", "last", "beside"]), st.booleans())
def test_what_the_person_wrote_into_tables_in_between_stays(text: str, where: str, forgotten: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        person = Person(Path(place) / "user", Path(place) / "guardhouse")
        file = _put(person.user / ".codex" / "config.toml", text.encode())
        person.install("codex")
        if forgotten:
            (records.folder(person.home) / records.NAME).unlink()
        ours = file.read_bytes()[len(text.encode()) :]
        first, beside, last = b"zz = 1\n", b"# just before\n", b"\n[zzz]\nx = 1\n"
        made = {
            "first": first + text.encode() + ours,
            "beside": text.encode() + beside + ours,
            "last": text.encode() + ours + last,
        }
        left = {"first": first + text.encode(), "beside": text.encode() + beside, "last": text.encode() + last}
        file.write_bytes(made[where])
        person.uninstall("codex")
        # Without the record nobody knows any more who ended the last line.
        assert file.read_bytes().split() == left[where].split() if forgotten else file.read_bytes() == left[where]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'[hooks]\nPreToolUse = [{ matcher = "x", hooks = [] }]\n', "write them as `[[hooks"),
        (b"hooks = { Stop = [], PreToolUse = [] }\n", "write them as `[[hooks"),
    ],
)
def test_tables_that_cannot_be_added_to_are_refused_with_a_way_that_works(
    person: Person, data: bytes, told: str
) -> None:
    file = _put(person.user / ".codex" / "config.toml", data)
    with pytest.raises(InvalidInput) as caught:
        person.install("codex")
    assert str(caught.value).startswith(f"{file}: ")
    assert told in str(caught.value)
    assert file.read_bytes() == data
    _put(person.user / ".codex" / "hooks.json", b"{}")
    assert person.install("codex") == ["hooks.json"]


def test_tables_that_may_not_be_written_or_were_changed_by_hand_are_left(person: Person) -> None:
    data = b"[[hooks.Stop]]\n"
    file = _put(person.user / ".codex" / "config.toml", data)
    file.chmod(0o444)
    with pytest.raises(InvalidInput, match="read-only: run `chmod u\\+w"):
        person.install("codex")
    assert file.read_bytes() == data
    file.chmod(0o640)
    person.install("codex")
    assert file.stat().st_mode & 0o777 == 0o640
    changed = file.read_bytes().replace(b'matcher = "*"', b'matcher = "Bash"')
    file.write_bytes(changed)
    (left,) = acting.take_out(acting.removals(["codex"], person.home, person.user, person.user / "work", {}))
    assert "were changed by hand: take them out by hand" in left.why
    assert file.read_bytes() == changed
    file.write_bytes(data)
    person.uninstall("codex")
    assert (file.read_bytes(), records.folder(person.home).exists()) == (data, False)


def test_a_project_file_is_ignored_by_git_in_this_clone_alone(person: Person) -> None:
    import subprocess

    work = person.user / "work"
    subprocess.run(["git", "init", "-q", str(work)], check=True)
    exclude = work / ".git" / "info" / "exclude"
    exclude.parent.mkdir(exist_ok=True)
    exclude.write_bytes(b"*.tmp")
    before = exclude.read_bytes()
    for client in CLIENTS:
        person.install(client, "project")
        assert person.install(client, "project") == []
    told = subprocess.run(["git", "-C", str(work), "status", "--short"], capture_output=True, text=True, check=True)
    assert told.stdout == ""
    for client in CLIENTS:
        person.uninstall(client)
    assert exclude.read_bytes() == before
    assert [one.name for one in work.iterdir()] == [".git"]


def test_a_committed_file_is_for_all_of_a_team(person: Person) -> None:
    import subprocess

    work = person.user / "work"
    subprocess.run(["git", "init", "-q", str(work)], check=True)
    file = _put(person.file("gemini", "project"), b"{}")
    subprocess.run(["git", "-C", str(work), "add", str(file)], check=True)
    with pytest.raises(InvalidInput, match="--shared"):
        person.install("gemini", "project")
    person.install("gemini", "shared")
    assert str(person.user) not in file.read_text()
    person.uninstall("gemini")
    assert file.read_bytes() == b"{}"


def test_a_crash_between_the_record_and_the_file_loses_nothing(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _put(person.file("claude-code"), b'{"a": 1}')

    def fail(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("guardhouse.surfaces.install.files.write", fail)
        with pytest.raises(KeyboardInterrupt):
            person.install("claude-code")
    person.uninstall("claude-code")
    assert file.read_bytes() == b'{"a": 1}'
    person.install("claude-code")
    person.uninstall("claude-code")
    assert file.read_bytes() == b'{"a": 1}'
