"""Read: gather the facts of a train inside its transaction, and keep them while its calls are carried.

What a train reads lives in a `View`: heads, standing, quotas, first outcomes. Effects of its own
calls update the view, so that a suspension in the third call binds the fourth. Standing (principals,
workspace, active bundle) may outlive the train in a `StandingCache`, only under the workspace's
standing-version, which database triggers raise; quotas, approvals and the state of what is touched
are read every time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, select

from guardhouse.bundle import Bundle, versions
from guardhouse.catalog import Ahead
from guardhouse.gates import guardrails, profile
from guardhouse.gates.profile import CALLS_PER_HOUR
from guardhouse.gateway.prepare import Prepared
from guardhouse.gateway.tables import FIRST_OUTCOME
from guardhouse.governance import approvals, grants, quotas, standing
from guardhouse.governance.tables import STANDING_TABLES
from guardhouse.ledger import entries
from guardhouse.ledger.tables import HEAD
from guardhouse.model import canonical
from guardhouse.model.facts import ApprovalFact, Facts, GrantFact, Principal, WorkspaceFacts
from guardhouse.model.instants import DAY, Micros
from guardhouse.storage.store import Transaction

_STANDING = frozenset(STANDING_TABLES)


_FIRST_OUTCOMES = select(FIRST_OUTCOME).where(
    FIRST_OUTCOME.c.workspace_id == bindparam("workspace"),
    FIRST_OUTCOME.c.key.in_(bindparam("keys", expanding=True)),
    FIRST_OUTCOME.c.at > bindparam("since"),
)
_VERSION = select(HEAD.c.standing_version).where(HEAD.c.workspace_id == bindparam("workspace"))


class LawMissing(Exception):
    """The active bundle is not compiled in this process yet; compile it outside the train and carry again."""

    def __init__(self, workspace_id: str, digest: str) -> None:
        super().__init__(digest)
        self.workspace_id = workspace_id
        self.digest = digest


class Unexamined(Exception):
    """The first call of a train was examined under other packs than those in force; examine outside it and carry again."""

    def __init__(self, workspace_id: str, bundle: Bundle) -> None:
        super().__init__(bundle.packs.digest)
        self.workspace_id = workspace_id
        self.bundle = bundle


@dataclass(slots=True)
class Standing:
    """A workspace's standing at one version, with the canonical bytes that entries name it by."""

    version: int
    facts: WorkspaceFacts
    key: bytes
    bundle: Bundle
    repositories: frozenset[str]
    digest: str
    body: bytes
    principals: dict[str, Principal | None] = field(default_factory=dict)
    principal_bodies: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def recorded(self, token_hash: str) -> tuple[str, bytes]:
        """The digest and canonical bytes of a principal's standing."""
        known = self.principal_bodies.get(token_hash)
        if known is None:
            principal = self.principals[token_hash]
            assert principal is not None
            body = canonical.encode(principal.to_json())
            known = self.principal_bodies[token_hash] = (canonical.digest(body), body)
        return known


class StandingCache:
    """Standing by workspace, kept between trains of one corridor. Dropped whole after a failed train."""

    def __init__(self, bundles: versions.BundleCache) -> None:
        self.bundles = bundles
        self._kept: dict[str, Standing] = {}

    def drop(self) -> None:
        """Forget everything; the next train reads it again."""
        self._kept.clear()

    def read(self, tx: Transaction, workspace_id: str, version: int, token_hashes: Iterable[str]) -> Standing:
        """The standing at `version`, with at least these principals; raises LawMissing when its bundle must be compiled first."""
        standing_now = self._kept.get(workspace_id)
        if standing_now is None or standing_now.version != version:
            facts, key = standing.read_workspace(tx.connection, workspace_id)
            digest, _law = versions.active(tx.connection, workspace_id)
            bundle = self.bundles.known(digest)
            if bundle is None:
                raise LawMissing(workspace_id, digest)
            self.bundles.put(bundle, workspace_id)
            names = standing.read_repositories(tx.connection, workspace_id)
            body = canonical.encode(facts.to_json())
            standing_now = Standing(version, facts, key, bundle, names, canonical.digest(body), body)
            self._kept[workspace_id] = standing_now
        missing = [token for token in dict.fromkeys(token_hashes) if token not in standing_now.principals]
        if missing:
            found = standing.read_principals(tx.connection, workspace_id, missing)
            found[standing.HOUSE_MARK] = standing.HOUSE
            for token in missing:
                standing_now.principals[token] = found.get(token)
        return standing_now


@dataclass(slots=True)
class First:
    """The first outcome of an idempotency key, as stored; `body` is empty once the call's payload was erased."""

    decision_id: str
    call_digest: str
    body: bytes


class View:
    """What one train knows of one workspace."""

    def __init__(
        self,
        tx: Transaction,
        cache: StandingCache,
        head: entries.Head,
        calls: list[Prepared],
        now: Micros,
        *,
        alone: bool = False,
    ) -> None:
        self.tx = tx
        self.head = head
        self.now = now
        self._cache = cache
        self.workspace_id = head.workspace_id
        self.standing = cache.read(tx, self.workspace_id, head.standing_version, (call.token_hash for call in calls))
        self.version = head.standing_version
        known = {
            principal.id: principal
            for call in calls
            if (principal := self.standing.principals[call.token_hash]) is not None and principal.kind == "agent"
        }
        counted = {one for who in known.values() for one in (who.id, *who.delegation)}
        self._used: dict[str, dict[str, int]] = {one: {} for one in counted}
        self._used |= quotas.read(tx, self.workspace_id, counted, now)
        self._spent: set[str] = set()
        self._first = self._read_firsts(calls)
        if not alone:  # who rides alone after a failure asks and writes step by step, so that a fault is its own
            self._read_ahead(calls)

    def _read_ahead(self, calls: Iterable[Prepared]) -> None:
        """Read for all calls of an operation at once what each of their handlers would read alone."""
        wanted: dict[str, tuple[Ahead, list[tuple[Principal, Any]]]] = {}
        for call in calls:
            principal = self.standing.principals[call.token_hash]
            operation = call.operation
            if operation is None or operation.ahead is None or call.ask is None or principal is None:
                continue
            wanted.setdefault(operation.name, (operation.ahead, []))[1].append((principal, call.ask))
        for ahead, asked in wanted.values():
            ahead(self.tx, self.workspace_id, asked)

    def _read_firsts(self, calls: Iterable[Prepared]) -> dict[tuple[str, str], First]:
        keys = [call.call.idempotency for call in calls if call.call.idempotency]
        if not keys:
            return {}
        since = self.now - DAY
        rows = self.tx.execute(_FIRST_OUTCOMES, {"workspace": self.workspace_id, "keys": keys, "since": since})
        return {
            (row["session_id"], row["key"]): First(row["decision_id"], row["call_digest"], bytes(row["body"]))
            for row in rows.mappings()
        }

    def facts(self, prepared: Prepared, approval: ApprovalFact | None = None, pending: int = 0) -> Facts | None:
        """The facts of one call, or None when the token no longer leads to anybody."""
        principal = self.standing.principals.get(prepared.token_hash)
        if principal is None:
            return None
        used = dict(self._hour_of(principal.id)) if principal.kind == "agent" else {}
        for above in principal.delegation:
            used[profile.hour_of(above)] = self._hour_of(above).get(CALLS_PER_HOUR, 0)
        operation = prepared.operation
        if operation is not None and prepared.ask is not None and operation.measures and principal.kind == "agent":
            limits = profile.limited(self.standing.bundle.rules[profile.NAME], principal.profile)
            for limit, measure in operation.measures.items():
                if limit in limits:
                    used[limit] = measure(self.tx, self.workspace_id, principal, prepared.ask)
        first = self.first(prepared, principal)
        repository = prepared.call.resource.repository
        if not repository and prepared.call.operation in guardrails.EXAMINES:
            # The session's own: whoever issued its token said so, not the caller.
            repository = principal.repository
        return Facts(
            now=self.now,
            principal=principal,
            workspace=self.standing.facts,
            claim=_claim(prepared.claims, principal),
            quota=tuple(sorted(used.items())) if principal.kind == "agent" else (),
            findings=prepared.findings,
            domains=prepared.domains,
            approval=approval,
            pending_approvals=pending,
            law=self.standing.bundle.law,
            registered_repository=repository if repository in self.standing.repositories else "",
            repeats=first.decision_id if first and first.call_digest == prepared.call.digest else "",
            repeat_differs=bool(first and first.call_digest != prepared.call.digest),
            question=prepared.question,
            open_ended=prepared.open_ended,
        )

    def first(self, prepared: Prepared, principal: Principal) -> First | None:
        """The first outcome of this call's idempotency key in this session, or None."""
        if not prepared.call.idempotency:
            return None
        return self._first.get((principal.session_id, prepared.call.idempotency))

    def unfit(self, digest: str) -> str:
        """Why this version cannot load a stored bundle, where that was found out."""
        return self._cache.bundles.unfit(digest)

    def remember_first(self, prepared: Prepared, principal: Principal, body: bytes) -> None:
        """Let later calls of the same train see this call's outcome under its key."""
        key = (principal.session_id, prepared.call.idempotency)
        self._first[key] = First(prepared.call.id, prepared.call.digest, body)

    def approval(self, prepared: Prepared, facts: Facts) -> tuple[ApprovalFact | None, int]:
        """The approval presented or found for a call, and how many questions its caller has open."""
        call = prepared.call
        question = approvals.question_digest(
            self.standing.key, facts.principal.id, call.operation, call.resource.to_json(), call.digest
        )
        presented = call.approval_id
        rows = approvals.read_for(self.tx, self.workspace_id, (presented,) if presented else (), (question,))
        chosen = approvals.choose(rows, presented, question)
        fact = approvals.fact_of(chosen, question, presented) if chosen is not None else None
        counts = approvals.pending_counts(self.tx, self.workspace_id, (facts.principal.id,), self.now, facts.law)
        return fact, counts.get(facts.principal.id, 0)

    def grant(self, facts: Facts) -> GrantFact | None:
        """The grant that a person gave this agent for this very thing, read every time."""
        return grants.find(self.tx, self.workspace_id, facts.principal.id, facts.question, facts.law)

    def count(self, principal: Principal) -> None:
        """Count one decided call of an agent against its hourly limit, and against those of whom it acts for."""
        if principal.kind == "agent":
            for one in (principal.id, *principal.delegation):
                used = self._hour_of(one)
                used[CALLS_PER_HOUR] = used.get(CALLS_PER_HOUR, 0) + 1
                self._spent.add(one)

    def _hour_of(self, agent_id: str) -> dict[str, int]:
        """What an agent has used; read now where this very train made it a delegator."""
        known = self._used.get(agent_id)
        if known is None:
            known = self._used[agent_id] = quotas.read(self.tx, self.workspace_id, (agent_id,), self.now).get(
                agent_id, {}
            )
        return known

    def spent(self) -> dict[str, dict[str, int]]:
        """The counters that this train changed, to be written once."""
        return {principal: {CALLS_PER_HOUR: self._used[principal][CALLS_PER_HOUR]} for principal in self._spent}

    def refresh(self, prepared: list[Prepared], *, governs: bool) -> None:
        """Read standing again when an effect of this very train has changed it.

        An operation that governs is always followed by a look at the version; any other only when it
        wrote to a table whose trigger raises it.
        """
        touched = self.tx.written & _STANDING
        self.tx.written.clear()
        if governs:
            self._first = self._read_firsts(prepared)  # an erasure takes their text
        if not governs and not touched:
            return
        version = self.tx.execute(_VERSION, {"workspace": self.workspace_id}).scalar_one()
        if version != self.version:
            self.version = version
            self.standing = self._cache.read(
                self.tx, self.workspace_id, version, (call.token_hash for call in prepared)
            )


def _claim(claims: tuple[str, ...], principal: Principal) -> str:
    if not claims:
        return "none"
    own = {principal.id, principal.session_id}
    return "own" if all(claim in own for claim in claims) else "other"
