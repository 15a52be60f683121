"""Operations that tell a principal how it stands: what it may do now, and what would be decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from guardhouse.bundle import Bundle
from guardhouse.catalog import Answer, Ask, Catalog, Context, Home, Operation, Reader, operation
from guardhouse.errors import FieldFault, InvalidInput, Refusal
from guardhouse.gates import profile
from guardhouse.gateway.decide import decide
from guardhouse.governance import approvals, quotas, standing
from guardhouse.model.call import Call, Category, Resource
from guardhouse.model.decision import Decision, Effect
from guardhouse.model.facts import Facts, Principal, WorkspaceFacts
from guardhouse.model.instants import Micros
from guardhouse.operations.fields import AGENT_PREFIX, AgentId, Repository, instant, workspace_resource
from guardhouse.services import keys, locks
from guardhouse.storage.store import Transaction

_HOURLY = profile.CALLS_PER_HOUR
_KEYED = ("File", "Lock")


def _catalog() -> Catalog:
    # The catalog holds this very module, so it can only be asked once both are loaded.
    from guardhouse.operations import CATALOG

    return CATALOG


@dataclass(frozen=True, slots=True)
class Supposed:
    """What is known of a principal for calls that nobody makes: its standing, and what it has used.

    `used` is by limit name; `pending` counts its open questions; `repositories` are those a person vouched for.
    """

    principal: Principal
    workspace: WorkspaceFacts
    used: tuple[tuple[str, int], ...]
    pending: int
    repositories: frozenset[str]
    bundle: Bundle
    now: Micros

    def decide(self, declared: Operation, resource: Resource, *, call_id: str, surface: str, address: str) -> Decision:
        """What the gates say of a call of `declared` on `resource` with nothing in it that they could object to."""
        call = Call(
            id=call_id,
            operation=declared.name,
            category=declared.category,
            resource=resource,
            surface=surface,
            address=address,
            size=0,
            digest="",
            governs=declared.people_only,
        )
        facts = Facts(
            now=self.now,
            principal=self.principal,
            workspace=self.workspace,
            quota=self.used,
            pending_approvals=self.pending,
            law=self.bundle.law,
            registered_repository=resource.repository if resource.repository in self.repositories else "",
        )
        return decide(call, facts, self.bundle)


def _suppose(
    tx: Transaction,
    workspace: WorkspaceFacts,
    principal: Principal,
    bundle: Bundle,
    *,
    but: str = "",
    hours: Mapping[str, int] | None = None,
) -> Supposed:
    """Read what a principal has used. `but`: a lock key that does not count, since taking it again adds nothing.

    `hours`: what is known to be used of the hourly limits that bind it; read when None.
    """
    counted: dict[str, int] = {}
    if principal.kind == "agent":
        if hours is None:
            used = quotas.read(tx, workspace.id, (principal.id, *principal.delegation), tx.now)
            counted = dict(used.get(principal.id, {}))
            counted |= {profile.hour_of(one): used.get(one, {}).get(_HOURLY, 0) for one in principal.delegation}
        else:
            counted |= hours
        counted["held_locks"] = locks.count(tx, workspace.id, principal.id, tx.now, but=but)
        if principal.session_id:
            counted["files_per_task"] = locks.count(
                tx, workspace.id, principal.id, tx.now, session_id=principal.session_id, namespace="file", but=but
            )
    return Supposed(
        principal=principal,
        workspace=workspace,
        used=tuple(sorted(counted.items())),
        pending=approvals.pending_counts(tx, workspace.id, (principal.id,), tx.now).get(principal.id, 0),
        repositories=standing.read_repositories(tx.connection, workspace.id),
        bundle=bundle,
        now=tx.now,
    )


class CheckPolicyAsk(Ask):
    operation: Annotated[
        str, Field(min_length=1, max_length=64, description="the operation to foretell, by its name or an alias")
    ]
    resource_type: (
        Literal[
            "Lock", "File", "Task", "Command", "Domain", "Document", "Memory", "Message",
            "Agent", "Policy", "Ledger", "Workspace", "Feature",
        ]
        | None
    ) = Field(None, description="what kind of thing it would touch; left out, it is told from the id")  # fmt: skip
    resource_id: Annotated[
        str,
        Field(max_length=2048, description="what it would touch, such as a lock's key; empty for the whole workspace"),
    ] = ""
    repository: Repository = ""
    agent_id: AgentId | None = Field(None, description="for which agent; only people may name another than themselves")


class StepItem(Answer):
    gate: str = Field(description="the gate that judged")
    effect: Effect = Field(description="`allow`, `deny`, `hold`, or `not_reached` after a deny")
    code: str = Field(description="why, for programs")
    message: str = Field(description="why, for people")
    rules: tuple[str, ...] = Field(description="the ids of the rules that determined it")
    warn: bool = Field(description="whether an allow comes with a remark")
    advice: tuple[str, ...] = Field(description="what the rules' authors want the agent to read")


class CheckPolicyAnswer(Answer):
    operation: str = Field(description="the operation's one name")
    category: str = Field(description="`read`, `write` or `admin`")
    principal_id: str = Field(description="for whom this was decided")
    resource_type: str
    resource_id: str = Field(description="the canonical id")
    repository: str
    effect: Effect = Field(description="`allow`, `deny` or `hold` (a person would be asked)")
    code: str = Field(description="why, for programs")
    message: str = Field(description="why, for people")
    enforced: bool = Field(description="false in observe mode: a deny or hold is told and does not bind")
    would: str = Field(description="in observe mode what would have been; else empty")
    steps: tuple[StepItem, ...] = Field(description="every gate's answer, in order")
    bundle: str = Field(description="the digest of the policies that decided")
    law: str = Field(description="the digest of the part of them that judges")


def _foretold(ask: CheckPolicyAsk, home: Home) -> Resource:
    """The resource of the call that is asked about, canonical; InvalidInput when its id is not one."""
    if not ask.resource_id.strip():
        if ask.resource_type not in (None, "Workspace"):
            raise _fault("resource_id", f"a `{ask.resource_type}` needs its id")
        return Resource("Workspace", home.workspace_id)
    kind = ask.resource_type
    if kind is None and ask.resource_id.startswith(AGENT_PREFIX):
        kind = "Agent"
    if kind is not None and kind not in _KEYED:
        return Resource(kind, ask.resource_id, ask.repository)
    key = keys.canonical_key(ask.resource_id, ask.repository or home.repository, "resource_id")
    made = Resource("File" if key.namespace == "file" else "Lock", key.text, key.repository)
    if kind is not None and kind != made.type:
        raise _fault("resource_type", f"`{key.text}` is a `{made.type}`, not a `{kind}`")
    return made


def _fault(field: str, problem: str) -> InvalidInput:
    return InvalidInput(f"`{field}`: {problem}", (FieldFault(field, problem),))


def _asked_about(ask: CheckPolicyAsk, home: Home) -> Resource:
    """The workspace: a rule on what is asked about must not deny the question. Refuses what cannot be asked."""
    _foretold(ask, home)
    return workspace_resource(ask, home)


def _subject(ctx: Context, agent_id: str | None) -> Principal:
    if agent_id is None or agent_id == ctx.caller.id:
        return ctx.caller
    if ctx.caller.kind != "person":
        raise Refusal("people_only", "only people may ask about another agent; leave `agent_id` out")
    found = standing.read_agent(ctx.tx.connection, ctx.workspace_id, agent_id)
    if found is None:
        raise Refusal("not_found", f"there is no agent `{agent_id}`")
    return found


@operation(
    "check_policy",
    Category.READ,
    ask=CheckPolicyAsk,
    answer=CheckPolicyAnswer,
    resource=_asked_about,
    examines=True,
)
def check_policy(ctx: Context, ask: CheckPolicyAsk) -> CheckPolicyAnswer:
    """Ask what would be decided of an operation, with every gate's reason, before you try it.

    Nothing is done and nobody is asked. The answer is what the gates would say now of a call with
    nothing in it that a guardrail or a domain list objects to, and where it matters whose the thing is,
    what the service would say to that (`not_author`). The service itself may still refuse,
    as with a lock that another holds. Refusals: `unknown_operation`, `not_found`, `people_only`.
    """
    declared = _catalog().find(ask.operation)
    if declared is None:
        raise Refusal("unknown_operation", f"there is no operation `{ask.operation}`")
    principal = _subject(ctx, ask.agent_id)
    resource = _foretold(ask, Home(ctx.workspace_id, principal.id, principal.repository or "default"))
    # The caller's own count is the train's, which is ahead of the table.
    names = (_HOURLY, *(profile.hour_of(one) for one in principal.delegation))
    hours = {name: ctx.facts.used(name) for name in names} if principal is ctx.caller else None
    supposed = _suppose(ctx.tx, ctx.facts.workspace, principal, ctx.bundle, but=resource.id, hours=hours)
    decision = supposed.decide(
        declared, resource, call_id=ctx.call.id, surface=ctx.call.surface, address=ctx.call.address
    )
    effect, code, message = decision.effect, decision.code, decision.message
    whose = _whose(ctx, declared, principal, resource) if effect is not Effect.DENY else None
    if whose is not None:
        effect, code, message = Effect.DENY, whose.code, whose.message
    return CheckPolicyAnswer(
        operation=declared.name,
        category=str(declared.category),
        principal_id=principal.id,
        resource_type=resource.type,
        resource_id=resource.id,
        repository=resource.repository,
        effect=effect,
        code=code,
        message=message,
        enforced=decision.enforced or whose is not None,
        would=str(decision.would or "") if whose is None else "",
        steps=tuple(
            StepItem(
                gate=step.gate,
                effect=step.effect,
                code=step.code,
                message=step.message,
                rules=step.rules,
                warn=step.warn,
                advice=step.advice,
            )
            for step in decision.steps
        ),
        bundle=ctx.bundle.digest,
        law=ctx.bundle.law,
    )


def _whose(ctx: Context, declared: Operation, principal: Principal, resource: Resource) -> Refusal | None:
    """Why the service would refuse this to this principal because of whose the thing is, or None."""
    if declared.authority is None or resource.type == "Workspace":
        return None
    try:
        return declared.authority(ctx.tx, ctx.workspace_id, principal, ctx.bundle, resource.id)
    except Refusal as refusal:
        return refusal


class GetMyProfileAsk(Ask):
    """Nothing to say: the profile is the caller's."""


class LimitItem(Answer):
    name: str = Field(description="what is limited")
    limit: int = Field(description="the most there may be")
    used: int = Field(description="how much is used now; 0 for what is judged call by call")
    left: int = Field(description="how much is left")
    resets_at: str = Field(description="when what is used counts as 0 again; empty when only you can free it")


class NotPermittedItem(Answer):
    operation: str
    code: str = Field(description="why, for programs")


class ObservedItem(Answer):
    scope: str = Field(description="`workspace`, `agent`, `role` or `pack`")
    id: str = Field(description="which agent, role or pack; empty for the workspace")
    until: str


class GetMyProfileAnswer(Answer):
    principal_id: str
    kind: str = Field(description="`agent` or `person`")
    role: str = Field(description="an agent's role")
    roles: tuple[str, ...] = Field(description="a person's roles")
    owner: str = Field(description="who answers for this agent")
    trust: int = Field(description="an agent's own trust, 0 to 4")
    effective_trust: int = Field(description="what counts: the least along the delegation and the profile's ceiling")
    delegation: tuple[str, ...] = Field(description="the agents that delegated to this one, nearest first")
    profile: str = Field(description="the profile's name; empty for a person")
    limits: tuple[LimitItem, ...]
    permitted: tuple[str, ...] = Field(description="operations that the gates let through now")
    held: tuple[NotPermittedItem, ...] = Field(description="operations that a person would be asked about")
    denied: tuple[NotPermittedItem, ...] = Field(description="operations that are denied now")
    observed: tuple[ObservedItem, ...] = Field(
        description="observe modes that concern you: what they cover is not enforced"
    )
    bundle: str = Field(description="the digest of the policies in force")
    law: str = Field(description="the digest of the part of them that judges")
    repository: str = Field(description="where bare paths lie")
    session_id: str
    session_expires_at: str = Field(description="when this session ends unless renewed; empty for never")
    token_expires_at: str = Field(description="when this token ends; empty for never")


def _limits(supposed: Supposed, kept: profile.Profile | None) -> tuple[LimitItem, ...]:
    used = dict(supposed.used)
    binding = profile.hours(supposed.principal, supposed.bundle.rules[profile.NAME])
    left = {_HOURLY: min((limit - used.get(name, 0) for name, limit in binding), default=0)}
    return tuple(
        LimitItem(
            name=name,
            limit=kept.limits[name],
            used=used.get(name, 0),
            left=max(0, left.get(name, kept.limits[name] - used.get(name, 0))),
            resets_at=instant(quotas.window_ends(supposed.now)) if name == _HOURLY else "",
        )
        for name in profile.LIMITS
        if kept is not None and name in kept.limits
    )


def _observed(workspace: WorkspaceFacts, who: Principal, now: Micros) -> tuple[ObservedItem, ...]:
    ours = {("agent", who.id), ("role", who.role)} if who.kind == "agent" else set()
    return tuple(
        ObservedItem(scope=mode.scope_kind, id=mode.scope_id, until=instant(mode.until))
        for mode in workspace.observations
        if mode.until > now and (mode.scope_kind in ("workspace", "pack") or (mode.scope_kind, mode.scope_id) in ours)
    )


def _fetch(reader: Reader, ask: GetMyProfileAsk) -> GetMyProfileAnswer:
    """Decide every operation once. Done after the commit, since some dozens of decisions would hold up a train."""
    del ask
    who = reader.caller
    workspace, _key = standing.read_workspace(reader.connection, reader.workspace_id)
    supposed = _suppose(Transaction(reader.connection, reader.now), workspace, who, reader.bundle)
    home = Resource("Workspace", reader.workspace_id)
    decided = [
        (declared.name, supposed.decide(declared, home, call_id="", surface="", address="")) for declared in _catalog()
    ]
    profiles = reader.bundle.rules[profile.NAME].profiles
    kept = profiles.get(who.profile or "default") if who.kind == "agent" else None
    ceiling = kept.trust_ceiling if kept is not None else 4
    return GetMyProfileAnswer(
        principal_id=who.id,
        kind=who.kind,
        role=who.role,
        roles=who.roles,
        owner=who.owner,
        trust=who.trust,
        effective_trust=min(who.effective_trust, ceiling),
        delegation=who.delegation,
        profile=(who.profile or "default") if who.kind == "agent" else "",
        limits=_limits(supposed, kept),
        permitted=tuple(name for name, decision in decided if decision.effect is Effect.ALLOW),
        held=_not_permitted(decided, Effect.HOLD),
        denied=_not_permitted(decided, Effect.DENY),
        observed=_observed(workspace, who, reader.now),
        bundle=reader.bundle.digest,
        law=reader.bundle.law,
        repository=who.repository or "default",
        session_id=who.session_id,
        session_expires_at=instant(who.session_expires_at),
        token_expires_at=instant(who.token_expires_at),
    )


def _not_permitted(decided: list[tuple[str, Decision]], effect: Effect) -> tuple[NotPermittedItem, ...]:
    return tuple(
        NotPermittedItem(operation=name, code=decision.code) for name, decision in decided if decision.effect is effect
    )


@operation(
    "get_my_profile",
    Category.READ,
    ask=GetMyProfileAsk,
    answer=GetMyProfileAnswer,
    resource=workspace_resource,
    fetch=_fetch,
)
def get_my_profile(_ctx: Context, _ask: GetMyProfileAsk) -> None:
    """See how you stand: your trust, your limits with what is left of them, and what you may do now.

    What you may do is decided for the workspace as a whole; ask `check_policy` about one resource.
    """


OPERATIONS: tuple[Operation, ...] = (check_policy, get_my_profile)
