"""Taken out for good, and put in again: whatever has gone wrong with the home, the disk, the settings or the agent."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from guardhouse.surfaces.install import acting, clients, files, placing, records
from guardhouse.surfaces.install.clients import CLIENTS
from tests.server import environment, guardhouse, serving
from tests.surfaces.hooks.payloads import GIVEN, PAYLOADS

BEFORE = {
    "claude-code": b'{"a": 1} // mine\n',
    "codex": b"{}",
    "gemini": b"\xef\xbb\xbf{\r\n}\r\n",
    "cursor": b'{"version": 1}',
}
"""What stood in settings files before; the other two clients have files of ours alone."""


@dataclass
class Person:
    """A person's machine and their shell's environment."""

    user: Path
    home: Path
    env: dict[str, str]

    def file(self, client: str) -> Path:
        return CLIENTS[client].user(self.user, {}).path

    def install_all(self) -> None:
        for client, data in BEFORE.items():
            self.file(client).parent.mkdir(parents=True, exist_ok=True)
            self.file(client).write_bytes(data)
        placing.place(self.home)
        for client in CLIENTS:
            placing.configure(self.home, placing.Hooked(client, "", "closed"), "token")
            wish = acting.Wish(client, "user", "closed", self.home, self.user, self.user, {})
            acting.carry_out(acting.plan(wish), self.home)
            assert b"hooks/run" in self.file(client).read_bytes()

    def uninstall(self, *arguments: str, check: bool = True, file_bytes: int = 0) -> dict[str, Any]:
        """`uninstall --json`: what it told, with its exit status. `file_bytes`: no file may become larger, as on a full disk."""
        limit = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))) if file_bytes else None
        done = subprocess.run(
            [sys.executable, "-m", "guardhouse", "uninstall", *(arguments or ("--all",)), "--json"],
            env=self.env,
            cwd=self.user,
            capture_output=True,
            text=True,
            timeout=120,
            preexec_fn=limit,  # no threads here
        )
        assert done.stdout, done.stderr
        told = dict(json.loads(done.stdout)) | {"status": done.returncode}
        assert not check or (told["status"], told["left"]) == (0, []), told
        return told

    def all_as_before(self) -> bool:
        return all(
            self.file(client).read_bytes() == BEFORE[client] if client in BEFORE else not self.file(client).exists()
            for client in CLIENTS
        )


@pytest.fixture
def person(tmp_path: Path) -> Person:
    user, home = tmp_path / "user", tmp_path / "home"
    user.mkdir()
    env = environment(home, HOME=str(user), XDG_CONFIG_HOME=str(user / ".config"))
    return Person(user, home, env)


def test_it_needs_neither_gateway_database_nor_token(person: Person) -> None:
    person.install_all()
    assert [one.name for one in person.home.iterdir()] == [records.FOLDER]
    for one in records.folder(person.home).glob("*.token"):
        one.unlink()
    person.env["GUARDHOUSE_DATABASE_URL"] = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    person.uninstall()
    assert person.all_as_before()
    assert list(person.home.iterdir()) == []


def test_where_the_home_is_gone_with_its_records_ours_is_known_by_the_look(person: Person) -> None:
    person.install_all()
    shutil.rmtree(person.home)
    # Files that are not ours are no business of ours, whatever state they are in.
    strange = person.user / ".copilot" / "settings.json"
    strange.parent.mkdir(exist_ok=True)
    strange.write_bytes(b"{ not json")
    person.uninstall()
    for client in CLIENTS:
        path = person.file(client)
        assert not path.exists() or b"hooks/run" not in path.read_bytes()
    assert strange.read_bytes() == b"{ not json"


def test_a_full_disk_stops_nothing_that_can_be_restored_and_the_rest_is_told(person: Person) -> None:
    """Settings become shorter and fit; the records of the clients that are left do not."""
    person.install_all()
    told = person.uninstall(check=False, file_bytes=300)
    assert told["status"] == 1
    assert person.all_as_before()
    assert [one["client"] for one in told["left"]] == [""]
    assert "installed.json: cannot be written" in told["left"][0]["why"]
    assert "run this again" in told["left"][0]["why"]
    # What it says works: with room again, the same command ends it.
    assert person.uninstall()["files"] == []
    assert person.all_as_before()
    assert not records.folder(person.home).exists()


def test_one_client_that_cannot_be_restored_is_told_and_the_others_are(person: Person) -> None:
    person.install_all()
    broken = person.file("gemini")
    whole = broken.read_bytes()
    broken.unlink()
    broken.mkdir()
    read_only = person.file("codex")
    read_only.chmod(0o444)
    told = person.uninstall(check=False)
    assert told["status"] == 1
    assert {one["client"]: one["why"] for one in told["left"]} == {
        "codex": f"{read_only}: read-only: run `chmod u+w {read_only}` if it is yours to change",
        "gemini": f"{broken}: not a file",
    }
    assert person.file("claude-code").read_bytes() == BEFORE["claude-code"]
    assert not person.file("opencode").exists()
    assert {one.client for one in records.read(person.home)} == {"codex", "gemini"}
    broken.rmdir()
    broken.write_bytes(whole)
    read_only.chmod(0o644)
    person.uninstall()
    assert person.all_as_before()


def test_a_file_of_two_names_keeps_its_bytes_where_the_new_ones_do_not_fit(person: Person) -> None:
    """Such a file is written where it lies, so a disk that fills up half way must not leave half of it."""
    file = person.file("claude-code")
    file.parent.mkdir()
    file.write_bytes(b'{"a": 1}\n')
    os.link(file, person.user / "other.json")
    lying = files.read(file)
    code = (
        "import resource, signal, sys; from pathlib import Path; from guardhouse.surfaces.install import files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20)); signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "files.write(files.read(Path(sys.argv[1])), b'x' * 200)\n"
    )
    failed = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, timeout=60)
    assert (failed.returncode, "cannot be written" in failed.stderr) == (1, True), failed.stderr
    assert files.read(file) == lying


def _uses(person: Person, client: str) -> tuple[int, str]:
    hook = json.loads(person.file(client).read_text())["hooks"][clients.EVENT[client]][0]
    line = hook["hooks"][0]["command"] if "hooks" in hook else hook["command"]
    body = json.dumps(PAYLOADS[client]("shell", GIVEN["shell.allow"]))
    done = subprocess.run(
        ["/bin/sh", "-c", line], input=body, env=person.env, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def test_after_its_agent_was_retired_a_client_is_installed_again_as_a_new_one(person: Person) -> None:
    def install() -> dict[str, Any]:
        return dict(json.loads(guardhouse(person.env, "install", "gemini", "--json").stdout))

    guardhouse(person.env, "init")
    with serving(person.env) as server:
        first = install()
        assert (first["new_agent"], first["retired_agent"]) == (True, None)
        (known,) = json.loads(guardhouse(person.env, "agents", "list", "--json").stdout)["agents"]
        assert (known["handle"], known["role"], known["trust"]) == (first["agent"], "developer", 2)
        assert _uses(person, "gemini") == (0, "{}")
        guardhouse(person.env, "agents", "retire", first["agent"])
        status, told = _uses(person, "gemini")
        assert (status, '"deny"' in told, "guardhouse install gemini" in told) == (0, True, True), told
        second = install()
        assert (second["agent"], second["new_agent"]) == (f"{first['agent']}-2", True)
        assert second["retired_agent"] == first["agent"]
        assert _uses(person, "gemini") == (0, "{}")
        assert install() == second | {"new_agent": False, "retired_agent": None}
        server.stop()
    assert placing.configured(person.home, "gemini")["handle"] == second["agent"]
