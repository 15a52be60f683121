"""Operations on approvals: see, wait for, list, grant and refuse."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from guardhouse.catalog import Answer, Ask, Context, Reader, operation
from guardhouse.errors import Refusal
from guardhouse.governance import approvals
from guardhouse.model.call import Category
from guardhouse.model.canonical import decode
from guardhouse.model.facts import Principal
from guardhouse.model.instants import SECOND
from guardhouse.operations.fields import (
    AgentId,
    ApprovalId,
    Cursor,
    Limit,
    Reason,
    RequiredReason,
    instant,
    page,
    workspace_resource,
)

_ASK_AGAIN_SECONDS = 15


class GetApprovalAsk(Ask):
    approval_id: ApprovalId


class ApprovalItem(Answer):
    approval_id: str
    state: str = Field(description="`pending`, `granted`, `refused`, `spent`, `expired` or `stale` (the law changed)")
    operation: str
    resource_type: str
    resource_id: str
    principal_kind: str
    principal_id: str
    held_decision_id: str = Field(description="the decision that held the call")
    rules: tuple[str, ...]
    message: str
    law: str
    asked_at: str
    pending_until: str
    decided_at: str
    decided_by: str
    reason: str
    grant_until: str
    spent_at: str
    single_person: bool = Field(description="the asker decided it, by the workspace's declared exception")


class ApprovalAnswer(ApprovalItem):
    retry_after_seconds: int = Field(description="when asking again makes sense; 0 when nothing will change by waiting")


def _shown(ctx: Context | Reader, row: approvals.Row) -> dict[str, Any]:
    return {
        "approval_id": row["id"],
        "state": approvals.state_of(row, ctx.now, ctx.bundle.law),
        "operation": row["operation"],
        "resource_type": row["resource_type"],
        "resource_id": row["resource_id"],
        "principal_kind": row["principal_kind"],
        "principal_id": row["principal_id"],
        "held_decision_id": row["decision_id"],
        "rules": tuple(decode(row["rules"])),
        "message": row["message"],
        "law": row["law"],
        "asked_at": instant(row["asked_at"]),
        "pending_until": instant(row["pending_until"]),
        "decided_at": instant(row["decided_at"]),
        "decided_by": row["decided_by"],
        "reason": row["reason"],
        "grant_until": instant(row["grant_until"]),
        "spent_at": instant(row["spent_at"]),
        "single_person": bool(row["decided_by"]) and row["decided_by"] == row["principal_id"],
    }


def _answer(ctx: Context | Reader, row: approvals.Row) -> ApprovalAnswer:
    shown = _shown(ctx, row)
    left = -(-(row["pending_until"] - ctx.now) // SECOND)
    retry = min(_ASK_AGAIN_SECONDS, left) if shown["state"] == "pending" else 0
    return ApprovalAnswer(**shown, retry_after_seconds=retry)


def _visible(row: approvals.Row | None, caller: Principal, approval_id: str) -> approvals.Row:
    """The row, for a person or for whoever asked; for others there is none."""
    if row is None or (caller.kind != "person" and row["principal_id"] != caller.id):
        raise Refusal("not_found", f"there is no approval `{approval_id}`")
    return row


def _standing(ctx: Context, approval_id: str) -> ApprovalAnswer:
    row = approvals.find(ctx.tx.connection, ctx.workspace_id, approval_id)
    return _answer(ctx, _visible(row, ctx.caller, approval_id))


@operation("get_approval", Category.READ, ask=GetApprovalAsk, answer=ApprovalAnswer, resource=workspace_resource)
def get_approval(ctx: Context, ask: GetApprovalAsk) -> ApprovalAnswer:
    """Show how an approval stands. Agents see their own questions, people every one.

    When it is `granted`, send the same call again: the grant is found by itself, or name it outside the
    payload. `expired` means that nobody answered in time; asking again opens a new question.
    Refusal: `not_found`, also for another's.
    """
    return _standing(ctx, ask.approval_id)


class WaitApprovalAsk(Ask):
    approval_id: ApprovalId
    timeout_seconds: Annotated[int, Field(ge=0, le=300, description="how long to hold the line for an answer")] = 60


def _waited(reader: Reader, ask: WaitApprovalAsk) -> ApprovalAnswer:
    row = approvals.find(reader.connection, reader.workspace_id, ask.approval_id)
    return _answer(reader, _visible(row, reader.caller, ask.approval_id))


@operation(
    "wait_approval",
    Category.READ,
    ask=WaitApprovalAsk,
    answer=ApprovalAnswer,
    resource=workspace_resource,
    fetch=_waited,
)
def wait_approval(ctx: Context, ask: WaitApprovalAsk) -> ApprovalAnswer:
    """Wait until a person has answered a question, at most `timeout_seconds`, and show how it stands then.

    The entry is written when the waiting begins; how the question stands at the end is read beside the
    ledger, and told only to a caller who may still speak then. Refusal: `not_found`, also for another's.
    """
    return _standing(ctx, ask.approval_id)


class ListApprovalsAsk(Ask):
    state: Literal["pending", "granted", "refused", "spent", "all"] = Field(
        "pending", description="`pending` and `granted` leave out what has run out"
    )
    agent_id: AgentId | None = Field(None, description="only this agent's questions")
    limit: Limit = 50
    after: Cursor = ""


class ListApprovalsAnswer(Answer):
    approvals: tuple[ApprovalItem, ...]
    more: bool
    next: str


@operation(
    "list_approvals",
    Category.READ,
    ask=ListApprovalsAsk,
    answer=ListApprovalsAnswer,
    resource=workspace_resource,
    people_only=True,
)
def list_approvals(ctx: Context, ask: ListApprovalsAsk) -> ListApprovalsAnswer:
    """List questions to people, newest first; by default those that wait for an answer."""
    rows = approvals.listed(
        ctx.tx,
        ctx.workspace_id,
        state="" if ask.state == "all" else ask.state,
        principal_id=ask.agent_id or "",
        limit=ask.limit + 1,
        before=ask.after,
    )
    kept, more, following = page(rows, ask.limit, "id")
    return ListApprovalsAnswer(
        approvals=tuple(ApprovalItem(**_shown(ctx, row)) for row in kept), more=more, next=following
    )


class GrantApprovalAsk(Ask):
    approval_id: ApprovalId
    reason: Reason = ""


@operation(
    "grant_approval",
    Category.ADMIN,
    ask=GrantApprovalAsk,
    answer=ApprovalAnswer,
    resource=workspace_resource,
    writes=True,
    people_only=True,
)
def grant_approval(ctx: Context, ask: GrantApprovalAsk) -> ApprovalAnswer:
    """Allow the one call that a question asks about, once, within the workspace's grant time.

    Operators and security people decide, never the asker, unless the workspace is declared
    `single_person`. Refusals: `own_question`, `wrong_role`, `already_decided`, `approval_expired`,
    `approval_stale` (the law changed since it was asked; the call must be made again), `not_found`.
    """
    row = approvals.grant(ctx.tx, ctx.facts.workspace, ctx.caller, ask.approval_id, ctx.bundle.law, ask.reason)
    _note(ctx, row)
    return _answer(ctx, row)


class RefuseApprovalAsk(Ask):
    approval_id: ApprovalId
    reason: RequiredReason


@operation(
    "refuse_approval",
    Category.ADMIN,
    ask=RefuseApprovalAsk,
    answer=ApprovalAnswer,
    resource=workspace_resource,
    writes=True,
    people_only=True,
)
def refuse_approval(ctx: Context, ask: RefuseApprovalAsk) -> ApprovalAnswer:
    """Say no to the call that a question asks about; the same question is not opened again for 24 hours.

    Refusals: `own_question`, `wrong_role`, `already_decided`, `approval_expired`, `approval_stale`,
    `not_found`.
    """
    row = approvals.refuse(ctx.tx, ctx.facts.workspace, ctx.caller, ask.approval_id, ask.reason)
    _note(ctx, row)
    return _answer(ctx, row)


def _note(ctx: Context, row: approvals.Row) -> None:
    ctx.objects.append(f"approval:{row['id']}")
    if row["decided_by"] == row["principal_id"]:
        ctx.objects.append("exception:single_person")


OPERATIONS = (get_approval, wait_approval, list_approvals, grant_approval, refuse_approval)
