"""Operations that examine or foretell: what they are given is judged, never carried out."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field

from guardhouse.catalog import Answer, Ask, Context, Operation, operation
from guardhouse.governance import approvals
from guardhouse.guardrails.text import Examined
from guardhouse.model.call import Category
from guardhouse.model.decision import Verdict
from guardhouse.operations.fields import workspace_resource


class CheckGuardrailsAsk(Ask):
    operation_text: Annotated[
        str, Field(min_length=1, max_length=262_144, description="the command, query or file content to examine")
    ]
    kind: Literal["shell", "sql", "file", "auto"] = Field("auto", description="what the text is; `auto` when unsure")
    file_paths: Annotated[tuple[str, ...], Field(max_length=256, description="the files it touches, where known")] = ()
    cwd: Annotated[str, Field(max_length=4096, description="the directory it would run in")] = ""
    tool: Annotated[str, Field(max_length=200, description="the tool that would run it")] = ""


class Violation(Answer):
    rule_id: str = Field(description="the rule that matched")
    category: str = Field(description="what the rule is about, such as `git`")
    severity: str = Field(description="`block`, `approval_required`, `warn` or `log`")
    matched_text: str = Field(description="what matched, with secrets redacted")
    start: int = Field(description="where the match begins, in characters")
    end: int = Field(description="where the match ends, in characters")
    reason: str = Field(description="why the rule exists")
    alternative: str = Field(description="what to do instead; empty when the rule knows nothing better")


class CheckGuardrailsAnswer(Answer):
    safe: bool = Field(description="whether to go on: the verdict is `allow` or `warn`")
    verdict: Verdict = Field(description="`allow`, `warn`, `ask` (a person must say yes) or `block`")
    violations: tuple[Violation, ...] = Field(description="every rule that matched, in order of the text")
    approval_required: bool = Field(description="whether a person must say yes first")
    approval_id: str = Field(description="the question that waits for a person; empty when none is asked")
    enforced: bool = Field(description="false in observe mode: the verdict is told and does not bind")


def _examined(ask: CheckGuardrailsAsk) -> tuple[Examined, ...]:
    return (Examined("operation_text", ask.operation_text, ask.kind, ask.cwd, ask.tool, ask.file_paths),)


def _granted(ctx: Context) -> bool:
    """Whether the call presents a grant for this very question; the grant is spent when it does."""
    fact = ctx.facts.approval
    if fact is None or not fact.presented or not fact.bound or fact.state != "granted":
        return False
    if fact.law != ctx.facts.law or fact.grant_until <= ctx.now:
        return False
    step = ctx.decision.step("approval")
    if step is None or step.code != "approved":
        approvals.spend(ctx.tx, ctx.workspace_id, fact.id, ctx.call.id, ctx.now)
        ctx.objects.append(f"approval:{fact.id}")
    return True


def _ask_people(ctx: Context) -> str:
    opened = approvals.open_question(
        ctx.tx,
        ctx.ids,
        ctx.key,
        workspace=ctx.facts.workspace,
        principal=ctx.caller,
        operation=ctx.call.operation,
        resource=ctx.call.resource,
        call_digest=ctx.call.digest,
        law=ctx.facts.law,
        decision_id=ctx.call.id,
        sequence=ctx.sequence,
        rules=ctx.decision.rules,
        message=ctx.decision.message,
    )
    approval_id = str(opened.row["id"])
    ctx.objects.append(f"approval:{approval_id}")
    if opened.new:
        ctx.after_commit.append(approvals.notice(opened.row))
    return approval_id


@operation(
    "check_guardrails",
    Category.READ,
    ask=CheckGuardrailsAsk,
    answer=CheckGuardrailsAnswer,
    resource=workspace_resource,
    examines=True,
    texts=_examined,
)
def check_guardrails(ctx: Context, _ask: CheckGuardrailsAsk) -> CheckGuardrailsAnswer:
    """Ask whether a command, query or file content is safe before you run or write it.

    Nothing is run. Go on when `safe` is true. With the verdict `ask`, wait until a person has answered
    the question in `approval_id` and check the same text again, presenting that id; the grant is spent
    by that. In observe mode nobody is asked.
    """
    verdict = ctx.decision.verdict or Verdict.ALLOW
    approval_id = ""
    if verdict is Verdict.ASK and ctx.decision.enforced:
        if _granted(ctx):
            verdict = Verdict.ALLOW
        else:
            approval_id = _ask_people(ctx)
    violations = tuple(
        Violation(
            rule_id=found.rule,
            category=found.category,
            severity=found.severity,
            matched_text=ctx.bundle.packs.redact(found.matched_text),
            start=found.start,
            end=found.end,
            reason=found.reason,
            alternative=found.alternative,
        )
        for found in ctx.bundle.packs.explain(ctx.texts, ctx.facts.findings)
    )
    return CheckGuardrailsAnswer(
        safe=verdict in (Verdict.ALLOW, Verdict.WARN),
        verdict=verdict,
        violations=violations,
        approval_required=verdict is Verdict.ASK,
        approval_id=approval_id,
        enforced=ctx.decision.enforced,
    )


class CheckNetworkAsk(Ask):
    destination: Annotated[str, Field(min_length=1, max_length=2048, description="a URL or a bare domain")]


class CheckNetworkAnswer(Answer):
    effect: str = Field(description="`allow` or `deny`")
    code: str = Field(description="why, for programs")
    rule: str = Field(description="the rule that decided; empty when no rule matched")


def _destinations(ask: CheckNetworkAsk) -> tuple[tuple[str, str], ...]:
    given = ask.destination.strip()
    try:
        host = urlsplit(given).netloc.rpartition("@")[2] if "://" in given else given
    except ValueError:
        host = given
    return (("destination", host or given),)


@operation(
    "check_network",
    Category.READ,
    ask=CheckNetworkAsk,
    answer=CheckNetworkAnswer,
    resource=workspace_resource,
    examines=True,
    destinations=_destinations,
)
def check_network(ctx: Context, _ask: CheckNetworkAsk) -> CheckNetworkAnswer:
    """Ask whether the domain lists let you reach a destination. Nothing is fetched."""
    found = next((domain for domain in ctx.facts.domains if domain.field == "destination"), None)
    if found is None:
        return CheckNetworkAnswer(effect="deny", code="not_examined", rule="")
    return CheckNetworkAnswer(effect=found.effect, code=found.code, rule=found.rule)


OPERATIONS: tuple[Operation, ...] = (check_guardrails, check_network)
