"""Operations on agents: register, list, change trust, retire."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from guardhouse.catalog import Answer, Ask, Context, Home, operation
from guardhouse.errors import Refusal
from guardhouse.gates import profile
from guardhouse.governance import agents, tokens
from guardhouse.model.call import Category, Resource
from guardhouse.operations.fields import (
    AgentId,
    Cursor,
    Label,
    Limit,
    PersonId,
    Reason,
    Repository,
    Slug,
    instant,
    page,
    workspace_resource,
)
from guardhouse.services import locks, queue

Trust = Annotated[
    int, Field(ge=0, le=4, description="0 suspended, 1 reads, 2 reads and writes, 3 also admin, 4 the most trusted")
]


class AddAgentAsk(Ask):
    handle: Slug
    trust: Trust
    role: Slug = "agent"
    profile: Slug | None = Field(None, description="the profile that limits it; none: the role's or the default one")
    owner: PersonId | None = Field(None, description="the person who answers for it; none: whoever adds it")
    delegated_by: AgentId | None = Field(
        None, description="the agent on whose behalf it acts; its trust caps this one's"
    )
    repository: Repository = ""
    label: Label = ""


class AddAgentAnswer(Answer):
    agent_id: str
    handle: str
    role: str
    trust: int
    profile: str
    owner: str
    delegated_by: str
    session_id: str
    token_id: str
    token: str = Field(description="the bearer token; shown this once and kept nowhere")
    token_expires_at: str


@operation(
    "add_agent",
    Category.ADMIN,
    ask=AddAgentAsk,
    answer=AddAgentAnswer,
    resource=lambda _ask, _home: Resource("Agent", "new"),
    writes=True,
    people_only=True,
    secret_outputs=("token",),
)
def add_agent(ctx: Context, ask: AddAgentAsk) -> AddAgentAnswer:
    """Register an agent and issue its first token.

    The token is shown in this answer and nowhere else; it lasts 90 days. A handle is given once: an
    agent that retired keeps its own. Refusals: `handle_taken`, `not_found`, `delegation_too_deep`.
    """
    profiles = ctx.bundle.rules[profile.NAME].profiles
    if ask.profile and ask.profile not in profiles:
        raise Refusal(
            "not_found",
            f"the law in force has no profile `{ask.profile}`: use one of {', '.join(sorted(profiles))}",
            profiles=sorted(profiles),
        )
    row = agents.add(
        ctx.tx,
        ctx.ids,
        ctx.workspace_id,
        handle=ask.handle,
        role=ask.role,
        trust=ask.trust,
        profile=ask.profile or "",
        owner=ask.owner or ctx.caller.id,
        delegated_by=ask.delegated_by or "",
    )
    issued = tokens.issue(
        ctx.tx, ctx.ids, ctx.workspace_id, "agent", row["id"], label=ask.label, repository=ask.repository
    )
    ctx.objects += [f"agent:{row['id']}", f"token:{issued.token_id}"]
    return AddAgentAnswer(
        agent_id=row["id"],
        handle=row["handle"],
        role=row["role"],
        trust=row["trust"],
        profile=row["profile"],
        owner=row["owner"],
        delegated_by=row["delegated_by"],
        session_id=issued.session_id,
        token_id=issued.token_id,
        token=issued.text,
        token_expires_at=instant(issued.expires_at),
    )


class ListAgentsAsk(Ask):
    limit: Limit = 100
    after: Cursor = ""
    retired: bool = Field(False, description="also those that retired")


class AgentItem(Answer):
    agent_id: str
    handle: str
    role: str
    trust: int
    profile: str
    owner: str
    delegated_by: str
    created_at: str
    retired_at: str


class ListAgentsAnswer(Answer):
    agents: tuple[AgentItem, ...]
    more: bool
    next: str


@operation(
    "list_agents",
    Category.READ,
    ask=ListAgentsAsk,
    answer=ListAgentsAnswer,
    resource=workspace_resource,
    people_only=True,
)
def list_agents(ctx: Context, ask: ListAgentsAsk) -> ListAgentsAnswer:
    """List the agents of this workspace in order of their handles."""
    rows, more, following = page(
        agents.listed(ctx.tx, ctx.workspace_id, ask.limit + 1, ask.after, retired=ask.retired), ask.limit, "handle"
    )
    items = tuple(
        AgentItem(
            agent_id=row["id"],
            handle=row["handle"],
            role=row["role"],
            trust=row["trust"],
            profile=row["profile"],
            owner=row["owner"],
            delegated_by=row["delegated_by"],
            created_at=instant(row["created_at"]),
            retired_at=instant(row["retired_at"]),
        )
        for row in rows
    )
    return ListAgentsAnswer(agents=items, more=more, next=following)


def _agent(ask: RetireAgentAsk | SetTrustAsk, _home: Home) -> Resource:
    return Resource("Agent", ask.agent_id)


class SetTrustAsk(Ask):
    agent_id: AgentId
    trust: Trust
    reason: Reason = ""


class SetTrustAnswer(Answer):
    agent_id: str
    trust: int
    previous_trust: int


@operation(
    "set_trust",
    Category.ADMIN,
    ask=SetTrustAsk,
    answer=SetTrustAnswer,
    resource=_agent,
    writes=True,
    people_only=True,
)
def set_trust(ctx: Context, ask: SetTrustAsk) -> SetTrustAnswer:
    """Give an agent another trust level, from its very next call.

    Trust 0 suspends it. Agents that act on its behalf are capped by the new level at once.
    Refusal: `not_found`.
    """
    before = agents.set_trust(ctx.tx, ctx.workspace_id, ask.agent_id, ask.trust)
    ctx.objects.append(f"agent:{ask.agent_id}")
    return SetTrustAnswer(agent_id=ask.agent_id, trust=ask.trust, previous_trust=before["trust"])


class RetireAgentAsk(Ask):
    agent_id: AgentId
    reason: Reason = ""


class RetireAgentAnswer(Answer):
    agent_id: str
    tokens_revoked: int
    locks_released: int
    tasks_released: int


@operation(
    "retire_agent",
    Category.ADMIN,
    ask=RetireAgentAsk,
    answer=RetireAgentAnswer,
    resource=_agent,
    writes=True,
    people_only=True,
)
def retire_agent(ctx: Context, ask: RetireAgentAsk) -> RetireAgentAnswer:
    """End an agent for good: its tokens and sessions are revoked, its locks and tasks given back, at once.

    Its tasks lie in their lanes again, at the cost of no attempt. Its entries and its handle stay. Agents that act
    on its behalf lose the trust it lent them. Refusal: `not_found`.
    """
    revoked = agents.retire(ctx.tx, ctx.workspace_id, ask.agent_id)
    held = locks.list_held(ctx.tx, ctx.workspace_id, agent_id=ask.agent_id, limit=_MOST_NAMED).rows
    released = locks.release_all(ctx.tx, ctx.workspace_id, ask.agent_id, "holder_retired")
    tasks = queue.give_back(ctx.tx, ctx.workspace_id, ask.agent_id)
    ctx.objects += [f"agent:{ask.agent_id}", *(f"lock:{row['id']}" for row in held)]
    ctx.objects += [f"task:{task_id}" for task_id in tasks[:_MOST_NAMED]]
    return RetireAgentAnswer(
        agent_id=ask.agent_id, tokens_revoked=revoked, locks_released=released, tasks_released=len(tasks)
    )


_MOST_NAMED = 200
"""How many of the locks and of the tasks the entry names; the answer counts them all."""


OPERATIONS = (add_agent, list_agents, set_trust, retire_agent)
