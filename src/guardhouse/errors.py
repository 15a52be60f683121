"""The closed error tree: codes that programs read, never HTTP statuses.

GuardhouseError
├── Refusal            a service says no to a permitted call (`held`, `not_found`, …); the call is recorded
├── InvalidInput       what was asked cannot be understood; names each field and what to do
├── LawFault           a bundle, policy or pack is not valid; names file and line
├── NotPerformed       the call could not be recorded, so nothing happened; safe to send again
├── OutcomeUnknown     the database cannot say whether the call was recorded; ask `get_outcome`
├── Unauthenticated    no principal is behind this token; leaves no entry
├── LedgerFault        the ledger does not hold together
└── SettingsFault      a setting cannot be used

A refusal by a *gate* is not here: it is a `Decision`, an ordinary answer. An exception means that
Guardhouse could not answer, and then the answer is no.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class GuardhouseError(Exception):
    """The root. `code` is stable; `str(error)` is for people and never holds a secret."""

    code = "internal_error"

    def __init__(self, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.extra: Mapping[str, Any] = extra


class Refusal(GuardhouseError):
    """A service refuses a permitted call. Its savepoint is rolled back; the entry stays.

    `code` is one of the codes in docs/operations.md; `extra` is machine-readable detail for the
    caller (`retry_after_seconds`, `holder_agent_id`, …) and MUST NOT hold secrets.
    """

    def __init__(self, code: str, message: str, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.code = code


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One thing wrong with one field: its dotted path, what is wrong and what would be right."""

    field: str
    problem: str


class InvalidInput(GuardhouseError):
    """The body cannot be understood. `code` is `validation`, `unknown_operation` or `payload_too_large`."""

    def __init__(self, message: str, fields: Sequence[FieldFault] = (), code: str = "validation") -> None:
        super().__init__(message)
        self.code = code
        self.fields = tuple(fields)


@dataclass(frozen=True, slots=True)
class LawProblem:
    """One fault in `policies/`: where it is, what is wrong, what to do. `line` is 1-based, 0 when unknown."""

    file: str
    line: int
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}" + (f" ({self.remedy})" if self.remedy else "")


class LawFault(GuardhouseError):
    """Nothing of a bundle with a fault is loaded; every problem found is listed."""

    code = "invalid_bundle"

    def __init__(self, problems: Sequence[LawProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems) or "the bundle is not valid")


class NotPerformed(GuardhouseError):
    """Nothing happened and nothing was recorded; the same call may be sent again."""

    code = "not_performed"


class OutcomeUnknown(GuardhouseError):
    """The commit's fate is not known; `get_outcome` with the idempotency key tells later."""

    code = "outcome_unknown"


class Unauthenticated(GuardhouseError):
    """No known principal: no entry, only a line in the access log."""

    code = "unauthenticated"
    UNKNOWN = (
        "this token is not known: look whether it is whole and of this gateway, or have an operator issue another "
        "(`guardhouse tokens issue`)"
    )
    NONE = (
        "send one `Authorization: Bearer` header with a token; an operator issues one with `guardhouse agents add` or "
        "`guardhouse tokens issue`"
    )


class LedgerFault(GuardhouseError):
    """The ledger's tables contradict each other or a checkpoint."""

    code = "ledger_fault"


class SettingsFault(GuardhouseError):
    """A setting is missing or unusable; the message names its environment variable."""

    code = "settings_fault"
