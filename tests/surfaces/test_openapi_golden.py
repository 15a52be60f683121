"""The OpenAPI document is made from the catalog; its golden copy shows every change of the wire in review.

`GUARDHOUSE_RENEW_GOLDEN=1 pytest tests/surfaces/test_openapi_golden.py` renews the copy.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from guardhouse.operations import CATALOG
from guardhouse.surfaces.openapi import document

GOLDEN = Path(__file__).parent.parent / "golden" / "openapi.json"


def test_the_document_equals_its_golden_copy() -> None:
    made = json.dumps(document(CATALOG), indent=1, sort_keys=True) + "\n"
    if os.environ.get("GUARDHOUSE_RENEW_GOLDEN") == "1":
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(made)
    assert json.loads(GOLDEN.read_text()) == json.loads(made), (
        "renew it with GUARDHOUSE_RENEW_GOLDEN=1 and review the diff"
    )


def test_every_reference_leads_somewhere_and_every_operation_has_its_route() -> None:
    whole = document(CATALOG)
    schemas = whole["components"]["schemas"]
    text = json.dumps(whole)
    named = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= schemas.keys()
    routes = {path.removeprefix("/v1/") for path in whole["paths"] if path.startswith("/v1/")}
    assert routes == {declared.name for declared in CATALOG}
    for path, methods in whole["paths"].items():
        if path.startswith("/v1/"):
            reference = methods["post"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
            assert "decision_id" in schemas[reference.rpartition("/")[2]]["required"]
