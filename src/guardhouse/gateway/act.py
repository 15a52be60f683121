"""Act: perform the effect of an allowed call, park a held one, and let nothing of a failed one remain."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from guardhouse.catalog import Context
from guardhouse.errors import Refusal
from guardhouse.gates import guardrails
from guardhouse.gateway.prepare import Prepared
from guardhouse.gateway.read import View
from guardhouse.governance import approvals, grants, standing
from guardhouse.model.decision import Decision, Effect, Verdict
from guardhouse.model.facts import Facts
from guardhouse.model.ids import Ids
from guardhouse.storage.faults import of_the_ground

_log = logging.getLogger("guardhouse.gateway")

_ASK_AGAIN_SECONDS = 15
"""How soon it is worth asking again whether a person has answered."""

_REFUSES = (Verdict.ASK, Verdict.BLOCK)
"""Verdicts whose telling is counted, so that it writes."""

Notice = tuple[str, Mapping[str, Any]]


@dataclass(slots=True)
class Acted:
    """What acting on one call came to: its code, and either a result or an error's detail."""

    code: str
    message: str = ""
    result: dict[str, Any] | None = None
    error: dict[str, Any] = field(default_factory=dict)
    objects: list[str] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)


def needs_savepoint(prepared: Prepared, facts: Facts, decision: Decision) -> bool:
    """Whether acting may write, so that it must be possible to undo it alone."""
    if decision.effect is Effect.HOLD or guardrails.grant_used(decision, facts) is not None:
        return True
    if decision.effect is not Effect.ALLOW or prepared.operation is None:
        return False
    approved = decision.step("approval")
    if approved is not None and approved.code == "approved":
        return True  # the grant is spent only if the effect happens
    return prepared.operation.writes or decision.verdict in _REFUSES or bool(prepared.call.approval_id)


def perform(
    view: View,
    prepared: Prepared,
    facts: Facts,
    decision: Decision,
    ids: Ids,
    sequence: int,
    present: bool = False,
) -> Acted:
    """Run the handler of an allowed call. A `Refusal` comes back as its code; anything else is raised.

    An approval, or a grant for once, that let the call through is spent here, in the same savepoint as the effect: both
    happen or neither.
    """
    operation, ask = prepared.operation, prepared.ask
    assert operation is not None
    assert ask is not None
    context = Context(
        tx=view.tx,
        call=prepared.call,
        facts=facts,
        decision=decision,
        bundle=view.standing.bundle,
        ids=ids,
        key=view.standing.key,
        sequence=sequence,
        texts=prepared.texts,
        seen=prepared.seen,
        evidence=prepared.evidence,
        present=present,
        unfit=view.unfit,
    )
    approved = decision.step("approval")
    if approved is not None and approved.code == "approved" and facts.approval is not None:
        approvals.spend(view.tx, view.workspace_id, facts.approval.id, prepared.call.id, view.now)
        context.objects.append(f"approval:{facts.approval.id}")
    grant = guardrails.grant_used(decision, facts)
    if grant is not None:
        if grant.once:
            grants.spend(view.tx, view.workspace_id, grant.id, prepared.call.id)
        context.objects.append(f"grant:{grant.id}")
    if operation.authority is not None:
        refusal = operation.authority(
            view.tx, view.workspace_id, facts.principal, view.standing.bundle, prepared.call.resource.id
        )
        if refusal is not None:
            raise refusal
    answer = operation.handler(context, ask)
    result = {} if answer is None else answer.model_dump(mode="json")
    return Acted("performed", result=result, objects=context.objects, notices=context.after_commit)


def park(view: View, prepared: Prepared, facts: Facts, decision: Decision, ids: Ids, sequence: int) -> Acted:
    """Open (or find) the question that a held call waits for."""
    opened = approvals.open_question(
        view.tx,
        ids,
        view.standing.key,
        workspace=facts.workspace,
        principal=facts.principal,
        operation=prepared.call.operation,
        resource=prepared.call.resource,
        call_digest=prepared.call.digest,
        law=facts.law,
        decision_id=prepared.call.id,
        sequence=sequence,
        rules=decision.rules,
        message=decision.message,
    )
    approval_id = opened.row["id"]
    meanwhile = prepared.operation.meanwhile if prepared.operation is not None else ""
    return Acted(
        "approval_pending",
        message=" ".join(part for part in (decision.message, meanwhile) if part),
        error={"approval_id": approval_id, "retry_after_seconds": _ASK_AGAIN_SECONDS, "rule_ids": list(decision.rules)},
        objects=[f"approval:{approval_id}"],
        notices=[approvals.notice(opened.row)] if opened.new else [],
    )


def attempt(
    view: View,
    prepared: Prepared,
    facts: Facts,
    decision: Decision,
    ids: Ids,
    sequence: int,
    *,
    alone: bool = False,
    present: bool = False,
    seal: Callable[[Acted], None] = lambda _acted: None,
) -> Acted:
    """Act on a decision so that a failure takes only this call down. `alone`: guard even what should not write.

    `seal` makes the call's entry inside the same savepoint: what cannot be recorded did not happen.

    `present`: the caller's session is known to be there.

    A lost connection is raised: then the whole train is carried again. A handler that crashes for any
    other reason has its savepoint undone and is recorded as `internal_error`.
    """
    act = park if decision.effect is Effect.HOLD else partial(perform, present=present)
    guarded = alone or needs_savepoint(prepared, facts, decision)
    try:
        if not guarded:
            acted = act(view, prepared, facts, decision, ids, sequence)
            seal(acted)
            return acted
        with view.tx.savepoint():
            acted = act(view, prepared, facts, decision, ids, sequence)
            seal(acted)
            return acted
    except Refusal as refusal:
        return Acted(refusal.code, refusal.message, error=_with_names(view, refusal))
    except DBAPIError as error:
        if not guarded or of_the_ground(error):
            raise
        # The driver's own words may quote the row, so only the kind of the fault is told.
        kind = type(error.orig).__name__
        _log.error(
            "operation %s failed in the database (%s), decision %s", prepared.call.operation, kind, prepared.call.id
        )
        return crashed()
    except SQLAlchemyError:
        raise
    except Exception:  # noqa: BLE001  # whatever a handler throws, its call ends as a recorded refusal
        _log.exception("operation %s failed, decision %s", prepared.call.operation, prepared.call.id)
        return crashed()


def _with_names(view: View, refusal: Refusal) -> dict[str, Any]:
    """A refusal's detail with the handle beside the id of whoever stands in the way: a refused agent cannot look ids up."""
    told = dict(refusal.extra)
    holder, assignee = told.get("holder_agent_id"), told.get("assignee_id")
    if told.get("by"):
        told["by_alias"] = standing.name_of(view.tx.connection, view.workspace_id, str(told["by"]))
    if holder:
        told["holder_alias"] = standing.name_of(view.tx.connection, view.workspace_id, str(holder))
        if refusal.code == "already_claimed":
            told["assignee_alias"] = told["holder_alias"]
    elif assignee:
        told["assignee_alias"] = standing.name_of(view.tx.connection, view.workspace_id, str(assignee))
    return told


def crashed() -> Acted:
    """What a call comes to that failed inside, with everything of it undone."""
    return Acted("internal_error", "the operation failed inside Guardhouse; nothing of it was kept")
