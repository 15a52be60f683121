"""Operations that examine or foretell: what they are given is judged, never carried out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from guardhouse.bundle import Bundle, child
from guardhouse.catalog import Answer, Ask, Context, Home, Operation, operation
from guardhouse.errors import Refusal
from guardhouse.gates import guardrails
from guardhouse.gates.policy.cedar import SCHEMA_FILE
from guardhouse.governance import approvals, refusals
from guardhouse.guardrails import tighten
from guardhouse.guardrails.reasons import native_reason, next_step
from guardhouse.guardrails.text import Examined, Explained
from guardhouse.model.call import Category, Resource
from guardhouse.model.decision import Verdict
from guardhouse.operations.fields import workspace_resource

WorkspaceRoot = Annotated[str, Field(max_length=4096, description="the root of the agent's working tree")]
Tighten = Annotated[
    str,
    Field(
        max_length=262_144,
        description="the text of the repository's own `.guardhouse.yaml`, at most 64 KiB; it can only make verdicts stricter",
    ),
]


class CheckGuardrailsAsk(Ask):
    operation_text: Annotated[
        str, Field(min_length=1, max_length=262_144, description="the command, query or file content to examine")
    ]
    kind: Literal["shell", "sql", "file", "auto"] = Field("auto", description="what the text is; `auto` when unsure")
    file_paths: Annotated[tuple[str, ...], Field(max_length=256, description="the files it touches, where known")] = ()
    cwd: Annotated[str, Field(max_length=4096, description="the directory it would run in")] = ""
    tool: Annotated[str, Field(max_length=200, description="the tool that would run it")] = ""
    workspace_root: WorkspaceRoot = ""
    tighten: Tighten = ""


class Violation(Answer):
    rule_id: str = Field(description="the rule that matched")
    category: str = Field(description="what the rule is about, such as `git`")
    severity: str = Field(description="`block`, `approval_required`, `warn` or `log`")
    matched_text: str = Field(description="what matched, with secrets redacted")
    start: int = Field(description="where the match begins, in characters")
    end: int = Field(description="where the match ends, in characters")
    reason: str = Field(description="why the rule exists")
    alternative: str = Field(description="what to do instead; empty when the rule knows nothing better")
    min_trust: int = Field(description="the trust from which an agent may do it anyway; 5 is nobody")
    via: tuple[str, ...] = Field(description="the wrappers around what matched, outermost first, such as `sudo`")
    field: str = Field(description="the input field that it stands in")
    binds: bool = Field(description="whether it counts for this caller; false: something exempts it")
    exempted_by: tuple[str, ...] = Field(description="the policies or the grant that exempt this caller from it")
    allowed_by: str = Field(description="what would allow it; empty when it stops nothing")


class CheckGuardrailsAnswer(Answer):
    safe: bool = Field(description="whether to go on: the verdict is `allow` or `warn`")
    verdict: Verdict = Field(description="`allow`, `warn`, `ask` (a person must say yes) or `block`")
    violations: tuple[Violation, ...] = Field(description="every rule that matched, in order of the text")
    approval_required: bool = Field(description="whether a person must say yes first")
    approval_id: str = Field(description="the question that waits for a person; empty when none is asked")
    approval_state: str = Field(
        description="how that question stands: `pending`, `granted` (check again and present the id) or `refused`; "
        "`too_many_pending` when it cannot be asked yet; empty when none is needed"
    )
    enforced: bool = Field(description="false in observe mode: the verdict is told and does not bind")
    native_reason: str = Field(
        description="what to tell the model that is refused, at most 700 characters; empty when nothing stops it"
    )
    times_refused: int = Field(description="how often this session was refused this very thing, this time included")


def _examined(ask: CheckGuardrailsAsk) -> tuple[Examined, ...]:
    return (
        Examined(
            "operation_text",
            ask.operation_text,
            ask.kind,
            ask.cwd,
            ask.tool,
            ask.file_paths,
            workspace_root=ask.workspace_root,
        ),
    )


def asked_people(ctx: Context) -> tuple[str, str]:
    """The question that waits for a person and how it stands; nothing of both when too many wait already."""
    try:
        return _question(ctx)
    except Refusal as refusal:
        if refusal.code != "too_many_pending":
            raise
        return "", refusal.code


def _question(ctx: Context) -> tuple[str, str]:
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
    return approval_id, approvals.state_of(opened.row, ctx.now, ctx.facts.law)


def violations_of(explained: Iterable[Explained]) -> tuple[Violation, ...]:
    """Findings in words, as an answer carries them."""
    return tuple(
        Violation(
            rule_id=found.rule,
            category=found.category,
            severity=found.severity,
            matched_text=found.matched_text,
            start=found.start,
            end=found.end,
            reason=found.reason,
            alternative=found.alternative,
            min_trust=found.min_trust,
            via=found.via,
            field=found.field,
            binds=not found.exempted_by,
            exempted_by=found.exempted_by,
            allowed_by=found.allowed_by,
        )
        for found in explained
    )


def told(ctx: Context, tightening: str) -> dict[str, Any]:
    """The fields of `CheckGuardrailsAnswer` for a call whose texts were examined; asks people and counts refusals.

    `tightening` is the text of the repository's own file, as the caller sent it.
    """
    verdict = ctx.decision.verdict or Verdict.ALLOW
    refused = verdict in (Verdict.ASK, Verdict.BLOCK) and ctx.decision.enforced
    approval_id = approval_state = ""
    if refused and verdict is Verdict.ASK:
        approval_id, approval_state = asked_people(ctx)
    explained = _explained(ctx, tightening)
    reason, times = "", 0
    if refused:
        times = refusals.count(ctx.tx, ctx.workspace_id, ctx.caller.session_id, ctx.facts.question or ctx.call.digest)
        reason = _reason(ctx, explained, approval_id, approval_state, times)
    return {
        "safe": verdict in (Verdict.ALLOW, Verdict.WARN),
        "verdict": verdict,
        "violations": violations_of(explained),
        "approval_required": verdict is Verdict.ASK,
        "approval_id": approval_id,
        "approval_state": approval_state,
        "enforced": ctx.decision.enforced,
        "native_reason": reason,
        "times_refused": times,
    }


def _explained(ctx: Context, tightening: str) -> tuple[Explained, ...]:
    """Every finding in force in words, with what exempts this caller from it and what would allow it."""
    packs = ctx.bundle.packs
    found = guardrails.in_force(ctx.facts, packs)
    if not found:
        return ()
    judged = guardrails.judge(ctx.call, ctx.facts, ctx.bundle.rules[guardrails.NAME])
    exempt = {(one.rule, one.field, one.start, one.end): by for one, by in judged.exempted}
    allowed = {(one.rule, one.field, one.start, one.end): guardrails.allowed_by(one) for one in found}
    return tuple(
        replace(
            one,
            exempted_by=exempt.get((one.rule, one.field, one.start, one.end), ()),
            allowed_by=allowed.get((one.rule, one.field, one.start, one.end), ""),
        )
        for one in (*packs.explain(ctx.texts, found, ctx.seen), *tighten.explain(found, tightening, packs.rules))
    )


def _reason(ctx: Context, explained: tuple[Explained, ...], approval_id: str, state: str, times: int) -> str:
    """What the model reads; the strictest finding that binds this very caller speaks."""
    protects = any(one.protects and one.severity == "block" for one in ctx.facts.findings)
    speaks = tuple(one for one in explained if not one.exempted_by)
    said = next_step(ctx.call.id, approval_id, state, protects=protects)
    return native_reason(speaks, decision_id=ctx.call.id, next_step=said, times=times)


@operation(
    "check_guardrails",
    Category.READ,
    ask=CheckGuardrailsAsk,
    answer=CheckGuardrailsAnswer,
    resource=workspace_resource,
    examines=True,
    texts=_examined,
    tightens=lambda ask: ask.tighten,
)
def check_guardrails(ctx: Context, ask: CheckGuardrailsAsk) -> CheckGuardrailsAnswer:
    """Ask whether a command, query or file content is safe before you run or write it.

    Nothing is run. Go on when `safe` is true. With the verdict `ask`, wait until a person has answered
    the question in `approval_id` and check the same text again, presenting that id; the grant is spent
    by that. In observe mode nobody is asked.
    """
    return CheckGuardrailsAnswer(**told(ctx, ask.tighten))


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


_UPLOADED = "cedar/policy.cedar"


class ValidateCedarPolicyAsk(Ask):
    policy_text: Annotated[
        str, Field(min_length=1, max_length=1_000_000, description="one or more policies in Cedar's own language")
    ]
    check_schema: bool = Field(True, description="hold it against the active schema too; false only reads it")


class PolicyProblem(Answer):
    line: int = Field(description="the line, from 1; 0 when it is not known")
    message: str = Field(description="what is wrong")
    remedy: str = Field(description="what to do; empty when nothing better than the message is known")


class ValidateCedarPolicyAnswer(Answer):
    valid: bool = Field(description="whether it could stand in a bundle as it is")
    problems: tuple[PolicyProblem, ...] = Field(description="every fault, in order of the text")
    bundle: str = Field(description="the digest of the bundle whose schema it was held against; empty for none")


def _parsed(ask: ValidateCedarPolicyAsk, active: Bundle) -> ValidateCedarPolicyAnswer:
    """Read the text in a child process, since hostile text can end the parser; evidence for the handler."""
    files = {_UPLOADED: ask.policy_text.encode()}
    if ask.check_schema:
        files[SCHEMA_FILE] = active.files[SCHEMA_FILE]
    found = child.parse_untrusted(files, typed=ask.check_schema)
    problems = (PolicyProblem(line=item.line, message=item.message, remedy=item.remedy) for item in found)
    return ValidateCedarPolicyAnswer(
        valid=not found,
        problems=tuple(sorted(problems, key=lambda item: (item.line, item.message))),
        bundle=active.digest if ask.check_schema else "",
    )


def _law(ask: ValidateCedarPolicyAsk, _home: Home) -> Resource:
    del ask
    return Resource("Policy", "bundle")


@operation(
    "validate_cedar_policy",
    Category.READ,
    ask=ValidateCedarPolicyAsk,
    answer=ValidateCedarPolicyAnswer,
    resource=_law,
    examines=True,
    gather=_parsed,
)
def validate_cedar_policy(ctx: Context, _ask: ValidateCedarPolicyAsk) -> ValidateCedarPolicyAnswer:
    """Check the text of Cedar policies: that it can be read, has its `@id`s and fits the active schema.

    Nothing is activated. A text with faults is a good question: the answer lists every fault with its line.
    """
    answer: ValidateCedarPolicyAnswer = ctx.evidence
    return answer


OPERATIONS: tuple[Operation, ...] = (check_guardrails, check_network, validate_cedar_policy)
