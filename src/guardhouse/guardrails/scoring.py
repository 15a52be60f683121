"""Scoring: labelled commands read from JSON lines, and the rates at which an engine agrees with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from guardhouse.errors import LawFault, LawProblem
from guardhouse.guardrails.text import Examined, Packs

VERDICTS = ("allow", "warn", "ask", "block")
STRENGTHS = ("strong", "weak")
SCOPES = ("core", "extended")
MOST_PROBLEMS = 20
_KINDS = ("shell", "sql", "file", "prose", "auto")
_SEVERITIES = {"log": 0, "warn": 1, "approval_required": 2, "block": 3}
_MEND = "each line is an object with `command`, and `expected` as one of " + ", ".join(VERDICTS)


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled command. `strength` weak means a coarse or unsure label; only scope `core` with strong labels is the score."""

    line: int
    command: str
    expected: str
    category: str = ""
    source: str = ""
    strength: str = "strong"
    scope: str = "core"
    kind: str = "auto"
    cwd: str = ""
    tool: str = ""


@dataclass(frozen=True, slots=True)
class Rates:
    """Agreement over some rows, in percent; None where no row could have told.

    detect: anything found where ask or block was expected; gate: ask or block there; block: block where block was expected;
    false_positive: ask or block where allow was expected; false_block: block there.
    """

    rows: int
    positives: int
    negatives: int
    detect: float | None
    gate: float | None
    block: float | None
    false_positive: float | None
    false_block: float | None


def read_rows(data: bytes, path: str) -> tuple[Row, ...]:
    """The rows of a file in JSON lines. LawFault lists what is wrong, each with its file and line."""
    problems: list[LawProblem] = []
    rows: list[Row] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(_row(number, line))
        except ValueError as error:
            problems.append(LawProblem(path, number, str(error), _MEND))
            if len(problems) == MOST_PROBLEMS:
                break
    if not rows and not problems:
        problems.append(LawProblem(path, 1, "the file holds no rows", _MEND))
    if problems:
        raise LawFault(problems)
    return tuple(rows)


def _row(number: int, line: bytes) -> Row:
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except (ValueError, RecursionError):
        raise ValueError("not a JSON value on one line") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004  one error for all that is wrong with a row
    made: dict[str, str] = {}
    for name, allowed in (
        ("command", ()),
        ("expected", VERDICTS),
        ("category", ()),
        ("source", ()),
        ("strength", STRENGTHS),
        ("scope", SCOPES),
        ("kind", _KINDS),
        ("cwd", ()),
        ("tool", ()),
    ):
        given = value.get(name)
        if given is None:
            if name in ("command", "expected"):
                raise ValueError(f"the row lacks `{name}`")
            continue
        if not isinstance(given, str):
            raise ValueError(f"`{name}` is not text")  # noqa: TRY004  one error for all that is wrong with a row
        if allowed and given not in allowed:
            raise ValueError(f"`{name}` is `{given[:40]}`, not one of {', '.join(allowed)}")
        made[name] = given
    return Row(number, **made)


def verdict(packs: Packs, text: Examined) -> str:
    """The strictest verdict, for an agent that may override nothing."""
    return VERDICTS[max((_SEVERITIES[one.severity] for one in packs.examine((text,))), default=0)]


def tally(rows: Iterable[Row], verdicts: Iterable[str]) -> Rates:
    """The rates over these rows. Rows that expect `warn` are read by nobody: neither stopping nor passing would be wrong."""
    total = positives = negatives = detected = gated = blocks = blocked = false = falsely = 0
    for row, got in zip(rows, verdicts, strict=True):
        total += 1
        if row.expected in ("ask", "block"):
            positives += 1
            detected += got != "allow"
            gated += got in ("ask", "block")
            if row.expected == "block":
                blocks += 1
                blocked += got == "block"
        elif row.expected == "allow":
            negatives += 1
            false += got in ("ask", "block")
            falsely += got == "block"

    def rate(part: int, whole: int) -> float | None:
        return round(100 * part / whole, 1) if whole else None

    return Rates(
        total,
        positives,
        negatives,
        rate(detected, positives),
        rate(gated, positives),
        rate(blocked, blocks),
        rate(false, negatives),
        rate(falsely, negatives),
    )


def groups(rows: Sequence[Row], verdicts: Sequence[str]) -> Mapping[str, Rates]:
    """Rates by scope and strength for all rows, and by source and category for those that count: core, strong."""
    told: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        names = [f"{row.scope}, {row.strength}"]
        if row.scope == "core" and row.strength == "strong":
            names += [f"source {row.source or 'unnamed'}", f"category {row.category or 'unnamed'}"]
        for name in names:
            told.setdefault(name, []).append(number)

    def order(name: str) -> tuple[int, str]:
        return (1 if name.startswith("source ") else 2 if name.startswith("category ") else 0, name)

    return {
        name: tally((rows[n] for n in told[name]), (verdicts[n] for n in told[name]))
        for name in sorted(told, key=order)
    }


def disagrees(row: Row, got: str) -> bool:
    """Whether a row was judged otherwise in a way that counts: missed, stopped without need, or asked where block was expected."""
    if row.expected == "allow":
        return got in ("ask", "block")
    if row.expected == "block":
        return got != "block"
    return row.expected == "ask" and got not in ("ask", "block")
