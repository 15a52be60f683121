"""The train: calls that wait ride together through one transaction and one commit.

Carried one after another in the order given, each call is read, decided, acted and recorded as if it
were alone (a property test holds this); all entries are written with one statement and made durable
by one commit, and only then does any answer leave.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from guardhouse.bundle import Bundle, versions
from guardhouse.errors import LawFault, NotPerformed, OutcomeUnknown, Unauthenticated
from guardhouse.gates import guardrails
from guardhouse.gateway import act, record, refusing
from guardhouse.gateway.decide import decide
from guardhouse.gateway.heard import Heard
from guardhouse.gateway.prepare import Prepared, examine
from guardhouse.gateway.read import LawMissing, StandingCache, Unexamined, View
from guardhouse.gateway.tables import FIRST_OUTCOME
from guardhouse.governance import quotas
from guardhouse.ledger import entries
from guardhouse.ledger.tables import ENTRY
from guardhouse.model import canonical
from guardhouse.model.answer import Outcome
from guardhouse.model.call import Category, Resource
from guardhouse.model.decision import Effect, Verdict
from guardhouse.model.facts import Facts
from guardhouse.model.ids import Ids
from guardhouse.storage import faults
from guardhouse.storage.store import Store, Transaction

_log = logging.getLogger("guardhouse.train")
_ERASED = "the call was performed under this key, and what it answered was erased since; `get_outcome` tells when"

MOST_CALLS = 256
MOST_BYTES = 1_048_576
MOST_SECONDS = 0.005
"""A train's bounds. What does not fit waits for the next one."""

MOST_SETTLING_SECONDS = 10.0
"""How long a failed train's calls are carried once more, one by one; who comes later is told `not_performed`."""

Answered = Outcome | Exception
"""What a passenger gets: an outcome, or the exception that says why there is none."""


def unreadable(why: str) -> str:
    """What is said where this version cannot read the law in force."""
    return (
        f"the law in force cannot be read by this version of Guardhouse ({why}); start the version that activated it, "
        "and activate there what both can read"
    )


@dataclass(slots=True)
class Carried:
    """One call after its ride, before the commit."""

    prepared: Prepared
    answer: Answered
    notices: list[act.Notice]


class Train:
    """Carries lists of prepared calls over one store. One thread at a time; knows no queue and no event loop.

    Either `carry` does the whole of it and may wait; or the caller opens the transaction, `depart`
    carries in it without waiting for anything, the caller commits, and `arrive` (or `settle`, when the
    commit failed) gives the answers. Between the two at most one train is under way.

    `notices` is called after the commit with what the calls want told. `spent` measures, within one thread, how
    long carrying takes, and `monotonic` how long a failed train's calls have waited; they bound and decide nothing.
    Without `spent` the one clock does both.
    """

    def __init__(
        self,
        store: Store,
        bundles: versions.BundleCache,
        ids: Ids,
        notices: Callable[[str, Any], None],
        monotonic: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] | None = None,
    ) -> None:
        self._store = store
        self._ids = ids
        self._notices = notices
        self._monotonic = monotonic
        self._spent = spent or monotonic
        self._bundles = bundles
        self._cache = StandingCache(bundles)
        self._contents = entries.KnownContents()
        self._heard = Heard()
        self._uncommitted: dict[str, Carried] = {}

    def carry(self, calls: list[Prepared]) -> list[tuple[Prepared, Answered]]:
        """Carry as many of `calls` as the bounds allow, from the front; give each carried one's answer.

        Never raises for a call's sake: a failure is that call's answer.
        """
        self._uncommitted = {}
        try:
            carried = self._ride(calls, alone=False)
        except Exception as error:  # noqa: BLE001  # every failure of the ground ends in the careful second ride
            # Who did not fit into a train whose commit is in doubt was not carried, and waits for the next.
            return self.settle(calls[: len(self._uncommitted) or MOST_CALLS], error)
        return self.arrive(carried)

    def depart(self, tx: Transaction, calls: list[Prepared]) -> list[Carried]:
        """Carry and record, in a transaction just begun, as many of `calls` as the bounds allow, from the front.

        Whatever it raises, nothing may be committed: roll back, then `carry` may be tried as if for the first time.
        """
        try:
            return self._carried(tx, calls, alone=False)
        except BaseException:
            self._forget()
            raise

    def arrive(self, carried: list[Carried]) -> list[tuple[Prepared, Answered]]:
        """After the commit: tell what is to be told, and give every answer."""
        self._heard.keep()
        for passenger in carried:
            for kind, notice in passenger.notices:
                try:
                    self._notices(kind, notice)
                except Exception:  # noqa: BLE001  # the call is committed; its answer does not hang on the news of it
                    _log.exception("a notice of decision %s could not be handed on", passenger.prepared.call.id)
        return [(passenger.prepared, passenger.answer) for passenger in carried]

    def settle(self, calls: list[Prepared], error: Exception) -> list[tuple[Prepared, Answered]]:
        """The answers of a train that failed at any point, its commit included: each call is settled alone. May wait.

        What came as far as its commit may be committed all the same, now or in a moment: a COMMIT whose answer was lost
        may still be on its way. So nothing of it is carried again, or called undone, before the database has been
        asked under the write lock, which that transaction has until it ends.
        """
        _log.warning("a train of %d calls failed and is settled call by call: %s", len(calls), _brief(error))
        self._forget()
        doubted, self._uncommitted = self._uncommitted, {}
        recorded: set[str] = set()
        if doubted:
            try:
                recorded = self._recorded(calls)
            except Exception as cannot:  # noqa: BLE001  # whoever cannot ask must not guess
                _log.error("cannot ask whether %d decisions were recorded: %s", len(calls), _brief(cannot))
                return [(prepared, _unknown(prepared)) for prepared in calls]
        settled: list[tuple[Prepared, Answered]] = []
        until = self._monotonic() + MOST_SETTLING_SECONDS
        for prepared in calls:
            if prepared.call.id in recorded:
                settled += self.arrive([doubted[prepared.call.id]])
            elif self._monotonic() > until:
                settled.append((prepared, _undone(prepared)))
            else:
                settled.append((prepared, self._once_more(prepared)))
        return settled

    def _forget(self) -> None:
        self._cache.drop()
        self._contents.forget()
        self._heard.drop()

    def _once_more(self, prepared: Prepared) -> Answered:
        """Carry one call of a failed train, known to have no entry, once more and alone; or an honest error."""
        self._uncommitted = {}
        try:
            return self.arrive(self._ride([prepared], alone=True))[0][1]
        except NotPerformed as told:  # by the ride itself, before it carried anything
            self._forget()
            return NotPerformed(told.message, decision_id=prepared.call.id)
        except Exception as error:  # noqa: BLE001  # the caller gets an answer whatever happened
            self._forget()
            _log.error("decision %s could not be recorded: %s", prepared.call.id, _brief(error))
        doubted, self._uncommitted = self._uncommitted, {}
        if not doubted:
            return _undone(prepared)
        try:
            recorded = self._recorded([prepared])
        except Exception as error:  # noqa: BLE001  # whoever cannot ask must not guess
            _log.error("cannot ask whether decision %s was recorded: %s", prepared.call.id, _brief(error))
            return _unknown(prepared)
        return self.arrive([doubted[prepared.call.id]])[0][1] if recorded else _undone(prepared)

    def _recorded(self, calls: list[Prepared]) -> set[str]:
        """The decisions among these that have an entry. Waits until no earlier transaction can give them one."""
        by_workspace: dict[str, list[str]] = {}
        for prepared in calls:
            by_workspace.setdefault(prepared.located.workspace_id, []).append(prepared.call.id)
        opened = self._store.begin()
        assert opened is not None
        try:
            entries.read_heads(opened.tx, by_workspace)
            return {
                row["id"]
                for workspace_id, decisions in by_workspace.items()
                for row in opened.tx.rows(
                    select(ENTRY.c.id).where(ENTRY.c.workspace_id == workspace_id, ENTRY.c.id.in_(decisions))
                )
            }
        finally:
            opened.rollback()

    def _ride(self, calls: list[Prepared], *, alone: bool) -> list[Carried]:
        """One transaction over the front of `calls`. What takes long is done outside and the ride begun again.

        That is compiling a bundle that is not here, and examining the texts of calls under packs newer than their own.
        """
        for _ in range(8):
            try:
                return self._one_transaction(calls, alone=alone)
            except LawMissing as missing:
                why = self._bundles.unfit(missing.digest)
                if why:
                    raise NotPerformed(unreadable(why)) from missing
                # What turns out unfit while a call activates it is refused to that call on the next ride.
                with self._store.reading() as connection, suppress(LawFault):
                    self._bundles.load(connection, missing.workspace_id, missing.digest)
            except Unexamined as stale:
                for call in calls[:MOST_CALLS]:
                    if call.located.workspace_id == stale.workspace_id:
                        examine(call, stale.bundle)
        raise NotPerformed("the active policy changes faster than it can be loaded; send the call again")

    def _one_transaction(self, calls: list[Prepared], *, alone: bool) -> list[Carried]:
        try:
            with self._store.writing(calls[0].located.workspace_id) as tx:
                return self._carried(tx, calls, alone=alone)
        except BaseException:
            self._forget()
            raise

    def _carried(self, tx: Transaction, calls: list[Prepared], *, alone: bool) -> list[Carried]:
        """Everything between BEGIN and COMMIT. Once it has returned, and until it is called again, a commit may be made."""
        self._uncommitted = {}
        workspaces = tuple(dict.fromkeys(call.located.workspace_id for call in calls))
        heads = entries.read_heads(tx, workspaces)
        clock = max((read.clock_micros or 0 for read in heads.values()), default=0)
        tx.now = max(clock or tx.now, max((read.head.last_at for read in heads.values()), default=0))
        carried: list[Carried] = []
        views: dict[str, _Carriage] = {}
        started, size = self._spent(), 0
        for prepared in calls[:MOST_CALLS]:
            if carried and not alone:
                size += prepared.size
                if size > MOST_BYTES or self._spent() - started > MOST_SECONDS:
                    break
            workspace = prepared.located.workspace_id
            if workspace not in heads:
                carried.append(Carried(prepared, _nobody(), []))
                continue
            if workspace not in views:
                ours = [call for call in calls[:MOST_CALLS] if call.located.workspace_id == workspace]
                view = View(tx, self._cache, heads[workspace].head, ours, tx.now, alone=alone)
                views[workspace] = _Carriage(view, ours, self._heard)
            if prepared.texts and prepared.packs != views[workspace].packs:
                if carried:
                    # The law changed before or among these calls: the rest are examined anew before they ride.
                    break
                raise Unexamined(workspace, views[workspace].bundle)
            carried.append(views[workspace].carry(prepared, self._ids, alone=alone))
        with tx.batch():
            for carriage in views.values():
                carriage.record(tx, self._contents)
        self._uncommitted = {passenger.prepared.call.id: passenger for passenger in carried}
        return carried


class _Carriage:
    """The calls of one workspace in one train: its view, and the entries to be written at the end."""

    def __init__(self, view: View, calls: list[Prepared], heard: Heard) -> None:
        self._view = view
        self._heard = heard
        self._calls = calls
        self._drafts: list[entries.Draft] = []

    @property
    def bundle(self) -> Bundle:
        """The law in force for the next call."""
        return self._view.standing.bundle

    @property
    def packs(self) -> str:
        """The digest of the packs in force for the next call."""
        return self.bundle.packs.digest

    def carry(self, prepared: Prepared, ids: Ids, *, alone: bool) -> Carried:
        """Read, decide, act and draft the entry of one call."""
        view = self._view
        due = prepared.operation.due if prepared.operation is not None else None
        if due is not None and prepared.ask is not None and not due(view.tx, view.workspace_id, prepared.ask):
            return Carried(prepared, NotPerformed("there is nothing left to do"), [])
        examine(prepared, view.standing.bundle)
        facts = view.facts(prepared)
        if facts is None:
            return Carried(prepared, _nobody(), [])
        prepared.caller, prepared.at = facts.principal, facts.now
        facts, decision = self._decide(prepared, facts)
        sequence = view.head.tree_size + len(self._drafts)
        sealed = record.Sealed(view, prepared, facts, decision, sequence, ids.secret(16))
        acted = self._act(prepared, facts, decision, ids, sequence, sealed, alone=alone)
        if sealed.acted is not acted:
            acted = sealed.settle(acted)
        assert sealed.draft is not None
        self._drafts.append(sealed.draft)
        if decision.code != "quota_exhausted" and decision.steps[0].effect is Effect.ALLOW:
            view.count(facts.principal)
        operation = prepared.operation
        if acted.code == "performed" and operation is not None and operation.writes and not facts.repeats:
            governs = operation.people_only or operation.category is Category.ADMIN
            view.refresh(self._calls, governs=governs)
        spent = any(name.startswith(("approval:", "grant:")) for name in acted.objects)
        keeps = operation is not None and (operation.writes or spent) and not facts.repeats
        if acted.code == "performed" and prepared.call.idempotency and keeps:
            self._keep_first(prepared, facts, acted.result or {}, sequence)
        outcome = record.answer(
            prepared,
            facts,
            decision,
            acted.code,
            sequence,
            message=acted.message,
            result=acted.result,
            error=acted.error,
        )
        return Carried(prepared, outcome, acted.notices)

    def _decide(self, prepared: Prepared, facts: Facts) -> tuple[Facts, Any]:
        """Decide; where a grant or an approval could matter, read it and decide again with that fact in hand."""
        view = self._view
        decision = decide(prepared.call, facts, view.standing.bundle)
        if facts.question and facts.principal.kind == "agent" and guardrails.refuses(decision):
            grant = view.grant(facts)
            if grant is not None:
                facts = replace(facts, grant=grant)
                decision = decide(prepared.call, facts, view.standing.bundle)
        if decision.effect is Effect.HOLD or prepared.call.approval_id or decision.verdict is Verdict.ASK:
            approval, pending = view.approval(prepared, facts)
            facts = replace(facts, approval=approval, pending_approvals=pending)
            decision = decide(prepared.call, facts, view.standing.bundle)
        return facts, decision

    def _act(
        self,
        prepared: Prepared,
        facts: Facts,
        decision: Any,
        ids: Ids,
        sequence: int,
        sealed: record.Sealed,
        *,
        alone: bool,
    ) -> act.Acted:
        if decision.effect is Effect.DENY:
            if all(step.effect is Effect.ALLOW for step in decision.steps[:2]):  # identity and control let it in
                self._heard.note(self._view.tx, self._view.workspace_id, facts.principal, refused=True)
            details = refusing.details(self._view, prepared, facts, decision)
            return act.Acted(decision.code, refusing.message(prepared, decision), error=details)
        if decision.code == "repeated":
            first = self._view.first(prepared, facts.principal)
            assert first is not None
            objects = [f"decision:{first.decision_id}"]
            if not first.body:
                return act.Acted("payload_erased", _ERASED, objects=objects)
            return act.Acted("performed", result=canonical.decode(first.body), objects=objects)
        present = self._heard.note(self._view.tx, self._view.workspace_id, facts.principal)
        if not present and not self._may_heartbeat(prepared, facts):
            present = self._heard.back(self._view.tx, self._view.workspace_id, facts.principal)
        return act.attempt(
            self._view, prepared, facts, decision, ids, sequence, alone=alone, present=present, seal=sealed
        )

    def _may_heartbeat(self, prepared: Prepared, facts: Facts) -> bool:
        """Whether the law lets this agent send what alone brings a silent session back. Asked for such a session only."""
        asked = replace(
            prepared.call,
            operation="heartbeat",
            category=Category.WRITE,
            resource=Resource("Agent", facts.principal.id),
            governs=False,
        )
        plain = replace(facts, findings=(), domains=(), question="", open_ended=False)
        return decide(asked, plain, self._view.standing.bundle).effect is not Effect.DENY

    def _keep_first(self, prepared: Prepared, facts: Facts, result: dict[str, Any], sequence: int) -> None:
        """Written at once, so that `get_outcome` in the same train finds it."""
        body = record.first_outcome_body(self._view, prepared, result)
        self._view.remember_first(prepared, facts.principal, body)
        _store_first(
            self._view.tx,
            {
                "workspace_id": self._view.workspace_id,
                "session_id": facts.principal.session_id,
                "key": prepared.call.idempotency,
                "call_digest": prepared.call.digest,
                "decision_id": prepared.call.id,
                "sequence": sequence,
                "at": self._view.now,
                "body": body,
            },
        )

    def record(self, tx: Transaction, contents: entries.KnownContents) -> None:
        """Write every entry of this workspace, and the counters its calls used."""
        if not self._drafts:
            return
        entries.append(tx, self._view.head, self._drafts, contents)
        spent = self._view.spent()
        if spent:
            quotas.write(tx, self._view.workspace_id, spent, self._view.now)


def _store_first(tx: Transaction, row: dict[str, Any]) -> None:
    """Keep a first outcome; one older than a day under the same key gives way."""
    tx.execute(
        FIRST_OUTCOME.delete().where(
            FIRST_OUTCOME.c.workspace_id == row["workspace_id"],
            FIRST_OUTCOME.c.session_id == row["session_id"],
            FIRST_OUTCOME.c.key == row["key"],
        )
    )
    tx.execute(FIRST_OUTCOME.insert(), row)


def _unknown(prepared: Prepared) -> OutcomeUnknown:
    return OutcomeUnknown(
        "the database cannot say whether this call was recorded; ask `get_outcome` with the idempotency key",
        decision_id=prepared.call.id,
    )


def _undone(prepared: Prepared) -> NotPerformed:
    return NotPerformed(
        "the ledger cannot be written, so nothing was done; send the call again", decision_id=prepared.call.id
    )


def _nobody() -> Unauthenticated:
    return Unauthenticated(Unauthenticated.UNKNOWN)


def _brief(error: Exception) -> str:
    """A failure in words that may be logged: a driver's own quote the statement, its values and rows."""
    return faults.named(error) if isinstance(error, DBAPIError) else type(error).__name__
