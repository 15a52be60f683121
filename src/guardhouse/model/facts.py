"""Facts: what is known at the time of a call. A gate may judge nothing else.

Facts hold instants (`expires_at`), never verdicts, so that they may be kept between calls and
judged again at another time. What repeats from call to call (`Principal`, `WorkspaceFacts`) is
recorded once under its digest; the rest stands in the entry.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from guardhouse.model.instants import Micros


@dataclass(frozen=True, slots=True)
class Control:
    """A standing order on an agent or the workspace: `paused`, `suspended` or `stopped`, until when (0: no end)."""

    subject_kind: str
    subject_id: str
    state: str
    until: Micros = 0
    by: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """An observe mode: scope `workspace`, `agent`, `role` or `pack`, the scope's id, and its end (always set)."""

    scope_kind: str
    scope_id: str
    until: Micros


@dataclass(frozen=True, slots=True)
class Principal:
    """Who the token stands for, at the standing-version under which it was read.

    `trust` is the agent's own level 0-4, `effective_trust` the minimum along the delegation chain
    (`delegation`: agent ids, nearest delegator first, and `delegation_profiles` theirs in that order). People have roles (`operator`, `security`,
    `auditor`) and no trust. An instant of 0 means none.
    """

    kind: str
    id: str
    role: str = ""
    roles: tuple[str, ...] = ()
    trust: int = 0
    effective_trust: int = 0
    profile: str = ""
    owner: str = ""
    delegation: tuple[str, ...] = ()
    delegation_profiles: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()
    disabled: bool = False
    token_id: str = ""
    token_expires_at: Micros = 0
    token_revoked_at: Micros = 0
    session_id: str = ""
    session_expires_at: Micros = 0
    session_revoked_at: Micros = 0
    repository: str = ""

    def to_json(self) -> dict[str, Any]:
        value = _plain(asdict(self))
        if not self.delegation_profiles:
            del value["delegation_profiles"]
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Principal:
        return cls(**_tupled(value, "roles", "delegation", "delegation_profiles", "grants"))


@dataclass(frozen=True, slots=True)
class WorkspaceFacts:
    """The workspace's own standing: what is paused or observed, and its declared exceptions."""

    id: str
    single_person: bool = False
    controls: tuple[Control, ...] = ()
    observations: tuple[Observation, ...] = ()
    approval_pending_seconds: int = 86_400
    approval_grant_seconds: int = 3_600

    def to_json(self) -> dict[str, Any]:
        return _plain(asdict(self))

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> WorkspaceFacts:
        return cls(
            **value
            | {
                "controls": tuple(Control(**item) for item in value["controls"]),
                "observations": tuple(Observation(**item) for item in value["observations"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """One guardrail rule that matched, without the text it matched.

    `severity` is `block`, `approval_required`, `warn` or `log`; `start` and `end` are character
    offsets into the text of `field`; `protects` marks the pack that guards Guardhouse itself, which
    no trust and no mode exempts; `floor` is the least severity that the repository's own file lets it have.
    """

    rule: str
    pack: str
    category: str
    severity: str
    min_trust: int
    field: str
    start: int
    end: int
    protects: bool = False
    path_classes: tuple[str, ...] = ()
    floor: str = ""

    def to_json(self) -> dict[str, Any]:
        value = _plain(asdict(self))
        for key in ("protects", "path_classes", "floor"):
            if not value[key]:
                del value[key]
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Finding:
        return cls(**_tupled(value, "path_classes"))


@dataclass(frozen=True, slots=True)
class DomainFinding:
    """What the domain lists say of one destination: `effect` allow or deny, its `code`, and the rule's id ("" for none)."""

    field: str
    effect: str
    code: str
    rule: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalFact:
    """The approval that this call presents (`presented`) or that was found for it.

    `state` is as stored: `pending`, `granted`, `refused`, `spent`. `bound` says whether it belongs to
    this very question (agent, operation, resource, payload HMAC); `law` is the digest it was asked
    under. Whether it has expired is judged from the instants.
    """

    id: str
    state: str
    bound: bool
    presented: bool
    law: str
    pending_until: Micros
    grant_until: Micros = 0
    decided_at: Micros = 0


@dataclass(frozen=True, slots=True)
class GrantFact:
    """A person's leave, found for this very agent and question: it lifts `rules`, (id, severity as found then), under `law`.

    `once`: it is used up by the call that it lets through.
    """

    id: str
    rules: tuple[tuple[str, str], ...]
    law: str
    once: bool
    expires_at: Micros

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"rules": [list(rule) for rule in self.rules]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> GrantFact:
        return cls(**value | {"rules": tuple((rule, severity) for rule, severity in value["rules"])})


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the gates may know.

    `claim` says what identity the body claimed: `none`, `own` or `other`. `quota` holds what is
    already used, by limit name. `pending_approvals` counts the caller's open questions.
    `law` is the digest of the part of the bundle that judges. `repeats` names the performed decision
    that the same idempotency key already stands for; `repeat_differs` says that it was for another call.
    """

    now: Micros
    principal: Principal
    workspace: WorkspaceFacts
    claim: str = "none"
    quota: tuple[tuple[str, int], ...] = ()
    findings: tuple[Finding, ...] = ()
    domains: tuple[DomainFinding, ...] = ()
    approval: ApprovalFact | None = None
    pending_approvals: int = 0
    law: str = ""
    registered_repository: str = ""
    repeats: str = ""
    repeat_differs: bool = False
    question: str = ""
    open_ended: bool = False
    grant: GrantFact | None = None

    def used(self, limit: str) -> int:
        """How much of a limit is spent; 0 when nothing is known to be."""
        return next((used for name, used in self.quota if name == limit), 0)

    def to_json(self, principal_digest: str, workspace_digest: str) -> dict[str, Any]:
        """The recorded form: standing by digest, the rest inline, empty parts left out."""
        value: dict[str, Any] = {"principal": principal_digest, "workspace": workspace_digest, "law": self.law}
        if self.claim != "none":
            value["claim"] = self.claim
        if self.quota:
            value["quota"] = dict(self.quota)
        if self.findings:
            value["findings"] = [finding.to_json() for finding in self.findings]
        if self.domains:
            value["domains"] = [asdict(domain) for domain in self.domains]
        if self.approval:
            value["approval"] = asdict(self.approval)
        if self.question:
            value["question"] = self.question
        if self.open_ended:
            value["open_ended"] = True
        if self.grant:
            value["grant"] = self.grant.to_json()
        if self.pending_approvals:
            value["pending_approvals"] = self.pending_approvals
        if self.registered_repository:
            value["registered_repository"] = self.registered_repository
        if self.repeats:
            value["repeats"] = self.repeats
        if self.repeat_differs:
            value["repeat_differs"] = True
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any], now: Micros, principal: Principal, workspace: WorkspaceFacts) -> Facts:
        """The facts that an entry records, for replay; `now` is the entry's time."""
        approval = value.get("approval")
        return cls(
            now=now,
            principal=principal,
            workspace=workspace,
            claim=value.get("claim", "none"),
            quota=tuple(sorted(value.get("quota", {}).items())),
            findings=tuple(Finding.from_json(item) for item in value.get("findings", ())),
            domains=tuple(DomainFinding(**item) for item in value.get("domains", ())),
            approval=ApprovalFact(**approval) if approval else None,
            question=value.get("question", ""),
            open_ended=value.get("open_ended", False),
            grant=GrantFact.from_json(value["grant"]) if "grant" in value else None,
            pending_approvals=value.get("pending_approvals", 0),
            law=value["law"],
            registered_repository=value.get("registered_repository", ""),
            repeats=value.get("repeats", ""),
            repeat_differs=value.get("repeat_differs", False),
        )


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    return {key: list(item) if isinstance(item, tuple) else item for key, item in value.items()}


def _tupled(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: tuple(item) if key in keys else item for key, item in value.items()}
