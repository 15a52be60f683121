"""Checking a directory before it is activated: does it load, do its cases come out, what would it change?

A case is a call with its facts and what must become of it. It is judged by the very fold that judges real
calls, which the caller hands in: law lies below the gateway and does not know it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from guardhouse.bundle import Bundle
from guardhouse.bundle.difference import Difference, difference
from guardhouse.bundle.load import (
    ActionDecl,
    load_files,
    own_files,
    read_directory,
    shipped_directory,
)
from guardhouse.errors import LawFault, LawProblem
from guardhouse.gates import network
from guardhouse.gates.policy.ruling import RESOURCE_TYPES
from guardhouse.gates.profile import LIMITS
from guardhouse.gates.reading import Lines, Problems
from guardhouse.guardrails.text import Examined
from guardhouse.model.call import Call, Resource
from guardhouse.model.decision import Decision
from guardhouse.model.facts import Facts, Principal, WorkspaceFacts

Decide = Callable[[Call, Facts, Bundle], Decision]

AT = 1_790_000_000_000_000
"""When a case happens, unless it says `hour`: 2026-09-21T14:13:20Z."""

_HOUR = 3_600_000_000
_CASE = (
    "name",
    "as",
    "ask",
    "resource",
    "text",
    "kind",
    "url",
    "quota",
    "size",
    "hour",
    "surface",
    "labels",
    "claim",
    "expect",
)
_AGENT = ("trust", "role", "profile", "owner", "id")
_EXPECT = ("effect", "gate", "code", "verdict", "rules")
_EFFECTS = ("allow", "deny", "hold")
_GATES = ("identity", "control", "profile", "policy", "network", "guardrails", "approval")


@dataclass(frozen=True, slots=True)
class Case:
    """One case: where it stands, the call, the facts without what the law finds, and what is expected."""

    file: str
    line: int
    name: str
    call: Call
    facts: Facts
    text: Examined | None
    url: str
    expect: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    `bundle` is None when it does not load, and then `problems` says why; `problems` also holds every case
    that did not come out. `cases` counts those that ran. `change` compares with the bundle given as the last
    one. `shipped_changed` names shipped files that the directory takes over by `include` and that
    are not the ones which were last activated: an upgrade brought others.
    """

    bundle: Bundle | None
    problems: tuple[LawProblem, ...]
    cases: int = 0
    change: Difference | None = None
    shipped_changed: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it loads and every case comes out."""
        return self.bundle is not None and not self.problems


def check_directory(
    path: Path | str, actions: Mapping[str, ActionDecl], decide: Decide, last: Bundle | None = None
) -> Report:
    """Load a directory with what it includes, run its cases, and compare it with `last`. Never raises LawFault."""
    try:
        files = read_directory(Path(path))
        own = own_files(Path(path))
    except LawFault as fault:
        return Report(None, fault.problems)
    report = check_files(files, actions, decide, last)
    if last is None or b"include" not in own.get("gateway.yaml", b"") or own == files:
        return report
    taken = files.keys() - own.keys()
    gone = {name for name in last.files.keys() - files.keys() if name in _shipped_names()}
    changed = {name for name in taken if last.files.get(name) != files[name]}
    return replace(report, shipped_changed=tuple(sorted(changed | gone)))


def check_files(
    files: Mapping[str, bytes], actions: Mapping[str, ActionDecl], decide: Decide, last: Bundle | None = None
) -> Report:
    """Load files, run their cases, and compare them with `last`. Never raises LawFault."""
    try:
        bundle = load_files(files, actions)
        cases = read_cases(files, actions)
    except LawFault as fault:
        return Report(None, fault.problems)
    problems = tuple(problem for case in cases for problem in run(case, bundle, decide))
    return Report(bundle, problems, len(cases), None if last is None else difference(last, bundle))


def run(case: Case, bundle: Bundle, decide: Decide) -> tuple[LawProblem, ...]:
    """What of a case did not come out; nothing when it did."""
    findings = bundle.packs.examine((case.text,)) if case.text is not None else ()
    domains = (network.match(bundle.rules[network.NAME], "url", case.url),) if case.url else ()
    decision = decide(case.call, replace(case.facts, findings=findings, domains=domains, law=bundle.law), bundle)
    step = decision.step(case.expect["gate"]) if "gate" in case.expect else None
    got = {
        "effect": str(decision.effect),
        "code": step.code if step is not None else decision.code,
        "gate": step.gate if step is not None else next((s.gate for s in decision.steps if s.effect != "allow"), ""),
        "verdict": str(decision.verdict or ""),
    }
    problems = [
        LawProblem(case.file, case.line, f"`{case.name}`: the {key} is `{got[key]}`, not `{wanted}`")
        for key, wanted in case.expect.items()
        if key != "rules" and got[key] != wanted
    ]
    problems.extend(
        LawProblem(case.file, case.line, f"`{case.name}`: the rule `{rule}` is not in the trail")
        for rule in case.expect.get("rules", ())
        if rule not in decision.rules
    )
    return tuple(problems)


def read_cases(files: Mapping[str, bytes], actions: Mapping[str, ActionDecl]) -> tuple[Case, ...]:
    """All cases of `cases/*.yaml`, in order of file and place; LawFault listing every problem."""
    problems = Problems()
    cases: list[Case] = []
    for file in sorted(files):
        if not (file.startswith("cases/") and file.endswith(".yaml")):
            continue
        read = problems.read(file, files[file])
        if read is None:
            continue
        value, lines = read
        items = problems.keys(value, lines, (), ("cases",)).get("cases")
        if not isinstance(items, list):
            problems.add(lines, ("cases",), "a list of cases is needed here", "begin each with `- name:`")
            continue
        for index, item in enumerate(items):
            before = len(problems.found)
            given = problems.keys(item, lines, ("cases", index), _CASE)
            case = _case(given, problems, lines, ("cases", index), actions)
            if case is not None and len(problems.found) == before:
                cases.append(case)
    problems.stop()
    return tuple(cases)


def _case(
    given: Mapping[str, Any], problems: Problems, lines: Lines, path: tuple[Any, ...], actions: Mapping[str, ActionDecl]
) -> Case | None:
    name, ask = given.get("name"), given.get("ask")
    if not isinstance(name, str) or not isinstance(ask, str) or ask not in actions:
        problems.add(lines, path, "each case needs a `name` and an operation to `ask` for")
        return None
    words = {key: given.get(key, "") for key in ("text", "kind", "url", "surface", "claim")}
    for key, word in words.items():
        if not isinstance(word, str):
            problems.add(lines, (*path, key), "a text is needed here", "put it in quotes")
            return None
    expect = problems.keys(given.get("expect"), lines, (*path, "expect"), _EXPECT)
    if expect.get("effect") not in _EFFECTS or expect.get("gate", "policy") not in _GATES:
        problems.add(lines, (*path, "expect"), "`effect` is allow, deny or hold; `gate` names a gate")
        return None
    problems.words(expect.get("rules", []), lines, (*path, "expect", "rules"))
    on = problems.keys(given.get("resource", {}), lines, (*path, "resource"), ("type", "id", "repository"))
    kind = on.get("type", "Lock")
    if kind not in RESOURCE_TYPES:
        problems.add(lines, (*path, "resource"), f"`type` is one of {', '.join(RESOURCE_TYPES)}")
    quota = problems.keys(given.get("quota", {}), lines, (*path, "quota"), LIMITS)
    used = {limit: problems.number(item, lines, (*path, "quota", limit), 0, 10**9) for limit, item in quota.items()}
    at = AT
    if "hour" in given:
        at = AT - AT % (24 * _HOUR) + problems.number(given["hour"], lines, (*path, "hour"), 0, 23) * _HOUR
    declared = actions[ask]
    call = Call(
        "dec_case", ask, declared.category, Resource(kind, str(on.get("id", "case")), str(on.get("repository", ""))),
        words["surface"] or "http", "127.0.0.1", problems.number(given.get("size", 100), lines, (*path, "size"), 0, 10**9),
        "", governs=declared.governs, labels=problems.words(given.get("labels", []), lines, (*path, "labels")),
    )  # fmt: skip
    facts = Facts(
        at,
        _principal(given.get("as"), problems, lines, (*path, "as")),
        WorkspaceFacts("wsp_case"),
        claim=words["claim"] or "none",
        quota=tuple(sorted(used.items())),
        registered_repository=str(on.get("repository", "")),
    )
    text = Examined("text", words["text"], words["kind"] or "shell") if "text" in given else None
    return Case(lines.file, lines.at(*path), name, call, facts, text, words["url"], expect)


def _principal(value: Any, problems: Problems, lines: Lines, path: tuple[Any, ...]) -> Principal:
    given = problems.keys(value, lines, path, ("agent", "person"))
    if len(given) != 1:
        problems.add(lines, path, "a case is asked `as` one `agent` or one `person`")
        return Principal("agent", "agt_case")
    if "person" in given:
        return Principal("person", "per_case", roles=problems.words(given["person"], lines, (*path, "person")))
    who = problems.keys(given["agent"], lines, (*path, "agent"), _AGENT)
    trust = problems.number(who.get("trust"), lines, (*path, "agent", "trust"), 0, 4)
    return Principal(
        "agent",
        str(who.get("id", "agt_case")),
        role=str(who.get("role", "")),
        trust=trust,
        effective_trust=trust,
        profile=str(who.get("profile", "")),
        owner=str(who.get("owner", "")),
    )


def _shipped_names() -> frozenset[str]:
    root = shipped_directory()
    return frozenset(entry.relative_to(root).as_posix() for entry in root.rglob("*") if entry.is_file())
