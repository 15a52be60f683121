"""The wheel stands alone: installed outside the repository, it prepares a home, serves and answers."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import environment

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the working tree by the locked backend, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    build = f"import hatchling.build as backend; print(backend.build_wheel({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", build], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own with nothing of the repository: the wheel, and the locked packages beside it."""
    place = tmp_path_factory.mktemp("elsewhere") / "venv"
    venv.create(place, with_pip=True, symlinks=True)
    install = [place / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel]
    subprocess.run(install, cwd=place, capture_output=True, text=True, check=True, timeout=120)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)}))
    # The locked packages, but not this project's own editable entry, which only lies beside them.
    locked = Path(sysconfig.get_path("purelib"))
    (packages / "locked.pth").write_text(f"{locked}\n")
    shadow = subprocess.run(
        [place / "bin" / "python", "-c", "import guardhouse; print(guardhouse.__file__)"],
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(shadow.stdout.strip()).is_relative_to(packages)
    return place / "bin" / "guardhouse"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def _run(command: Path, home: Path, *arguments: str) -> str:
    done = subprocess.run(
        [command, *arguments],
        cwd=home.parent,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def served(installed: Path, home: Path) -> Iterator[tuple[str, int]]:
    """A gateway from the wheel over a home that it prepared; the operator's token and its port."""
    token = json.loads(_run(installed, home, "init", "--json"))["operator_token"]
    log = (home / "serve.log").open("wb")
    process = subprocess.Popen(
        [installed, "serve", "--port", "0"],
        cwd=home.parent,
        env=environment(home),
        stdout=log,
        stderr=log,
    )
    try:
        endpoint = home / "endpoint.json"
        deadline = time.monotonic() + 180
        while not endpoint.exists():
            assert process.poll() is None, (home / "serve.log").read_text()
            assert time.monotonic() < deadline, (home / "serve.log").read_text()
            time.sleep(0.02)
        yield token, int(json.loads(endpoint.read_text())["address"].rpartition(":")[2])
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert not endpoint.exists()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(30)
        log.close()


def _call(port: int, token: str, operation: str, body: dict[str, object]) -> tuple[int, dict[str, object]]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        line.request("POST", f"/v1/{operation}", json.dumps(body), headers)
        answer = line.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        line.close()


def test_it_carries_the_law_and_the_migrations_and_nothing_of_the_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    law = {
        f"guardhouse/shipped/policies/{path.relative_to(ROOT / 'policies')}"
        for path in (ROOT / "policies").rglob("*.yaml")
    }
    steps = {
        f"guardhouse/shipped/migrations/versions/{path.name}"
        for path in (ROOT / "migrations" / "versions").glob("*.py")
    }
    assert law <= names
    assert steps <= names
    assert "guardhouse/shipped/policies/schema.cedarschema" in names
    assert "guardhouse/py.typed" in names
    assert "guardhouse = guardhouse.__main__:main" in entry
    assert not [
        name for name in names if name.startswith(("tests/", "docs/")) or name.endswith((".pyc", ".token", ".db"))
    ]


def test_it_prepares_a_home_serves_and_answers(served: tuple[str, int], home: Path) -> None:
    token, port = served
    status, added = _call(port, token, "add_agent", {"handle": "builder", "trust": 2})
    assert status == 200
    status, checked = _call(
        port, str(added["token"]), "check_guardrails", {"operation_text": "git push --force origin main"}
    )
    assert status == 200
    assert checked["verdict"] == "block"
    status, verified = _call(port, token, "verify_audit", {})
    assert (status, verified["ok"]) == (200, True)
    assert os.stat(home / "operator.token").st_mode & 0o777 == 0o600
