"""Our own evasions and look-alikes: texts that must stop by the way in which they hide, and harmless ones that look like them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.guardrails.packs import verdict

HERE = Path(__file__).parent


def _texts(body: str) -> list[str]:
    return [line.replace("⏎", "\n") for line in body.splitlines()]


EVASIONS = yaml.safe_load((HERE / "evasions.yaml").read_text())
LOOKALIKES = yaml.safe_load((HERE / "lookalikes.yaml").read_text())


@pytest.mark.parametrize("family", EVASIONS)
def test_what_must_stop_is_stopped(family: str) -> None:
    wrong = [
        (wanted, got, text)
        for wanted, body in EVASIONS[family].items()
        for text in _texts(body)
        if (got := verdict(text)) not in (("block",) if wanted == "block" else ("ask", "block"))
    ]
    assert wrong == []


@pytest.mark.parametrize("family", LOOKALIKES)
def test_what_only_looks_harmful_passes(family: str) -> None:
    wrong = [(got, text) for text in _texts(LOOKALIKES[family]) if (got := verdict(text)) not in ("allow", "warn")]
    assert wrong == []


def test_there_are_hundreds_of_each() -> None:
    stops = sum(len(_texts(body)) for family in EVASIONS.values() for body in family.values())
    assert stops > 1000
    assert sum(len(_texts(body)) for body in LOOKALIKES.values()) > 500
