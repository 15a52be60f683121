"""Operations carried straight: input validated as the gateway does it, handler in a savepoint, then the fetch."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from guardhouse.catalog import Context, Home, Operation, Reader
from guardhouse.gates import profile
from guardhouse.model.call import Call, Resource
from guardhouse.model.decision import Decision, Effect
from guardhouse.model.facts import Facts, Principal, WorkspaceFacts
from tests.services.workshop import WORKSPACE, Workshop

PLAYBOOKS = {
    "developer": {
        "role": "developer",
        "title": "Developer",
        "invariants": ["ask first"],
        "guide": "lock, edit, release",
    },
    "reviewer": {
        "role": "reviewer",
        "title": "Reviewer",
        "invariants": ["ask first", "be kind"],
        "guide": "read it all",
    },
}


def agent(name: str, trust: int = 2, role: str = "developer", session: str = "") -> Principal:
    return Principal(
        kind="agent",
        id=f"agt_0{name}",
        role=role,
        trust=trust,
        effective_trust=trust,
        session_id=session or f"ses_0{name}",
        repository="web",
    )


def person(name: str, *roles: str) -> Principal:
    return Principal(kind="person", id=f"per_0{name}", roles=roles, session_id=f"ses_0{name}")


class Workbench:
    """A workspace and what it takes to call an operation's handler."""

    def __init__(self, store: Any, clock: Any, ids: Any) -> None:
        self.shop = Workshop(store, clock, ids)
        self.clock = clock
        self.playbooks: dict[str, Any] = dict(PLAYBOOKS)
        self.version = "sha256:one"
        self.sequence = 0
        self.objects: list[str] = []

    def call(self, operation: Operation, who: Principal, **body: Any) -> dict[str, Any]:
        """The answer as plain JSON; a Refusal is raised with everything of the call undone."""
        ask = operation.ask.model_validate_json(json.dumps(body))
        resource = operation.resource(ask, Home(WORKSPACE, who.id, who.repository or "default"))
        assert isinstance(resource, Resource)
        rules = {profile.NAME: SimpleNamespace(profiles={})}
        bundle: Any = SimpleNamespace(playbooks=self.playbooks, digest=self.version, rules=rules)
        self.sequence += 1
        with self.shop.tx() as tx, tx.savepoint():
            context = Context(
                tx=tx,
                call=Call(f"dec_{self.sequence}", operation.name, operation.category, resource, "test", "", 0, ""),
                facts=Facts(tx.now, who, WorkspaceFacts(WORKSPACE)),
                decision=Decision(Effect.ALLOW, (), "allowed", ""),
                bundle=bundle,
                ids=self.shop.ids,
                key=b"",
                sequence=self.sequence,
            )
            if operation.authority is not None:
                refusal = operation.authority(tx, WORKSPACE, who, bundle, resource.id)
                if refusal is not None:
                    raise refusal
            answer = operation.handler(context, ask)
        self.objects = context.objects
        if operation.fetch is not None:
            with self.shop.store.reading() as connection:
                answer = operation.fetch(
                    Reader(lambda: connection, WORKSPACE, self.sequence, self.clock.at, who, bundle), ask
                )
        plain: dict[str, Any] = answer.model_dump(mode="json")
        return plain
