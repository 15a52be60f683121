"""A founded workspace on each database, and short ways to standing in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from guardhouse.governance import agents, people, standing, tokens, workspaces
from guardhouse.model.facts import Principal, WorkspaceFacts
from guardhouse.storage.store import Transaction


@dataclass
class Ground:
    """One store with one workspace in it."""

    store: Any
    ids: Any
    clock: Any
    founded: workspaces.Founded

    @property
    def workspace_id(self) -> str:
        return self.founded.workspace_id

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        with self.store.writing(self.workspace_id) as tx:
            yield tx

    def principal(self, token: str) -> Principal:
        with self.store.reading() as connection:
            hashed = standing.hash_token(token)
            return standing.read_principals(connection, self.workspace_id, [hashed])[hashed]

    def workspace(self) -> tuple[WorkspaceFacts, bytes]:
        with self.store.reading() as connection:
            return standing.read_workspace(connection, self.workspace_id)

    def operator(self) -> Principal:
        return self.principal(self.founded.token.text)

    def add_agent(self, handle: str, trust: int = 2, **options: Any) -> tuple[str, str]:
        """A new agent: (its id, its token)."""
        with self.writing() as tx:
            row = agents.add(
                tx,
                self.ids,
                self.workspace_id,
                handle=handle,
                role=options.pop("role", "agent"),
                trust=trust,
                **options,
            )
            return row["id"], tokens.issue(tx, self.ids, self.workspace_id, "agent", row["id"]).text

    def add_person(self, name: str, *roles: str) -> tuple[str, str]:
        """A new person: (their id, their token)."""
        with self.writing() as tx:
            row = people.add(tx, self.ids, self.workspace_id, name, roles)
            return row["id"], tokens.issue(tx, self.ids, self.workspace_id, "person", row["id"]).text


@pytest.fixture
def ground(store: Any, ids: Any, clock: Any) -> Ground:
    with store.writing("") as tx:
        founded = workspaces.found(tx, ids, "acme", "alice")
    return Ground(store, ids, clock, founded)


GroundMaker = Callable[[], Ground]
