"""Operations of mode: observe a scope for a while, enforce it again, list."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from guardhouse.catalog import Answer, Ask, Context, operation
from guardhouse.errors import Refusal
from guardhouse.governance import agents, modes
from guardhouse.model.call import Category
from guardhouse.model.instants import SECOND
from guardhouse.operations.fields import Cursor, Limit, Reason, instant, page, workspace_resource

_MOST_TOLD = 20
Scope = Literal["workspace", "agent", "role", "pack"]
ScopeId = Annotated[
    str,
    Field(
        max_length=200,
        pattern=r"^[A-Za-z0-9_.-]*$",
        description="the agent's id, the role's or the pack's name; empty for the workspace",
    ),
]


class SetModeAsk(Ask):
    scope: Scope
    id: ScopeId = ""
    mode: Literal["observe"] = "observe"
    seconds: Annotated[
        int, Field(ge=60, le=2_592_000, description="how long; it enforces again by itself after at most 30 days")
    ]
    reason: Reason = ""


class ModeAnswer(Answer):
    mode_id: str
    scope: str
    id: str
    mode: str
    until: str


def _scope_id(ctx: Context, scope: str, scope_id: str) -> str:
    """The canonical id of a scope; Refusal `not_found` when nothing bears it."""
    if scope == "workspace":
        if scope_id not in ("", ctx.workspace_id):
            raise Refusal("not_found", "a mode is set for your own workspace only; leave `id` empty")
        return ctx.workspace_id
    if not scope_id:
        raise Refusal("not_found", f"name the {scope} in `id`")
    return scope_id


@operation(
    "set_mode",
    Category.ADMIN,
    ask=SetModeAsk,
    answer=ModeAnswer,
    resource=workspace_resource,
    writes=True,
    people_only=True,
)
def set_mode(ctx: Context, ask: SetModeAsk) -> ModeAnswer:
    """Observe instead of enforce, for the workspace, an agent, a role or a guardrail pack.

    While observed, what the profile, policy, network, guardrail and approval gates would deny or hold is
    performed, and its entry says what would have been. Identity, control and the pack that protects
    Guardhouse itself always bind. It ends by itself. Refusals: `always_binds`, `mode_too_long`, `not_found`.
    """
    scope_id = _scope_id(ctx, ask.scope, ask.id)
    if ask.scope == "agent":
        agents.active(ctx.tx, ctx.workspace_id, scope_id)
    if ask.scope == "role":
        known = agents.roles(ctx.tx, ctx.workspace_id)
        if scope_id not in known:
            told = ", ".join(f"`{role}`" for role in known[:_MOST_TOLD]) or "none yet: `add_agent` gives the first"
            raise Refusal("not_found", f"no agent has the role `{scope_id}`; roles there are: {told}")
    if (
        ask.scope == "pack"
        and scope_id != modes.PROTECTING_PACK
        and all(rule.pack != scope_id for rule in ctx.bundle.packs.rules.values())
    ):
        raise Refusal("not_found", f"the active bundle has no pack `{scope_id}`")
    row = modes.observe(
        ctx.tx,
        ctx.ids,
        ctx.workspace_id,
        ask.scope,
        scope_id,
        by_id=ctx.caller.id,
        until=ctx.now + ask.seconds * SECOND,
        reason=ask.reason,
    )
    ctx.objects.append(f"mode:{row['id']}")
    return ModeAnswer(mode_id=row["id"], scope=ask.scope, id=scope_id, mode="observe", until=instant(row["until"]))


class EndModeAsk(Ask):
    scope: Scope
    id: ScopeId = ""
    reason: Reason = ""


@operation(
    "end_mode",
    Category.ADMIN,
    ask=EndModeAsk,
    answer=ModeAnswer,
    resource=workspace_resource,
    writes=True,
    people_only=True,
)
def end_mode(ctx: Context, ask: EndModeAsk) -> ModeAnswer:
    """Enforce a scope again at once. Refusals: `not_observed`, `not_found`."""
    scope_id = _scope_id(ctx, ask.scope, ask.id)
    row = modes.end(ctx.tx, ctx.workspace_id, ask.scope, scope_id)
    ctx.objects.append(f"mode:{row['id']}")
    return ModeAnswer(mode_id=row["id"], scope=ask.scope, id=scope_id, mode="enforce", until=instant(row["ended_at"]))


class ListModesAsk(Ask):
    limit: Limit = 100
    after: Cursor = ""
    ended: bool = Field(False, description="also those that are over")


class ModeItem(Answer):
    mode_id: str
    scope: str
    id: str
    by_id: str
    reason: str
    set_at: str
    until: str
    ended_at: str


class ListModesAnswer(Answer):
    modes: tuple[ModeItem, ...]
    more: bool
    next: str


@operation(
    "list_modes",
    Category.READ,
    ask=ListModesAsk,
    answer=ListModesAnswer,
    resource=workspace_resource,
    people_only=True,
)
def list_modes(ctx: Context, ask: ListModesAsk) -> ListModesAnswer:
    """List what is observed instead of enforced, oldest first: by whom, why and until when."""
    rows, more, following = page(
        modes.listed(ctx.tx, ctx.workspace_id, ask.limit + 1, ask.after, ended=ask.ended), ask.limit, "id"
    )
    items = tuple(
        ModeItem(
            mode_id=row["id"],
            scope=row["scope_kind"],
            id=row["scope_id"],
            by_id=row["by_id"],
            reason=row["reason"],
            set_at=instant(row["set_at"]),
            until=instant(row["until"]),
            ended_at=instant(row["ended_at"]),
        )
        for row in rows
    )
    return ListModesAnswer(modes=items, more=more, next=following)


OPERATIONS = (set_mode, end_mode, list_modes)
