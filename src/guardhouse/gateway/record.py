"""Record: the one entry of a call, and what leaves in the answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from guardhouse.gateway.act import Acted, crashed
from guardhouse.gateway.decide import DECIDER
from guardhouse.gateway.prepare import Prepared
from guardhouse.gateway.read import View
from guardhouse.ledger import entries
from guardhouse.model import canonical
from guardhouse.model.answer import Outcome
from guardhouse.model.call import Resource
from guardhouse.model.decision import Decision
from guardhouse.model.facts import Facts
from guardhouse.model.instants import rfc3339

FORMAT = 2
"""The entry's format version. Every released version stays verifiable. Since 2, `mode` is left out where it is `enforce`, and
`effect` in a step that allows: 136 bytes of a typical entry, and no fact less.
"""


def draft(
    view: View,
    prepared: Prepared,
    facts: Facts,
    decision: Decision,
    outcome: str,
    objects: list[str],
    sequence: int,
    salt: bytes,
) -> entries.Draft:
    """The entry of one call, complete but for its hash. Free text stands only in the payload beside it."""
    call = prepared.call
    principal = facts.principal
    principal_digest, principal_body = view.standing.recorded(prepared.token_hash)
    body: dict[str, Any] = {
        "v": FORMAT,
        "workspace": view.workspace_id,
        "sequence": sequence,
        "at": rfc3339(facts.now),
        "id": call.id,
        "principal": {"kind": principal.kind, "id": principal.id},
        "session": principal.session_id,
        "surface": call.surface,
        "operation": call.operation,
        "category": str(call.category),
        "resource": call.resource.to_json(),
        "call": call.to_json(),
        "facts": facts.to_json(principal_digest, view.standing.digest),
        "bundle": view.standing.bundle.digest,
        "decider": DECIDER,
        "outcome": outcome,
        **decision.to_json(),
    }
    if prepared.request_id:
        body["request"] = prepared.request_id
    if principal.delegation:
        body["delegation"] = list(principal.delegation)
    if objects:
        body["objects"] = view.standing.bundle.packs.redact(objects)
    if facts.repeats:
        body["repeats"] = facts.repeats
    if prepared.raw.suppressed:
        body["suppressed"] = prepared.raw.suppressed
    payload = prepared.payload
    if payload is not None:
        body["payload_digest"] = entries.payload_digest(salt, payload)
    return entries.Draft(
        body=body,
        payload=payload,
        salt=salt,
        contents={principal_digest: principal_body, view.standing.digest: view.standing.body},
        rules=decision.rules,
    )


class Sealed:
    """The entry of one call in the making: sealed with what acting came to, or, where that cannot be written, small.

    `acted` is what `draft` records; None until sealed.
    """

    def __init__(
        self, view: View, prepared: Prepared, facts: Facts, decision: Decision, sequence: int, salt: bytes
    ) -> None:
        self._view, self._prepared, self._facts, self._decision = view, prepared, facts, decision
        self._sequence, self._salt = sequence, salt
        self.acted: Acted | None = None
        self.draft: entries.Draft | None = None

    def __call__(self, acted: Acted) -> None:
        """Encode the entry; raises what encoding raises, while the call's savepoint still stands."""
        self.draft = self._encoded(self._prepared, acted)
        if self._prepared.call.idempotency and acted.code == "performed":
            first_outcome_body(self._view, self._prepared, acted.result or {})
        self.acted = acted

    def settle(self, acted: Acted) -> Acted:
        """Seal what was refused, or failed: without the parts that cannot be written. What the entry then records."""
        try:
            self(acted)
        except (TypeError, ValueError):
            acted = crashed()
            call = self._prepared.call
            bare = replace(call, resource=Resource("Workspace", self._view.workspace_id), address="", surface="unknown")
            self.draft = self._encoded(replace(self._prepared, call=bare, payload=None, request_id=""), acted)
            self.acted = acted
        return acted

    def _encoded(self, prepared: Prepared, acted: Acted) -> entries.Draft:
        return entries.encoded(
            draft(
                self._view,
                prepared,
                self._facts,
                self._decision,
                acted.code,
                acted.objects,
                self._sequence,
                self._salt,
            )
        )


def answer(
    prepared: Prepared,
    facts: Facts,
    decision: Decision,
    code: str,
    sequence: int,
    *,
    message: str = "",
    result: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
) -> Outcome:
    """What leaves the gateway once the entry is durable."""
    return Outcome(
        code=code,
        message=message,
        request_id=prepared.request_id,
        decision_id=prepared.call.id,
        workspace_id=facts.workspace.id,
        principal_id=facts.principal.id,
        sequence=sequence,
        decision=decision,
        result=result,
        error=error or {},
        repeated=facts.repeats if code == "performed" else "",
    )


def first_outcome_body(view: View, prepared: Prepared, result: dict[str, Any]) -> bytes:
    """The stored form of a performed outcome; what is given once is cut from it, and every caught secret."""
    secret = prepared.operation.secret_outputs if prepared.operation else ()
    kept = {key: value for key, value in result.items() if key not in secret}
    return canonical.encode(view.standing.bundle.packs.redact(kept))
