"""Operations on the backlog: show and list work, what waits for what, reopen."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from guardhouse.catalog import Answer, Ask, Context, operation
from guardhouse.model.call import Category, Resource
from guardhouse.operations import authority
from guardhouse.operations.fields import AgentId, Limit, RepositoryFilter
from guardhouse.operations.tasks import (
    NeedItem,
    TaskAnswer,
    TaskId,
    TaskItem,
    TaskType,
    claimable,
    item_of,
    named,
    needs_of,
    parked_for,
    paused_among,
    whole,
)
from guardhouse.services import locks, queue
from guardhouse.services.queue.tables import TASK


class TaskAsk(Ask):
    task_id: TaskId


@operation("get_task", Category.READ, ask=TaskAsk, answer=TaskAnswer, resource=named, aliases=("task_status",))
def get_task(ctx: Context, ask: TaskAsk) -> TaskAnswer:
    """Show one task as it stands now: its state, who holds it until when, what it needs, its result. Refusal: `not_found`."""
    return whole(ctx, queue.get(ctx.tx, ctx.workspace_id, ask.task_id))


@operation(
    "reopen_task",
    Category.WRITE,
    ask=TaskAsk,
    answer=TaskAnswer,
    resource=named,
    writes=True,
    aliases=("unblock_task",),
    authority=authority.reopening,
)
def reopen_task(ctx: Context, ask: TaskAsk) -> TaskAnswer:
    """Put an ended or parked task back into its lane with fresh attempts; what needs it waits again.

    What was cancelled is reopened by whoever submitted or cancelled it, or by an orchestrator.
    Refusals: `not_author`, `already_claimed`, `already_open`, `deadline_passed`, `not_found`.
    """
    row = queue.reopen(ctx.tx, ctx.workspace_id, ask.task_id)
    ctx.objects.append(f"task:{row['id']}")
    return whole(ctx, row)


class DependencyAsk(Ask):
    task_id: TaskId
    needs_task_id: Annotated[TaskId, Field(description="the task that must be done before `task_id`")]


class DependencyAnswer(Answer):
    task_id: str
    ready: bool
    waiting_on: int
    needs: tuple[NeedItem, ...]


def _dependency(ctx: Context, row: dict[str, Any]) -> DependencyAnswer:
    ctx.objects.append(f"task:{row['id']}")
    return DependencyAnswer(
        task_id=row["id"],
        ready=claimable(row, paused_among(ctx, (row,))),
        waiting_on=row["waiting_on"],
        needs=needs_of(queue.needs_of(ctx.tx, ctx.workspace_id, row["id"])),
    )


@operation(
    "add_dependency",
    Category.WRITE,
    ask=DependencyAsk,
    answer=DependencyAnswer,
    resource=named,
    writes=True,
    aliases=("dep_add",),
)
def add_dependency(ctx: Context, ask: DependencyAsk) -> DependencyAnswer:
    """Make a task wait until another is done.

    Refusals: `cycle` with the path, `already_claimed`, `already_ended`, `too_many_needs`, `not_found`.
    """
    return _dependency(ctx, queue.add_need(ctx.tx, ctx.workspace_id, ask.task_id, ask.needs_task_id))


@operation(
    "remove_dependency",
    Category.WRITE,
    ask=DependencyAsk,
    answer=DependencyAnswer,
    resource=named,
    writes=True,
    aliases=("dep_remove",),
)
def remove_dependency(ctx: Context, ask: DependencyAsk) -> DependencyAnswer:
    """Let a task no longer wait for another, for instance one that failed for good. Refusal: `not_found`."""
    row, _removed = queue.remove_need(ctx.tx, ctx.workspace_id, ask.task_id, ask.needs_task_id)
    return _dependency(ctx, row)


class ListWorkAsk(Ask):
    view: Literal["ready", "active", "blocked"] = "ready"
    types: Annotated[tuple[TaskType, ...], Field(max_length=5)] = ()
    repository: RepositoryFilter = ""
    assignee_agent_id: AgentId | None = None
    parent_task_id: TaskId | None = None
    limit: Limit = 50
    after: Annotated[
        str,
        Field(pattern=r"^([0-9]{1,16}(\.[0-9]{1,16})?\.tsk_[0-9a-z]{1,60})?$", description="`next` of the page before"),
    ] = ""

    @field_validator("after")
    @classmethod
    def _of_this_view(cls, value: str, info: ValidationInfo) -> str:
        if value and (value.count(".") == 1) != (info.data.get("view") == "active"):
            raise ValueError("is a page of another view; give the `next` that this view was answered with")
        return value

    def behind(self) -> tuple[int | str, ...]:
        """Where the page before ended, as `queue.listed` takes it."""
        *numbers, task_id = self.after.split(".")
        return (*map(int, numbers), task_id) if self.after else ()


class ListedTask(TaskItem):
    blockers: tuple[NeedItem, ...] = Field(description="what a blocked task still waits for; at most 16 are named")
    blocked_reason: str


class ListWorkAnswer(Answer):
    tasks: tuple[ListedTask, ...]
    more: bool = Field(description="whether there are others behind the last")
    next: str


@operation(
    "list_work",
    Category.READ,
    ask=ListWorkAsk,
    answer=ListWorkAnswer,
    resource=lambda ask, _home: Resource("Task", "all", ask.repository),
    aliases=("list_tasks",),
)
def list_work(ctx: Context, ask: ListWorkAsk) -> ListWorkAnswer:
    """List work: `ready` to be claimed, `active` with who holds it, or `blocked` with what it waits for.

    Ready and blocked work comes most urgent first, active work by the age of the claim. Work of a feature
    that another has paused is blocked.
    """
    who = (ctx.caller.id, ctx.caller.session_id)
    rows, more = queue.listed(
        ctx.tx,
        ctx.workspace_id,
        ask.view,
        ask.limit,
        after=ask.behind(),
        types=ask.types,
        repository=ask.repository,
        assignee_id=ask.assignee_agent_id or "",
        parent_id=ask.parent_task_id or "",
        withheld=locks.paused(TASK.c.feature, ctx.workspace_id, ctx.now, *who),
    )
    paused = paused_among(ctx, rows)
    tasks = []
    for row in rows:
        waits = queue.blockers_of(ctx.tx, ctx.workspace_id, row["id"]) if row["waiting_on"] else []
        tasks.append(
            ListedTask(
                **item_of(row, paused),
                blockers=needs_of(waits[: queue.MOST_NAMED]),
                blocked_reason=parked_for(row, paused),
            )
        )
    following = ".".join(map(str, queue.place(ask.view, rows[-1]))) if more else ""
    return ListWorkAnswer(tasks=tuple(tasks), more=more, next=following)


OPERATIONS = (get_task, list_work, add_dependency, remove_dependency, reopen_task)
