"""Operations on memory: remember, recall, forget."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import select

from guardhouse.catalog import Answer, Ask, Context, Reader, operation
from guardhouse.guardrails.text import Examined
from guardhouse.ledger.tables import ENTRY
from guardhouse.model.call import Category, Resource
from guardhouse.operations.fields import AgentId, HomeRepository, Reason, RepositoryFilter, home_repository, instant
from guardhouse.services import memory, recalling

EventType = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$", description="what kind of event, such as `error` or `decision`")
]
Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,59}$")]
Tags = Annotated[tuple[Tag, ...], Field(max_length=32)]
Outcome = Literal["success", "failure", "partial", "neutral"]
MemoryId = Annotated[str, Field(pattern=r"^mem_[0-9a-z]{1,60}$", description="a memory's id")]
TaskId = Annotated[str, Field(pattern=r"^tsk_[0-9a-z]{1,60}$", description="the task that it came from")]


class RememberAsk(Ask):
    event_type: EventType
    summary: Annotated[str, Field(min_length=1, max_length=1000, description="what happened, in a sentence or two")]
    details: Annotated[str, Field(max_length=20_000)] = ""
    tags: Tags = ()
    outcome: Outcome | None = None
    lessons: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=2000)], ...],
        Field(max_length=20, description="what to do differently, or again"),
    ] = ()
    repository: HomeRepository = ""
    task_id: TaskId | None = None


class RememberAnswer(Answer):
    memory_id: str
    new: bool = Field(description="false: you remembered the same within a day; that memory is seen once more")
    seen: int


def _texts(ask: RememberAsk) -> tuple[Examined, ...]:
    """What one agent remembers, another may run: words as in a report, with what is marked as code in them read as code."""
    texts = [Examined("summary", ask.summary, "report")]
    if ask.details:
        texts.append(Examined("details", ask.details, "report"))
    if ask.lessons:
        # An empty line ends a passage: no statement is read out of two lessons together.
        texts.append(Examined("lessons", "\n\n".join(ask.lessons), "report"))
    if ask.tags:
        texts.append(Examined("tags", "\n".join(ask.tags), "prose"))
    return tuple(texts)


@operation(
    "remember",
    Category.WRITE,
    ask=RememberAsk,
    answer=RememberAnswer,
    resource=lambda ask, _home: Resource("Memory", "new", ask.repository),
    writes=True,
    aliases=("store_memory",),
    texts=_texts,
)
def remember(ctx: Context, ask: RememberAsk) -> RememberAnswer:
    """Keep what you learned, so that any agent of this workspace can recall it in a later session.

    Say what happened in `summary` and what to make of it in `lessons`. Never a secret: secrets are
    refused or cut out.
    """
    row, new = memory.remember(
        ctx.tx,
        ctx.ids,
        ctx.workspace_id,
        agent_id=ctx.caller.id,
        event_type=ask.event_type,
        summary=ask.summary,
        details=ask.details,
        tags=ask.tags,
        outcome=ask.outcome or "",
        lessons=ask.lessons,
        repository=home_repository(ask.repository, ctx.caller),
        task_id=ask.task_id or "",
        sequence=ctx.sequence,
    )
    ctx.objects.append(f"memory:{row['id']}")
    return RememberAnswer(memory_id=row["id"], new=new, seen=row["seen"])


class RecallAsk(Ask):
    query: Annotated[str, Field(max_length=1000, description="what you want to know about; empty: the newest")] = ""
    tags: Annotated[Tags, Field(description="all of them")] = ()
    event_type: EventType | None = None
    outcome: Outcome | None = None
    by_agent_id: AgentId | None = Field(None, description="only what this agent remembered")
    repository: RepositoryFilter = ""
    limit: Annotated[int, Field(ge=1, le=50, description="the most to answer with")] = 10


class MemoryItem(Answer):
    memory_id: str
    score: int = Field(description="relevance in millionths, weakened with age")
    agent_id: str
    event_type: str
    summary: str
    details: str
    tags: tuple[str, ...]
    outcome: str
    lessons: tuple[str, ...]
    repository: str
    task_id: str
    seen: int
    created_at: str
    last_at: str


class RecallAnswer(Answer):
    memories: tuple[MemoryItem, ...] = ()
    more: bool = Field(False, description="whether others match as well")
    complete: bool = Field(True, description="false: so many match that only the likeliest were compared; ask narrower")


def _recalled(reader: Reader, ask: RecallAsk) -> RecallAnswer:
    asked: dict[str, Any] = {
        "workspace_id": reader.workspace_id,
        "now": reader.now,
        "query": ask.query,
        "tags": ask.tags,
        "event_type": ask.event_type or "",
        "outcome": ask.outcome or "",
        "agent_id": ask.by_agent_id or "",
        "repository": ask.repository,
        "limit": ask.limit,
        "below": reader.tree_size,
    }
    found = reader.apart(asked, reader.timeout_seconds) if reader.apart is not None else None
    if found is None:
        found = memory.recall(reader.connection, **asked)
    return RecallAnswer(memories=tuple(_item(one) for one in found.found), more=found.more, complete=found.complete)


def _item(recalled: recalling.Recalled) -> MemoryItem:
    row = recalled.row
    return MemoryItem(
        memory_id=row["id"],
        score=recalled.score,
        agent_id=row["agent_id"],
        event_type=row["event_type"],
        summary=row["summary"],
        details=row["details"],
        tags=memory.tags_of(row),
        outcome=row["outcome"],
        lessons=memory.lessons_of(row),
        repository=row["repository"],
        task_id=row["task_id"],
        seen=row["seen"],
        created_at=instant(row["created_at"]),
        last_at=instant(row["last_at"]),
    )


@operation(
    "recall",
    Category.READ,
    ask=RecallAsk,
    answer=RecallAnswer,
    resource=lambda ask, _home: Resource("Memory", "all", ask.repository),
    aliases=("search_memory",),
    fetch=_recalled,
)
def recall(_ctx: Context, _ask: RecallAsk) -> RecallAnswer:
    """Find what agents remembered about something, the most relevant first, the recent before the old.

    Words are looked for in summary, details, tags and lessons; tags, event type and outcome narrow the
    search. Ask before you start on a task, and when something fails.
    """
    return RecallAnswer()


class ForgetAsk(Ask):
    memory_id: MemoryId
    reason: Reason = ""


class ForgetAnswer(Answer):
    memory_id: str
    decision_ids: tuple[str, ...] = Field(
        description="the decisions whose payloads still hold its words, for `erase_payload`"
    )


@operation(
    "forget",
    Category.WRITE,
    ask=ForgetAsk,
    answer=ForgetAnswer,
    resource=lambda ask, _home: Resource("Memory", ask.memory_id),
    writes=True,
    texts=lambda ask: (Examined("reason", ask.reason, "prose"),) if ask.reason else (),
)
def forget(ctx: Context, ask: ForgetAsk) -> ForgetAnswer:
    """Take a memory out of every recall at once, and name the entries whose payloads a security person can erase.

    An agent has its own memories forgotten, a person anybody's. Refusals: `not_author`, `not_found`.
    """
    sequences = memory.forget(
        ctx.tx, ctx.workspace_id, ask.memory_id, by=ctx.caller.id, own_only=ctx.caller.kind != "person"
    )
    ctx.objects.append(f"memory:{ask.memory_id}")
    held = (
        select(ENTRY.c.id)
        .where(ENTRY.c.workspace_id == ctx.workspace_id, ENTRY.c.sequence.in_(sequences))
        .order_by(ENTRY.c.sequence)
    )
    return ForgetAnswer(memory_id=ask.memory_id, decision_ids=tuple(ctx.tx.execute(held).scalars()))


OPERATIONS = (remember, recall, forget)
