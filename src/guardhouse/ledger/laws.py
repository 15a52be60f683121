"""The laws of a ledger: which policy version each entry was decided under, and which it put in force."""

from __future__ import annotations

from typing import Any

from guardhouse.ledger.report import Report

ACTIVATING = ("activate_policy", "rollback_policy")
_ACTIVATED = "bundle:"


class Laws:
    """While the entries pass: what each was decided under, and what each activation by an entry was of.

    `made`: decision id -> (sequence, digest) of the entries that changed the version in force. `judged`: version
    -> law digest, as the entries say. `first`: the version of entry 0, None where it was not read.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._in_force: str | None = None
        self.made: dict[str, tuple[int, str]] = {}
        self.judged: dict[str, str] = {}
        self.first: str | None = None

    def pass_over(self) -> None:
        """Entries that are not here may have activated anything."""
        self._in_force = None

    def take(self, sequence: int, entry: dict[str, Any]) -> None:
        """The next entry, parsed; KeyError or TypeError where it is none."""
        digest, law = entry["bundle"], entry["facts"].get("law")
        if sequence == 0:
            self.first = digest
        if self._in_force not in (None, digest):
            self._report.fault(sequence, "it was not decided under the policy version that was in force")
        if law and self.judged.setdefault(digest, law) != law:
            self._report.fault(sequence, "it names another law than an entry before it under the same policy version")
        self._in_force = digest
        if entry["operation"] in ACTIVATING and entry["outcome"] == "performed" and not entry.get("repeats"):
            for name in entry.get("objects", ()):
                if name.startswith(_ACTIVATED) and name != _ACTIVATED + digest:
                    self._in_force = name.removeprefix(_ACTIVATED)
                    self.made[entry["id"]] = sequence, self._in_force
