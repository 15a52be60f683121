"""Operations on the ledger: search it, verify it, export it, and erase what may be erased."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import and_, select
from sqlalchemy.exc import OperationalError

from guardhouse.catalog import Answer, Ask, Context, Home, Reader, operation
from guardhouse.errors import Refusal
from guardhouse.gateway.repeats import forget_answers
from guardhouse.governance import remarks
from guardhouse.ledger import erase, fsck, query
from guardhouse.ledger.tables import ENTRY, PAYLOAD
from guardhouse.model.call import Category, Resource
from guardhouse.model.canonical import decode
from guardhouse.model.facts import Principal
from guardhouse.model.instants import Micros, from_rfc3339
from guardhouse.operations.fields import AgentId, ApprovalId, DecisionId, PersonId, RequiredReason
from guardhouse.services import handoffs, locks, memory, presence, queue, verification

Instant = Annotated[
    str, Field(max_length=40, description="an RFC 3339 instant with an offset, such as `2026-01-31T08:00:00Z`")
]
Word = Annotated[str, Field(max_length=200)]


def _ledger(_ask: Any, home: Home) -> Resource:
    return Resource("Ledger", home.workspace_id)


def _micros(field: str, text: str | None) -> Micros | None:
    if text is None:
        return None
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError) as error:
        raise Refusal("validation", f"`{field}` is not an RFC 3339 instant with an offset") from error


_SEES_ALL = 3
"""The trust from which an agent may search what others did; below it the ledger shows each its own entries."""


def _own_only(who: Principal) -> bool:
    """Whether this caller sees nobody's entries but its own. A person's roles are the policy gate's to judge."""
    return who.kind == "agent" and who.effective_trust < _SEES_ALL


class QueryAuditAsk(Ask):
    agent_id: AgentId | None = None
    person_id: PersonId | None = None
    session: Word | None = Field(None, description="a session's id")
    operation: Word | None = None
    effect: Literal["allow", "deny", "hold"] | None = None
    verdict: Literal["allow", "warn", "ask", "block"] | None = None
    enforced: bool | None = Field(None, description="false: what was let through because of an observe mode")
    resource_type: Word | None = None
    resource: Annotated[str, Field(max_length=2000)] | None = Field(None, description="the resource's id")
    repository: Word | None = None
    rule: Word | None = Field(None, description="the id of a rule that any gate named")
    approval_id: ApprovalId | None = None
    bundle: Word | None = Field(None, description="a bundle's digest")
    decision_id: DecisionId | None = None
    since: Instant | None = Field(None, description="at or after this instant")
    until: Instant | None = Field(None, description="before this instant")
    text: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        None, description="text that the recorded payload holds; finds nothing in what was erased"
    )
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: Annotated[str, Field(max_length=200)] = Field("", description="`next` of the page before")


class QueryAuditAnswer(Answer):
    entries: tuple[dict[str, Any], ...]
    more: bool
    next: str
    tree_size: int = Field(description="how many entries the ledger held for this answer")


def _search(reader: Reader, ask: QueryAuditAsk) -> QueryAuditAnswer:
    filters = ask.model_dump(exclude_none=True, exclude={"limit", "cursor", "since", "until"})
    if _own_only(reader.caller):
        filters["agent_id"] = reader.caller.id
    found = query.search(
        reader.connection,
        reader.workspace_id,
        query.Filter(**filters, since=_micros("since", ask.since), until=_micros("until", ask.until)),
        tree_size=reader.tree_size,
        limit=ask.limit,
        cursor=ask.cursor,
    )
    return QueryAuditAnswer(
        entries=tuple(found.entries), more=found.more, next=found.cursor, tree_size=reader.tree_size
    )


@operation("query_audit", Category.READ, ask=QueryAuditAsk, answer=QueryAuditAnswer, resource=_ledger, fetch=_search)
def query_audit(ctx: Context, ask: QueryAuditAsk) -> None:
    """Search the ledger: who did what, when, under which policy, and what every gate said of it.

    Every filter given must hold. Newest first; `more` says whether there are others, `next` leads to them. The
    search itself is recorded. An agent of trust below 3 finds its own entries only. Refusal: `forbidden_scope`, where such an agent asks for another's or a person's.
    """
    if _own_only(ctx.caller) and (ask.person_id is not None or ask.agent_id not in (None, ctx.caller.id)):
        raise Refusal(
            "forbidden_scope",
            "below trust 3 an agent sees its own entries only; leave the filter out",
            needed={"trust": _SEES_ALL},
        )
    _micros("since", ask.since)
    _micros("until", ask.until)


class VerifyAuditAsk(Ask):
    pass


class VerifyAuditAnswer(Answer):
    ok: bool
    tree_size: int
    root_hash: str = Field(description="hexadecimal root of the Merkle tree over all entries")
    faults: tuple[str, ...] = Field(description="what does not hold, the first bad entry first")
    erased: int = Field(description="payloads that were lawfully erased")
    not_proved: tuple[str, ...] = Field(description="what this check could not see")


_SHARE = 0.75
"""The share of a reading's time that verifying has; what is left is for the statement under way when it is over."""


def _verify(reader: Reader, _ask: VerifyAuditAsk) -> VerifyAuditAnswer:
    until = time.monotonic() + _SHARE * reader.timeout_seconds
    verified = 0

    def step(done: int, _all: int) -> None:
        nonlocal verified
        verified = done
        if time.monotonic() > until:
            raise _too_large(reader, verified)

    try:
        report = fsck.verify(reader.connection, reader.workspace_id, tree_size=reader.tree_size, progress=step)
    except OperationalError as error:
        if time.monotonic() > until:  # one statement took all of it, and the database ended that
            raise _too_large(reader, verified) from error
        raise
    return VerifyAuditAnswer(
        ok=report.ok,
        tree_size=report.tree_size,
        root_hash=report.root_hash,
        faults=tuple(str(fault) for fault in report.faults),
        erased=report.erased,
        not_proved=tuple(report.not_proved),
    )


def _too_large(reader: Reader, verified: int) -> Refusal:
    return Refusal(
        "ledger_too_large",
        f"this ledger is too large to verify within a call: {verified} of {reader.tree_size} entries were verified in "
        f"{_SHARE * reader.timeout_seconds:g} seconds; run `guardhouse ledger verify`, which has no such bound",
        verified=verified,
        tree_size=reader.tree_size,
    )


@operation("verify_audit", Category.READ, ask=VerifyAuditAsk, answer=VerifyAuditAnswer, resource=_ledger, fetch=_verify)
def verify_audit(_ctx: Context, _ask: VerifyAuditAsk) -> None:
    """Check the whole ledger of this workspace: every entry, payload and digest, against the Merkle tree.

    Needs trust 3 of an agent. It proves that the tables agree with each other. That nobody rewrote all of them together is proved
    only against a checkpoint kept elsewhere: use `guardhouse ledger verify` for that.

    It has three quarters of `GUARDHOUSE_FETCH_TIMEOUT_SECONDS`, which is 15 seconds unless that is set; a ledger that
    takes longer is verified by `guardhouse ledger verify` alone. Refusal: `ledger_too_large`, which says nothing
    against the ledger.
    """


class ExportAuditAsk(Ask):
    since: Instant | None = Field(None, description="at or after this instant")
    until: Instant | None = Field(None, description="before this instant")
    after: Annotated[int, Field(ge=-1, description="only entries with a higher sequence")] = -1
    limit: Annotated[int, Field(ge=1, le=1000)] = 500


class ExportAuditAnswer(Answer):
    lines: tuple[dict[str, Any], ...]
    more: bool
    next: int = Field(description="the `after` that goes on from here")
    tree_size: int


def _export(reader: Reader, ask: ExportAuditAsk) -> ExportAuditAnswer:
    found = query.export(
        reader.connection,
        reader.workspace_id,
        tree_size=reader.tree_size,
        after=ask.after,
        since=_micros("since", ask.since),
        until=_micros("until", ask.until),
        limit=ask.limit + 1,
    )
    kept = tuple(found[: ask.limit])
    return ExportAuditAnswer(
        lines=kept,
        more=len(found) > ask.limit,
        next=kept[-1]["sequence"] if kept else ask.after,
        tree_size=reader.tree_size,
    )


@operation(
    "export_audit",
    Category.READ,
    ask=ExportAuditAsk,
    answer=ExportAuditAnswer,
    resource=_ledger,
    people_only=True,
    fetch=_export,
)
def export_audit(_ctx: Context, ask: ExportAuditAsk) -> None:
    """Export entries in order with their payloads, so that they can be kept and verified elsewhere."""
    _micros("since", ask.since)
    _micros("until", ask.until)


_SAID_BY_SESSIONS = ("register_session", "heartbeat")


class ErasePayloadAsk(Ask):
    decision_ids: Annotated[tuple[DecisionId, ...], Field(min_length=1, max_length=100)]
    reason: RequiredReason


class ErasePayloadAnswer(Answer):
    erased: tuple[str, ...] = Field(description="decisions whose payload is gone now")
    absent: tuple[str, ...] = Field(description="decisions that have no payload, or whose payload was erased before")


@operation(
    "erase_payload",
    Category.ADMIN,
    ask=ErasePayloadAsk,
    answer=ErasePayloadAnswer,
    resource=_ledger,
    writes=True,
    people_only=True,
)
def erase_payload(ctx: Context, ask: ErasePayloadAsk) -> ErasePayloadAnswer:
    """Erase what calls carried, for good, with every copy of it; the decisions themselves stay and verify.

    Reasons, labels and notes go too; what they stood beside (an order, a grant, a token) stays in force. A person's
    name goes with the call that added them once they are disabled. This entry names what was erased and is what makes
    it lawful. Refusal: `not_found`.
    """
    wanted = dict.fromkeys(ask.decision_ids)
    rows = ctx.tx.rows(
        select(
            ENTRY.c.id,
            ENTRY.c.sequence,
            ENTRY.c.at,
            ENTRY.c.operation,
            ENTRY.c.outcome,
            ENTRY.c.session_id,
            ENTRY.c.body,
            PAYLOAD.c.body.label("payload"),
        )
        .select_from(ENTRY)
        .outerjoin(
            PAYLOAD, and_(PAYLOAD.c.workspace_id == ENTRY.c.workspace_id, PAYLOAD.c.sequence == ENTRY.c.sequence)
        )
        .where(ENTRY.c.workspace_id == ctx.workspace_id, ENTRY.c.id.in_(tuple(wanted)))
        .order_by(ENTRY.c.sequence)
    )
    unknown = wanted.keys() - {row["id"] for row in rows}
    if unknown:
        raise Refusal("not_found", f"there is no decision `{min(unknown)}`", decision_ids=sorted(unknown))
    present = [row for row in rows if row["payload"] is not None]
    remembered: list[str] = []
    for row in rows:
        # The copies go even where the payload went before: a later copy must not outlive it.
        locks.erase_text(ctx.tx, ctx.workspace_id, row["sequence"])
        for service in (queue, handoffs, verification):
            service.erase(ctx.tx, ctx.workspace_id, row["sequence"])
        remembered += memory.erase(ctx.tx, ctx.workspace_id, row["sequence"])
        if row["outcome"] == "performed":
            named = tuple(decode(bytes(row["body"])).get("objects", ()))
            remarks.erase(ctx.tx, ctx.workspace_id, remarks.Brought(row["operation"], row["at"], named))
            if row["operation"] in _SAID_BY_SESSIONS and row["payload"] is not None:
                presence.erase(ctx.tx, ctx.workspace_id, row["session_id"], decode(bytes(row["payload"])))
    if remembered:
        memory.purge(ctx.tx)
    erase.erase(ctx.tx, ctx.workspace_id, [row["sequence"] for row in present], ctx.sequence)
    forget_answers(ctx.tx, ctx.workspace_id, [row["sequence"] for row in present])
    ctx.objects += [f"erased:{row['id']}" for row in present]
    return ErasePayloadAnswer(
        erased=tuple(row["id"] for row in present),
        absent=tuple(row["id"] for row in rows if row["payload"] is None),
    )


OPERATIONS = (query_audit, verify_audit, export_audit, erase_payload)
