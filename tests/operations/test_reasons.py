"""Why a person stops something is told to people: no word of it may stop the person, and no secret of it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from tests.world import World, world

DANGEROUS = "it ran " + "rm " + "-rf " + "/ and git push --force, then read guardhouse.db and killed guardhouse"
SECRET = "ghp_" + "a1B2c3D4e5" * 4
SHORT = "AKIA" + "ABCDEFGH" + "23456722"


@pytest.fixture
def here(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


ORDERS = (
    ("pause_agent", {"agent_id": "?"}),
    ("resume_agent", {"agent_id": "?"}),
    ("suspend_agent", {"agent_id": "?"}),
    ("reinstate_agent", {"agent_id": "?"}),
    ("pause_workspace", {}),
    ("resume_workspace", {}),
    ("revoke_locks", {"prefix": "res:lane"}),
    ("set_trust", {"agent_id": "?", "trust": 3}),
    ("stop_agent", {"agent_id": "?"}),
)


@pytest.mark.parametrize(
    "reason",
    [DANGEROUS, f"it leaked {SECRET} there", f"{SHORT} " * 95, f"{DANGEROUS} {SECRET}"],
    ids=["dangerous", "secret", "longer once redacted", "both"],
)
def test_a_persons_reason_is_redacted_and_never_blocks_the_order(here: World, reason: str) -> None:
    agent = here.agent("a")
    for operation, body in ORDERS:
        given = {name: agent.id if value == "?" else value for name, value in body.items()}
        here.done(here.operator, operation, given | {"reason": reason})
    kept = dump(here)
    assert SECRET not in kept
    assert SHORT not in kept


def test_an_agents_words_are_examined_as_ever(here: World) -> None:
    agent = here.agent("a", 3)
    refused = here.call(agent, "revoke_locks", {"prefix": "res:lane", "reason": f"it leaked {SECRET}"})
    assert refused.code == "guardrail_blocked"


def dump(here: World) -> str:
    """Everything that the database holds, as text."""
    with here.store.reading() as connection:
        if here.store.dialect == "sqlite":
            names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
        else:
            mine = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
            names = connection.execute(text(mine)).scalars().all()
        rows = [connection.execute(text(f'SELECT * FROM "{name}"')).all() for name in names if "fts" not in name]
    return "\n".join(
        (bytes(value).decode("utf-8", "replace") if isinstance(value, (bytes, memoryview)) else str(value))
        for table in rows
        for row in table
        for value in row
    )
