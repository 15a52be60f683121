"""A call's texts are examined before its train, and in no train: not to explain, and not under a law that came meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from guardhouse.app import actions
from guardhouse.bundle import Bundle, load, versions
from guardhouse.gateway.prepare import Prepared
from guardhouse.gateway.read import Unexamined
from guardhouse.gateway.train import Train
from guardhouse.model.answer import Outcome
from tests.conftest import CountingIds
from tests.world import Member, World, shipped_bundle

WRAPPED = "cd app && sudo -n bash -c 'git push --force origin main'"
SITE = b"""# What this site adds.
pack: site
category: filesystem
description: "What this site adds."
rules:
  - id: site.listing
    argv: ["ls"]
    severity: block
    min_trust: 4
    reason: "This site lists nothing."
    alternative: "do not"
    must_match: ["ls -la", "sudo ls"]
    must_pass: ["cat a", "echo ls"]
"""
_laws: list[Bundle] = []


def _stricter() -> Bundle:
    if not _laws:
        _laws.append(load.load_files(dict(shipped_bundle().files) | {"guardrails/site.yaml": SITE}, actions()))
    return _laws[0]


def _engine(bundle: Bundle) -> Any:
    return bundle.packs


@pytest.fixture
def train(home: World) -> Train:
    return Train(home.store, home.gateway.bundles, CountingIds(10_000), lambda _kind, _notice: None, lambda: 0.0)


@pytest.fixture
def agent(home: World) -> Member:
    return home.agent("builder")


def _asked(home: World, who: Member, text: str) -> Prepared:
    return home.gateway._prepare(home.raw(who, "check_guardrails", {"operation_text": text, "kind": "shell"}))


def _carried(train: Train, calls: list[Prepared]) -> list[Outcome]:
    answers = [answer for _, answer in train.carry(calls)]
    assert all(isinstance(answer, Outcome) for answer in answers), answers
    return answers  # type: ignore[return-value]


def _forget(bundle: Bundle) -> None:
    """As when enough other texts were examined since."""
    _engine(bundle)._made.clear()
    _engine(bundle)._letters = 0


def test_explaining_in_a_train_examines_nothing(home: World, train: Train, agent: Member) -> None:
    call = _asked(home, agent, WRAPPED)
    whole = home.done(agent, "check_guardrails", {"operation_text": WRAPPED, "kind": "shell"})
    _forget(shipped_bundle())
    (answer,) = _carried(train, [call])
    assert _engine(shipped_bundle())._made == {}
    assert answer.result is not None
    told = {one["rule_id"]: one for one in answer.result["violations"]}
    assert told["git.push.force"]["via"] == ["sudo", "bash -c"]
    assert told["git.push.force"]["alternative"] == "git push --force-with-lease origin main"
    assert answer.result["violations"] == whole["violations"]


def test_findings_of_a_tool_s_many_texts_are_explained_without_a_look(home: World, train: Train, agent: Member) -> None:
    said = {"command": WRAPPED, "script": "rm -rf /", "query": "DROP TABLE users"}
    given = [{"name": name, "value": text} for name, text in said.items()]
    asked = {"action": "mcp", "server": "s", "tool": "run_command", "arguments": given}
    call = home.gateway._prepare(home.raw(agent, "check_tool", asked))
    assert len(call.texts) > 1
    _forget(shipped_bundle())
    (answer,) = _carried(train, [call])
    assert _engine(shipped_bundle())._made == {}
    assert answer.result is not None
    assert {"git.push.force"} <= {one["rule_id"] for one in answer.result["violations"]}


def _put_in_force(home: World, bundle: Bundle) -> None:
    with home.store.writing(home.workspace_id) as tx:
        versions.store(tx, home.workspace_id, bundle)
        versions.activate(tx, home.workspace_id, bundle.digest, bundle.law, home.operator.id, "", "stricter")


def test_what_a_newer_law_says_is_looked_for_before_the_train_begins_again(
    home: World, train: Train, agent: Member
) -> None:
    calls = [_asked(home, agent, text) for text in ("ls -la", WRAPPED, "sudo ls")]
    _put_in_force(home, _stricter())
    home.gateway.bundles.put(_stricter(), home.workspace_id)
    with pytest.raises(Unexamined), home.store.writing(home.workspace_id) as tx:
        train.depart(tx, calls)
    assert [call.packs for call in calls] == [shipped_bundle().packs.digest] * 3
    answers = _carried(train, calls)
    assert [call.packs for call in calls] == [_stricter().packs.digest] * 3
    rules = [[one["rule_id"] for one in (answer.result or {})["violations"]] for answer in answers]
    assert rules[0] == rules[2] == ["site.listing"]
    assert "git.push.force" in rules[1]


def test_a_law_given_by_one_call_of_a_train_binds_the_next_ones_by_a_train_of_their_own(
    home: World, train: Train, agent: Member
) -> None:
    files = {path: data.decode() for path, data in _stricter().files.items()}
    law = home.gateway._prepare(home.raw(home.operator, "activate_policy", {"files": files}))
    before, after = _asked(home, agent, "ls"), _asked(home, agent, "ls -a")
    waiting = [before, law, after]
    answers = _carried(train, waiting)
    assert [answer.code for answer in answers] == ["performed", "performed"]
    assert (answers[0].result or {})["violations"] == []
    (last,) = _carried(train, [after])
    assert [one["rule_id"] for one in (last.result or {})["violations"]] == ["site.listing"]
