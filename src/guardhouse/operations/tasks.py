"""Tasks on the wire: the fields that operations on work share, and how a task is answered."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from guardhouse.catalog import Answer, Context, Home
from guardhouse.guardrails.text import Examined
from guardhouse.model.call import Resource
from guardhouse.model.canonical import decode
from guardhouse.operations.fields import instant
from guardhouse.services import locks, queue

LINE = r"^[^\r\n]*$"

TaskId = Annotated[str, Field(pattern=r"^tsk_[0-9a-z]{1,60}$", description="a task's id (`tsk_…`)")]
Title = Annotated[str, Field(min_length=1, max_length=300, pattern=LINE, description="what is to be done, in one line")]
Detail = Annotated[str, Field(max_length=100_000, description="everything a worker needs to know")]
TaskType = Literal["task", "bug", "feature", "epic", "chore"]
Priority = Annotated[int, Field(ge=0, le=4, description="0 critical, 1 high, 2 normal, 3 low, 4 backlog")]
FeatureName = Annotated[
    str, Field(max_length=100, pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$", description="the feature that it belongs to")
]
Label = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$")]
LeaseSeconds = Annotated[
    int, Field(ge=10, le=86_400, description="how long a claim lasts unless renewed; then the task reopens")
]
FenceNumber = Annotated[
    int | None,
    Field(ge=1, description="the fence that your claim was given; a claim that is over is refused as `stale_fence`"),
]
Artifact = Annotated[
    str,
    Field(
        max_length=500,
        pattern=r"^(file:[^\x00-\x1f\x7f]+|msg:[A-Za-z0-9_.-]+(#[0-9]+)?)$",
        description="`file:<path>` or `msg:<id>#<n>`",
    ),
]


class TaskItem(Answer):
    task_id: str
    type: str
    title: str
    status: str = Field(description="`todo`, `doing`, `blocked` (parked), `done`, `failed` or `cancelled`")
    ready: bool = Field(description="whether it can be claimed now")
    waiting_on: int = Field(description="how many tasks it needs that are not done")
    priority: int
    raw_priority: int = Field(description="the 1-10 priority it was submitted with, or 0")
    labels: tuple[str, ...]
    parent_task_id: str
    feature: str
    repository: str
    assignee_agent_id: str = Field(description="whose lane it lies in; empty: anybody's")
    holder_agent_id: str
    holder_session_id: str
    claimed_at: str
    lease_until: str
    fence: int
    attempts: int = Field(description="how many claims ended without success")
    max_attempts: int
    deadline: str
    created_by: str
    created_at: str
    ended_at: str
    error_code: str


class NeedItem(Answer):
    task_id: str
    title: str
    status: str


class TaskAnswer(TaskItem):
    detail: str
    definition_of_done: str
    input: Any
    lease_seconds: int
    blocked_reason: str
    needs: tuple[NeedItem, ...]
    children: tuple[NeedItem, ...]
    more_children: bool
    summary: str
    result: str
    artifacts: tuple[str, ...]
    next: str = Field(description="what its worker says should come next")


_CHILDREN_SHOWN = 50


def paused_among(ctx: Context, rows: Iterable[dict[str, Any]]) -> frozenset[str]:
    """The features that another has paused, of tasks that could be claimed otherwise; nothing is asked without any."""
    features = {row["feature"] for row in rows if row["feature"] and claimable(row)}
    return locks.pausing(ctx.tx, ctx.workspace_id, features, locks.Holder(ctx.caller.id, ctx.caller.session_id))


def claimable(row: dict[str, Any], paused: Collection[str] = ()) -> bool:
    """Whether a task can be claimed now, given the features that others have `paused`."""
    return row["status"] == "todo" and not row["waiting_on"] and row["feature"] not in paused


def parked_for(row: dict[str, Any], paused: Collection[str]) -> str:
    """Why a task waits that needs nothing: the reason it was parked with, or its feature's pause."""
    if not row["blocked_reason"] and claimable(row) and not claimable(row, paused):
        return f"its feature `{row['feature']}` is paused by another"
    return str(row["blocked_reason"])


def item_of(row: dict[str, Any], paused: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a `TaskItem`, given the features that others have `paused`."""
    return {
        "task_id": row["id"],
        "type": row["type"],
        "title": row["title"],
        "status": row["status"],
        "ready": claimable(row, paused),
        "waiting_on": row["waiting_on"],
        "priority": row["priority"],
        "raw_priority": row["raw_priority"],
        "labels": tuple(decode(row["labels_json"])),
        "parent_task_id": row["parent_id"],
        "feature": row["feature"],
        "repository": row["repository"],
        "assignee_agent_id": row["assignee_id"],
        "holder_agent_id": row["holder_id"],
        "holder_session_id": row["holder_session"],
        "claimed_at": instant(row["claimed_at"]),
        "lease_until": instant(row["lease_until"]),
        "fence": row["fence"],
        "attempts": row["attempts"],
        "max_attempts": row["max_attempts"],
        "deadline": instant(row["deadline"]),
        "created_by": row["created_by"],
        "created_at": instant(row["created_at"]),
        "ended_at": instant(row["ended_at"]),
        "error_code": row["error_code"],
    }


def needs_of(rows: Sequence[dict[str, Any]]) -> tuple[NeedItem, ...]:
    """Tasks in brief."""
    return tuple(NeedItem(task_id=row["id"], title=row["title"], status=row["status"]) for row in rows)


def whole(ctx: Context, row: dict[str, Any]) -> TaskAnswer:
    """A task with what it needs, its children and its record."""
    needs, children = queue.linked(ctx.tx, ctx.workspace_id, row["id"], _CHILDREN_SHOWN + 1)
    paused = paused_among(ctx, (row,))
    return TaskAnswer(
        **item_of(row, paused),
        detail=row["detail"],
        definition_of_done=row["definition_of_done"],
        input=decode(row["input_json"]),
        lease_seconds=row["lease_seconds"],
        blocked_reason=parked_for(row, paused),
        needs=needs_of(needs),
        children=needs_of(children[:_CHILDREN_SHOWN]),
        more_children=len(children) > _CHILDREN_SHOWN,
        summary=row["summary"],
        result=row["result"],
        artifacts=tuple(decode(row["artifacts_json"])),
        next=row["next_step"],
    )


def named(ask: Any, _home: Home) -> Resource:
    """The task that `task_id` names."""
    return Resource("Task", ask.task_id)


def texts_of(**fields: tuple[str, str]) -> tuple[Examined, ...]:
    """The texts that are there, by field: (words, kind)."""
    return tuple(Examined(name, words, kind) for name, (words, kind) in fields.items() if words)
