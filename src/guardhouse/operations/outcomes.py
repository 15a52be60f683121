"""The operation on outcomes: what became of a call whose answer was lost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from sqlalchemy import select

from guardhouse.catalog import Answer, Ask, Context, Operation, operation
from guardhouse.gateway.prepare import idempotency_digest
from guardhouse.gateway.tables import FIRST_OUTCOME
from guardhouse.model.call import Category
from guardhouse.model.instants import DAY
from guardhouse.operations.fields import instant, workspace_resource


class GetOutcomeAsk(Ask):
    idempotency_key: Annotated[
        str, Field(min_length=1, max_length=200, description="the key that this session sent with the call")
    ]


class GetOutcomeAnswer(Answer):
    state: str = Field(description="`performed`: the effect happened and is kept; `none`: nothing was performed")
    outcome_decision_id: str = Field(description="the decision that performed it; empty for `none`")
    at: str = Field(description="when; empty for `none`")


@operation("get_outcome", Category.READ, ask=GetOutcomeAsk, answer=GetOutcomeAnswer, resource=workspace_resource)
def get_outcome(ctx: Context, ask: GetOutcomeAsk) -> GetOutcomeAnswer:
    """Ask what became of a call whose answer you did not get, by its idempotency key.

    Only this session's calls of the last 24 hours are found. With `none` no call was performed under
    this key, so it is safe to send it again.
    """
    row = ctx.tx.row(
        select(FIRST_OUTCOME.c.decision_id, FIRST_OUTCOME.c.at).where(
            FIRST_OUTCOME.c.workspace_id == ctx.workspace_id,
            FIRST_OUTCOME.c.session_id == ctx.caller.session_id,
            FIRST_OUTCOME.c.key == idempotency_digest(ctx.key, ctx.caller.session_id, ask.idempotency_key),
            FIRST_OUTCOME.c.at > ctx.now - DAY,
        )
    )
    if row is None:
        return GetOutcomeAnswer(state="none", outcome_decision_id="", at="")
    return GetOutcomeAnswer(state="performed", outcome_decision_id=row["decision_id"], at=instant(row["at"]))


OPERATIONS: tuple[Operation, ...] = (get_outcome,)
