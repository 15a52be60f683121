"""Handoffs: latest first, by agent, task and repository, and an honest cut."""

from __future__ import annotations

from typing import Any

import pytest

from guardhouse.errors import Refusal
from guardhouse.services import handoffs
from tests.services.workshop import Workshop


@pytest.fixture
def shop(store: Any, clock: Any, ids: Any) -> Workshop:
    return Workshop(store, clock, ids)


def write(shop: Workshop, agent: str = "agt_anna", **options: Any) -> str:
    options.setdefault("summary", "where things stand")
    row = shop.make(handoffs.write, agent_id=agent, session_id="ses_1", **options)
    shop.clock.advance(1)
    return str(row["id"])


def test_trivially_none(shop: Workshop) -> None:
    assert shop.do(handoffs.read) == ([], False)
    with pytest.raises(Refusal) as excinfo:
        shop.do(handoffs.read, handoff_id="hnd_none")
    assert excinfo.value.code == "not_found"


def test_c03_c38_c39_every_field_comes_back_as_written(shop: Workshop) -> None:
    lists = {name: [f"{name} {number}" for number in range(3)] for name in handoffs.LISTS}
    one = write(shop, summary="half of it works", task_id="tsk_1", repository="web", **lists)
    read, more = shop.do(handoffs.read)
    assert (read[0].row["id"], read[0].summary, more, read[0].cut) == (one, "half of it works", False, ())
    assert read[0].lists == {name: tuple(items) for name, items in lists.items()}


def test_c39_what_was_kept_without_a_repository_belongs_to_the_default_one(shop: Workshop) -> None:
    unnamed, named = write(shop), write(shop, repository="default")
    write(shop, repository="web")
    found, _more = shop.do(handoffs.read, repository="default", limit=5)
    assert [one.row["id"] for one in found] == [named, unnamed]


def test_c39_latest_first_and_narrowed(shop: Workshop) -> None:
    old = write(shop)
    berts = write(shop, "agt_bert", task_id="tsk_1")
    new = write(shop, repository="web")

    def ids(**options: Any) -> tuple[list[str], bool]:
        read, more = shop.do(handoffs.read, **options)
        return [one.row["id"] for one in read], more

    assert ids() == ([new], True)
    assert ids(limit=3) == ([new, berts, old], False)
    assert ids(agent_id="agt_anna", limit=9) == ([new, old], False)
    assert ids(task_id="tsk_1") == ([berts], False)
    assert ids(repository="web") == ([new], False)
    assert ids(handoff_id=old) == ([old], False)


def test_c39_what_does_not_fit_is_named(shop: Workshop) -> None:
    write(shop, summary="s" * 100, next_steps=["n" * 50] * 2, completed_work=["c" * 50] * 4, decisions=["d" * 30])
    read, _more = shop.do(handoffs.read, characters=280)
    one = read[0]
    assert (len(one.lists["next_steps"]), len(one.lists["decisions"]), len(one.lists["completed_work"])) == (2, 1, 1)
    assert one.cut == (handoffs.Cut("completed_work", 3, 150),)
    read, _more = shop.do(handoffs.read, characters=60)
    assert read[0].summary == "s" * 60
    assert {cut.field: (cut.items, cut.characters) for cut in read[0].cut} == {
        "summary": (0, 40),
        "next_steps": (2, 100),
        "decisions": (1, 30),
        "completed_work": (4, 200),
    }


def test_an_erased_handoff_is_gone_from_every_reading(shop: Workshop) -> None:
    one = write(shop, sequence=5)
    assert shop.do(handoffs.erase, 5) == [one]
    assert shop.do(handoffs.erase, 6) == []
    assert shop.do(handoffs.read, limit=5) == ([], False)
