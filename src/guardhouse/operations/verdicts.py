"""Operations on verdicts for people: the whole trace of one decision, and a verdict that was wrong, kept for scoring."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import delete, insert, select

from guardhouse.catalog import Answer, Ask, Context, Home, Reader, operation
from guardhouse.errors import Refusal
from guardhouse.gates.guardrails import allowed_by
from guardhouse.governance import grants
from guardhouse.governance.approvals import state_of
from guardhouse.governance.tables import APPROVAL, DECISION_GRANT, WRONG_VERDICT
from guardhouse.ledger import entries
from guardhouse.ledger.tables import ENTRY, PAYLOAD
from guardhouse.model.call import Category, Resource
from guardhouse.model.canonical import decode
from guardhouse.model.facts import Finding
from guardhouse.operations.fields import DecisionId, Limit, RequiredReason, instant, workspace_resource

_SCORED = {"check_guardrails": "operation_text", "check_tool": "command"}
"""Where the text stands of the operations whose verdicts can be scored."""


_MOST_BYTES = 1_048_576
"""Payload bytes read for one page of rows; at least one row is on it."""


class ExplainDecisionAsk(Ask):
    decision_id: DecisionId


class ExplainedFinding(Answer):
    rule_id: str = Field(description="the rule that matched")
    category: str = Field(description="what the rule is about, such as `git`")
    severity: str = Field(description="how it was found, before the site's overrides")
    field: str = Field(description="the input field that it stands in")
    start: int = Field(description="where the match begins, in characters of the original")
    end: int = Field(description="where the match ends")
    matched_text: str = Field(description="what matched; empty where the text was redacted or erased")
    reason: str = Field(
        description="why the rule exists, in the bundle in force now; empty when it has none of the name"
    )
    allowed_by: str = Field(description="what would allow it")


class ExplainDecisionAnswer(Answer):
    entry: dict[str, Any] = Field(description="the entry: principal, call, facts, every gate's step, effect, verdict")
    payload: dict[str, Any] | None = Field(description="what was asked, redacted; none where it was erased")
    findings: tuple[ExplainedFinding, ...] = Field(description="what the guardrails found")
    approvals: tuple[dict[str, str], ...] = Field(description="questions to people that it opened, and how they stand")
    grants: tuple[dict[str, str], ...] = Field(description="grants that lift its refusal, and how they stand")
    wrong: str = Field(description="the verdict that a person says it should have been; empty when nobody does")


def _explain(reader: Reader, ask: ExplainDecisionAsk) -> ExplainDecisionAnswer:
    stored = entries.by_decision(reader.connection, reader.workspace_id, ask.decision_id)
    if stored is None or stored.sequence >= reader.tree_size:
        raise Refusal("not_found", f"there is no decision `{ask.decision_id}`")
    body: dict[str, Any] = decode(stored.body)
    payload = decode(stored.payload) if stored.payload is not None else None
    found = (Finding.from_json(item) for item in body["facts"].get("findings", ()))
    asked = reader.connection.execute(
        select(APPROVAL).where(
            APPROVAL.c.workspace_id == reader.workspace_id, APPROVAL.c.decision_id == ask.decision_id
        )
    )
    given = reader.connection.execute(
        select(DECISION_GRANT)
        .where(DECISION_GRANT.c.workspace_id == reader.workspace_id, DECISION_GRANT.c.decision_id == ask.decision_id)
        .limit(100)
    )
    wrong = reader.connection.execute(
        select(WRONG_VERDICT.c.expected).where(
            WRONG_VERDICT.c.workspace_id == reader.workspace_id, WRONG_VERDICT.c.sequence == stored.sequence
        )
    ).scalar()
    rules = reader.bundle.packs.rules
    return ExplainDecisionAnswer(
        entry=body,
        payload=payload,
        findings=tuple(
            ExplainedFinding(
                rule_id=one.rule,
                category=one.category,
                severity=one.severity,
                field=one.field,
                start=one.start,
                end=one.end,
                matched_text=_matched(payload, one),
                reason=rules[one.rule].reason if one.rule in rules else "",
                allowed_by=allowed_by(one),
            )
            for one in found
        ),
        approvals=tuple(
            {
                "approval_id": row["id"],
                "state": state_of(dict(row), reader.now, reader.bundle.law),
                "by": row["decided_by"],
            }
            for row in asked.mappings()
        ),
        grants=tuple(
            {
                "grant_id": row["id"],
                "state": grants.state_of(dict(row), reader.now, reader.bundle.law),
                "by": row["granted_by"],
                "expires_at": instant(row["expires_at"]),
            }
            for row in given.mappings()
        ),
        wrong=wrong or "",
    )


def _matched(payload: dict[str, Any] | None, finding: Finding) -> str:
    """The span in the recorded text; nothing where redaction moved the letters."""
    text = (payload or {}).get(finding.field)
    if not isinstance(text, str) or "[redacted:" in text:
        return ""
    return text[finding.start : min(finding.end, finding.start + 500)]


def _ledger(_ask: Any, home: Home) -> Resource:
    return Resource("Ledger", home.workspace_id)


@operation(
    "explain_decision",
    Category.READ,
    ask=ExplainDecisionAsk,
    answer=ExplainDecisionAnswer,
    resource=_ledger,
    people_only=True,
    fetch=_explain,
)
def explain_decision(_ctx: Context, _ask: ExplainDecisionAsk) -> None:
    """Show the whole trace of one decision: what was asked, what every gate said and why, and what people did since.

    Refusal: `not_found`.
    """


class MarkWrongAsk(Ask):
    decision_id: DecisionId
    expected: Literal["allow", "warn", "ask", "block"] = Field(description="the verdict that it should have been")
    reason: RequiredReason


class WrongRow(Answer):
    command: str = Field(description="the text that was examined, redacted")
    expected: str = Field(description="the verdict that it should have been")
    category: str = Field(description="the category of the strictest finding; empty when nothing was found")
    source: str = Field(description="`wrong`: where the row comes from")
    kind: str = Field(description="what the text was examined as")
    cwd: str = Field(description="the directory it would have run in")
    tool: str = Field(description="the tool that would have run it")
    note: str = Field(description="the decision, the verdict that it was given, and why that is wrong")


@operation(
    "mark_wrong",
    Category.ADMIN,
    ask=MarkWrongAsk,
    answer=WrongRow,
    resource=workspace_resource,
    writes=True,
    people_only=True,
)
def mark_wrong(ctx: Context, ask: MarkWrongAsk) -> WrongRow:
    """Say that a decision's verdict is wrong, and keep it as a row that `guardhouse guardrails score` reads.

    The text stays where it is, in the ledger's redacted payload, so that erasing it erases the row. Marking again
    replaces the mark. Refusals: `not_found`, `nothing_to_score` (no command was examined), `payload_erased`.
    """
    stored = entries.by_decision(ctx.tx.connection, ctx.workspace_id, ask.decision_id)
    if stored is None:
        raise Refusal("not_found", f"there is no decision `{ask.decision_id}`")
    body: dict[str, Any] = decode(stored.body)
    if body["operation"] not in _SCORED or "verdict" not in body:
        raise Refusal("nothing_to_score", f"decision `{ask.decision_id}` gave no verdict on a command")
    if body["verdict"] == ask.expected:
        raise Refusal("nothing_to_score", f"`{ask.expected}` is the verdict that `{ask.decision_id}` gave")
    if stored.payload is None:
        raise Refusal("payload_erased", "what it asked for was erased, so there is nothing to keep")
    row = _row(body, decode(stored.payload), ask.expected, ask.reason)
    if row is None:
        raise Refusal("nothing_to_score", f"decision `{ask.decision_id}` examined no command")
    at = (WRONG_VERDICT.c.workspace_id == ctx.workspace_id, WRONG_VERDICT.c.sequence == stored.sequence)
    ctx.tx.execute(delete(WRONG_VERDICT).where(*at))
    ctx.tx.execute(
        insert(WRONG_VERDICT).values(
            workspace_id=ctx.workspace_id,
            sequence=stored.sequence,
            decision_id=ask.decision_id,
            expected=ask.expected,
            by_id=ctx.caller.id,
            reason=ask.reason,
            at=ctx.now,
        )
    )
    ctx.objects.append(f"decision:{ask.decision_id}")
    return row


def _row(body: dict[str, Any], payload: dict[str, Any], expected: str, reason: str) -> WrongRow | None:
    text = payload.get(_SCORED[body["operation"]], "")
    if not text:
        return None
    levels = ("log", "warn", "approval_required", "block")
    found = body["facts"].get("findings", ())
    worst: dict[str, Any] = max(found, key=lambda one: levels.index(one["severity"]), default={})
    return WrongRow(
        command=text,
        expected=expected,
        category=worst.get("category", ""),
        source="wrong",
        kind=payload.get("kind", "shell"),
        cwd=payload.get("cwd", ""),
        tool=payload.get("tool", ""),
        note=f"{body['id']}: {body['verdict']}; {reason}",
    )


class ListWrongAsk(Ask):
    limit: Limit = 100
    after: Annotated[int, Field(ge=-1, description="`next` of the page before; -1 for the first page")] = -1


class ListWrongAnswer(Answer):
    rows: tuple[WrongRow, ...] = Field(description="what people marked, oldest first; what was erased is left out")
    more: bool
    next: int = Field(description="give this as `after` for the next page")


def _list(reader: Reader, ask: ListWrongAsk) -> ListWrongAnswer:
    on = (ENTRY.c.workspace_id == WRONG_VERDICT.c.workspace_id) & (ENTRY.c.sequence == WRONG_VERDICT.c.sequence)
    beside = (PAYLOAD.c.workspace_id == ENTRY.c.workspace_id) & (PAYLOAD.c.sequence == ENTRY.c.sequence)
    found = reader.connection.execute(
        select(
            WRONG_VERDICT.c.sequence, WRONG_VERDICT.c.expected, WRONG_VERDICT.c.reason, ENTRY.c.body,
            PAYLOAD.c.body.label("payload"),
        )
        .select_from(WRONG_VERDICT.join(ENTRY, on).outerjoin(PAYLOAD, beside))
        .where(
            WRONG_VERDICT.c.workspace_id == reader.workspace_id,
            WRONG_VERDICT.c.sequence > ask.after,
            WRONG_VERDICT.c.sequence < reader.tree_size,
        )
        .order_by(WRONG_VERDICT.c.sequence)
        .limit(ask.limit + 1)
    ).all()  # fmt: skip
    kept: list[Any] = []
    size = 0
    for one in found[: ask.limit]:
        size += len(one.payload or b"")
        if kept and size > _MOST_BYTES:
            break
        kept.append(one)
    rows = (
        _row(decode(bytes(one.body)), decode(bytes(one.payload)), one.expected, one.reason)
        for one in kept
        if one.payload is not None
    )
    return ListWrongAnswer(
        rows=tuple(row for row in rows if row is not None),
        more=len(found) > len(kept),
        next=kept[-1].sequence if kept else ask.after,
    )


@operation(
    "list_wrong",
    Category.READ,
    ask=ListWrongAsk,
    answer=ListWrongAnswer,
    resource=_ledger,
    people_only=True,
    fetch=_list,
)
def list_wrong(_ctx: Context, _ask: ListWrongAsk) -> None:
    """List the verdicts that people marked as wrong, as rows that `guardhouse guardrails score` reads."""


OPERATIONS = (explain_decision, mark_wrong, list_wrong)
