"""Operations on work: submit, claim, renew, release, complete, cancel. `backlog` holds the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator
from sqlalchemy import bindparam

from guardhouse.catalog import Answer, Ask, Context, operation
from guardhouse.errors import Refusal
from guardhouse.guardrails.text import Examined
from guardhouse.model.call import Category, Resource
from guardhouse.model.canonical import decode, encode, texts
from guardhouse.model.instants import from_rfc3339
from guardhouse.operations import authority
from guardhouse.operations.fields import AgentId, HomeRepository, Reason, RepositoryFilter, home_repository, instant
from guardhouse.operations.presence import require_present
from guardhouse.operations.tasks import (
    LINE,
    Artifact,
    Detail,
    FeatureName,
    FenceNumber,
    Label,
    LeaseSeconds,
    Priority,
    TaskAnswer,
    TaskId,
    TaskType,
    Title,
    named,
    texts_of,
    whole,
)
from guardhouse.services import keys, locks, queue
from guardhouse.services.queue.tables import TASK

_INPUT_BYTES = 65_536


def _feature_free(ctx: Context, feature: str) -> None:
    """Refuse while another holds the feature's pause-lock."""
    if not feature:
        return
    pause = locks.live(ctx.tx, ctx.workspace_id, keys.pause_key(feature))
    if pause is not None and (pause["agent_id"], pause["session_id"]) != (ctx.caller.id, ctx.caller.session_id):
        raise Refusal(
            "held",
            f"feature `{feature}` is paused by another agent",
            holder_agent_id=pause["agent_id"],
            key=pause["key"],
            expires_at=instant(pause["expires_at"]),
            reason=pause["reason"],
            retry_after_seconds=queue.seconds_left(pause["expires_at"], ctx.now),
        )


_PAUSED = queue.Withheld(
    locks.paused(TASK.c.feature, *(bindparam(name) for name in ("workspace", "now", "agent", "session")))
)
"""The tasks whose feature another has paused."""


class SubmitWorkAsk(Ask):
    title: Title
    detail: Detail = ""
    definition_of_done: Annotated[
        str, Field(max_length=2000, description="the one condition that means it is finished")
    ] = ""
    type: TaskType = "task"
    priority: Priority = 2
    raw_priority: Annotated[
        int | None, Field(ge=1, le=10, description="1 to 10, 1 most urgent; given instead of `priority`")
    ] = None
    needs: Annotated[
        tuple[TaskId, ...], Field(max_length=queue.MOST_NEEDS, description="tasks that must be done before")
    ] = ()
    parent_task_id: TaskId | None = None
    feature: FeatureName = ""
    repository: HomeRepository = ""
    assignee_agent_id: AgentId | None = Field(None, description="the only agent who may claim it")
    labels: Annotated[tuple[Label, ...], Field(max_length=32)] = ()
    input: dict[str, Any] = Field(default_factory=dict, description="data for the worker; at most 65536 bytes as JSON")
    max_attempts: Annotated[int, Field(ge=1, le=20, description="claims that may end without success")] = 3
    deadline: Annotated[str | None, Field(max_length=40, description="RFC 3339; not done by then, it fails")] = None
    lease_seconds: LeaseSeconds = 900

    @field_validator("input")
    @classmethod
    def _small(cls, value: dict[str, Any]) -> dict[str, Any]:
        if len(encode(value)) > _INPUT_BYTES:
            raise ValueError(f"input is larger than {_INPUT_BYTES} bytes as JSON")
        return value

    @field_validator("deadline")
    @classmethod
    def _instant(cls, value: str | None) -> str | None:
        if value is not None:
            from_rfc3339(value)
        return value


def _submitted_texts(ask: SubmitWorkAsk) -> tuple[Examined, ...]:
    return texts_of(
        title=(ask.title, "report"),
        detail=(ask.detail, "report"),
        definition_of_done=(ask.definition_of_done, "report"),
        labels=("\n".join(ask.labels), "prose"),  # names, such as `shutdown`, which nobody runs
        input=("\n".join(texts(ask.input)), "report"),
    )


@operation(
    "submit_work",
    Category.WRITE,
    ask=SubmitWorkAsk,
    answer=TaskAnswer,
    resource=lambda ask, _home: Resource("Task", "new", ask.repository),
    writes=True,
    aliases=("create_task", "add_task", "enqueue_work"),
    texts=_submitted_texts,
)
def submit_work(ctx: Context, ask: SubmitWorkAsk) -> TaskAnswer:
    """Add a task to the queue.

    It is ready at once unless it `needs` other tasks; then it becomes ready when the last of them is
    done. Say in `definition_of_done` what finished means. An epic's children name it in `parent_task_id`.
    Refusals: `cycle` with the path, `not_found`, `already_ended`, `deadline_passed`.
    """
    row = queue.submit(
        ctx.tx,
        ctx.ids,
        ctx.workspace_id,
        title=ask.title,
        by=ctx.caller.id,
        type=ask.type,
        detail=ask.detail,
        definition_of_done=ask.definition_of_done,
        input=ask.input,
        labels=ask.labels,
        priority=ask.priority,
        raw_priority=ask.raw_priority or 0,
        parent_id=ask.parent_task_id or "",
        needs=ask.needs,
        feature=ask.feature,
        repository=home_repository(ask.repository, ctx.caller),
        assignee_id=ask.assignee_agent_id or "",
        max_attempts=ask.max_attempts,
        deadline=from_rfc3339(ask.deadline) if ask.deadline else 0,
        lease_seconds=ask.lease_seconds,
        sequence=ctx.sequence,
    )
    ctx.objects.append(f"task:{row['id']}")
    return whole(ctx, row)


class GetWorkAsk(Ask):
    types: Annotated[tuple[TaskType, ...], Field(max_length=5, description="only these; none: all but epics")] = ()
    repository: RepositoryFilter = ""
    lease_seconds: Annotated[
        int | None, Field(ge=10, le=86_400, description="how long the claim lasts; none: as the task says")
    ] = None


class GetWorkAnswer(Answer):
    task: TaskAnswer | None = Field(description="the task that is yours now, or nothing")
    retry_after_seconds: int = Field(description="when asking again makes sense; 0 when you have a task")


_ASK_AGAIN_SECONDS = 15


def _lapsed(rows: Iterable[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(f"lapsed:{row['id']}" for row in rows))


@operation(
    "get_work",
    Category.WRITE,
    ask=GetWorkAsk,
    answer=GetWorkAnswer,
    resource=lambda ask, _home: Resource("Task", "next", ask.repository),
    writes=True,
    aliases=("claim_work", "claim_next", "next_task"),
    ahead=lambda tx, workspace_id, calls: queue.read_ahead(
        tx, workspace_id, [(who.id, ask.types, ask.repository) for who, ask in calls]
    ),
)
def get_work(ctx: Context, ask: GetWorkAsk) -> GetWorkAnswer:
    """Claim the most urgent task that is ready, or learn that there is none.

    The claim is this session's alone, until `lease_until`: call `renew_lease` while you work, then
    `complete_work` with the `fence`. A lease that lapses puts the task back and spends an attempt.
    Refusal: `heartbeat_required` after a long silence.
    """
    require_present(ctx)
    lapsed: list[dict[str, Any]] = []
    row = queue.claim_next(
        ctx.tx,
        ctx.workspace_id,
        agent_id=ctx.caller.id,
        session_id=ctx.caller.session_id,
        types=ask.types,
        repository=ask.repository,
        lease_seconds=ask.lease_seconds or 0,
        withheld=_PAUSED,
        settled=lapsed,
    )
    ctx.objects += _lapsed(lapsed)
    if row is None:
        return GetWorkAnswer(task=None, retry_after_seconds=_ASK_AGAIN_SECONDS)
    ctx.objects.append(f"task:{row['id']}")
    return GetWorkAnswer(task=whole(ctx, row), retry_after_seconds=0)


class ClaimTaskAsk(Ask):
    task_id: TaskId
    lease_seconds: Annotated[
        int | None, Field(ge=10, le=86_400, description="how long the claim lasts; none: as the task says")
    ] = None


@operation("claim_task", Category.WRITE, ask=ClaimTaskAsk, answer=TaskAnswer, resource=named, writes=True)
def claim_task(ctx: Context, ask: ClaimTaskAsk) -> TaskAnswer:
    """Claim one task by its id. If your claim loses (`already_claimed`), another owns it: stop.

    Refusals: `already_claimed` with the holder, `not_ready` with the blockers, `assigned_to_other`,
    `already_ended`, `held` (its feature is paused), `heartbeat_required`, `not_found`.
    """
    require_present(ctx)
    _feature_free(ctx, queue.get(ctx.tx, ctx.workspace_id, ask.task_id)["feature"])
    lapsed: list[dict[str, Any]] = []
    row = queue.claim(
        ctx.tx,
        ctx.workspace_id,
        ask.task_id,
        agent_id=ctx.caller.id,
        session_id=ctx.caller.session_id,
        lease_seconds=ask.lease_seconds or 0,
        settled=lapsed,
    )
    ctx.objects += [f"task:{row['id']}", *_lapsed(lapsed)]
    return whole(ctx, row)


class RenewLeaseAsk(Ask):
    task_id: TaskId
    fence: FenceNumber = None
    lease_seconds: Annotated[
        int | None, Field(ge=10, le=86_400, description="how long from now; none: as the task says")
    ] = None


class LeaseAnswer(Answer):
    task_id: str
    status: str
    fence: int
    lease_until: str


@operation("renew_lease", Category.WRITE, ask=RenewLeaseAsk, answer=LeaseAnswer, resource=named, writes=True)
def renew_lease(ctx: Context, ask: RenewLeaseAsk) -> LeaseAnswer:
    """Keep a task while you work on it. A lease never runs past the task's deadline.

    Refusals: `lease_expired` and `stale_fence` (stop, it may be another's), `not_holder`, `not_found`.
    """
    row = queue.renew(
        ctx.tx,
        ctx.workspace_id,
        ask.task_id,
        agent_id=ctx.caller.id,
        session_id=ctx.caller.session_id,
        fence=ask.fence,
        lease_seconds=ask.lease_seconds or 0,
    )
    return _lease(ctx, row)


def _lease(ctx: Context, row: dict[str, Any]) -> LeaseAnswer:
    ctx.objects.append(f"task:{row['id']}")
    return LeaseAnswer(
        task_id=row["id"], status=row["status"], fence=row["fence"], lease_until=instant(row["lease_until"])
    )


class ReleaseTaskAsk(Ask):
    task_id: TaskId
    fence: FenceNumber = None
    blocked_reason: Annotated[
        str, Field(max_length=2000, description="park it as `blocked` with this reason instead of offering it again")
    ] = ""


@operation(
    "release_task",
    Category.WRITE,
    ask=ReleaseTaskAsk,
    answer=LeaseAnswer,
    resource=named,
    writes=True,
    aliases=("release_work",),
    texts=lambda ask: texts_of(blocked_reason=(ask.blocked_reason, "report")),
)
def release_task(ctx: Context, ask: ReleaseTaskAsk) -> LeaseAnswer:
    """Give a task back to its lane, so that another can take it; no attempt is spent.

    Refusals: `lease_expired`, `stale_fence`, `not_holder`, `not_found`.
    """
    row = queue.release(
        ctx.tx,
        ctx.workspace_id,
        ask.task_id,
        agent_id=ctx.caller.id,
        session_id=ctx.caller.session_id,
        fence=ask.fence,
        blocked_reason=ask.blocked_reason,
        sequence=ctx.sequence,
    )
    return _lease(ctx, row)


class CompleteWorkAsk(Ask):
    task_id: TaskId
    success: bool = Field(True, description="false: it failed")
    summary: Annotated[str, Field(min_length=1, max_length=500, pattern=LINE, description="what happened, in one line")]
    fence: FenceNumber = None
    result: Annotated[str, Field(max_length=100_000, description="what came out, where a line is not enough")] = ""
    artifacts: Annotated[tuple[Artifact, ...], Field(max_length=50)] = ()
    next: Annotated[str, Field(max_length=500, pattern=LINE, description="what should come next, in one line")] = ""
    error_code: Annotated[
        str, Field(max_length=60, pattern=r"^([a-z][a-z0-9_]*)?$", description="why it failed, in one word of your own")
    ] = ""
    retry: bool = Field(False, description="after a failure, offer it again while it has attempts left")

    @field_validator("error_code")
    @classmethod
    def _own_words(cls, value: str) -> str:
        if value in queue.KEPT_CODES:
            remedy = "; call `cancel_work`" if value == queue.CANCELLED_BY_ORCHESTRATOR else ""
            raise ValueError(f"`{value}` is said by Guardhouse alone: give a word of your own{remedy}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> CompleteWorkAsk:
        if self.success and (self.error_code or self.retry):
            raise ValueError("`error_code` and `retry` go with `success: false`")
        return self


class EndedAnswer(Answer):
    task_id: str
    status: str
    summary: str
    artifacts: tuple[str, ...]
    next: str = Field(description="what its worker says should come next")
    error_code: str
    attempts: int
    auto_closed: tuple[str, ...] = Field(description="the children that were closed with it")
    now_ready: tuple[str, ...] = Field(description="the tasks that waited for it and can be claimed now")
    repeated: bool = Field(description="it had ended so before; this is the first record")


def _ended(ctx: Context, ending: queue.Ending) -> EndedAnswer:
    row = ending.task
    ctx.objects += [f"task:{task_id}" for task_id in (row["id"], *ending.closed)]
    return EndedAnswer(
        task_id=row["id"],
        status=row["status"],
        summary=row["summary"],
        artifacts=tuple(decode(row["artifacts_json"])),
        next=row["next_step"],
        error_code=row["error_code"],
        attempts=row["attempts"],
        auto_closed=tuple(ending.closed),
        now_ready=tuple(ending.ready),
        repeated=ending.repeated,
    )


def _record_texts(ask: CompleteWorkAsk) -> tuple[Examined, ...]:
    return texts_of(
        summary=(ask.summary, "report"),
        result=(ask.result, "report"),
        artifacts=("\n".join(ask.artifacts), "report"),
        next=(ask.next, "report"),
    )


@operation(
    "complete_work",
    Category.WRITE,
    ask=CompleteWorkAsk,
    answer=EndedAnswer,
    resource=named,
    writes=True,
    aliases=("complete_task", "finish_work"),
    texts=_record_texts,
    meanwhile="Your claim does not wait for the answer: keep it with `renew_lease`, or others take the task.",
    ahead=lambda tx, workspace_id, calls: queue.read_endings(tx, workspace_id, [ask.task_id for _who, ask in calls]),
)
def complete_work(ctx: Context, ask: CompleteWorkAsk) -> EndedAnswer:
    """End a task that you hold, done or failed, with a compact record: summary, artifacts, next.

    The whole text is examined first; when that blocks it, the claim stays yours and you can say it
    otherwise. Saying the same again changes nothing. Ending an epic closes its open children: as done, or
    as cancelled where it failed. A claim does not wait for a person who is asked: renew its lease meanwhile.
    Refusals: `stale_fence` and `lease_expired` (stop, it may be another's), `not_holder`,
    `already_ended`, `open_children`, `too_many_children`, `held` (its feature is paused), `not_found`.
    """
    return _ended(
        ctx,
        queue.complete(
            ctx.tx,
            ctx.workspace_id,
            ask.task_id,
            agent_id=ctx.caller.id,
            session_id=ctx.caller.session_id,
            success=ask.success,
            summary=ask.summary,
            fence=ask.fence,
            result=ask.result,
            artifacts=ask.artifacts,
            next_step=ask.next,
            error_code=ask.error_code,
            retry=ask.retry,
            sequence=ctx.sequence,
            permitted=lambda row: _feature_free(ctx, row["feature"]),
        ),
    )


class CancelWorkAsk(Ask):
    task_id: TaskId
    reason: Reason = ""


@operation(
    "cancel_work",
    Category.WRITE,
    ask=CancelWorkAsk,
    answer=EndedAnswer,
    resource=named,
    writes=True,
    aliases=("cancel_task",),
    texts=lambda ask: texts_of(reason=(ask.reason, "report")),
    authority=authority.cancelling,
)
def cancel_work(ctx: Context, ask: CancelWorkAsk) -> EndedAnswer:
    """Cancel a task and its open children, whoever works on them: status `cancelled`, `cancelled_by_orchestrator`.

    Whoever submitted or holds a task may cancel it, and so may orchestrators: agents of that role or of
    trust 3, and people. Its holder's next write is refused as `stale_fence`.
    Refusals: `not_author`, `already_ended`, `not_found`.
    """
    ending = queue.cancel(
        ctx.tx, ctx.workspace_id, ask.task_id, by=ctx.caller.id, reason=ask.reason, sequence=ctx.sequence
    )
    return _ended(ctx, ending)


OPERATIONS = (
    submit_work,
    get_work,
    claim_task,
    renew_lease,
    release_task,
    complete_work,
    cancel_work,
)
