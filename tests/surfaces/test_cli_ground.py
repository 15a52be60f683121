"""A ground that cannot be used: one line that names the variable, a status, and never a traceback."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy.engine.url import make_url

from tests.server import environment, guardhouse
from tests.surfaces.terminal import Desk, prepare

COMMANDS = (("init",), ("migrate",), ("serve", "--port", "0"))


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def one_line(done: subprocess.CompletedProcess[str], name: str) -> str:
    return said(done.returncode, done.stderr, name)


def said(status: int, stderr: str, name: str) -> str:
    assert status == 69, stderr
    assert "Traceback" not in stderr
    assert name in stderr, stderr
    lines = [line for line in stderr.splitlines() if line.strip()]
    assert len(lines) <= 3, stderr  # one line of ours, folded where a terminal is narrow
    return " ".join(lines)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command[0]))
def test_an_unreachable_database_is_one_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    env = environment(tmp_path / "home", f"postgresql://guardhouse:hunter2secret@127.0.0.1:{closed_port()}/guardhouse")
    told = one_line(guardhouse(env, *command, check=False), "GUARDHOUSE_DATABASE_URL")
    assert "hunter2secret" not in told


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command[0]))
def test_a_database_that_is_not_there_is_one_line(
    tmp_path: Path, postgres_server: str, command: tuple[str, ...]
) -> None:
    url = make_url(postgres_server).set(database="no_such_database").render_as_string(hide_password=False)
    told = one_line(guardhouse(environment(tmp_path / "home", url), *command, check=False), "GUARDHOUSE_DATABASE_URL")
    assert "no_such_database" in told


@pytest.mark.parametrize(
    ("certificate", "key", "name"),
    [
        ("absent.pem", "key.pem", "GUARDHOUSE_TLS_CERTIFICATE_FILE"),
        ("certificate.pem", "absent.pem", "GUARDHOUSE_TLS_KEY_FILE"),
        ("certificate.pem", ".", "GUARDHOUSE_TLS_KEY_FILE"),
        ("certificate.pem", "key.pem", "GUARDHOUSE_TLS_KEY_FILE"),
        ("key.pem", "key.pem", "GUARDHOUSE_TLS_KEY_FILE"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_one_line(tmp_path: Path, certificate: str, key: str, name: str) -> None:
    home = tmp_path / "home"
    env = prepare(home)
    (home / "certificate.pem").write_text("no certificate\n")
    secret = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (home / "key.pem").write_bytes(secret)
    env |= {
        "GUARDHOUSE_TLS_CERTIFICATE_FILE": str(home / certificate),
        "GUARDHOUSE_TLS_KEY_FILE": str(home / key),
    }
    told = one_line(guardhouse(env, "serve", "--port", "0", check=False), name)
    assert secret.decode().splitlines()[1] not in told
    assert not (home / "endpoint.json").exists()


def test_a_notify_command_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    env = prepare(tmp_path / "home")
    env["GUARDHOUSE_NOTIFY_COMMAND"] = "no-such-program --tell"
    told = one_line(guardhouse(env, "serve", "--port", "0", check=False), "GUARDHOUSE_NOTIFY_COMMAND")
    assert "no-such-program" in told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GUARDHOUSE_DATABASE_URL", "postgresql://127.0.0.1:port/x"),
        ("GUARDHOUSE_DATABASE_URL", "mysql://127.0.0.1/x"),
        ("GUARDHOUSE_DATABASE_URL", "sqlite:////proc/nowhere/x.db"),
        ("GUARDHOUSE_MIGRATION_URL", "postgrs://127.0.0.1/x"),
        ("GUARDHOUSE_PORT", "http"),
        ("GUARDHOUSE_LOG_LEVEL", "loud"),
        ("GUARDHOUSE_TRUSTED_PROXIES", "10.0.0.0/99"),
        ("GUARDHOUSE_SIGNING_KEY_FILE", "/proc/version"),
        ("GUARDHOUSE_HOME", ""),
        ("GUARDHOUSE_HOME", "/proc/nowhere"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line(
    tmp_path: Path, name: str, value: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process: the tests beside this one show that the command's own ends in the same way."""
    env = environment(tmp_path / "home") | {name: value}
    done = Desk(tmp_path / "home", env, capsys, monkeypatch).run("init", expect=None)
    said(done.status, done.err, name)


def test_an_empty_home_of_the_user_is_one_line(tmp_path: Path) -> None:
    env = environment(tmp_path / "home") | {"HOME": ""}
    del env["GUARDHOUSE_HOME"]
    env.pop("XDG_DATA_HOME", None)
    one_line(guardhouse(env, "init", check=False), "HOME")


@pytest.mark.parametrize("umask", ["000", "777"])
def test_what_init_leaves_is_private_under_any_umask(tmp_path: Path, umask: str) -> None:
    home = tmp_path / "home"
    program = (
        "import os, sys; os.umask(int(sys.argv[1], 8)); sys.argv = ['guardhouse', 'init']; "
        "from guardhouse.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, umask], env=environment(home), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "alembic" not in done.stderr
    found = {path: stat.S_IMODE(os.lstat(path).st_mode) for path in (home, *home.rglob("*"))}
    assert {home / "guardhouse.db", home / "signing.key", home / "operator.token"} <= found.keys()
    wrong = {str(path): oct(mode) for path, mode in found.items() if mode != (0o700 if path.is_dir() else 0o600)}
    assert wrong == {}
