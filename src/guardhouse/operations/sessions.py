"""Operations on sessions of clients: what a hook opens before its first question."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from guardhouse.catalog import Answer, Ask, Context, operation
from guardhouse.errors import Refusal
from guardhouse.governance import sessions
from guardhouse.model.call import Category
from guardhouse.operations.fields import instant, principal_resource

Named = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class OpenSessionAsk(Ask):
    client: Annotated[
        str, Field(max_length=40, pattern=r"^[a-z0-9][a-z0-9-]*$", description="the client, such as `claude-code`")
    ]
    client_session: Annotated[Named, Field(min_length=1, description="the client's own name of its session")]
    client_agent: Annotated[Named, Field(description="the client's own name of its sub-agent; empty for itself")] = ""
    client_agent_type: Annotated[Named, Field(description="what kind of sub-agent, such as `Explore`")] = ""


class OpenSessionAnswer(Answer):
    session_id: str
    agent_id: str = Field(description="who acts in the session: the caller, or the delegate of its sub-agent")
    handle: str
    delegated_by: str
    trust: int
    token_id: str
    token: str = Field(description="the session's bearer token; shown this once and kept nowhere")
    expires_at: str
    new: bool = Field(description="whether the session was not open before")


@operation(
    "open_session",
    Category.READ,
    ask=OpenSessionAsk,
    answer=OpenSessionAnswer,
    resource=lambda _ask, home: principal_resource(home.principal_id, home),
    writes=True,
    secret_outputs=("token",),
)
def open_session(ctx: Context, ask: OpenSessionAsk) -> OpenSessionAnswer:
    """Open the session of one client's run, or of one of its sub-agents, and get a short token for it.

    A sub-agent acts as a delegate of the caller: an agent of its own, one for each kind of sub-agent, which
    starts with the caller's trust and is always capped by it. The token ends with the caller's, or after
    twelve hours; asked again, the same session is found. Refusals: `wrong_role` for a person's token,
    `session_revoked`, `agent_retired`, `delegation_too_deep`.
    """
    if ctx.caller.kind != "agent":
        raise Refusal("wrong_role", "a hook's token is an agent's, and this is a person's")
    opened = sessions.open_session(
        ctx.tx,
        ctx.ids,
        ctx.workspace_id,
        ctx.key,
        ctx.caller,
        client=ask.client,
        client_session=ask.client_session,
        client_agent=ask.client_agent,
        client_agent_type=ask.client_agent_type,
    )
    ctx.objects += [
        f"session:{opened.session_id}",
        f"agent:{opened.agent['id']}",
        f"token:{opened.issued.token_id}",
    ]
    return OpenSessionAnswer(
        session_id=opened.session_id,
        agent_id=opened.agent["id"],
        handle=opened.agent["handle"],
        delegated_by=opened.agent["delegated_by"],
        trust=opened.agent["trust"],
        token_id=opened.issued.token_id,
        token=opened.issued.text,
        expires_at=instant(opened.issued.expires_at),
        new=opened.new,
    )


OPERATIONS = (open_session,)
