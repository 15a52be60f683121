"""Operations on handoffs: write one for the next session, read the latest."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from guardhouse.catalog import Answer, Ask, Context, operation
from guardhouse.guardrails.text import Examined
from guardhouse.model.call import Category, Resource
from guardhouse.operations.fields import AgentId, HomeRepository, RepositoryFilter, home_repository, instant
from guardhouse.services import handoffs

Item = Annotated[str, Field(min_length=1, max_length=4000)]
Items = Annotated[tuple[Item, ...], Field(max_length=100)]
TaskId = Annotated[str, Field(pattern=r"^tsk_[0-9a-z]{1,60}$", description="the task that it is about")]


class WriteHandoffAsk(Ask):
    summary: Annotated[
        str, Field(min_length=1, max_length=10_000, description="where things stand, in a few sentences")
    ]
    completed_work: Items = ()
    in_progress: Items = ()
    decisions: Annotated[Items, Field(description="what was decided, and why")] = ()
    next_steps: Items = ()
    relevant_files: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...], Field(max_length=200)
    ] = ()
    task_id: TaskId | None = None
    repository: HomeRepository = ""


class WriteHandoffAnswer(Answer):
    handoff_id: str
    created_at: str


def _texts(ask: WriteHandoffAsk) -> tuple[Examined, ...]:
    texts = [Examined("summary", ask.summary, "report")]
    for name in handoffs.LISTS:
        items = getattr(ask, name)
        if items:
            kind = "prose" if name == "relevant_files" else "report"
            texts.append(Examined(name, "\n".join(items), kind))
    return tuple(texts)


@operation(
    "write_handoff",
    Category.WRITE,
    ask=WriteHandoffAsk,
    answer=WriteHandoffAnswer,
    resource=lambda ask, _home: Resource("Document", "handoff/new", ask.repository),
    writes=True,
    aliases=("create_handoff",),
    texts=_texts,
)
def write_handoff(ctx: Context, ask: WriteHandoffAsk) -> WriteHandoffAnswer:
    """Leave a handoff for whoever goes on: what is done, under way, decided, and next.

    Write one before you stop or your context runs out. It is never changed; the latest counts.
    """
    row = handoffs.write(
        ctx.tx,
        ctx.ids,
        ctx.workspace_id,
        agent_id=ctx.caller.id,
        session_id=ctx.caller.session_id,
        summary=ask.summary,
        completed_work=ask.completed_work,
        in_progress=ask.in_progress,
        decisions=ask.decisions,
        next_steps=ask.next_steps,
        relevant_files=ask.relevant_files,
        task_id=ask.task_id or "",
        repository=home_repository(ask.repository, ctx.caller),
        sequence=ctx.sequence,
    )
    ctx.objects.append(f"handoff:{row['id']}")
    return WriteHandoffAnswer(handoff_id=row["id"], created_at=instant(row["created_at"]))


class ReadHandoffAsk(Ask):
    handoff_id: Annotated[str, Field(pattern=r"^hnd_[0-9a-z]{1,60}$", description="this one")] | None = None
    by_agent_id: AgentId | None = Field(None, description="only what this agent left")
    task_id: TaskId | None = None
    repository: RepositoryFilter = ""
    limit: Annotated[int, Field(ge=1, le=20, description="the most to answer with, latest first")] = 1
    max_characters: Annotated[
        int, Field(ge=200, le=100_000, description="the most text of each; what is left out is named in `cut`")
    ] = 20_000


class CutItem(Answer):
    field: str
    items: int = Field(description="how many items of the list are missing")
    characters: int = Field(description="how many characters are missing")


class HandoffItem(Answer):
    handoff_id: str
    agent_id: str
    session_id: str
    task_id: str
    repository: str
    created_at: str
    summary: str
    completed_work: tuple[str, ...]
    in_progress: tuple[str, ...]
    decisions: tuple[str, ...]
    next_steps: tuple[str, ...]
    relevant_files: tuple[str, ...]
    truncated: bool
    cut: tuple[CutItem, ...]


class ReadHandoffAnswer(Answer):
    handoffs: tuple[HandoffItem, ...]
    more: bool = Field(description="whether there are earlier ones")


@operation(
    "read_handoff",
    Category.READ,
    ask=ReadHandoffAsk,
    answer=ReadHandoffAnswer,
    resource=lambda ask, _home: Resource("Document", f"handoff/{ask.handoff_id or 'latest'}", ask.repository),
    aliases=("get_handoff",),
)
def read_handoff(ctx: Context, ask: ReadHandoffAsk) -> ReadHandoffAnswer:
    """Read the latest handoff, of everybody or of one agent, task or repository.

    What does not fit into `max_characters` is left out from the ends of the lists, and `cut` says how
    much; next steps are kept longest. None written yet is an empty list, not an error.
    Refusal: `not_found`, for a `handoff_id` that nothing bears.
    """
    read, more = handoffs.read(
        ctx.tx,
        ctx.workspace_id,
        handoff_id=ask.handoff_id or "",
        agent_id=ask.by_agent_id or "",
        task_id=ask.task_id or "",
        repository=ask.repository,
        limit=ask.limit,
        characters=ask.max_characters,
    )
    return ReadHandoffAnswer(handoffs=tuple(_item(one) for one in read), more=more)


def _item(read: handoffs.Read) -> HandoffItem:
    row = read.row
    return HandoffItem(
        handoff_id=row["id"],
        agent_id=row["agent_id"],
        session_id=row["session_id"],
        task_id=row["task_id"],
        repository=row["repository"],
        created_at=instant(row["created_at"]),
        summary=read.summary,
        completed_work=read.lists["completed_work"],
        in_progress=read.lists["in_progress"],
        decisions=read.lists["decisions"],
        next_steps=read.lists["next_steps"],
        relevant_files=read.lists["relevant_files"],
        truncated=bool(read.cut),
        cut=tuple(CutItem(field=cut.field, items=cut.items, characters=cut.characters) for cut in read.cut),
    )


OPERATIONS = (write_handoff, read_handoff)
