"""What schemathesis makes of the OpenAPI document finds no 5xx and no undocumented answer behind the real door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
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

from guardhouse.operations import CATALOG
from guardhouse.surfaces.openapi import document
from tests.surfaces.doors import listening
from tests.world import World, world

SCHEMA = schemathesis.openapi.from_dict(document(CATALOG))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[tuple[World, str]]:
    import shutil

    from guardhouse.storage.opening import open_store
    from tests.conftest import CountingIds, FakeClock

    folder = tmp_path_factory.mktemp("door")
    shutil.copy(sqlite_template, folder / "guardhouse.db")
    clock = FakeClock()
    store = open_store(f"sqlite:///{folder / 'guardhouse.db'}", clock)
    try:
        with world(store, clock, CountingIds()) as made, listening(made.gateway, folder) as door:
            yield made, f"http://{door.host}:{door.port}"
    finally:
        store.close()


@SCHEMA.parametrize()
@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_nothing_breaks_and_nothing_is_undocumented(case: Any, founded: tuple[World, str]) -> None:
    made, address = founded
    headers = {"Authorization": f"Bearer {made.operator.token}"} if case.path.startswith("/v1/") else {}
    case.call_and_validate(base_url=address, headers=headers, checks=CHECKS)
