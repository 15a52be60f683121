"""Control and modes: who may lift what, and what ends by itself."""

from __future__ import annotations

from typing import Any

import pytest

from guardhouse.errors import Refusal
from guardhouse.governance import control, modes
from guardhouse.model.instants import DAY, HOUR


def test_only_the_pauser_or_an_operator_resumes(ground: Any) -> None:
    subject = ("agent", ground.add_agent("worker")[0])
    lead = ground.principal(ground.add_agent("lead", 3)[1])
    rival = ground.principal(ground.add_agent("rival", 4)[1])
    security = ground.principal(ground.add_person("sam", "security")[1])
    until = ground.clock() + HOUR
    with ground.writing() as tx:
        with pytest.raises(Refusal) as nothing:
            control.resume(tx, ground.workspace_id, subject, lead)
        assert nothing.value.code == "not_paused"
        control.order(tx, ground.ids, ground.workspace_id, subject, control.PAUSED, lead, "", until)
        for caller in (rival, security):
            with pytest.raises(Refusal) as refused:
                control.resume(tx, ground.workspace_id, subject, caller)
            assert refused.value.code == "not_pauser"
            assert refused.value.extra["by"] == lead.id
        assert control.resume(tx, ground.workspace_id, subject, lead) == (1, [])
        control.order(tx, ground.ids, ground.workspace_id, subject, control.PAUSED, lead, "", until)
        assert control.resume(tx, ground.workspace_id, subject, ground.operator())[0] == 1


def test_nobody_shortens_anothers_pause(ground: Any) -> None:
    subject = ("agent", ground.add_agent("worker")[0])
    lead = ground.principal(ground.add_agent("lead", 3)[1])
    operator = ground.operator()
    long, short = ground.clock() + 5 * HOUR, ground.clock() + HOUR
    with ground.writing() as tx:
        control.order(tx, ground.ids, ground.workspace_id, subject, control.PAUSED, operator, "", long)
        control.order(tx, ground.ids, ground.workspace_id, subject, control.PAUSED, lead, "", short)
        lifted, left = control.resume(tx, ground.workspace_id, subject, lead)
    assert lifted == 1
    assert [row["until"] for row in left] == [long]
    assert [order.until for order in ground.workspace()[0].controls] == [long]


def test_a_pause_is_a_lease(ground: Any) -> None:
    subject = ("agent", ground.add_agent("worker")[0])
    operator = ground.operator()
    with ground.writing() as tx:
        control.order(tx, ground.ids, ground.workspace_id, subject, control.PAUSED, operator, "", ground.clock() + HOUR)
    ground.clock.advance(3600)
    with ground.writing() as tx:
        assert control.listed(tx, ground.workspace_id, 10, "", ended=False) == []
        assert len(control.listed(tx, ground.workspace_id, 10, "", ended=True)) == 1
        with pytest.raises(Refusal) as refused:
            control.resume(tx, ground.workspace_id, subject, operator)
    assert refused.value.code == "not_paused"


def test_a_suspension_is_lifted_by_name_and_not_by_resuming(ground: Any) -> None:
    subject = ("agent", ground.add_agent("worker")[0])
    operator = ground.operator()
    with ground.writing() as tx:
        with pytest.raises(Refusal):
            control.reinstate(tx, ground.workspace_id, subject)
        control.order(tx, ground.ids, ground.workspace_id, subject, control.SUSPENDED, operator, "")
        control.order(tx, ground.ids, ground.workspace_id, subject, control.STOPPED, operator, "")
        with pytest.raises(Refusal):
            control.resume(tx, ground.workspace_id, subject, operator)
        assert control.stopped(tx, ground.workspace_id, subject)
        assert control.reinstate(tx, ground.workspace_id, subject) == 2
        assert not control.stopped(tx, ground.workspace_id, subject)


def test_observing_has_an_end_and_never_covers_the_protecting_pack(ground: Any) -> None:
    now = ground.clock()
    for until in (0, now, now + 30 * DAY + 1):
        with pytest.raises(Refusal) as refused, ground.writing() as tx:
            modes.observe(tx, ground.ids, ground.workspace_id, "agent", "agt_1", by_id="per_1", until=until)
        assert refused.value.code == "mode_too_long"
    with pytest.raises(Refusal) as refused, ground.writing() as tx:
        modes.observe(tx, ground.ids, ground.workspace_id, "pack", "guardhouse", by_id="per_1", until=now + HOUR)
    assert refused.value.code == "always_binds"


def test_a_scope_has_one_mode_at_a_time_and_it_ends_by_itself(ground: Any) -> None:
    now = ground.clock()
    with ground.writing() as tx:
        for hours in (1, 2):
            modes.observe(tx, ground.ids, ground.workspace_id, "pack", "git", by_id="per_1", until=now + hours * HOUR)
        running = modes.listed(tx, ground.workspace_id, 10, "", ended=False)
    assert [row["until"] for row in running] == [now + 2 * HOUR]
    ground.clock.advance(2 * 3600)
    with ground.writing() as tx:
        assert modes.listed(tx, ground.workspace_id, 10, "", ended=False) == []
        with pytest.raises(Refusal) as refused:
            modes.end(tx, ground.workspace_id, "pack", "git")
    assert refused.value.code == "not_observed"
