"""An outcome: what leaves the gateway for one call, before any door puts it into its protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from guardhouse.model.decision import Decision


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one call.

    `code` is `performed` when the effect happened, else the stable code of what stopped it
    (`approval_pending` for a held call). `result` is the operation's output when performed; `error`
    holds machine-readable detail otherwise (`rule_ids`, `fields`, `retry_after_seconds`, …).
    `principal_id` is who asked. `sequence` is the entry's position in the workspace's ledger. `repeated` names the decision whose
    outcome this repeats.
    """

    code: str
    message: str = ""
    request_id: str = ""
    decision_id: str = ""
    workspace_id: str = ""
    principal_id: str = ""
    sequence: int = -1
    decision: Decision | None = None
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] = field(default_factory=dict)
    repeated: str = ""

    @property
    def performed(self) -> bool:
        """Whether the effect happened."""
        return self.code == "performed"
