"""Operations of grants: let one agent do what one decision refused, list such leave, take it back."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from guardhouse.catalog import Answer, Ask, Context, operation
from guardhouse.errors import Refusal
from guardhouse.governance import agents, grants
from guardhouse.governance.approvals import DECIDING_ROLES
from guardhouse.ledger import entries
from guardhouse.model.call import Category
from guardhouse.model.canonical import decode
from guardhouse.model.facts import Finding
from guardhouse.model.instants import SECOND
from guardhouse.operations.fields import (
    AgentId,
    Cursor,
    DecisionId,
    Limit,
    Reason,
    RequiredReason,
    instant,
    page,
    workspace_resource,
)

GrantId = Annotated[str, Field(pattern=r"^grt_[0-9a-z]{1,60}$", description="a grant's id, as `list_grants` shows it")]
_REFUSING = ("approval_required", "block")


class GrantItem(Answer):
    grant_id: str
    state: str = Field(description="`live`, `spent`, `revoked`, `expired` or `stale` (the law changed)")
    agent_id: str
    refused_decision_id: str = Field(description="the decision whose refusal it lifts")
    rules: tuple[str, ...] = Field(description="the rules that it lifts, for the very same thing only")
    once: bool = Field(description="it serves once")
    granted_by: str
    reason: str
    granted_at: str
    expires_at: str
    spent_at: str
    spent_by: str = Field(description="the decision that used it up")
    revoked_at: str
    revoked_by: str


class AllowDecisionAsk(Ask):
    decision_id: DecisionId
    seconds: Annotated[
        int | None,
        Field(
            ge=60,
            le=86_400,
            description="how long it may be done again and again; left out: once, within the grant time",
        ),
    ] = None
    reason: RequiredReason


@operation(
    "allow_decision",
    Category.ADMIN,
    ask=AllowDecisionAsk,
    answer=GrantItem,
    resource=workspace_resource,
    writes=True,
    people_only=True,
)
def allow_decision(ctx: Context, ask: AllowDecisionAsk) -> GrantItem:
    """Let an agent do what one decision refused: once, or again and again for at most 24 hours.

    The grant holds for that agent and that very thing in that directory; a harmless reformatting is the same
    thing, anything else is not. It ends with the law it was given under. What depends on variables can be granted
    once only. What guards Guardhouse itself can be granted to nobody. Refusals: `nothing_to_allow`, `always_binds`,
    `open_ended`, `payload_erased`, `wrong_role`, `grant_too_long`, `not_found`.
    """
    if ctx.caller.kind != "person" or not DECIDING_ROLES.intersection(ctx.caller.roles):
        raise Refusal("wrong_role", "only an operator or a security person allows what was refused")
    stored = entries.by_decision(ctx.tx.connection, ctx.workspace_id, ask.decision_id)
    if stored is None:
        raise Refusal("not_found", f"there is no decision `{ask.decision_id}`")
    body: dict[str, Any] = decode(stored.body)
    question = body["facts"].get("question", "")
    findings = tuple(Finding.from_json(item) for item in body["facts"].get("findings", ()))
    if body["principal"]["kind"] != "agent" or not question or not _refused(body):
        raise Refusal("nothing_to_allow", f"decision `{ask.decision_id}` is no guardrail's refusal of an agent")
    if any(finding.protects and finding.severity in _REFUSING for finding in findings):
        raise Refusal("always_binds", "what guards Guardhouse itself can be granted to nobody")
    if ask.seconds is not None and body["facts"].get("open_ended"):
        raise Refusal("open_ended", "what it does depends on variables or substitutions: grant it once, each time")
    if stored.payload is None:
        raise Refusal("payload_erased", "what it asked for was erased, so nobody can see what would be allowed")
    agents.active(ctx.tx, ctx.workspace_id, body["principal"]["id"])
    row = grants.give(
        ctx.tx,
        ctx.ids,
        ctx.workspace_id,
        agent_id=body["principal"]["id"],
        question=question,
        law=ctx.bundle.law,
        decision_id=ask.decision_id,
        sequence=stored.sequence,
        rules=sorted({(finding.rule, _strictest(finding, findings)) for finding in findings}),
        once=ask.seconds is None,
        by_id=ctx.caller.id,
        reason=ask.reason,
        until=ctx.now + (ask.seconds or ctx.facts.workspace.approval_grant_seconds) * SECOND,
    )
    ctx.objects.append(f"grant:{row['id']}")
    return _shown(ctx, row)


def _refused(body: dict[str, Any]) -> bool:
    """Whether a guardrail stopped the call, or told what was examined no."""
    if body.get("verdict") in ("ask", "block"):
        return True
    steps = (step for step in body["steps"] if step["gate"] == "guardrails")
    return body["effect"] != "allow" and any(step.get("effect") in ("deny", "hold") for step in steps)


def _strictest(finding: Finding, findings: tuple[Finding, ...]) -> str:
    """The strictest severity that a rule was found with, its repository's floor included."""
    levels = [level for one in findings if one.rule == finding.rule for level in (one.severity, one.floor) if level]
    return max(levels, key=("log", "warn", *_REFUSING).index)


def _shown(ctx: Context, row: grants.Row) -> GrantItem:
    return GrantItem(
        grant_id=row["id"],
        state=grants.state_of(row, ctx.now, ctx.bundle.law),
        agent_id=row["agent_id"],
        refused_decision_id=row["decision_id"],
        rules=tuple(rule for rule, _ in decode(row["rules"])),
        once=bool(row["once"]),
        granted_by=row["granted_by"],
        reason=row["reason"],
        granted_at=instant(row["granted_at"]),
        expires_at=instant(row["expires_at"]),
        spent_at=instant(row["spent_at"]),
        spent_by=row["spent_by"],
        revoked_at=instant(row["revoked_at"]),
        revoked_by=row["revoked_by"],
    )


class ListGrantsAsk(Ask):
    agent_id: AgentId | None = Field(None, description="only this agent's")
    decision_id: DecisionId | None = Field(None, description="only those that lift this decision's refusal")
    over: bool = Field(False, description="also those that are spent, revoked or expired")
    limit: Limit = 100
    after: Cursor = ""


class ListGrantsAnswer(Answer):
    grants: tuple[GrantItem, ...]
    more: bool
    next: str


@operation(
    "list_grants",
    Category.READ,
    ask=ListGrantsAsk,
    answer=ListGrantsAnswer,
    resource=workspace_resource,
    people_only=True,
)
def list_grants(ctx: Context, ask: ListGrantsAsk) -> ListGrantsAnswer:
    """List what people let agents do although a guardrail refused it, newest first."""
    rows = grants.listed(
        ctx.tx,
        ctx.workspace_id,
        limit=ask.limit + 1,
        before=ask.after,
        agent_id=ask.agent_id or "",
        decision_id=ask.decision_id or "",
        over=ask.over,
    )
    kept, more, following = page(rows, ask.limit, "id")
    return ListGrantsAnswer(grants=tuple(_shown(ctx, row) for row in kept), more=more, next=following)


class RevokeGrantAsk(Ask):
    grant_id: GrantId
    reason: Reason = ""


@operation(
    "revoke_grant",
    Category.ADMIN,
    ask=RevokeGrantAsk,
    answer=GrantItem,
    resource=workspace_resource,
    writes=True,
    people_only=True,
)
def revoke_grant(ctx: Context, ask: RevokeGrantAsk) -> GrantItem:
    """Take a grant back; it binds the very next call in every process. Refusals: `not_found`, `grant_over`."""
    row = grants.revoke(ctx.tx, ctx.workspace_id, ask.grant_id, ctx.caller.id)
    ctx.objects.append(f"grant:{row['id']}")
    return _shown(ctx, row)


OPERATIONS = (allow_decision, list_grants, revoke_grant)
