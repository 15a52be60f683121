"""Files of a home that belong to somebody else: whoever runs a command there is told whose they are and what to do.

Root may read everything, so each command is run by a child that has given root up. The interpreter's own
files may be out of such a user's reach too: everything is imported first, and each command is a fork.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guardhouse.surfaces.cli import exits
from guardhouse.surfaces.install import acting, placing, records
from guardhouse.surfaces.install.clients import CLIENTS
from tests.surfaces.terminal import Done, prepare

NOBODY = 65_534

_RUN = """
import getpass, importlib, json, os, pkgutil, sys, tempfile, traceback
import guardhouse

for found in pkgutil.walk_packages(guardhouse.__path__, "guardhouse."):
    if not found.name.startswith("guardhouse.shipped"):
        importlib.import_module(found.name)
from guardhouse.__main__ import main

told = []
for home, words in json.load(sys.stdin):
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    child = os.fork()
    if child == 0:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        os.environ["GUARDHOUSE_HOME"] = home
        os.setgroups([])
        os.setgid(65_534)
        os.setuid(65_534)
        status = 0
        sys.argv = ["guardhouse", *words]
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
        except BaseException:
            traceback.print_exc()
            status = 255
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    _, status = os.waitpid(child, 0)
    read = []
    for file in (out, err):
        file.seek(0)
        read.append(file.read().decode())
    told.append([os.waitstatus_to_exitcode(status), *read])
json.dump(told, sys.stdout)
"""

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform == "win32", reason="only root can become somebody else"
)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    made = Path(tempfile.mkdtemp(prefix="guardhouse-users-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)


@pytest.fixture
def as_nobody() -> Callable[[list[tuple[Path, tuple[str, ...]]]], list[Done]]:
    """Run each command line at a home as a user who owns nothing."""

    def run(lines: list[tuple[Path, tuple[str, ...]]]) -> list[Done]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GUARDHOUSE_")}
        done = subprocess.run(
            [sys.executable, "-c", _RUN],
            input=json.dumps([[str(home), words] for home, words in lines]),
            env=kept,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        return [Done(*one) for one in json.loads(done.stdout)]

    return run


def _given(home: Path, *, but: tuple[str, ...] = ()) -> Path:
    """Make a home nobody's own, but for the files that stay root's."""
    for path in (home, *home.rglob("*")):
        if path.name not in but:
            os.chown(path, NOBODY, NOBODY)
    return home


def _one_line(done: Done, *words: str) -> None:
    assert "Traceback" not in done.err, done.err
    assert done.status == exits.UNAVAILABLE, done
    lines = done.err.splitlines()
    assert len(lines) == 1, done.err
    for word in words:
        assert word in lines[0], (word, lines[0])


def test_what_belongs_to_another_user_is_told_with_the_way_out(
    place: Path, as_nobody: Callable[[list[tuple[Path, tuple[str, ...]]]], list[Done]]
) -> None:
    homes = {name: place / name for name in ("closed", "key", "database", "token", "policies")}
    prepare(homes["closed"])
    for name in homes.keys() - {"closed"}:
        shutil.copytree(homes["closed"], homes[name])
    _given(homes["key"], but=("signing.key",))
    _given(homes["database"], but=("guardhouse.db",))
    _given(homes["token"], but=("operator.token",))
    _given(homes["policies"], but=("gateway.yaml",))
    everything = [
        ("init",),
        ("serve", "--port", "0"),
        ("status",),
        ("people", "list"),
        ("check", "ls"),
        ("call", "get_my_profile"),
        ("agents", "add", "x", "--trust", "1"),
        ("ledger", "verify"),
        ("ledger", "key"),
        ("ledger", "checkpoint"),
        ("migrate",),
    ]
    needs_key = [("init",), ("serve", "--port", "0"), ("people", "list"), ("ledger", "key"), ("ledger", "verify")]
    needs_database = [("init",), ("serve", "--port", "0"), ("people", "list"), ("ledger", "verify"), ("migrate",)]
    lines: list[tuple[str, tuple[str, ...]]] = [("closed", words) for words in everything]
    lines += [("key", words) for words in needs_key]
    lines += [("database", words) for words in needs_database]
    lines += [("token", ("people", "list")), ("token", ("call", "get_my_profile", "--json"))]
    *told, policies = as_nobody([(homes[name], words) for name, words in [*lines, ("policies", ("policy", "check"))]])
    for (name, words), done in zip(lines, told, strict=True):
        file = {"key": "signing.key", "database": "guardhouse.db", "token": "operator.token"}.get(name, "")
        assert done.status != 0, (name, words, done)
        _one_line(done, str(homes[name] / file), "`root`", "`nobody`", "run it as `root`")
        if "--json" in words:
            assert done.json["error"]["message"] in done.err
    assert policies.status == exits.FAULT
    assert "gateway.yaml` cannot be read" in policies.out
    assert "run it as `root`" in policies.out
    assert "Traceback" not in policies.err


def test_in_a_home_that_may_not_be_written_nothing_is_half_done(
    place: Path,
    as_nobody: Callable[[list[tuple[Path, tuple[str, ...]]]], list[Done]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Installing changes nothing and says why; taking out restores the settings whole, and says what stays and what to do."""
    home, user = place / "home", place / "user"
    prepare(home)
    user.mkdir()
    monkeypatch.setenv("HOME", str(user))
    settings = {client: CLIENTS[client].user(user, {}).path for client in ("gemini", "cursor")}
    for file in settings.values():
        file.parent.mkdir(parents=True)
        file.write_bytes(b'{"mine": 1} // mine\n')
    placing.place(home)
    placing.configure(home, placing.Hooked("cursor", "", "closed"), "token")
    wish = acting.Wish("cursor", "user", "closed", home, user, user, {})
    acting.carry_out(acting.plan(wish), home)
    for path in (home, user, *home.rglob("*"), *user.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    closed = (home, records.folder(home), records.folder(home) / records.BACKUPS)
    for folder in closed:
        folder.chmod(0o500)
    before = {path: path.read_bytes() for path in records.folder(home).rglob("*") if path.is_file()}
    install, uninstall = as_nobody([(home, ("install", "gemini")), (home, ("uninstall", "--all", "--json"))])
    assert install.status != 0
    assert f"{home}: cannot be written: make the home yours to write" in install.err
    assert "Traceback" not in install.err + uninstall.err
    assert [file.read_bytes() for file in settings.values()] == [b'{"mine": 1} // mine\n'] * 2
    assert uninstall.status == exits.FAULT
    (left,) = uninstall.json["left"]
    assert "installed.json: cannot be written (Permission denied), so Guardhouse's own files stay" in left["why"]
    assert {path: path.read_bytes() for path in records.folder(home).rglob("*") if path.is_file()} == before
    for folder in closed:
        folder.chmod(0o700)
    (again,) = as_nobody([(home, ("uninstall", "--all", "--json"))])
    assert (again.status, again.json["left"], again.json["files"]) == (0, [], [])
    assert not records.folder(home).exists()
