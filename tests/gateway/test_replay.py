"""Every decision can be made again from its entry."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from guardhouse.bundle import versions
from guardhouse.gateway import record, train
from guardhouse.gateway.decide import DECIDER, decide
from guardhouse.gateway.replay import decided_again, recorded_form, replay
from guardhouse.ledger.tables import CONTENT
from guardhouse.model.call import Call
from guardhouse.model.canonical import decode
from guardhouse.model.decision import Decision
from guardhouse.model.facts import Facts
from tests.surfaces.terminal import Desk
from tests.world import Member, World, second_process, shipped_bundle


def _busy_day(home: World) -> None:
    agents = [home.agent(f"agent-{trust}", trust=trust) for trust in range(5)]
    for agent in agents:
        for text in ("ls", "git push --force origin main", "rm -rf /", "kubectl delete namespace prod"):
            home.call(agent, "check_guardrails", {"operation_text": text})
        home.call(agent, "acquire_lock", {"key": "res:shared"})
        home.call(agent, "check_network", {"destination": "https://github.com/x"})
        home.call(agent, "check_network", {"destination": "http://198.51.100.7/"})
        home.call(agent, "revoke_locks", {"prefix": "res:shared"})
        home.call(agent, "acquire_lock", {"key": 3})
        home.call(agent, "nothing", {})
        home.call(agent, "check_locks", {}, approval_id="apr_00000000000000000000000000")
    home.done(home.operator, "pause_agent", {"agent_id": agents[2].id, "reason": "lunch", "seconds": 600})
    home.call(agents[2], "acquire_lock", {"key": "res:paused"})
    home.later(601)
    home.call(agents[2], "acquire_lock", {"key": "res:unpaused"})
    home.done(
        home.operator,
        "set_mode",
        {"scope": "workspace", "seconds": 60, "reason": "see"},
    )
    home.call(agents[1], "acquire_lock", {"key": "res:observed"})


def test_deciding_again_equals_the_record(home: World) -> None:
    _busy_day(home)
    with home.store.reading() as connection:
        result = replay(connection, home.workspace_id, versions.BundleCache())
    assert result.entries == home.count() > 50
    assert result.differences == []


_SITE = """\
@id("site.production_needs_a_person")
@effect("approval")
@advice("say what you deploy")
forbid (principal is Agent, action == Action::"acquire_lock", resource is Lock)
when { resource == Lock::"res:deploy/production" };
"""
LANE = {"key": "res:deploy/production", "reason": "release 7"}


def _law(text: str) -> dict[str, Any]:
    files = {path: content.decode() for path, content in shipped_bundle().files.items()}
    return {"files": files | {"cedar/site.cedar": text}}


def _approvals(home: World, builder: Member) -> str:
    """Asked, asked again, refused, granted, shown, used, spent, presented by another: under a law of the site."""
    operator, rival = home.operator, home.agent("rival")

    def ask(**more: Any) -> str:
        held = home.call(builder, "acquire_lock", LANE | more)
        assert held.code == "approval_pending", held
        return str(held.error["approval_id"])

    first = ask()
    assert ask() == first
    home.call(builder, "get_approval", {"approval_id": first})
    home.done(operator, "refuse_approval", {"approval_id": first, "reason": "not today"})
    assert home.call(builder, "acquire_lock", LANE).code == "approval_refused"
    second = ask(reason="release 8")
    home.call(builder, "grant_approval", {"approval_id": second})
    home.done(operator, "grant_approval", {"approval_id": second})
    eight = LANE | {"reason": "release 8"}
    assert not home.call(rival, "acquire_lock", eight, approval_id=second).performed
    assert home.call(builder, "acquire_lock", LANE | {"reason": "x"}, approval_id=second).code == "approval_mismatch"
    home.done(builder, "acquire_lock", eight, idempotency_key="lane")
    assert home.call(builder, "acquire_lock", eight, idempotency_key="lane").repeated
    home.done(builder, "release_lock", {"key": LANE["key"]})
    assert home.call(builder, "acquire_lock", eight, approval_id=second).code == "approval_spent"
    third = ask(reason="release 9")
    home.done(operator, "grant_approval", {"approval_id": third})
    home.later(3_601)
    home.done(builder, "heartbeat")
    assert (
        home.call(builder, "acquire_lock", LANE | {"reason": "release 9"}, approval_id=third).code == "approval_expired"
    )
    publish = {"operation_text": "npm publish"}
    asked = home.done(builder, "check_guardrails", publish)
    assert asked["verdict"] == "ask"
    home.done(operator, "grant_approval", {"approval_id": asked["approval_id"]})
    home.done(builder, "check_guardrails", publish, approval_id=asked["approval_id"])
    home.call(builder, "check_guardrails", publish, approval_id=asked["approval_id"])
    return ask(reason="release 10")


def _eventful_day(home: World) -> set[str]:
    """Everything that a day may bring; the digests of the laws that were in force."""
    operator, builder = home.operator, home.agent("builder")
    home.done(builder, "acquire_lock", {"key": "res:a"}, idempotency_key="k")
    home.call(builder, "acquire_lock", {"key": "res:a"}, idempotency_key="k")
    home.call(builder, "acquire_lock", {"key": "res:b"}, idempotency_key="k")
    active = home.done(operator, "activate_policy", _law(_SITE))
    waiting = _approvals(home, builder)
    other = home.done(operator, "activate_policy", _law(_SITE.replace("say what", "tell what")))
    stale = home.call(builder, "acquire_lock", LANE | {"reason": "release 10"}, approval_id=waiting)
    assert stale.code == "approval_stale", stale
    back = home.done(operator, "rollback_policy")
    assert back["digest"] == active["digest"]
    home.call(operator, "activate_policy", {"files": {"gateway.yaml": "engine: ["}})

    home.done(operator, "set_mode", {"scope": "agent", "id": builder.id, "seconds": 60, "reason": "see"})
    observed = home.call(builder, "acquire_lock", LANE | {"reason": "observed"})
    assert home.entry(observed.decision_id)["would"] == "hold"
    home.call(builder, "check_guardrails", {"operation_text": "git push --force origin main"})
    home.later(61)
    home.call(builder, "acquire_lock", LANE | {"reason": "enforced again"})

    eager = home.agent("eager", profile="limited")
    codes = Counter(home.call(eager, "check_locks").code for _ in range(43))
    assert codes == {"performed": 40, "quota_exhausted": 3}
    few = home.agent("few", profile="reviewer", trust=4)
    home.call(few, "acquire_lock", {"key": "res:few"})
    home.done(operator, "suspend_agent", {"agent_id": builder.id, "reason": "look"})
    assert home.call(builder, "check_locks").code in ("suspended", "agent_suspended")
    home.done(operator, "reinstate_agent", {"agent_id": builder.id})
    home.done(operator, "set_trust", {"agent_id": builder.id, "trust": 1})
    home.call(builder, "acquire_lock", {"key": "res:low"})
    told = home.call(builder, "remember", {"event_type": "discovery", "summary": "a name that must go"})
    home.done(
        operator, "erase_payload", {"decision_ids": [told.decision_id, observed.decision_id], "reason": "personal"}
    )
    home.call(builder, "acquire_lock", {"key": 3})
    home.call(builder, "check_locks", {"agent_id": eager.id})
    home.call(builder, "check_locks", {}, oversized=True)
    home.call(builder, "check_locks", b"a=b", media_type="other")
    home.call(builder, "check_locks", {}, surface="mcp", address="192.0.2.7", suppressed=3)
    return {shipped_bundle().digest, active["digest"], other["digest"]}


def test_a_day_with_everything_in_it_is_decided_again_by_each_entrys_own_law(home: World) -> None:
    """From the database alone, in a process that has no law loaded and after what was erased is gone."""
    laws = _eventful_day(home)
    with second_process(home) as other, other.store.reading() as connection:
        result = replay(connection, home.workspace_id, versions.BundleCache())
    entries = home.entries()
    assert result.entries == len(entries)
    assert result.differences == []
    assert {entry["bundle"] for entry in entries} == laws
    met = {entry["outcome"] for entry in entries}
    assert met >= {
        "performed", "approval_pending", "approval_refused", "approval_stale", "approval_spent", "approval_expired",
        "approval_mismatch", "idempotency_conflict", "quota_exhausted", "invalid_bundle", "validation",
        "sender_mismatch", "payload_too_large", "unsupported_media_type", "people_only",
    }, met  # fmt: skip
    assert any(entry.get("repeats") for entry in entries)
    assert any(not entry["enforced"] for entry in entries)


def test_replay_tells_which_entry_was_decided_under_another_law(home: World) -> None:
    """What makes the tests above able to fail: the same entries under a law that is not theirs differ, and are named."""
    builder = home.agent("builder")
    home.done(home.operator, "activate_policy", _law(_SITE))
    home.done(builder, "acquire_lock", {"key": "res:a"})
    held = home.call(builder, "acquire_lock", LANE)
    differ = []
    with home.store.reading() as connection:

        def contents(digest: str) -> Any:
            return decode(
                bytes(connection.execute(select(CONTENT.c.body).where(CONTENT.c.digest == digest)).scalar_one())
            )

        for entry in home.entries():
            again = decided_again(entry, contents, lambda _digest: shipped_bundle())
            if any(again.get(part) != recorded_form(entry).get(part) for part in ("steps", "effect")):
                differ.append(entry["id"])
    assert differ == [held.decision_id]


def _another_release(monkeypatch: pytest.MonkeyPatch, decider: str) -> None:
    """Decide from now on as another release might have: the same answers, with another word in the last step."""

    def decide_otherwise(call: Call, facts: Facts, bundle: Any) -> Decision:
        decision = decide(call, facts, bundle)
        *before, last = decision.steps
        return replace(decision, steps=(*before, replace(last, code="as_told_before")))

    monkeypatch.setattr(train, "decide", decide_otherwise)
    monkeypatch.setattr(record, "DECIDER", decider)


def test_what_another_decider_decided_otherwise_is_told_and_is_no_fault(
    home: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = home.agent("builder")
    home.done(agent, "check_locks")
    with monkeypatch.context() as older:
        _another_release(older, "sha256:" + "0" * 64)
        changed = [
            home.call(agent, "check_locks").decision_id,
            home.call(agent, "acquire_lock", {"key": 3}).decision_id,
        ]
    home.done(agent, "check_locks")
    with home.store.reading() as connection:
        result = replay(connection, home.workspace_id, versions.BundleCache())
    assert [(one.decision_id, one.changed, one.parts) for one in result.differences] == [
        (decision, True, ("steps",)) for decision in changed
    ]
    assert result.faults == []
    desk = Desk(
        tmp_path, {"GUARDHOUSE_HOME": str(tmp_path), "GUARDHOUSE_DATABASE_URL": home.store.url}, capsys, monkeypatch
    )
    told = desk.json("ledger", "replay")
    assert (told["ok"], told["decider_changed"], told["faults"]) == (True, 2, [])
    assert told["entries"] == home.count()
    assert re.search(r"decider.changed\W+2\b", desk.run("ledger", "replay").out)


def test_the_same_difference_under_the_same_decider_is_a_fault(
    home: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = home.agent("builder")
    with monkeypatch.context() as forged:
        _another_release(forged, DECIDER)
        wrong = home.call(agent, "check_locks").decision_id
    with home.store.reading() as connection:
        result = replay(connection, home.workspace_id, versions.BundleCache())
    assert [(one.decision_id, one.changed) for one in result.faults] == [(wrong, False)]
    desk = Desk(
        tmp_path, {"GUARDHOUSE_HOME": str(tmp_path), "GUARDHOUSE_DATABASE_URL": home.store.url}, capsys, monkeypatch
    )
    told = desk.json("ledger", "replay", expect=1)
    assert (told["ok"], told["decider_changed"]) == (False, 0)
    assert [fault["decision_id"] for fault in told["faults"]] == [wrong]
