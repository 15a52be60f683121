"""Operations of control: pause, resume, suspend, reinstate and stop."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from guardhouse.catalog import Answer, Ask, Context, Home, operation
from guardhouse.errors import Refusal
from guardhouse.governance import agents, control
from guardhouse.model.call import Category, Resource
from guardhouse.model.instants import SECOND
from guardhouse.operations.fields import (
    AgentId,
    Cursor,
    Limit,
    Reason,
    RequiredReason,
    instant,
    page,
    workspace_resource,
)

PauseSeconds = Annotated[
    int, Field(ge=1, le=604_800, description="how long the pause lasts unless resumed; at most seven days")
]


class PauseAgentAsk(Ask):
    agent_id: AgentId
    seconds: PauseSeconds = 3600
    reason: Reason = ""


class AgentAsk(Ask):
    agent_id: AgentId
    reason: Reason = ""


class PauseWorkspaceAsk(Ask):
    seconds: PauseSeconds = 3600
    reason: Reason = ""


class ReasonAsk(Ask):
    reason: RequiredReason


class EmptyAsk(Ask):
    reason: Reason = ""


class OrderAnswer(Answer):
    control_id: str
    subject_kind: str
    subject_id: str
    state: str
    until: str = Field(description="when it ends by itself; empty: when somebody lifts it")


class LiftedAnswer(Answer):
    subject_kind: str
    subject_id: str
    lifted: int
    still_paused_until: str = Field(description="the end of the longest pause that others put and that still runs")


def _agent(ask: PauseAgentAsk | AgentAsk, _home: Home) -> Resource:
    return Resource("Agent", ask.agent_id)


def _order(ctx: Context, subject: control.Subject, state: str, reason: str, seconds: int = 0) -> OrderAnswer:
    if subject[0] == "agent":
        agents.active(ctx.tx, ctx.workspace_id, subject[1])
    until = ctx.now + seconds * SECOND if seconds else 0
    row = control.order(ctx.tx, ctx.ids, ctx.workspace_id, subject, state, ctx.caller, reason, until)
    ctx.objects += [f"control:{row['id']}", f"{subject[0]}:{subject[1]}"]
    return OrderAnswer(
        control_id=row["id"], subject_kind=subject[0], subject_id=subject[1], state=state, until=instant(until)
    )


def _resume(ctx: Context, subject: control.Subject) -> LiftedAnswer:
    lifted, left = control.resume(ctx.tx, ctx.workspace_id, subject, ctx.caller)
    ctx.objects.append(f"{subject[0]}:{subject[1]}")
    return LiftedAnswer(
        subject_kind=subject[0],
        subject_id=subject[1],
        lifted=lifted,
        still_paused_until=instant(max((row["until"] for row in left), default=0)),
    )


@operation("pause_agent", Category.ADMIN, ask=PauseAgentAsk, answer=OrderAnswer, resource=_agent, writes=True)
def pause_agent(ctx: Context, ask: PauseAgentAsk) -> OrderAnswer:
    """Pause an agent for a while, from its very next call; the pause ends by itself.

    Pausing again moves the end of your own pause; others' pauses stay as they are. Refusal: `not_found`.
    """
    return _order(ctx, ("agent", ask.agent_id), control.PAUSED, ask.reason, ask.seconds)


@operation("resume_agent", Category.ADMIN, ask=AgentAsk, answer=LiftedAnswer, resource=_agent, writes=True)
def resume_agent(ctx: Context, ask: AgentAsk) -> LiftedAnswer:
    """End a pause early: your own, or as an operator every one.

    Refusals: `not_paused`, `not_found`, and `not_pauser` when only others' pauses run.
    """
    return _resume(ctx, ("agent", ask.agent_id))


@operation(
    "suspend_agent", Category.ADMIN, ask=AgentAsk, answer=OrderAnswer, resource=_agent, writes=True, people_only=True
)
def suspend_agent(ctx: Context, ask: AgentAsk) -> OrderAnswer:
    """Refuse everything an agent asks, from its very next call, until a person reinstates it.

    Agents that act on its behalf lose the trust it lent them. Refusal: `not_found`.
    """
    return _order(ctx, ("agent", ask.agent_id), control.SUSPENDED, ask.reason)


@operation(
    "stop_agent", Category.ADMIN, ask=AgentAsk, answer=OrderAnswer, resource=_agent, writes=True, people_only=True
)
def stop_agent(ctx: Context, ask: AgentAsk) -> OrderAnswer:
    """Tell an agent to end its work: like a suspension, but it should not wait for better times. Refusal: `not_found`."""
    return _order(ctx, ("agent", ask.agent_id), control.STOPPED, ask.reason)


@operation(
    "reinstate_agent",
    Category.ADMIN,
    ask=AgentAsk,
    answer=LiftedAnswer,
    resource=_agent,
    writes=True,
    people_only=True,
)
def reinstate_agent(ctx: Context, ask: AgentAsk) -> LiftedAnswer:
    """Lift every suspension and stop of an agent. Pauses stay. Refusals: `not_suspended`, `not_found`."""
    lifted = control.reinstate(ctx.tx, ctx.workspace_id, ("agent", ask.agent_id))
    ctx.objects.append(f"agent:{ask.agent_id}")
    return LiftedAnswer(subject_kind="agent", subject_id=ask.agent_id, lifted=lifted, still_paused_until="")


@operation(
    "pause_workspace",
    Category.ADMIN,
    ask=PauseWorkspaceAsk,
    answer=OrderAnswer,
    resource=workspace_resource,
    writes=True,
    people_only=True,
)
def pause_workspace(ctx: Context, ask: PauseWorkspaceAsk) -> OrderAnswer:
    """Pause every agent of the workspace for a while; people go on governing."""
    return _order(ctx, ("workspace", ctx.workspace_id), control.PAUSED, ask.reason, ask.seconds)


@operation(
    "stop_workspace",
    Category.ADMIN,
    ask=ReasonAsk,
    answer=OrderAnswer,
    resource=workspace_resource,
    writes=True,
    people_only=True,
)
def stop_workspace(ctx: Context, ask: ReasonAsk) -> OrderAnswer:
    """Stop every agent of the workspace until an operator resumes it; people go on governing."""
    return _order(ctx, ("workspace", ctx.workspace_id), control.STOPPED, ask.reason)


@operation(
    "resume_workspace",
    Category.ADMIN,
    ask=EmptyAsk,
    answer=LiftedAnswer,
    resource=workspace_resource,
    writes=True,
    people_only=True,
)
def resume_workspace(ctx: Context, _ask: EmptyAsk) -> LiftedAnswer:
    """End a pause or a stop of the workspace: your own pause, or as an operator everything.

    Refusals: `not_paused`, `not_pauser`, and `wrong_role` when it was stopped and you are no operator.
    """
    subject = ("workspace", ctx.workspace_id)
    if not control.stopped(ctx.tx, ctx.workspace_id, subject):
        return _resume(ctx, subject)
    if "operator" not in ctx.caller.roles:
        raise Refusal("wrong_role", "only an operator starts a stopped workspace again")
    lifted = control.reinstate(ctx.tx, ctx.workspace_id, subject)
    lifted += control.lift_pauses(ctx.tx, ctx.workspace_id, subject)
    ctx.objects.append(f"workspace:{ctx.workspace_id}")
    return LiftedAnswer(subject_kind=subject[0], subject_id=subject[1], lifted=lifted, still_paused_until="")


class ListControlsAsk(Ask):
    limit: Limit = 100
    after: Cursor = ""
    ended: bool = Field(False, description="also those that are over")


class ControlItem(Answer):
    control_id: str
    subject_kind: str
    subject_id: str
    state: str
    by_kind: str
    by_id: str
    reason: str
    set_at: str
    until: str
    ended_at: str


class ListControlsAnswer(Answer):
    controls: tuple[ControlItem, ...]
    more: bool
    next: str


@operation(
    "list_controls",
    Category.READ,
    ask=ListControlsAsk,
    answer=ListControlsAnswer,
    resource=workspace_resource,
    people_only=True,
)
def list_controls(ctx: Context, ask: ListControlsAsk) -> ListControlsAnswer:
    """List the standing orders on agents and the workspace, oldest first: state, by whom, why and until when."""
    rows, more, following = page(
        control.listed(ctx.tx, ctx.workspace_id, ask.limit + 1, ask.after, ended=ask.ended), ask.limit, "id"
    )
    items = tuple(
        ControlItem(
            control_id=row["id"],
            subject_kind=row["subject_kind"],
            subject_id=row["subject_id"],
            state=row["state"],
            by_kind=row["by_kind"],
            by_id=row["by_id"],
            reason=row["reason"],
            set_at=instant(row["set_at"]),
            until=instant(row["until"]),
            ended_at=instant(row["ended_at"]),
        )
        for row in rows
    )
    return ListControlsAnswer(controls=items, more=more, next=following)


OPERATIONS = (
    pause_agent,
    resume_agent,
    suspend_agent,
    reinstate_agent,
    stop_agent,
    pause_workspace,
    resume_workspace,
    stop_workspace,
    list_controls,
)
