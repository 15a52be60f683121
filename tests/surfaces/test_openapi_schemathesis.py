"""What schemathesis makes of the OpenAPI document finds no 5xx and no undocumented answer behind the real door.

On each database, and for callers of every standing: each operation is asked by all of them in turn, with the same
few bodies. Which body meets which standing is the same in every run. GUARDHOUSE_FUZZ_TIMES multiplies the bodies.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy.engine.url import make_url

from guardhouse.operations import CATALOG
from guardhouse.storage.opening import open_store
from guardhouse.surfaces.openapi import document
from tests.conftest import CountingIds, FakeClock, administer
from tests.surfaces.doors import listening
from tests.world import world

SCHEMA = schemathesis.openapi.from_dict(document(CATALOG))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
TIMES = int(os.environ.get("GUARDHOUSE_FUZZ_TIMES", "1"))
STANDINGS = ("operator", "trust 3", "trust 1", "suspended", "none")


class Founded:
    """A door, and who knocks at it; `met` counts the answers by standing and status."""

    def __init__(self, address: str, tokens: dict[str, str]) -> None:
        self.address = address
        self.tokens = tokens
        self.turn = itertools.cycle(STANDINGS)
        self.met: Counter[tuple[str, int]] = Counter()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def founded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Founded]:
    folder = tmp_path_factory.mktemp("door")
    server, name = "", f"guardhouse_openapi_{folder.parent.name}".replace("-", "_")
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), folder / "guardhouse.db")
        url = f"sqlite:///{folder / 'guardhouse.db'}"
    else:
        server = request.getfixturevalue("postgres_server")
        administer(server, f'CREATE DATABASE "{name}" TEMPLATE "{request.getfixturevalue("postgres_template")}"')
        url = make_url(server).set(database=name).render_as_string(hide_password=False)
    clock = FakeClock()
    store = open_store(url, clock)
    try:
        with world(store, clock, CountingIds()) as made, listening(made.gateway, folder) as door:
            tokens = {
                "operator": made.operator.token,
                "trust 3": made.agent("chief", trust=3).token,
                "trust 1": made.agent("reader", trust=1).token,
                "suspended": made.agent("nobody", trust=0).token,
            }
            made_here = Founded(f"http://{door.host}:{door.port}", tokens)
            yield made_here
            before = made_here.met
            if sum(before.values()) > 5 * len(STANDINGS):
                assert {standing for standing, _ in before} == set(STANDINGS)
                assert any(status == 200 for standing, status in before if standing == "operator")
                assert {status for standing, status in before if standing == "none"} <= {401}
                assert {status for standing, status in before if standing == "suspended"} <= {401, 403, 429}
    finally:
        store.close()
        if server:
            administer(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@SCHEMA.parametrize()
@settings(
    max_examples=5 * TIMES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_nothing_breaks_and_nothing_is_undocumented(case: Any, founded: Founded) -> None:
    standing = next(founded.turn)
    headers: dict[str, str] = {}
    if case.path.startswith("/v1/") and standing in founded.tokens:
        headers["Authorization"] = f"Bearer {founded.tokens[standing]}"
    answer = case.call_and_validate(base_url=founded.address, headers=headers, checks=CHECKS)
    if case.path.startswith("/v1/"):
        founded.met[standing, answer.status_code] += 1
