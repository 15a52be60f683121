"""A small world for tests: a founded workspace with the shipped law, a gateway over it, and everyone's tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select, update

from guardhouse.app import actions
from guardhouse.bundle import Bundle, load, versions
from guardhouse.gateway import Gateway
from guardhouse.governance import agents, people, tokens, workspaces
from guardhouse.ledger.tables import ENTRY, HEAD
from guardhouse.model.answer import Outcome
from guardhouse.model.call import RawCall
from guardhouse.operations import CATALOG
from guardhouse.storage.opening import open_store
from guardhouse.surfaces.cli import meanings
from guardhouse.surfaces.cli.docs import refusals

_SHIPPED: list[Bundle] = []
_ANY = {"performed", "internal_error", "answer_unavailable", "validation", "payload_erased"}
"""What any operation may answer: done, failed, too late, a value that only its handler can judge, a repeat of what is erased."""
_FIXED = meanings.CODES.keys() - _ANY


def shipped_bundle() -> Bundle:
    """The shipped law with more profiles: `limited` to 40 calls an hour, `few-files` and `few-locks` to three of each.

    Compiled once a test process.
    """
    if not _SHIPPED:
        files = dict(load.read_directory(load.shipped_directory()))
        files["profiles.yaml"] += (
            b"  limited:\n    description: for tests of quotas\n    limits: {calls_per_hour: 40}\n"
            b"  few-files:\n    description: for tests of limits\n    limits: {files_per_task: 3}\n"
            b"  few-locks:\n    description: for tests of limits\n    limits: {held_locks: 3}\n"
        )
        _SHIPPED.append(load.load_files(files, actions()))
    return _SHIPPED[0]


@dataclass
class Member:
    """An agent or a person of the world, with its bearer token."""

    id: str
    token: str = field(repr=False)
    session_id: str = ""


class World:
    """One workspace, and a gateway that carries its calls. Several worlds may share one database."""

    def __init__(self, store: Any, clock: Any, ids: Any, gateway: Gateway, workspace_id: str, operator: Member) -> None:
        self.store = store
        self.clock = clock
        self.ids = ids
        self.gateway = gateway
        self.workspace_id = workspace_id
        self.operator = operator
        self.notices: list[tuple[str, Mapping[str, Any]]] = []
        gateway.on_notice(lambda kind, notice: self.notices.append((kind, notice)))

    def later(self, seconds: float) -> None:
        """Let time pass, also for a database that believes its own clock: its head has seen a later call."""
        self.clock.advance(seconds)
        with self.store.writing(self.workspace_id) as tx:
            tx.execute(update(HEAD).where(HEAD.c.workspace_id == self.workspace_id).values(last_at=self.clock()))

    def agent(self, handle: str, trust: int = 2, role: str = "developer", **options: Any) -> Member:
        """Register an agent straight in the tables and give its token."""
        with self.store.writing(self.workspace_id) as tx:
            options.setdefault("profile", "unlimited")
            added = agents.add(tx, self.ids, self.workspace_id, handle=handle, role=role, trust=trust, **options)
            issued = tokens.issue(tx, self.ids, self.workspace_id, "agent", added["id"])
        return Member(added["id"], issued.text, issued.session_id)

    def person(self, name: str, *roles: str) -> Member:
        """Add a person with roles straight in the tables and give their token."""
        with self.store.writing(self.workspace_id) as tx:
            added = people.add(tx, self.ids, self.workspace_id, name, roles)
            issued = tokens.issue(tx, self.ids, self.workspace_id, "person", added["id"])
        return Member(added["id"], issued.text, issued.session_id)

    def raw(self, who: Member | str | None, operation: str, body: Any = None, **options: Any) -> RawCall:
        """The raw call a door would hand in."""
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        token = who.token if isinstance(who, Member) else who
        return RawCall(operation, data, token, options.pop("surface", "test"), **options)

    def call(self, who: Member | str | None, operation: str, body: Any = None, **options: Any) -> Outcome:
        """Carry one call. What its handler refuses with MUST be listed in the operation's docstring: agents read it."""
        outcome = self.gateway.handle(self.raw(who, operation, body, **options))
        declared = CATALOG.find(operation)
        if declared is not None and outcome.code in _FIXED and outcome.decision and outcome.decision.effect == "allow":
            assert outcome.code in refusals(declared), (
                f"{operation} does not say that it may refuse with {outcome.code}"
            )
        return outcome

    def done(self, who: Member | str | None, operation: str, body: Any = None, **options: Any) -> dict[str, Any]:
        """Carry one call that must be performed; its result."""
        outcome = self.call(who, operation, body, **options)
        assert outcome.code == "performed", (outcome.code, outcome.message, outcome.error)
        return dict(outcome.result or {})

    def entries(self) -> list[dict[str, Any]]:
        """Every entry's body, in order."""
        query = select(ENTRY.c.body).where(ENTRY.c.workspace_id == self.workspace_id).order_by(ENTRY.c.sequence)
        with self.store.reading() as connection:
            return [json.loads(bytes(body)) for body in connection.execute(query).scalars()]

    def entry(self, decision_id: str) -> dict[str, Any]:
        """The one entry of a decision."""
        found = [entry for entry in self.entries() if entry["id"] == decision_id]
        assert len(found) == 1, (decision_id, len(found))
        return found[0]

    def count(self) -> int:
        """How many entries there are."""
        query = select(func.count()).select_from(ENTRY).where(ENTRY.c.workspace_id == self.workspace_id)
        with self.store.reading() as connection:
            return int(connection.execute(query).scalar_one())


@contextmanager
def world(store: Any, clock: Any, ids: Any, slug: str = "default") -> Iterator[World]:
    """Found a workspace on a store and open a gateway over it."""
    bundle = shipped_bundle()
    with store.writing("") as tx:
        founded = workspaces.found(tx, ids, slug, "first")
        versions.store(tx, founded.workspace_id, bundle)
        versions.activate(tx, founded.workspace_id, bundle.digest, bundle.law, founded.person_id, "", "first law")
    gateway = Gateway(store, CATALOG, versions.BundleCache(), clock, ids)
    operator = Member(founded.person_id, founded.token.text, founded.token.session_id)
    try:
        yield World(store, clock, ids, gateway, founded.workspace_id, operator)
    finally:
        gateway.close()


@contextmanager
def second_process(first: World) -> Iterator[World]:
    """Another gateway over the same database with nothing shared in memory, as another server process would be."""
    store = open_store(first.store.url, first.clock)
    gateway = Gateway(store, CATALOG, versions.BundleCache(), first.clock, first.ids)
    try:
        yield World(store, first.clock, first.ids, gateway, first.workspace_id, first.operator)
    finally:
        gateway.close()
        store.close()
