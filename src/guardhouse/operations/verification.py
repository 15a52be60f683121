"""Operations on verification: record what a gate says of a task, and see whether all of them passed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from guardhouse.catalog import Answer, Ask, Context, operation
from guardhouse.model.call import Category
from guardhouse.operations.fields import instant
from guardhouse.operations.tasks import TaskId, named, texts_of
from guardhouse.services import queue, verification

Gate = Literal["testing", "regression", "spec_audit", "doc_audit", "security_audit"]


class RecordVerificationAsk(Ask):
    task_id: TaskId
    gate: Annotated[Gate, Field(description="which of the five gates")]
    passed: bool = Field(description="whether the work passed it")
    evidence: Annotated[str, Field(max_length=20_000, description="what shows it: a report, a command's output")] = ""


class GateItem(Answer):
    gate: str
    state: str = Field(description="`passed`, `failed` or `open`")
    by_id: str
    at: str
    evidence: str


class VerificationAnswer(Answer):
    task_id: str
    verified: bool = Field(description="whether all five gates passed")
    gates: tuple[GateItem, ...] = Field(description="each gate with its latest result")


def _answer(ctx: Context, task_id: str) -> VerificationAnswer:
    found = verification.latest(ctx.tx, ctx.workspace_id, task_id)
    gates = []
    for gate in verification.GATES:
        row = found.get(gate)
        if row is None:
            gates.append(GateItem(gate=gate, state="open", by_id="", at="", evidence=""))
            continue
        state = "passed" if row["passed"] else "failed"
        gates.append(
            GateItem(gate=gate, state=state, by_id=row["by_id"], at=instant(row["at"]), evidence=row["evidence"])
        )
    return VerificationAnswer(
        task_id=task_id, verified=all(item.state == "passed" for item in gates), gates=tuple(gates)
    )


@operation(
    "record_verification",
    Category.WRITE,
    ask=RecordVerificationAsk,
    answer=VerificationAnswer,
    resource=named,
    writes=True,
    texts=lambda ask: texts_of(evidence=(ask.evidence, "report")),
)
def record_verification(ctx: Context, ask: RecordVerificationAsk) -> VerificationAnswer:
    """Record what a gate says of a task's result: testing, regression, spec, documentation or security audit.

    Of each gate the latest result counts. Nobody verifies their own work. Refusals: `self_verification`,
    `not_found`.
    """
    task = queue.get(ctx.tx, ctx.workspace_id, ask.task_id)
    row = verification.record(
        ctx.tx,
        ctx.ids,
        ctx.workspace_id,
        task=task,
        gate=ask.gate,
        passed=ask.passed,
        by=ctx.caller.id,
        evidence=ask.evidence,
        sequence=ctx.sequence,
    )
    ctx.objects += [f"verification:{row['id']}", f"task:{ask.task_id}"]
    return _answer(ctx, ask.task_id)


class GetVerificationAsk(Ask):
    task_id: TaskId


@operation("get_verification", Category.READ, ask=GetVerificationAsk, answer=VerificationAnswer, resource=named)
def get_verification(ctx: Context, ask: GetVerificationAsk) -> VerificationAnswer:
    """Show which gates a task's result has passed, and whether it is verified. Refusal: `not_found`."""
    queue.get(ctx.tx, ctx.workspace_id, ask.task_id)
    return _answer(ctx, ask.task_id)


OPERATIONS = (record_verification, get_verification)
