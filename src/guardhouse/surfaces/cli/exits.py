"""Exit statuses: what a program that runs the CLI may conclude. Outcome codes get theirs from `surfaces.problem`."""

from __future__ import annotations

OK = 0
FAULT = 1
ASK = 10
BLOCK = 20
USAGE = 64
UNAVAILABLE = 69
INTERNAL = 70
PENDING = 75
REFUSED = 77

MEANINGS = {
    OK: "performed; or a check that says allow or warn",
    FAULT: "`ledger verify`, `ledger replay`, `ledger receipt --verify`, `policy check` or `doctor` found a fault; `uninstall` left something",
    ASK: "`check`: a person must be asked",
    BLOCK: "`check`: the command is blocked",
    USAGE: "the command line or the input cannot be understood",
    UNAVAILABLE: "no gateway or no database could be reached, or the call was not performed",
    INTERNAL: "a fault inside Guardhouse; the request id is printed",
    PENDING: "it may succeed later: waiting for approval, held by another, paused, over quota",
    REFUSED: "refused by a gate or by a service, or no valid token",
}

_VERDICTS = {"allow": OK, "warn": OK, "ask": ASK, "block": BLOCK}


def of_verdict(verdict: str) -> int:
    """The exit status of a check's verdict. A verdict that is not known blocks."""
    return _VERDICTS.get(verdict, BLOCK)
