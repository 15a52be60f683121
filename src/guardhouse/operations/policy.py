"""Operations on the law: activate, roll back, show, and its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator
from sqlalchemy import func, select

from guardhouse.bundle import Bundle, child, versions
from guardhouse.bundle.load import ActionDecl, load_files
from guardhouse.bundle.tables import ACTIVATION
from guardhouse.catalog import Answer, Ask, Context, Home, Reader, operation
from guardhouse.errors import FieldFault, InvalidInput, LawFault, LawProblem, Refusal
from guardhouse.ledger import query
from guardhouse.model.call import Category, Resource
from guardhouse.operations.fields import Limit, instant

MOST_FILES = 500

BundleDigest = Annotated[
    str, Field(pattern=r"^sha256:[0-9a-f]{64}$", description="a bundle's digest, as `policy_history` shows it")
]
FilePath = Annotated[
    str,
    StringConstraints(max_length=200, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$"),
]
Note = Annotated[str, Field(max_length=2000, description="what changes and why, for the history")]


@dataclass(frozen=True, slots=True)
class PreparedLaw:
    """What `gather` made of uploaded files: a whole, validated bundle, not stored yet."""

    bundle: Bundle


class ActivatePolicyAsk(Ask):
    files: Annotated[dict[FilePath, str], Field(min_length=1, max_length=MOST_FILES)] | None = Field(
        None, description="every file of the bundle by its path below `policies/`, such as `gateway.yaml`"
    )
    digest: BundleDigest | None = Field(None, description="instead of files: a bundle that was active before")
    note: Note = ""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.files is None) == (self.digest is None):
            raise ValueError("give either `files` or `digest`")
        return self


class ActivationAnswer(Answer):
    digest: str
    law: str
    number: int = Field(description="the activation's number in this workspace's history")
    previous_digest: str
    changed: bool = Field(description="false when it was active already, and nothing was written")


def _refuse(problems: tuple[LawProblem, ...]) -> None:
    if problems:
        raise LawFault(problems)


def _gather(ask: ActivatePolicyAsk, _active: Bundle) -> PreparedLaw | None:
    """Parse and validate uploaded files in a child process first, since hostile text can end a parser.

    InvalidInput with a field for each fault: file, line, what is wrong and what to do.
    """
    if ask.files is None:
        return None
    # The catalog holds this very module, so it can only be asked once both are loaded.
    from guardhouse.operations import CATALOG

    actions = {declared.name: ActionDecl(declared.category, declared.people_only) for declared in CATALOG}
    files = {path: text.encode() for path, text in ask.files.items()}
    try:
        _refuse(child.parse_untrusted(files, actions=actions))
        return PreparedLaw(load_files(files, actions))
    except LawFault as fault:
        problems = tuple(
            FieldFault(
                f"{problem.file}:{problem.line}" if problem.line else problem.file,
                f"{problem.message} ({problem.remedy})" if problem.remedy else problem.message,
            )
            for problem in fault.problems
        )
        raise InvalidInput("the bundle has faults, so nothing of it was loaded", problems, fault.code) from fault


def _policy(ask: ActivatePolicyAsk | RollbackPolicyAsk | ShowPolicyAsk, _home: Home) -> Resource:
    return Resource("Policy", ask.digest or "bundle")


def _activate(ctx: Context, digest: str, law: str) -> ActivationAnswer:
    previous = ctx.bundle.digest
    changed = digest != previous
    why = ctx.unfit(digest) if changed else ""
    if why:
        raise Refusal("invalid_bundle", f"this version of Guardhouse cannot read that bundle, so the law stays: {why}")
    if changed:
        # The note stays in the payload of this call, where an erasure reaches it: the history is append-only.
        number = versions.activate(ctx.tx, ctx.workspace_id, digest, law, ctx.caller.id, ctx.call.id)
    else:
        newest = select(func.max(ACTIVATION.c.number)).where(ACTIVATION.c.workspace_id == ctx.workspace_id)
        number = ctx.tx.execute(newest).scalar_one()
    ctx.objects.append(f"bundle:{digest}")
    return ActivationAnswer(
        digest=digest,
        law=law,
        number=number,
        previous_digest=previous,
        changed=changed,
    )


def _law_of(ctx: Context, digest: str) -> str:
    """The law digest of a bundle that was active here before; Refusal `not_found`."""
    row = ctx.tx.row(
        select(ACTIVATION.c.law)
        .where(ACTIVATION.c.workspace_id == ctx.workspace_id, ACTIVATION.c.digest == digest)
        .order_by(ACTIVATION.c.number.desc())
        .limit(1)
    )
    if row is None:
        raise Refusal("not_found", f"no bundle `{digest}` was ever active here; `policy_history` lists them")
    return str(row["law"])


@operation(
    "activate_policy",
    Category.ADMIN,
    ask=ActivatePolicyAsk,
    answer=ActivationAnswer,
    resource=_policy,
    writes=True,
    people_only=True,
    gather=_gather,
)
def activate_policy(ctx: Context, ask: ActivatePolicyAsk) -> ActivationAnswer:
    """Put a bundle of policies, profiles, lists and packs in force, whole or not at all.

    It binds the very next call in every process. A bundle with any fault is refused, with the file, the
    line and what to do, and the one in force stays. Grants given under another law become stale.
    Refusals: `not_found` for a `digest` that was never in force here, `invalid_bundle` for one that this version
    cannot read.
    """
    prepared: PreparedLaw | None = ctx.evidence
    if prepared is not None:
        versions.store(ctx.tx, ctx.workspace_id, prepared.bundle)
        return _activate(ctx, prepared.bundle.digest, prepared.bundle.law)
    assert ask.digest is not None
    return _activate(ctx, ask.digest, _law_of(ctx, ask.digest))


class RollbackPolicyAsk(Ask):
    digest: BundleDigest | None = Field(None, description="which bundle; none: the one in force before the present one")
    note: Note = ""


@operation(
    "rollback_policy",
    Category.ADMIN,
    ask=RollbackPolicyAsk,
    answer=ActivationAnswer,
    resource=_policy,
    writes=True,
    people_only=True,
)
def rollback_policy(ctx: Context, ask: RollbackPolicyAsk) -> ActivationAnswer:
    """Put back the bundle that was in force before, or any earlier one by its digest.

    A rollback is an activation like any other: it is recorded, binds the next call, and can be rolled
    back itself. Refusals: `nothing_to_roll_back`, `not_found`, `invalid_bundle` for one that this version cannot read.
    """
    if ask.digest is not None:
        return _activate(ctx, ask.digest, _law_of(ctx, ask.digest))
    before = versions.previous(ctx.tx.connection, ctx.workspace_id)
    if before is None:
        raise Refusal("nothing_to_roll_back", "no other bundle was ever in force here")
    return _activate(ctx, *before)


class ShowPolicyAsk(Ask):
    digest: BundleDigest | None = Field(None, description="which bundle; none: the one in force")


class ShowPolicyAnswer(Answer):
    digest: str
    active: bool
    files: dict[str, str]


def _read_bundle(reader: Reader, ask: ShowPolicyAsk) -> ShowPolicyAnswer:
    digest = ask.digest or versions.active(reader.connection, reader.workspace_id)[0]
    files = versions.files_of(reader.connection, reader.workspace_id, digest)
    if files is None:
        raise Refusal("not_found", f"no bundle `{digest}` is stored here")
    return ShowPolicyAnswer(
        digest=digest,
        active=digest == versions.active(reader.connection, reader.workspace_id)[0],
        files={path: content.decode("utf-8", "replace") for path, content in sorted(files.items())},
    )


@operation(
    "show_policy",
    Category.READ,
    ask=ShowPolicyAsk,
    answer=ShowPolicyAnswer,
    resource=_policy,
    people_only=True,
    fetch=_read_bundle,
)
def show_policy(ctx: Context, ask: ShowPolicyAsk) -> None:
    """Show every file of a bundle as it was activated: the one in force, or an earlier one by its digest. Refusal: `not_found`."""
    if ask.digest is not None:
        _law_of(ctx, ask.digest)


class PolicyHistoryAsk(Ask):
    limit: Limit = 50
    before: Annotated[int, Field(ge=1, description="`next` of the page before")] | None = None


class ActivationItem(Answer):
    number: int
    digest: str
    law: str
    at: str
    by_id: str
    decision_id: str
    note: str
    active: bool


class PolicyHistoryAnswer(Answer):
    activations: tuple[ActivationItem, ...]
    more: bool
    next: int | None


def _history(reader: Reader, ask: PolicyHistoryAsk) -> PolicyHistoryAnswer:
    found = select(ACTIVATION).where(ACTIVATION.c.workspace_id == reader.workspace_id)
    if ask.before is not None:
        found = found.where(ACTIVATION.c.number < ask.before)
    newest = found.order_by(ACTIVATION.c.number.desc()).limit(ask.limit + 1)
    rows = [dict(row) for row in reader.connection.execute(newest).mappings()]
    kept = rows[: ask.limit]
    decisions = [row["decision_id"] for row in kept]
    notes = query.said(reader.connection, reader.workspace_id, decisions, "note")
    items = tuple(
        ActivationItem(
            number=row["number"],
            digest=row["digest"],
            law=row["law"],
            at=instant(row["at"]),
            by_id=row["by_id"],
            decision_id=row["decision_id"],
            note=row["note"] or notes.get(row["decision_id"], ""),
            active=ask.before is None and position == 0,
        )
        for position, row in enumerate(kept)
    )
    more = len(rows) > ask.limit
    return PolicyHistoryAnswer(activations=items, more=more, next=kept[-1]["number"] if more else None)


@operation(
    "policy_history",
    Category.READ,
    ask=PolicyHistoryAsk,
    answer=PolicyHistoryAnswer,
    resource=lambda _ask, _home: Resource("Policy", "bundle"),
    people_only=True,
    fetch=_history,
)
def policy_history(_ctx: Context, _ask: PolicyHistoryAsk) -> None:
    """List what was in force, newest first: when, by whom, by which decision, and the note unless it was erased."""


OPERATIONS = (activate_policy, rollback_policy, show_policy, policy_history)
