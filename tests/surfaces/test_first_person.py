"""`guardhouse init` names the first person after the user of the machine, and gives them all three roles."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from guardhouse.surfaces.cli import operator
from tests.surfaces.terminal import Desk


@pytest.mark.parametrize(("login", "named"), [("", ""), ("olga", "olga")])
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_first_person_is_the_user_with_every_role(
    tmp_path: Path,
    new_database: Callable[[str], str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    dialect: str,
    login: str,
    named: str,
) -> None:
    """Where the shell names nobody, the system's own list of users does."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    if login:
        monkeypatch.setenv("LOGNAME", login)
    home = tmp_path / "home"
    env = {"GUARDHOUSE_HOME": str(home), "GUARDHOUSE_DATABASE_URL": new_database(dialect)}
    desk = Desk(home, env, capsys, monkeypatch)
    told = desk.json("init")
    assert told["person"] == (named or pwd.getpwuid(os.getuid()).pw_name)
    people = desk.json("people", "list")["people"]
    assert [(person["name"], set(person["roles"])) for person in people] == [
        (told["person"], {"operator", "security", "auditor"})
    ]
    assert operator.token_file(home).read_text().strip() == told["operator_token"]
    assert "person" not in desk.json("init"), "a second run named somebody again"
    assert len(desk.json("people", "list")["people"]) == 1


def test_a_name_given_is_taken_instead(
    tmp_path: Path,
    new_database: Callable[[str], str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = {"GUARDHOUSE_HOME": str(tmp_path / "home"), "GUARDHOUSE_DATABASE_URL": new_database("sqlite")}
    told = Desk(tmp_path / "home", env, capsys, monkeypatch).json("init", "--person", "ada")
    assert told["person"] == "ada"
