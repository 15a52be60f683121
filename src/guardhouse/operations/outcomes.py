"""The operation on outcomes: what became of a call whose answer was lost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from sqlalchemy import select

from guardhouse.catalog import Answer, Ask, Context, Operation, operation
from guardhouse.errors import Refusal
from guardhouse.gateway.tables import FIRST_OUTCOME
from guardhouse.model.call import Category
from guardhouse.model.canonical import keyed_digest
from guardhouse.model.instants import DAY
from guardhouse.operations.fields import instant, workspace_resource


class GetOutcomeAsk(Ask):
    idempotency_key: Annotated[
        str, Field(min_length=1, max_length=200, description="the key that this session sent with the call")
    ]


class GetOutcomeAnswer(Answer):
    state: str = Field(description="`performed`: the effect happened and is kept")
    decision_id: str = Field(description="the decision that performed it")
    at: str = Field(description="when")


@operation("get_outcome", Category.READ, ask=GetOutcomeAsk, answer=GetOutcomeAnswer, resource=workspace_resource)
def get_outcome(ctx: Context, ask: GetOutcomeAsk) -> GetOutcomeAnswer:
    """Ask what became of a call whose answer you did not get, by its idempotency key.

    Only this session's calls of the last 24 hours are found. Refusal `not_found`: no call with this
    key was performed, so it is safe to send it again.
    """
    session = ctx.caller.session_id
    digest = keyed_digest(ctx.key, "idempotency", f"{session}\n{ask.idempotency_key}".encode())
    row = ctx.tx.row(
        select(FIRST_OUTCOME.c.decision_id, FIRST_OUTCOME.c.at).where(
            FIRST_OUTCOME.c.workspace_id == ctx.workspace_id,
            FIRST_OUTCOME.c.session_id == session,
            FIRST_OUTCOME.c.key == digest,
            FIRST_OUTCOME.c.at > ctx.now - DAY,
        )
    )
    if row is None:
        raise Refusal("not_found", "no call of this session was performed under this key in the last 24 hours")
    return GetOutcomeAnswer(state="performed", decision_id=row["decision_id"], at=instant(row["at"]))


OPERATIONS: tuple[Operation, ...] = (get_outcome,)
