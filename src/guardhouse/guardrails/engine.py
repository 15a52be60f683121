"""The engine: one text in, findings out. Structure first, patterns where structure says nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from guardhouse.errors import LawFault, LawProblem
from guardhouse.guardrails import paths, reports, sql, tools
from guardhouse.guardrails.alternatives import propose
from guardhouse.guardrails.blanks import squeezed
from guardhouse.guardrails.budget import CROWDED_NODES, MOST_NODES, PIECE_COST, Budget
from guardhouse.guardrails.guarding import LIKENESS, uses
from guardhouse.guardrails.indexing import Candidate, Index
from guardhouse.guardrails.match import Parsed, fits
from guardhouse.guardrails.packs import KINDS, SEVERITIES, Example, Loaded, LoadedRule, read_packs
from guardhouse.guardrails.patterns import PatternSet
from guardhouse.guardrails.programs import UNSPECIFIED
from guardhouse.guardrails.reading import MOST_SHELL
from guardhouse.guardrails.redacting import SURROGATES, Marks, Secrets
from guardhouse.guardrails.running import Runner
from guardhouse.guardrails.surroundings import SAMPLE
from guardhouse.guardrails.text import NOTHING_ALLOWS, UNSEEN, Examined, Explained, Rule, Seen
from guardhouse.guardrails.turns import turn
from guardhouse.guardrails.units import Spent, Unit
from guardhouse.guardrails.watch import watch
from guardhouse.guardrails.words import UNKNOWN, clean
from guardhouse.model.facts import Finding

MOST_FINDINGS = 50
MOST_SPANS = 5
"""Spans noted for one rule in one text; more would say nothing new."""
MOST_SHOWN = 500
"""Characters of a match that an explanation quotes; the span says where the rest stands."""
_KEPT = 512
_KEPT_LETTERS = 4 * 1024 * 1024
_LONG = 2_048
"""Letters of a call's texts above which what explanations quote is made at once, not where others wait for the words."""
Place = tuple[str, int, int]
"""The field that a finding stands in, and from where to where."""
_RANK = {name: rank for rank, name in enumerate(SEVERITIES)}
_HIDDEN = re.compile("[\x00-\x08\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad]")


@dataclass(slots=True)
class Hit:
    """A finding with what only the moment of finding knows."""

    finding: Finding
    via: tuple[str, ...] = ()
    unit: Unit | None = None
    detail: str = ""


class Engine:
    """Loaded packs. See `guardrails.text.Packs` for the contract."""

    def __init__(self, loaded: Loaded) -> None:
        self.digest = loaded.digest
        self.overrides = loaded.overrides
        self._programs = loaded.programs
        self._by_id = {made.rule.id: made for made in loaded.rules}
        self.rules: Mapping[str, Rule] = {name: made.rule for name, made in self._by_id.items()}
        patterns = [made for made in loaded.rules if made.pattern is not None]
        self._texts = {
            kind: PatternSet([one for one in patterns if kind in one.kinds and one.place == "text"]) for kind in KINDS
        }
        self._units = PatternSet([one for one in patterns if one.place == "units"])
        self._codes = PatternSet([one for one in patterns if one.place == "code"])
        self._secrets = Secrets([one for one in patterns if one.redact])
        self._events: dict[str, list[LoadedRule]] = {}
        for made in loaded.rules:
            for name in made.events:
                self._events.setdefault(name, []).append(made)
        self._index = Index(loaded.rules)
        self._made: dict[Examined, tuple[Hit, ...]] = {}
        self._letters = 0

    # -- the contract -------------------------------------------------------------------------------------------------

    def examine(self, texts: tuple[Examined, ...]) -> tuple[Finding, ...]:
        """Every rule that matches, with its first spans, in the order of the texts and then of `start`."""
        return tuple([hit.finding for hit in self._seen(texts)])

    def look(self, texts: tuple[Examined, ...]) -> Seen:
        """The same with what explaining needs, so that nothing is examined twice."""
        hits = self._seen(texts)
        if not hits:
            return Seen(self.digest)
        findings = tuple([hit.finding for hit in hits])
        if sum([len(text.text) for text in texts]) <= _LONG:
            return Seen(self.digest, findings, hits)
        return Seen(self.digest, findings, hits, self._shown(texts, findings))

    def _shown(self, texts: tuple[Examined, ...], findings: tuple[Finding, ...]) -> dict[Place, str]:
        """What an explanation quotes of each finding's place, without any secret."""
        shown: dict[Place, str] = {}
        named = {finding.field for finding in findings}
        for text in {text.field: text for text in texts if text.field in named}.values():
            turn()
            whole = SURROGATES.sub("\ufffd", text.text)
            secrets = Marks(self._secrets.spans(whole))
            for one in findings:
                if one.field == text.field and _place(one) not in shown:
                    shown[_place(one)] = secrets.excerpt(whole, one.start, one.end, MOST_SHOWN)
        return shown

    def _seen(self, texts: tuple[Examined, ...]) -> tuple[Hit, ...]:
        if len(texts) == 1:
            return self.hits(texts[0])  # at most as many as all texts may have
        return tuple(_strictest([hit for text in texts for hit in self.hits(text)]))

    def explain(
        self, texts: tuple[Examined, ...], findings: tuple[Finding, ...], seen: Seen = UNSEEN
    ) -> tuple[Explained, ...]:
        """The same findings in words, secrets cut from the matched text."""
        if seen.packs != self.digest:
            seen = self.look(texts)
        known = {(hit.finding.rule, hit.finding.field, hit.finding.start, hit.finding.end): hit for hit in seen.notes}
        # Of long texts made when they were looked at: this runs where other calls wait.
        shown = seen.shown or self._shown(texts, findings)
        explained = []
        for finding in findings:
            made = self._by_id.get(finding.rule)
            if made is None:
                continue
            hit = known.get((finding.rule, finding.field, finding.start, finding.end))
            explained.append(
                Explained(
                    rule=finding.rule,
                    pack=finding.pack,
                    category=finding.category,
                    severity=finding.severity,
                    min_trust=finding.min_trust,
                    field=finding.field,
                    start=finding.start,
                    end=finding.end,
                    matched_text=shown.get(_place(finding), ""),
                    reason=made.rule.reason,
                    alternative=self._secrets.cut(propose(made, hit.unit if hit is not None else None, self._programs)),
                    via=tuple(self._secrets.cut(name) for name in hit.via) if hit is not None else (),
                    allowed_by=NOTHING_ALLOWS if made.rule.protects else "",
                )
            )
        return tuple(explained)

    def redact(self, value: Any) -> Any:
        """A plain JSON value with every caught secret replaced by `[redacted:RULE]`."""
        return self._secrets.redact(value)

    # -- finding ------------------------------------------------------------------------------------------------------

    def hits(self, text: Examined) -> tuple[Hit, ...]:
        """All hits in one text; kept for the last few texts, since the answer is a function of the text alone."""
        turn()
        kept = self._made.get(text)
        if kept is not None:
            return kept
        hits = self._report(text) if text.kind == "report" else self._hits(text)
        size = len(text.text)
        if len(self._made) >= _KEPT or self._letters + size > _KEPT_LETTERS:
            self._made.clear()
            self._letters = 0
        self._made[text] = hits
        self._letters += size
        return hits

    def _hits(self, text: Examined, budget: Budget | None = None) -> tuple[Hit, ...]:
        found: dict[tuple[str, int, int], Hit] = {}
        kind = text.kind if text.kind in KINDS else "auto"
        if kind == "auto" and text.tool:
            kind = tools.kind(text.tool)
            text = replace(text, kind=kind)
        if not text.text.isascii() and SURROGATES.search(text.text):
            text = replace(text, text=SURROGATES.sub("\ufffd", text.text))
        size = len(text.text)
        for made in self._texts[kind].hits(text.text):
            for number, match in enumerate(made.pattern.finditer(text.text)):
                if number == MOST_SPANS:
                    break
                self._add(found, made, text, *match.span())
        if text.crowded:  # of whatever kind: the names of a file tool's question are no part of its text
            self._event(found, replace(text, kind="auto"), "size", 0, size, ())
        if kind in ("shell", "auto", "sql") and text.text.strip():
            left = budget or Budget(nodes=CROWDED_NODES if text.crowded else MOST_NODES)
            self._read(found, text, kind, size, left)
        for event in uses(text, kind):
            self._event(found, text, event, 0, size, ())
        if text.kind == "shell" and text.act in LIKENESS:
            found = {key: hit for key, hit in found.items() if not hit.finding.protects}
        return _ordered(found)

    def _report(self, text: Examined) -> tuple[Hit, ...]:
        """What a report holds: as prose, and what could be run of it, without what only says that it is no plain command."""
        found = {
            (hit.finding.rule, hit.finding.start, hit.finding.end): hit
            for hit in self._hits(replace(text, kind="prose"))
        }
        budget, whole = Budget(), replace(text, kind="auto")
        for number, (start, end, piece, marked) in enumerate(reports.pieces(text.text)):
            if number == reports.MOST_PIECES or not budget.opens(PIECE_COST + len(piece) // 16):
                self._event(found, whole, "size", 0, len(text.text), ())
                break
            if not piece:  # a block that is too long
                self._event(found, whole, "size", start, end, ())
                continue
            hits = self._hits(replace(text, text=piece, kind="auto"), budget)
            if budget.cut and marked and reports.hangs(piece):
                self._event(found, whole, "size", start, end, ())
            budget.left -= PIECE_COST * len(hits)
            for hit in hits:
                one = hit.finding
                if not marked and one.severity != "block" and not one.protects:
                    continue
                if self._by_id[one.rule].events - reports.NOT_UNDERSTOOD or not self._by_id[one.rule].events:
                    moved = replace(one, start=start + one.start, end=start + one.end)
                    found.setdefault((moved.rule, moved.start, moved.end), replace(hit, finding=moved))
        if budget.short:
            self._event(found, whole, "size", 0, len(text.text), ())
        return _ordered(found)

    def _read(
        self, found: dict[tuple[str, int, int], Hit], text: Examined, kind: str, size: int, budget: Budget
    ) -> None:
        as_sql = kind == "sql" or (kind == "auto" and sql.starts(text.text))
        understood = False
        if as_sql:
            names, understood = sql.events(text.text, budget=budget)
            for name in names:
                self._event(found, text, name, 0, size, ())
            if kind == "sql" and not understood and not names:
                self._event(found, text, "sql.unread", 0, size, ())
        ordinary = text.text.isascii() and text.text.isprintable()
        match = None if ordinary else _HIDDEN.search(text.text)
        if match is not None:
            self._event(found, text, "hidden", match.start(), match.end(), ())
        if kind == "sql":
            source = "\n".join(re.findall(r"(?m)^[^\S\n]*+(?:\\!|\.shell|\.system|system)\s*+(.+)$", text.text))
            if not source:
                return
        else:
            source = text.text
        if len(source) > MOST_SHELL or (not ordinary and len(source.encode("utf-8", "replace")) > MOST_SHELL):
            self._event(found, text, "size", 0, size, ())
            return
        runner = Runner(self._programs, source if ordinary else clean(source), text.cwd)
        runner.workspace = text.workspace_root or (paths.working(text.cwd) if text.cwd else "")
        runner.state.variables.update(text.around.variables)
        runner.nodes = budget.nodes
        try:
            if text.tool and tools.is_powershell(text.tool):
                runner.lines(squeezed(runner.source), "powershell", 0, len(source))
            else:
                runner.run_text(runner.source, 0, len(source))
        except (Spent, RecursionError):
            budget.cut = True
            self._event(found, text, "size", 0, size, ())
        except Exception:  # noqa: BLE001  the contract: what cannot be analysed is a finding, never an exception
            self._event(found, text, "syntax", 0, size, ())
        budget.nodes = runner.nodes
        if kind == "auto" and not as_sql and sql.spoken(runner.units, self._programs):
            as_sql = True
            names, understood = sql.events(text.text, budget=budget)
            if not understood and not names and sql.writes(text.text):
                names = ["size"]
            for name in names:
                self._event(found, text, name, 0, size, ())
        quiet = as_sql and understood
        for event in runner.events:
            budget.cut = budget.cut or event.name in ("size", "depth")
            if not (quiet and event.name in ("syntax", "program")):
                self._event(found, text, event.name, event.start, event.end, event.via, event.detail)
        for code, start, end, via in runner.sqls:
            names, understood = sql.events(code, budget=budget)
            for name in names:
                self._event(found, text, name, start, end, via)
            if not understood and not names and sql.writes(code):
                self._event(found, text, "size", start, end, via)
        for code, start, end, via in runner.codes:
            for made in self._codes.hits(code):
                self._add(found, made, text, start, end, via)
        try:
            for seen in watch(runner.units, runner.codes, text.around, dict(text.links)):
                self._event(found, text, seen.event, seen.start, seen.end, seen.via)
            self._argv(found, text, runner.units, runner.workspace)
        except Exception:  # noqa: BLE001  the contract: what cannot be analysed is a finding, never an exception
            self._event(found, text, "syntax", 0, size, ())

    def _argv(self, found: dict[tuple[str, int, int], Hit], text: Examined, units: list[Unit], workspace: str) -> None:
        for unit in units:
            turn()
            if not (unit.program.isascii() and unit.program.isprintable()):
                self._event(found, text, "hidden", unit.start, unit.end, unit.via)
            bucket = self._index.bucket(unit.program)
            if bucket is None:
                continue
            program = self._programs.get(unit.program, UNSPECIFIED)
            parsed = Parsed(unit, program, workspace, bucket.flags, bucket.patterns)
            if parsed.helps:
                continue
            for form, candidates in bucket.entries(parsed):
                classes = fits(form, parsed)
                if classes is not None:
                    for one in candidates:
                        self._hit(found, text, one, parsed, classes)
        if self._units.rules:
            self._unit_patterns(found, text, units)

    def _unit_patterns(self, found: dict[tuple[str, int, int], Hit], text: Examined, units: list[Unit]) -> None:
        lines = [
            f"{unit.program} {' '.join(word.text for word in unit.args)}".replace("\n", " ").replace(UNKNOWN, "$")
            for unit in units
            if not unit.trial
        ]
        if not self._units.hits("\n".join(lines)):
            return
        for line, unit in zip(lines, (one for one in units if not one.trial), strict=True):
            for made in self._units.hits(line):
                self._add(found, made, text, unit.start, unit.end, unit.via, unit)

    def _hit(
        self,
        found: dict[tuple[str, int, int], Hit],
        text: Examined,
        one: Candidate,
        parsed: Parsed,
        classes: frozenset[str],
    ) -> None:
        """A form of a rule fits: note it, unless an exception fits as well, as strict as its escalations say."""
        if one.unless and any(map(parsed.exempts, one.unless)):
            return
        unit, severity = parsed.unit, one.made.rule.severity
        for form, to in one.escalate:
            if _RANK[to] > _RANK[severity] and parsed.excepts(form):
                severity = to
        if not unit.trial:
            self._add(found, one.made, text, unit.start, unit.end, unit.via, unit, severity, classes)
        elif _RANK[severity] >= _RANK["approval_required"]:
            self._event(found, text, "wrapper", unit.start, unit.end, unit.via)

    def _event(
        self,
        found: dict[tuple[str, int, int], Hit],
        text: Examined,
        name: str,
        start: int,
        end: int,
        via: tuple[str, ...],
        detail: str = "",
    ) -> None:
        for made in self._events.get(name, ()):
            if text.kind in made.kinds or text.kind not in KINDS:
                self._add(found, made, text, start, end, via, None, "", frozenset(), detail)

    def _add(
        self,
        found: dict[tuple[str, int, int], Hit],
        made: LoadedRule,
        text: Examined,
        start: int,
        end: int,
        via: tuple[str, ...] = (),
        unit: Unit | None = None,
        severity: str = "",
        classes: frozenset[str] = frozenset(),
        detail: str = "",
    ) -> None:
        rule = made.rule
        end = min(end, len(text.text))
        start = min(start, end)
        key = (rule.id, start, end)
        old = found.get(key)
        severity = severity or rule.severity
        if old is not None and _RANK[old.finding.severity] >= _RANK[severity]:
            return
        finding = Finding(
            rule=rule.id,
            pack=rule.pack,
            category=rule.category,
            severity=severity,
            min_trust=rule.min_trust,
            field=text.field,
            start=start,
            end=end,
            protects=rule.protects,
            path_classes=tuple(sorted(classes)),
        )
        found[key] = Hit(finding, via, unit, detail)


def _strictest(hits: Sequence[Hit]) -> list[Hit]:
    """At most `MOST_FINDINGS` hits in the order given. Many of one sort push out none of another, nor small ones a great one."""
    if len(hits) <= MOST_FINDINGS:
        return list(hits)
    met: Counter[tuple[str, str, tuple[str, ...]]] = Counter()
    ranked = []
    for place, one in enumerate(hit.finding for hit in hits):
        sort = (one.rule, one.severity, one.path_classes)
        met[sort] += 1
        ranked.append((met[sort], not one.protects, -_RANK[one.severity], -one.min_trust, place))
    return [hits[place] for *_rank, place in sorted(sorted(ranked)[:MOST_FINDINGS], key=lambda item: item[-1])]


def _place(finding: Finding) -> Place:
    return finding.field, finding.start, finding.end


def _ordered(found: Mapping[tuple[str, int, int], Hit]) -> tuple[Hit, ...]:
    by_place = sorted(found.values(), key=lambda hit: (hit.finding.start, hit.finding.end, hit.finding.rule))
    return tuple(_strictest(by_place))


def prove(engine: Engine, examples: list[Example]) -> list[LawProblem]:
    """Run every example of every rule through the whole engine."""
    problems = []
    for example in examples:
        made = example.rule
        kind = "auto" if "auto" in made.kinds else sorted(made.kinds)[0]
        hit = any(
            finding.finding.rule == made.rule.id
            for finding in engine.hits(Examined("example", example.text, kind, around=SAMPLE))
        )
        if hit is not example.wanted:
            verb = "does not match" if example.wanted else "matches"
            problems.append(
                LawProblem(
                    example.path,
                    example.line,
                    f"`{made.rule.id}` {verb} its example `{example.text}`",
                    "mend the rule or the example",
                )
            )
    return problems


_LOADED: dict[tuple[tuple[str, bytes], ...], tuple[Engine, bool]] = {}
"""By their files: what was loaded, and whether it proved itself here."""


def load_packs(files: Mapping[str, bytes], *, proven: bool = False) -> Engine:
    """Load and prove all packs; LawFault lists every problem with its file and line. The last few loads are kept.

    `proven`: they proved themselves when they were activated, perhaps under another version, and are taken as they stand.
    """
    key = tuple(sorted(files.items()))
    kept, was_proven = _LOADED.get(key, (None, False))
    if kept is not None and (proven or was_proven):
        return kept
    loaded = read_packs(files)
    if loaded.problems:
        raise LawFault(loaded.problems)
    engine = Engine(loaded)
    problems = [] if proven else prove(engine, loaded.examples)
    if problems:
        raise LawFault(problems)
    while len(_LOADED) >= 4:
        _LOADED.pop(next(iter(_LOADED)))
    _LOADED[key] = engine, not proven
    return engine
