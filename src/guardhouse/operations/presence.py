"""Operations of presence: register, heartbeat, discover, and free what the silent hold."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from guardhouse.catalog import Answer, Ask, Context, Home, operation
from guardhouse.errors import Refusal
from guardhouse.guardrails.text import Examined
from guardhouse.model.call import Category, Resource
from guardhouse.model.repositories import DEFAULT_REPOSITORY
from guardhouse.operations.fields import (
    AgentId,
    HomeRepository,
    Limit,
    RepositoryFilter,
    home_repository,
    instant,
    principal_resource,
)
from guardhouse.services import locks, presence, queue


def require_present(ctx: Context) -> None:
    """Whoever acquires must be there: `heartbeat_required` for an agent's session that fell silent. People need none."""
    if ctx.caller.kind == "agent" and not ctx.present:
        presence.require_present(
            ctx.tx,
            ctx.workspace_id,
            ctx.caller.id,
            ctx.caller.session_id,
            repository=home_repository("", ctx.caller),
        )


Capability = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.:+-]{0,59}$", description="such as `python` or `review`")]
Capabilities = Annotated[tuple[Capability, ...], Field(max_length=50)]
AgentType = Annotated[str, Field(max_length=60, pattern=r"^([A-Za-z0-9][A-Za-z0-9 ._-]*)?$")]
Branch = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x20\x7f]*$", description="the branch it works on")]
TaskId = Annotated[str, Field(pattern=r"^(tsk_[0-9a-z]{1,60})?$", description="the task it works on")]
Activity = Annotated[
    str, Field(pattern=r"^([a-z][a-z0-9_]{0,59})?$", description="one word, such as `working` or `waiting`")
]
SessionCursor = Annotated[str, Field(pattern=r"^(ses_[0-9a-z]{1,60})?$", description="`next` of the page before")]

_TTL_SECONDS = presence.PRESENCE_TTL // 1_000_000
_MOST_FREED = 200


def _own(_ask: Ask, home: Home) -> Resource:
    return principal_resource(home.principal_id, home)


class SessionItem(Answer):
    agent_id: str
    session_id: str
    status: str = Field(description="`active`, `silent`, or `gone` (silent, and what it held was given back)")
    agent_type: str
    capabilities: tuple[str, ...]
    repository: str
    branch: str
    task_id: str
    activity: str
    registered_at: str
    last_seen_at: str


def _item(ctx: Context, row: presence.Row) -> SessionItem:
    return SessionItem(
        agent_id=row["agent_id"],
        session_id=row["session_id"],
        status=presence.status_of(row, ctx.now),
        agent_type=row["agent_type"],
        capabilities=presence.capabilities_of(row),
        repository=row["repository"] or DEFAULT_REPOSITORY,
        branch=row["branch"],
        task_id=row["task_id"],
        activity=row["activity"],
        registered_at=instant(row["registered_at"]),
        last_seen_at=instant(row["last_seen_at"]),
    )


class RegisterSessionAsk(Ask):
    capabilities: Capabilities = ()
    agent_type: AgentType = ""
    repository: HomeRepository = ""
    branch: Branch = ""
    task_id: TaskId = ""
    activity: Activity = ""


class RegisterSessionAnswer(SessionItem):
    heartbeat_seconds: int = Field(description="after so long without a call, an agent is silent")


@operation(
    "register_session",
    Category.WRITE,
    ask=RegisterSessionAsk,
    answer=RegisterSessionAnswer,
    resource=_own,
    writes=True,
    texts=lambda ask: (Examined("agent_type", ask.agent_type, "prose"),) if ask.agent_type else (),
)
def register_session(ctx: Context, ask: RegisterSessionAsk) -> RegisterSessionAnswer:
    """Say what this session is and can do, so that others find it. Said again, it replaces what was said before."""
    row = presence.register(
        ctx.tx,
        ctx.workspace_id,
        agent_id=ctx.caller.id,
        session_id=ctx.caller.session_id,
        capabilities=ask.capabilities,
        agent_type=ask.agent_type,
        repository=home_repository(ask.repository, ctx.caller),
        branch=ask.branch,
        task_id=ask.task_id,
        activity=ask.activity,
    )
    ctx.objects.append(f"session:{ctx.caller.session_id}")
    return RegisterSessionAnswer(**_item(ctx, row).model_dump(), heartbeat_seconds=_TTL_SECONDS)


class HeartbeatAsk(Ask):
    activity: Activity | None = None
    branch: Branch | None = None
    task_id: TaskId | None = None


class HeldTask(Answer):
    task_id: str
    fence: int
    lease_until: str


class HeartbeatAnswer(Answer):
    session_id: str
    was: str = Field(description="what this session counted as until now: `active`, `silent`, `gone` or `new`")
    tasks: tuple[HeldTask, ...] = Field(description="the tasks that this session still holds")
    heartbeat_seconds: int


@operation("heartbeat", Category.WRITE, ask=HeartbeatAsk, answer=HeartbeatAnswer, resource=_own, writes=True)
def heartbeat(ctx: Context, ask: HeartbeatAsk) -> HeartbeatAnswer:
    """Give a sign of life, and learn which tasks this session still holds.

    Every call that is let in counts as one, also when a policy or a guardrail then refuses it, so a working agent
    needs no loop. After a long silence only a heartbeat (or registering again) brings a session back, and
    what it held may be another's by then.
    """
    _row, was = presence.heartbeat(
        ctx.tx,
        ctx.workspace_id,
        agent_id=ctx.caller.id,
        session_id=ctx.caller.session_id,
        activity=ask.activity,
        branch=ask.branch,
        task_id=ask.task_id,
        repository=home_repository("", ctx.caller),
    )
    held = queue.held_by(ctx.tx, ctx.workspace_id, ctx.caller.id, (ctx.caller.session_id,), limit=50)
    return HeartbeatAnswer(
        session_id=ctx.caller.session_id,
        was=was,
        tasks=tuple(
            HeldTask(task_id=row["id"], fence=row["fence"], lease_until=instant(row["lease_until"])) for row in held
        ),
        heartbeat_seconds=_TTL_SECONDS,
    )


class DiscoverAgentsAsk(Ask):
    capabilities: Annotated[Capabilities, Field(description="all of them")] = ()
    status: Literal["active", "silent", "gone", "any"] = "active"
    agent_type: AgentType = ""
    repository: RepositoryFilter = ""
    with_agent_id: AgentId | None = Field(None, description="only the sessions of this agent")
    limit: Limit = 100
    after: SessionCursor = ""


class DiscoverAgentsAnswer(Answer):
    sessions: tuple[SessionItem, ...]
    more: bool
    next: str


@operation(
    "discover_agents",
    Category.READ,
    ask=DiscoverAgentsAsk,
    answer=DiscoverAgentsAnswer,
    resource=lambda _ask, _home: Resource("Agent", "all"),
    aliases=("list_sessions",),
)
def discover_agents(ctx: Context, ask: DiscoverAgentsAsk) -> DiscoverAgentsAnswer:
    """Find agents by what they can do: each running session with its capabilities, branch, task and status."""
    rows, more = presence.discover(
        ctx.tx,
        ctx.workspace_id,
        ask.limit,
        capabilities=ask.capabilities,
        status="" if ask.status == "any" else ask.status,
        agent_type=ask.agent_type,
        repository=ask.repository,
        agent_id=ask.with_agent_id or "",
        after=ask.after,
    )
    return DiscoverAgentsAnswer(
        sessions=tuple(_item(ctx, row) for row in rows), more=more, next=rows[-1]["session_id"] if more else ""
    )


class FreeSilentAgentAsk(Ask):
    agent_id: AgentId


class FreeSilentAgentAnswer(Answer):
    agent_id: str
    sessions: tuple[str, ...]
    locks: tuple[str, ...] = Field(description="the keys that were given back")
    tasks: tuple[str, ...] = Field(
        description="the tasks that reopened, or failed where that was their last attempt, with an epic its children"
    )
    more: bool = Field(description="whether it holds still more; ask again")


@operation(
    "free_silent_agent",
    Category.ADMIN,
    ask=FreeSilentAgentAsk,
    answer=FreeSilentAgentAnswer,
    resource=lambda ask, _home: Resource("Agent", ask.agent_id),
    writes=True,
)
def free_silent_agent(ctx: Context, ask: FreeSilentAgentAsk) -> FreeSilentAgentAnswer:
    """Give back what an agent's silent sessions hold: their locks, and their tasks at the cost of an attempt.

    Only sessions that nothing was heard of for 15 minutes are touched; a live one keeps what it holds.
    Refusal: `not_silent`.
    """
    silent = presence.silent(ctx.tx, ctx.workspace_id, _MOST_FREED, agent_id=ask.agent_id)
    sessions = tuple(row["session_id"] for row in silent)
    if not sessions:
        raise Refusal("not_silent", f"no session of agent `{ask.agent_id}` is silent with something left to free")
    freed = [
        row
        for row in locks.list_held(ctx.tx, ctx.workspace_id, agent_id=ask.agent_id, limit=_MOST_FREED).rows
        if row["session_id"] in sessions
    ]
    locks.release_all(ctx.tx, ctx.workspace_id, ask.agent_id, "dead", sessions=sessions)
    tasks = queue.free(ctx.tx, ctx.workspace_id, ask.agent_id, sessions, limit=_MOST_FREED)
    left = queue.held_by(ctx.tx, ctx.workspace_id, ask.agent_id, sessions, limit=1)
    if not left:
        presence.mark_freed(ctx.tx, ctx.workspace_id, sessions)
    ctx.objects += [f"session:{session}" for session in sessions]
    ctx.objects += [f"lock:{row['id']}" for row in freed] + [f"task:{row['id']}" for row in tasks]
    return FreeSilentAgentAnswer(
        agent_id=ask.agent_id,
        sessions=sessions,
        locks=tuple(row["key"] for row in freed),
        tasks=tuple(row["id"] for row in tasks),
        more=bool(left) or len(silent) == _MOST_FREED,
    )


OPERATIONS = (register_session, heartbeat, discover_agents, free_silent_agent)
