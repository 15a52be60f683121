"""What the engine is given, and what it gives back: the seam that every engine behind it fills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from guardhouse.guardrails.surroundings import NOWHERE, Surroundings
from guardhouse.model.facts import Finding

if TYPE_CHECKING:
    from guardhouse.guardrails.overrides import Override


@dataclass(frozen=True, slots=True)
class Examined:
    """One text to examine.

    `tool` is the name of the tool that would run it; where `kind` is `auto` it says how to read the text (see `tools`).

    `field` names the input field it came from; `kind` is `shell`, `sql`, `file` (a file's content),
    `prose` (words for people: only rules that say so apply), `report` (words for people with commands in them: prose,
    and each line and block also as what could be run) or `auto`. The rest is context where known.

    `act` says what a file tool does to `file_paths`: `read`, `search`, `write`, `edit`, `delete`, or empty when that is not known
    (a `shell` text with an act is that tool's use put as a command, so that the rules on files bind it too);
    `edits` are an edit's (old, new, everywhere). The gateway adds what deciding may not look up itself: `around`, where
    this deployment keeps what no agent may touch; `links`, paths as written (absolute, case folded) that lead there; and
    `kept`, for a change to a client's configuration: whether our entries stay as they were (`same`, `changed`, or empty);
    and `crowded`, that it names more than was looked up.
    """

    field: str
    text: str
    kind: str = "auto"
    cwd: str = ""
    tool: str = ""
    file_paths: tuple[str, ...] = ()
    workspace_root: str = ""
    act: str = ""
    edits: tuple[tuple[str, str, bool], ...] = ()
    kept: str = ""
    links: tuple[tuple[str, str], ...] = ()
    around: Surroundings = NOWHERE
    crowded: bool = False

    def __hash__(self) -> int:
        return hash((self.text, self.field, self.file_paths))

    def at(self, around: Surroundings, links: tuple[tuple[str, str], ...], kept: str, *, crowded: bool) -> Examined:
        """The same text with what the gateway adds. Spelled out, as it is made for every call."""
        return Examined(
            self.field,
            self.text,
            self.kind,
            self.cwd,
            self.tool,
            self.file_paths,
            self.workspace_root,
            self.act,
            self.edits,
            kept,
            links,
            around,
            crowded,
        )


NOTHING_ALLOWS = "nothing: it guards Guardhouse itself"
"""What would allow what a protecting rule catches."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A finding in words, made where the text is still at hand. Never recorded in the ledger's entry.

    `exempted_by` names the policies or the grant that exempt the caller, `allowed_by` what would allow it; both are
    filled where the caller is known.
    """

    rule: str
    pack: str
    category: str
    severity: str
    min_trust: int
    field: str
    start: int
    end: int
    matched_text: str
    reason: str
    alternative: str = ""
    via: tuple[str, ...] = ()
    exempted_by: tuple[str, ...] = ()
    allowed_by: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule says of itself, for policies, traces and people."""

    id: str
    pack: str
    category: str
    severity: str
    min_trust: int
    reason: str
    alternative: str = ""
    protects: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What examining some texts gave: the findings, and what only the moment of finding knows of each.

    `packs` is the digest of those who looked; `notes`, and `shown`, what is quoted of long texts without their secrets, are theirs alone to read.
    """

    packs: str = ""
    findings: tuple[Finding, ...] = ()
    notes: tuple[Any, ...] = ()
    shown: Mapping[Any, str] = field(default_factory=dict)


UNSEEN = Seen()
"""Nothing was looked at yet."""


class Packs(Protocol):
    """A loaded, self-tested set of guardrail packs.

    `look` is a pure function of (texts, digest): the same texts always give the same findings, in
    the order of the texts and then of `start`. It MUST NOT raise on any text; what cannot be analysed
    is a finding. `examine` is its findings alone. `explain` adds words to findings of the same texts: from `seen`, where
    these packs saw it, so that whoever explains where others wait need not look again. `redact` replaces every secret
    that a rule catches in a plain JSON value by `[redacted:RULE]`, keeping the shape. `overrides` are
    applied by the gate, not by `examine`: they depend on who asks, and when.
    """

    digest: str
    overrides: tuple[Override, ...]
    rules: Mapping[str, Rule]

    def examine(self, texts: tuple[Examined, ...]) -> tuple[Finding, ...]: ...

    def look(self, texts: tuple[Examined, ...]) -> Seen: ...

    def explain(
        self, texts: tuple[Examined, ...], findings: tuple[Finding, ...], seen: Seen = UNSEEN
    ) -> tuple[Explained, ...]: ...

    def redact(self, value: Any) -> Any: ...
