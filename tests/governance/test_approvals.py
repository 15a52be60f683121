"""Approvals: bound to one call, decided by another person, spent exactly once."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import event, update

from guardhouse.errors import Refusal
from guardhouse.governance import approvals, workspaces
from guardhouse.governance.tables import APPROVAL
from guardhouse.model.call import Resource
from guardhouse.model.instants import DAY, SECOND
from guardhouse.storage.opening import open_store

LAW = "sha256:law"


class Asking:
    """One principal that asks one question in several variations."""

    def __init__(self, ground: Any, token: str) -> None:
        self.ground = ground
        self.principal = ground.principal(token)
        self.workspace, self.key = ground.workspace()
        self.sequence = 0

    def ask(self, **changes: Any) -> approvals.Opened:
        self.sequence += 1
        given: dict[str, Any] = {
            "workspace": self.workspace,
            "principal": self.principal,
            "operation": "release_lock",
            "resource": Resource("Lock", "deploy:prod"),
            "call_digest": "hmac:call",
            "law": LAW,
            "decision_id": f"dec_{self.sequence}",
            "sequence": self.sequence,
            "rules": ("b", "a"),
            "message": "a person must allow it",
        }
        with self.ground.writing() as tx:
            return approvals.open_question(tx, self.ground.ids, self.key, **given | changes)

    def grant(self, approval_id: str, caller: Any = None, law: str = LAW) -> dict[str, Any]:
        with self.ground.writing() as tx:
            return approvals.grant(tx, self.workspace, caller or self.ground.operator(), approval_id, law, "fine")

    def refuse(self, approval_id: str, caller: Any = None) -> dict[str, Any]:
        with self.ground.writing() as tx:
            return approvals.refuse(tx, self.workspace, caller or self.ground.operator(), approval_id, "no")

    def spend(self, approval_id: str) -> None:
        with self.ground.writing() as tx:
            approvals.spend(tx, self.ground.workspace_id, approval_id, "dec_spent", tx.now)

    def question(self, **changes: Any) -> str:
        given: dict[str, Any] = {
            "principal_id": self.principal.id,
            "operation": "release_lock",
            "resource": Resource("Lock", "deploy:prod").to_json(),
            "call_digest": "hmac:call",
        }
        return approvals.question_digest(self.key, **given | changes)

    def found(self, presented: str = "") -> Any:
        with self.ground.writing() as tx:
            rows = approvals.read_for(tx, self.ground.workspace_id, [presented] if presented else [], [self.question()])
        return approvals.choose(rows, presented, self.question())


@pytest.fixture
def asking(ground: Any) -> Asking:
    return Asking(ground, ground.add_agent("worker", 2)[1])


def refusal(code: str) -> Any:
    return pytest.raises(Refusal, check=lambda error: error.code == code)


def test_no_question_no_approval(asking: Asking) -> None:
    assert asking.found() is None
    assert asking.found("apr_none") is None
    with refusal("not_found"):
        asking.grant("apr_none")
    with refusal("approval_spent"):
        asking.spend("apr_none")
    with asking.ground.writing() as tx:
        assert approvals.pending_counts(tx, asking.ground.workspace_id, [], tx.now) == {}


def test_the_same_question_is_opened_once(asking: Asking) -> None:
    first, again = asking.ask(), asking.ask()
    assert (first.new, again.new) == (True, False)
    assert first.row["id"] == again.row["id"]
    name, notice = approvals.notice(first.row)
    assert name == "approval_asked"
    assert set(notice) == {"approval_id", "workspace_id", "operation", "resource", "agent_id", "message"}
    others = [
        asking.ask(call_digest="hmac:other"),
        asking.ask(operation="acquire_lock"),
        asking.ask(resource=Resource("Lock", "deploy:prod", "app")),
    ]
    assert all(opened.new for opened in others)
    with asking.ground.writing() as tx:
        counts = approvals.pending_counts(tx, asking.ground.workspace_id, [asking.principal.id], tx.now)
    assert counts == {asking.principal.id: 4}


def test_another_agents_same_call_is_another_question(asking: Asking) -> None:
    rival = Asking(asking.ground, asking.ground.add_agent("rival", 2)[1])
    assert asking.ask().row["id"] != rival.ask().row["id"]


def test_a_grant_lets_the_call_through_once(asking: Asking) -> None:
    opened = asking.ask()
    row = asking.grant(opened.row["id"])
    assert row["grant_until"] == asking.ground.clock() + 3600 * SECOND
    fact = approvals.fact_of(asking.found(), asking.question(), "")
    assert (fact.state, fact.bound, fact.presented, fact.law) == ("granted", True, False, LAW)
    assert asking.ask().row["id"] == opened.row["id"], "a live grant is found again, not asked again"
    asking.spend(opened.row["id"])
    with refusal("approval_spent"):
        asking.spend(opened.row["id"])
    assert asking.found() is None, "a spent grant is found by nobody"
    assert asking.found(opened.row["id"])["state"] == "spent"
    assert asking.ask().new


def test_racing_connections_spend_a_grant_exactly_once(asking: Asking) -> None:
    """Without the train's lock: the guarded update alone decides the race."""
    opened = asking.ask()
    asking.grant(opened.row["id"])
    stores = [open_store(asking.ground.store.url, asking.ground.clock, 2) for _ in range(4)]
    start = threading.Barrier(8)
    results: list[str] = []

    def spend(store: Any) -> None:
        start.wait()
        try:
            with store.writing(asking.ground.workspace_id) as tx:
                approvals.spend(tx, asking.ground.workspace_id, opened.row["id"], "dec_1", tx.now)
            results.append("spent")
        except Refusal as refused:
            results.append(refused.code)

    threads = [threading.Thread(target=spend, args=(stores[number % 4],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert sorted(results) == ["approval_spent"] * 7 + ["spent"]


def test_racing_people_decide_a_question_exactly_once(asking: Asking) -> None:
    opened = asking.ask()
    store = open_store(asking.ground.store.url, asking.ground.clock, 4)
    operator = asking.ground.operator()
    start = threading.Barrier(6)
    results: list[str] = []

    def decide(number: int) -> None:
        start.wait()
        try:
            with store.writing(asking.ground.workspace_id) as tx:
                if number % 2:
                    approvals.grant(tx, asking.workspace, operator, opened.row["id"], LAW)
                else:
                    approvals.refuse(tx, asking.workspace, operator, opened.row["id"], "no")
            results.append("decided")
        except Refusal as refused:
            results.append(refused.code)

    threads = [threading.Thread(target=decide, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    assert sorted(results) == ["already_decided"] * 5 + ["decided"]


def test_an_effect_that_fails_leaves_its_grant_unspent(asking: Asking) -> None:
    opened = asking.ask()
    asking.grant(opened.row["id"])

    def failing(tx: Any) -> None:
        with tx.savepoint():
            approvals.spend(tx, asking.ground.workspace_id, opened.row["id"], "dec_1", tx.now)
            raise Refusal("held", "it is held")

    with asking.ground.writing() as tx, refusal("held"):
        failing(tx)
    assert asking.found()["state"] == "granted"


def test_a_forged_approval_is_not_bound(asking: Asking) -> None:
    """Another agent's granted approval, presented by this one, is known as somebody else's."""
    rival = Asking(asking.ground, asking.ground.add_agent("rival", 2)[1])
    theirs = rival.ask()
    rival.grant(theirs.row["id"])
    row = asking.found(theirs.row["id"])
    fact = approvals.fact_of(row, asking.question(), theirs.row["id"])
    assert (fact.presented, fact.bound) == (True, False)
    other_call = asking.question(call_digest="hmac:other")
    mine = asking.ask()
    assert not approvals.fact_of(mine.row, other_call, mine.row["id"]).bound
    with asking.ground.writing() as tx:
        other = workspaces.found(tx, asking.ground.ids, "other", "bob")
        assert approvals.read_for(tx, other.workspace_id, [mine.row["id"]], [asking.question()]) == []
        with refusal("approval_spent"):
            approvals.spend(tx, other.workspace_id, theirs.row["id"], "dec_1", tx.now)


def test_only_operators_and_security_people_decide(asking: Asking) -> None:
    ground = asking.ground
    opened = asking.ask()
    auditor = ground.principal(ground.add_person("ann", "auditor")[1])
    chief = ground.principal(ground.add_agent("chief", 4)[1])
    for caller in (asking.principal, chief, auditor):
        with refusal("wrong_role"):
            asking.grant(opened.row["id"], caller)
        with refusal("wrong_role"):
            asking.refuse(opened.row["id"], caller)
    assert asking.found()["state"] == "pending"
    security = ground.principal(ground.add_person("sam", "security")[1])
    assert asking.grant(opened.row["id"], security)["decided_by"] == security.id


def test_nobody_decides_their_own_question_unless_the_workspace_says_so(asking: Asking) -> None:
    ground = asking.ground
    own = Asking(ground, ground.founded.token.text)
    opened = own.ask()
    with refusal("own_question"):
        own.grant(opened.row["id"])
    with refusal("own_question"):
        own.refuse(opened.row["id"])
    with ground.writing() as tx:
        workspaces.configure(tx, ground.workspace_id, {"single_person": True})
    own.workspace = ground.workspace()[0]
    row = own.grant(opened.row["id"])
    assert row["decided_by"] == row["principal_id"]


def test_the_owner_of_an_agent_decides_its_question(ground: Any) -> None:
    owned = Asking(ground, ground.add_agent("owned", 2, owner=ground.founded.person_id)[1])
    assert owned.grant(owned.ask().row["id"])["state"] == "granted"


def test_a_refusal_stands_for_a_day_whatever_the_law(asking: Asking) -> None:
    opened = asking.ask()
    asking.refuse(opened.row["id"])
    for law in (LAW, "sha256:other"):
        again = asking.ask(law=law)
        assert (again.new, again.row["id"], again.row["state"]) == (False, opened.row["id"], "refused")
    asking.ground.clock.at += DAY - 1
    assert not asking.ask().new
    asking.ground.clock.at += 1
    assert asking.ask().new


def test_an_unanswered_question_expires_and_is_no_refusal(asking: Asking) -> None:
    opened = asking.ask()
    asking.ground.clock.at = opened.row["pending_until"] - 1
    assert not asking.ask().new
    asking.ground.clock.at += 1
    with refusal("approval_expired"):
        asking.grant(opened.row["id"])
    assert approvals.state_of(opened.row, asking.ground.clock()) == "expired"
    with asking.ground.writing() as tx:
        assert approvals.pending_counts(tx, asking.ground.workspace_id, [asking.principal.id], tx.now) == {}
    assert asking.ask().new


def test_a_watcher_sees_the_state_at_its_own_time(asking: Asking) -> None:
    opened = asking.ask()

    def seen() -> str:
        with asking.ground.store.reading() as connection:
            return approvals.watched(connection, asking.ground.workspace_id, opened.row["id"], asking.ground.clock())

    assert seen() == "pending"
    asking.ground.clock.at = opened.row["pending_until"]
    assert seen() == "expired"
    with asking.ground.store.reading() as connection:
        assert approvals.watched(connection, asking.ground.workspace_id, "apr_none", 0) == ""


def test_a_grant_ends_at_its_instant(asking: Asking) -> None:
    opened = asking.ask()
    row = asking.grant(opened.row["id"])
    asking.ground.clock.at = row["grant_until"]
    with refusal("approval_spent"):
        asking.spend(opened.row["id"])
    assert asking.ask().new


def test_another_law_replaces_a_pending_question_and_makes_it_stale(asking: Asking) -> None:
    old = asking.ask()
    with refusal("approval_stale"):
        asking.grant(old.row["id"], law="sha256:new")
    new = asking.ask(law="sha256:new")
    assert new.new
    assert new.row["id"] != old.row["id"]
    with refusal("approval_stale"):
        asking.grant(old.row["id"])
    assert asking.found()["id"] == new.row["id"]
    with asking.ground.writing() as tx:
        counts = approvals.pending_counts(tx, asking.ground.workspace_id, [asking.principal.id], tx.now)
    assert counts == {asking.principal.id: 1}


def test_a_grant_of_an_older_law_is_asked_again(asking: Asking) -> None:
    opened = asking.ask()
    asking.grant(opened.row["id"])
    again = asking.ask(law="sha256:new")
    assert again.new
    assert asking.found(opened.row["id"])["law"] == LAW


def test_at_most_twenty_questions_wait(asking: Asking) -> None:
    for number in range(approvals.MAX_PENDING):
        asking.ask(call_digest=f"hmac:{number}")
    with refusal("too_many_pending"):
        asking.ask(call_digest="hmac:one-more")
    assert not asking.ask(call_digest="hmac:0").new, "what is open already may be asked again"
    asking.refuse(asking.ask(call_digest="hmac:0").row["id"])
    assert asking.ask(call_digest="hmac:one-more").new


def test_a_whole_train_reads_its_approvals_in_one_statement(asking: Asking) -> None:
    made = [asking.ask(call_digest=f"hmac:{number}") for number in range(10)]
    with asking.ground.writing() as tx:
        seen: list[str] = []
        event.listen(tx.connection, "before_cursor_execute", lambda *args: seen.append(args[2]))
        rows = approvals.read_for(
            tx,
            asking.ground.workspace_id,
            [made[0].row["id"]],
            [opened.row["question"] for opened in made],
        )
        assert len(seen) == 1
    assert {row["id"] for row in rows} == {opened.row["id"] for opened in made}


def test_the_history_of_a_question_costs_one_row(asking: Asking) -> None:
    for _ in range(5):
        opened = asking.ask()
        asking.grant(opened.row["id"])
        asking.spend(opened.row["id"])
    latest = asking.ask()
    with asking.ground.writing() as tx:
        rows = approvals.read_for(tx, asking.ground.workspace_id, [], [asking.question()])
    assert [row["id"] for row in rows] == [latest.row["id"]]


def test_a_row_changed_behind_the_gateways_back_is_judged_as_it_stands(asking: Asking) -> None:
    """The question's HMAC binds the row: with another question written into it, it belongs to nobody."""
    opened = asking.ask()
    asking.grant(opened.row["id"])
    with asking.ground.writing() as tx:
        tx.execute(update(APPROVAL).where(APPROVAL.c.id == opened.row["id"]).values(question="hmac:forged"))
    assert asking.found() is None
    assert not approvals.fact_of(asking.found(opened.row["id"]), asking.question(), opened.row["id"]).bound
