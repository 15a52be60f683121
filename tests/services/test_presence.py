"""Presence: who is there, who fell silent, and what it takes to come back."""

from __future__ import annotations

from typing import Any

import pytest

from guardhouse.errors import Refusal
from guardhouse.governance.tables import STANDING_TABLES
from guardhouse.services import presence
from tests.services.workshop import WORKSPACE, Workshop

ANNA = {"agent_id": "agt_anna", "session_id": "ses_anna"}
BERT = {"agent_id": "agt_bert", "session_id": "ses_bert"}


@pytest.fixture
def shop(store: Any, clock: Any, ids: Any) -> Workshop:
    return Workshop(store, clock, ids)


def found(shop: Workshop, limit: int = 50, **options: Any) -> list[str]:
    rows, _more = shop.do(presence.discover, limit, **options)
    return [row["session_id"] for row in rows]


def test_trivially_nobody(shop: Workshop) -> None:
    assert shop.do(presence.discover, 10) == ([], False)
    assert shop.do(presence.silent, 10) == []


def test_c04_c40_c41_found_by_all_capabilities_and_status(shop: Workshop) -> None:
    shop.do(presence.register, **ANNA, capabilities=["python", "review"], agent_type="claude-code", branch="main")
    shop.do(presence.register, **BERT, capabilities=["python"], repository="web", task_id="tsk_1")
    assert found(shop, capabilities=["python"]) == ["ses_anna", "ses_bert"]
    assert found(shop, capabilities=["python", "review"]) == ["ses_anna"]
    assert found(shop, capabilities=["rust"]) == []
    assert found(shop, repository="web") == ["ses_bert"]
    assert found(shop, agent_type="claude-code", agent_id="agt_anna") == ["ses_anna"]
    shop.do(presence.register, **ANNA, capabilities=["rust"])
    assert found(shop, capabilities=["rust"]) == ["ses_anna"]
    assert found(shop, capabilities=["review"]) == []


def test_c40_pages_say_whether_there_is_more(shop: Workshop) -> None:
    for number in range(5):
        shop.do(presence.register, agent_id=f"agt_{number}", session_id=f"ses_{number}")
    rows, more = shop.do(presence.discover, 3)
    rest, end = shop.do(presence.discover, 3, after=rows[-1]["session_id"])
    assert (len(rows), more, len(rest), end) == (3, True, 2, False)


def test_c05_c42_silence_is_noticed_and_ended_by_a_heartbeat(shop: Workshop) -> None:
    shop.do(presence.register, **ANNA)
    shop.do(presence.register, **BERT)
    shop.clock.advance(899)
    assert shop.do(presence.heartbeat, **BERT)[1] == "active"
    assert shop.do(presence.silent, 10) == []
    shop.clock.advance(1)
    assert [row["session_id"] for row in shop.do(presence.silent, 10)] == ["ses_anna"]
    assert (found(shop), found(shop, status="silent")) == (["ses_bert"], ["ses_anna"])
    shop.do(presence.mark_freed, ["ses_anna"])
    assert shop.do(presence.silent, 10) == []
    assert found(shop, status="gone") == ["ses_anna"]
    row, was = shop.do(presence.heartbeat, **ANNA, activity="working")
    assert (was, row["activity"]) == ("gone", "working")
    assert found(shop) == ["ses_anna", "ses_bert"]


def test_c05_a_lapsed_session_must_heartbeat_before_it_acquires(shop: Workshop) -> None:
    who = (ANNA["agent_id"], ANNA["session_id"])
    shop.do(presence.require_present, *who)
    shop.clock.advance(900)
    for _ in range(2):
        with pytest.raises(Refusal) as excinfo:
            shop.do(presence.require_present, *who)
        assert excinfo.value.code == "heartbeat_required"
        shop.do(presence.note_seen, *who)
    assert shop.do(presence.heartbeat, **ANNA)[1] == "silent"
    shop.do(presence.require_present, *who)


def test_a38_every_call_counts_as_a_heartbeat_and_most_write_nothing(shop: Workshop) -> None:
    who = (ANNA["agent_id"], ANNA["session_id"])
    started = shop.clock.at
    for _ in range(200):
        shop.do(presence.note_seen, *who)
        shop.clock.advance(10)
    assert shop.clock.at - started > 2 * presence.PRESENCE_TTL
    assert found(shop) == ["ses_anna"]
    with shop.tx() as tx:
        statements: list[str] = []
        original = tx.execute
        tx.execute = lambda statement, parameters=None: (
            statements.append(str(statement))
            or original(  # type: ignore[method-assign,func-returns-value]  # counts what is sent
                statement, parameters
            )
        )
        presence.note_seen(tx, WORKSPACE, *who)
        presence.note_seen(tx, WORKSPACE, *who)
    assert not [statement for statement in statements if not statement.startswith("SELECT")][1:]


def test_c05_presence_is_no_standing_table() -> None:
    assert not {presence.PRESENCE.name, presence.PRESENCE_CAPABILITY.name} & set(STANDING_TABLES)
