"""The act of the sample: many commands are sent to be judged, from several agents at once. None of them is run."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from guardhouse.surfaces.cli import render
from guardhouse.surfaces.demo.account import Account
from guardhouse.surfaces.demo.commands import VERDICTS, Sample, Samples
from guardhouse.surfaces.demo.line import Heard, Player
from guardhouse.surfaces.demo.stage import Stage

AGENTS = 4
LINES_EACH = 2
MOST_SECONDS = 300.0
"""How long the sample is sent at most; what is left then is said."""

ROLE = "sampler"
_STOPS, _PASSES = ("ask", "block"), ("allow", "warn")
REFUSED, UNANSWERED = "refused", "unanswered"


@dataclass(slots=True)
class Judged:
    """What became of each command sent, of `asked`: sample, verdict (or `refused`, `unanswered`), rules, seconds."""

    rows: list[tuple[Sample, str, tuple[str, ...], float]] = field(default_factory=list)
    asked: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def send(stage: Stage, account: Account, samples: Samples) -> None:
    """Send every command as text, observed so that nobody is asked, and show what the verdicts were."""
    account.act("A sample of commands", "each judged, none run")
    if not account.quiet:
        render.say(f"  {len(samples.samples)} commands from {samples.name}, {samples.form}")
    players = [stage.hire(f"sampler-{number}", 2, ROLE, "unlimited") for number in range(AGENTS)]
    mode = stage.operator.call("set_mode", scope="role", id=ROLE, mode="observe", seconds=3600, reason="a trial run")
    account.step("the samplers are observed, so that no person is asked for each command", mode.ok, mode.code)
    with render.working("judging commands", len(samples.samples)) as advance:
        judged = judge(players, samples.samples, advance)
    account.sample = figures(samples, judged)
    _note(account, samples, judged)


def _note(account: Account, samples: Samples, judged: Judged) -> None:
    counts = Counter(verdict for _, verdict, _, _ in judged.rows)
    account.step(
        "every command that was sent got an answer",
        counts[UNANSWERED] == 0 and len(judged.rows) > 0,
        f"{len(judged.rows)} of {len(samples.samples)} in {judged.seconds:.1f} s, "
        f"{len(judged.rows) / max(judged.seconds, 0.001):.0f} a second on {AGENTS * LINES_EACH} lines",
    )
    shown = ", ".join(f"{counts[name]} {name}" for name in (*VERDICTS, REFUSED) if counts[name])
    account.step("every verdict was told", sum(counts[name] for name in VERDICTS) > 0, shown)


def judge(players: list[Player], samples: tuple[Sample, ...], advance: Callable[[int], None]) -> Judged:
    """Send the samples over `LINES_EACH` lines a player, each line taking the next that waits."""
    judged, waiting, guard = Judged(asked=len(samples)), iter(samples), threading.Lock()
    started = time.monotonic()

    def work(player: Player) -> None:
        line = player.line()
        try:
            while time.monotonic() - started < MOST_SECONDS:
                with guard:
                    sample = next(waiting, None)
                if sample is None:
                    return
                heard = _ask(line.call, sample)
                with guard:
                    _keep(judged, sample, heard)
                    advance(1)
        finally:
            line.close()

    lines = [threading.Thread(target=work, args=(player,), daemon=True) for player in players * LINES_EACH]
    for thread in lines:
        thread.start()
    for thread in lines:
        thread.join(MOST_SECONDS + 120)
    judged.seconds = time.monotonic() - started
    return judged


def _ask(call: Callable[..., Heard], sample: Sample) -> Heard:
    try:
        return call("check_guardrails", operation_text=sample.text)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Heard(0, {"error": {"code": type(error).__name__}})


def _keep(judged: Judged, sample: Sample, heard: Heard) -> None:
    verdict = str(heard["verdict"])
    rules: tuple[str, ...] = ()
    if heard.ok:
        rules = tuple(str(found["rule_id"]) for found in heard["violations"] or ())
    else:
        verdict = UNANSWERED if heard.status in (0, 500, 503) else REFUSED
        judged.refusals[heard.code] += 1
    judged.rows.append((sample, verdict, rules, heard.seconds))


def figures(samples: Samples, judged: Judged) -> dict[str, Any]:
    """Counts of verdicts, top rules, slowest, latencies in milliseconds, and with expectations a confusion table."""
    counts = Counter(verdict for _, verdict, _, _ in judged.rows)
    rules = Counter(rule for _, _, found, _ in judged.rows for rule in set(found))
    times = sorted(seconds for _, _, _, seconds in judged.rows) or [0.0]
    slowest = sorted(judged.rows, key=lambda row: row[3], reverse=True)[:5]
    confusion: dict[str, dict[str, int]] = {}
    for sample, verdict, _, _ in judged.rows:
        if sample.expected:
            told = confusion.setdefault(sample.expected, dict.fromkeys(VERDICTS, 0))
            told[verdict] = told.get(verdict, 0) + 1
    return {
        "name": samples.name,
        "form": samples.form,
        "sent": len(judged.rows),
        "left_out_too_long": samples.too_long,
        "left_out_of_time": judged.asked - len(judged.rows),
        "cut": samples.cut,
        "seconds": round(judged.seconds, 3),
        "a_second": round(len(judged.rows) / max(judged.seconds, 0.001)),
        "p50_ms": round(1000 * times[len(times) // 2], 1),
        "p99_ms": round(1000 * times[min(len(times) - 1, len(times) * 99 // 100)], 1),
        "verdicts": {name: counts[name] for name in (*VERDICTS, REFUSED, UNANSWERED) if counts[name]},
        "refusals": dict(judged.refusals),
        "rules": dict(rules.most_common(10)),
        "slowest": [
            {"ms": round(1000 * row[3], 1), "verdict": row[1], "command": _short(row[0].text)} for row in slowest
        ],
        "confusion": {name: confusion[name] for name in VERDICTS if name in confusion},
        "to_stop": sum(sum(confusion.get(name, {}).values()) for name in _STOPS),
        "stopped": sum(confusion.get(name, {}).get(told, 0) for name in _STOPS for told in _STOPS),
        "to_pass": sum(sum(confusion.get(name, {}).values()) for name in _PASSES),
        "passed": sum(confusion.get(name, {}).get(told, 0) for name in _PASSES for told in _PASSES),
        "agree": sum(told[name] for name, told in confusion.items()),
        "expected": sum(sum(told.values()) for told in confusion.values()),
    }


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"


def tell(found: dict[str, Any]) -> None:
    """The tables of the sample."""
    if not found:
        return
    total = max(found["sent"], 1)
    rows = [
        {"verdict": name, "commands": count, "share": f"{100 * count / total:.1f} %"}
        for name, count in found["verdicts"].items()
    ]
    render.say("")
    render.table(f"Verdicts on {found['name']}", ("verdict", "commands", "share"), rows, "nothing was sent")
    if found["refusals"]:
        render.say(f"Refused or unanswered: {render.plain(found['refusals'])}")
    if found["cut"]:
        render.say(f"The file holds more commands; the first {found['sent']} were sent.")
    if found["left_out_of_time"]:
        render.say(f"{found['left_out_of_time']} commands were left when {MOST_SECONDS:.0f} s were over.")
    if found["left_out_too_long"]:
        render.say(f"{found['left_out_too_long']} commands were too long and left out.")
    if found["confusion"]:
        columns = tuple(dict.fromkeys(name for told in found["confusion"].values() for name in told))
        rows = [{"expected": name} | told for name, told in found["confusion"].items()]
        render.table("Expected (down) and told (across)", ("expected", *columns), rows, "")
        render.say(
            f"{found['agree']} of {found['expected']} exactly as expected; of {found['to_stop']} that should stop "
            f"{found['stopped']} did, of {found['to_pass']} that should pass {found['passed']} did."
        )
    rules = [{"rule": rule, "commands": count} for rule, count in found["rules"].items()]
    render.table("Rules that matched most", ("rule", "commands"), rules, "no rule matched")
    render.table("Slowest answers", ("ms", "verdict", "command"), found["slowest"], "")
    render.say(f"Half of the answers came within {found['p50_ms']} ms, 99 of 100 within {found['p99_ms']} ms.")
