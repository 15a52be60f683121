"""Homes for the command line: each with a real server, on each database; one a module."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine.url import make_url

from tests.conftest import administer
from tests.surfaces.terminal import Desk, served

_count = itertools.count(1)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def running_home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, dict[str, str]]]:
    """A home whose gateway runs."""
    home = tmp_path_factory.mktemp("home")
    if request.param == "sqlite":
        with served(home) as (env, _server):
            yield home, env
        return
    server = request.getfixturevalue("postgres_server")
    name = f"guardhouse_cli_{os.getpid()}_{next(_count)}"
    administer(server, f'CREATE DATABASE "{name}" TEMPLATE "{request.getfixturevalue("postgres_template")}"')
    try:
        url = make_url(server).set(database=name).render_as_string(hide_password=False)
        with served(home, url) as (env, _process):
            yield home, env
    finally:
        administer(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture
def desk(
    running_home: tuple[Path, dict[str, str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Desk:
    """A person's terminal at the running home."""
    home, env = running_home
    return Desk(home, env, capsys, monkeypatch)
