"""Operations on the guardrails in force: which rules there are, and what each is there for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from guardhouse.catalog import Answer, Ask, Context, operation
from guardhouse.model.call import Category, Resource
from guardhouse.operations.fields import Cursor, Limit

RuleCategory = Annotated[str, Field(max_length=100, pattern=r"^([a-z][a-z0-9_.-]*)?$", description="only these rules")]


class ListGuardrailsAsk(Ask):
    category: RuleCategory = ""
    limit: Limit = 100
    after: Cursor = ""


class GuardrailItem(Answer):
    rule_id: str = Field(description="the rule's id, such as `git.push.force`")
    pack: str = Field(description="the file that it stands in")
    category: str = Field(description="what it is about, such as `git`; policies may speak of it")
    severity: str = Field(description="how strict it is before overrides, trust and policies are asked")
    min_trust: int = Field(description="the trust from which the shipped policy lets it pass")
    reason: str = Field(description="why it is there")
    alternative: str = Field(description="what to do instead; empty where there is nothing")


class ListGuardrailsAnswer(Answer):
    rules: tuple[GuardrailItem, ...] = Field(description="in order of their ids")
    more: bool
    next: str
    version: str = Field(description="the digest of the active bundle, as `check_policy` and `get_my_profile` name it")


@operation(
    "list_guardrails",
    Category.READ,
    ask=ListGuardrailsAsk,
    answer=ListGuardrailsAnswer,
    resource=lambda _ask, _home: Resource("Policy", "guardrails"),
)
def list_guardrails(ctx: Context, ask: ListGuardrailsAsk) -> ListGuardrailsAnswer:
    """List the guardrail rules in force, in order of their ids: category, severity, reason, what to do instead."""
    rules = ctx.bundle.packs.rules
    wanted = [rules[name] for name in sorted(rules) if name > ask.after and ask.category in ("", rules[name].category)]
    shown = wanted[: ask.limit]
    more = len(wanted) > len(shown)
    return ListGuardrailsAnswer(
        rules=tuple(
            GuardrailItem(
                rule_id=rule.id,
                pack=rule.pack,
                category=rule.category,
                severity=rule.severity,
                min_trust=rule.min_trust,
                reason=rule.reason,
                alternative=rule.alternative,
            )
            for rule in shown
        ),
        more=more,
        next=shown[-1].id if more else "",
        version=ctx.bundle.digest,
    )


OPERATIONS = (list_guardrails,)
