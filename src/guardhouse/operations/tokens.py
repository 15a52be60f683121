"""Operations on tokens and sessions: issue, list, rotate, renew, revoke."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from guardhouse.catalog import Answer, Ask, Context, Home, operation
from guardhouse.errors import Refusal
from guardhouse.governance import agents, people, tokens
from guardhouse.model.call import Category, Resource
from guardhouse.operations.fields import (
    AGENT_PREFIX,
    Cursor,
    Label,
    Limit,
    Reason,
    Repository,
    TokenId,
    instant,
    page,
    principal_resource,
    workspace_resource,
)

PrincipalId = Annotated[
    str, Field(pattern=r"^(agt|per)_[0-9a-z]{1,60}$", description="the agent or person it stands for")
]


class IssueTokenAsk(Ask):
    principal_id: PrincipalId
    session: bool = Field(False, description="a short token of 12 hours, kept alive by `renew_session`")
    repository: Repository = ""
    label: Label = ""


class IssueTokenAnswer(Answer):
    token_id: str
    session_id: str
    principal_id: str
    token: str = Field(description="the bearer token; shown this once and kept nowhere")
    expires_at: str


@operation(
    "issue_token",
    Category.ADMIN,
    ask=IssueTokenAsk,
    answer=IssueTokenAnswer,
    resource=lambda ask, home: principal_resource(ask.principal_id, home),
    writes=True,
    people_only=True,
    secret_outputs=("token",),
)
def issue_token(ctx: Context, ask: IssueTokenAsk) -> IssueTokenAnswer:
    """Issue another token for an agent (90 days) or a person (30 days), with a session of its own.

    With `session` it lasts 12 hours unless renewed. The token is shown in this answer and nowhere else.
    For another person it takes somebody who is both operator and security, and the entry says so: whoever
    holds a person's token can answer their own question as them. Refusals: `wrong_role`, `not_found`.
    """
    kind = "agent" if ask.principal_id.startswith(AGENT_PREFIX) else "person"
    if kind == "agent":
        agents.active(ctx.tx, ctx.workspace_id, ask.principal_id)
    elif people.get(ctx.tx, ctx.workspace_id, ask.principal_id)["disabled_at"]:
        raise Refusal("already_disabled", f"person `{ask.principal_id}` is disabled")
    elif ask.principal_id != ctx.caller.id:
        _speak_for(ctx, ask.principal_id)
    issued = tokens.issue(
        ctx.tx,
        ctx.ids,
        ctx.workspace_id,
        kind,
        ask.principal_id,
        kind="session" if ask.session else kind,
        label=ask.label,
        repository=ask.repository,
    )
    ctx.objects.append(f"token:{issued.token_id}")
    return IssueTokenAnswer(
        token_id=issued.token_id,
        session_id=issued.session_id,
        principal_id=ask.principal_id,
        token=issued.text,
        expires_at=instant(issued.expires_at),
    )


class ListTokensAsk(Ask):
    principal_id: PrincipalId | None = Field(None, description="only this agent's or person's tokens")
    limit: Limit = 100
    after: Cursor = ""


class TokenItem(Answer):
    token_id: str
    kind: str
    principal_kind: str
    principal_id: str
    session_id: str
    label: str
    issued_at: str
    expires_at: str
    revoked_at: str = Field(description="when it stops or stopped working; may lie ahead after a rotation")
    live: bool


class ListTokensAnswer(Answer):
    tokens: tuple[TokenItem, ...]
    more: bool
    next: str


@operation(
    "list_tokens",
    Category.READ,
    ask=ListTokensAsk,
    answer=ListTokensAnswer,
    resource=workspace_resource,
    people_only=True,
)
def list_tokens(ctx: Context, ask: ListTokensAsk) -> ListTokensAnswer:
    """List tokens, oldest first, live and ended: whose they are and until when, never their text or hash."""
    rows, more, following = page(
        tokens.listed(ctx.tx, ctx.workspace_id, ask.principal_id or "", ask.limit + 1, ask.after), ask.limit, "id"
    )
    items = tuple(
        TokenItem(
            token_id=row["id"],
            kind=row["kind"],
            principal_kind=row["principal_kind"],
            principal_id=row["principal_id"],
            session_id=row["session_id"],
            label=row["label"],
            issued_at=instant(row["issued_at"]),
            expires_at=instant(row["expires_at"]),
            revoked_at=instant(row["revoked_at"]),
            live=ctx.now < row["expires_at"] and not 0 < row["revoked_at"] <= ctx.now,
        )
        for row in rows
    )
    return ListTokensAnswer(tokens=items, more=more, next=following)


class RotateTokenAsk(Ask):
    token_id: TokenId | None = Field(None, description="which token; none: the one that this call carries")


class RotateTokenAnswer(Answer):
    token_id: str
    session_id: str
    token: str = Field(description="the new bearer token; shown this once and kept nowhere")
    expires_at: str
    old_token_id: str
    old_token_ends_at: str = Field(description="until when the old token still works: ten minutes")


def _speak_for(ctx: Context, person_id: str) -> None:
    """Let a caller have another person's token, as a recorded exception. Refusal `wrong_role`."""
    if not {"operator", "security"} <= set(ctx.caller.roles):
        raise Refusal("wrong_role", "another person's token takes somebody who is both operator and security")
    ctx.objects.append(f"exception:person_token:{person_id}")


@operation(
    "rotate_token",
    Category.WRITE,
    ask=RotateTokenAsk,
    answer=RotateTokenAnswer,
    resource=lambda _ask, home: principal_resource(home.principal_id, home),
    writes=True,
    secret_outputs=("token",),
)
def rotate_token(ctx: Context, ask: RotateTokenAsk) -> RotateTokenAnswer:
    """Exchange a token for a new one in the same session; the old one works for ten minutes more.

    An agent rotates the token it calls with, people all of theirs; an operator also an agent's, and who is
    both operator and security another person's. A token is rotated once, and one that was rotated away
    rotates nothing. Refusals: `token_not_live`, `wrong_role`, `not_found`.
    """
    token_id = ask.token_id or ctx.caller.token_id
    owner = tokens.get(ctx.tx, ctx.workspace_id, token_id)["principal_id"]
    if ctx.caller.token_revoked_at:
        raise Refusal("token_not_live", "the token you call with was rotated; call with its successor")
    if owner == ctx.caller.id:
        if ctx.caller.kind == "agent" and token_id != ctx.caller.token_id:
            raise Refusal("not_found", "an agent rotates only the token it calls with")
    else:
        if ctx.caller.kind != "person":
            raise Refusal("not_found", f"there is no token `{token_id}` of yours")
        if "operator" not in ctx.caller.roles:
            raise Refusal("wrong_role", "only an operator rotates another's token")
        if not owner.startswith(AGENT_PREFIX):
            _speak_for(ctx, owner)
    issued, old_ends = tokens.rotate(ctx.tx, ctx.ids, ctx.workspace_id, token_id)
    ctx.objects += [f"token:{token_id}", f"token:{issued.token_id}"]
    return RotateTokenAnswer(
        token_id=issued.token_id,
        session_id=issued.session_id,
        token=issued.text,
        expires_at=instant(issued.expires_at),
        old_token_id=token_id,
        old_token_ends_at=instant(old_ends),
    )


class RenewSessionAsk(Ask):
    pass


class RenewSessionAnswer(Answer):
    session_id: str
    expires_at: str
    renewed: bool = Field(description="false for a session that lasts as long as its token; rotate that instead")


def _own(_ask: RenewSessionAsk, home: Home) -> Resource:
    return principal_resource(home.principal_id, home)


@operation("renew_session", Category.WRITE, ask=RenewSessionAsk, answer=RenewSessionAnswer, resource=_own, writes=True)
def renew_session(ctx: Context, _ask: RenewSessionAsk) -> RenewSessionAnswer:
    """Keep this session alive: a session token then lasts 12 hours from now.

    The sessions of 90-day and 30-day tokens need no renewal and are left as they are.
    """
    expires_at, moved = tokens.renew(ctx.tx, ctx.workspace_id, ctx.caller.token_id)
    return RenewSessionAnswer(session_id=ctx.caller.session_id, expires_at=instant(expires_at), renewed=moved)


class RevokeTokenAsk(Ask):
    token_id: TokenId
    reason: Reason = ""


class RevokeTokenAnswer(Answer):
    token_id: str
    principal_id: str


@operation(
    "revoke_token",
    Category.ADMIN,
    ask=RevokeTokenAsk,
    answer=RevokeTokenAnswer,
    resource=workspace_resource,
    writes=True,
    people_only=True,
)
def revoke_token(ctx: Context, ask: RevokeTokenAsk) -> RevokeTokenAnswer:
    """End a token at once, with every token it was rotated from or into. Revoking it again changes nothing.

    Refusal: `not_found`.
    """
    row = tokens.revoke(ctx.tx, ctx.workspace_id, ask.token_id)
    ctx.objects.append(f"token:{ask.token_id}")
    return RevokeTokenAnswer(token_id=ask.token_id, principal_id=row["principal_id"])


OPERATIONS = (issue_token, list_tokens, rotate_token, renew_session, revoke_token)
