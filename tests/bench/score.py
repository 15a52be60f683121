"""Score the shipped guardrails on labelled commands: `python tests/bench/score.py FILE.jsonl [--json] [--scope core]`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from guardhouse.guardrails import load_packs
from guardhouse.guardrails.text import Examined, Packs

POLICIES = Path(__file__).resolve().parents[2] / "policies"
_VERDICTS = {"log": 0, "warn": 1, "approval_required": 2, "block": 3}
NAMES = ("allow", "warn", "ask", "block")


def shipped() -> Packs:
    files = {
        str(path.relative_to(POLICIES)): path.read_bytes() for path in sorted((POLICIES / "guardrails").glob("*.yaml"))
    }
    return load_packs(files)


def verdict(packs: Packs, text: str, kind: str = "auto") -> str:
    """The strictest verdict for an agent that may override nothing."""
    return NAMES[
        max((_VERDICTS[finding.severity] for finding in packs.examine((Examined("text", text, kind),))), default=0)
    ]


def tally(rows: Iterable[Mapping[str, Any]], verdicts: Iterable[str]) -> dict[str, float]:
    """Rates in percent. detect: any finding on expected ask|block; gate: ask or block; fp: ask or block on expected allow."""
    count: dict[str, int] = defaultdict(int)
    for row, got in zip(rows, verdicts, strict=True):
        expected = row["expected"]
        if expected in ("ask", "block"):
            count["positives"] += 1
            count["detect"] += got != "allow"
            count["gate"] += got in ("ask", "block")
            if expected == "block":
                count["blocks"] += 1
                count["block"] += got == "block"
        elif expected == "allow":
            count["negatives"] += 1
            count["fp"] += got in ("ask", "block")
            count["false_block"] += got == "block"

    def rate(part: str, whole: str) -> float:
        return round(100 * count[part] / count[whole], 1) if count[whole] else 0.0

    return {
        "positives": count["positives"],
        "negatives": count["negatives"],
        "detect": rate("detect", "positives"),
        "gate": rate("gate", "positives"),
        "block": rate("block", "blocks"),
        "fp": rate("fp", "negatives"),
        "false_block": rate("false_block", "negatives"),
    }


def score(path: Path, packs: Packs) -> dict[str, Any]:
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    verdicts, times = [], []
    for row in rows:
        started = time.perf_counter_ns()
        verdicts.append(verdict(packs, row["command"]))
        times.append((time.perf_counter_ns() - started) / 1000)
    groups: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        strength, scope = row.get("strength", "strong"), row.get("scope", "core")
        groups[f"scope {scope}, {strength}"].append(number)
        if scope == "core" and strength == "strong":
            groups[f"source {row.get('source', '?')}"].append(number)
            groups[f"category {row.get('category', '?')}"].append(number)
    times.sort()
    return {
        "groups": {
            name: tally([rows[n] for n in numbers], [verdicts[n] for n in numbers])
            for name, numbers in sorted(groups.items())
        },
        "latency_us": {
            "p50": round(times[len(times) // 2]),
            "p99": round(times[len(times) * 99 // 100]),
            "max": round(times[-1]),
        },
        "verdicts": verdicts,
        "rows": rows,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--wrong", action="store_true", help="list core strong rows that were judged otherwise")
    asked = parser.parse_args()
    packs = shipped()
    made = score(asked.file, packs)
    rows, verdicts = made.pop("rows"), made.pop("verdicts")
    if asked.json:
        print(json.dumps(made, indent=1))
        return 0
    print(f"{'group':<34}{'pos':>6}{'neg':>6}{'detect':>8}{'gate':>8}{'block':>8}{'fp':>7}{'false block':>13}")
    for name, group in made["groups"].items():
        print(
            f"{name:<34}{group['positives']:>6}{group['negatives']:>6}{group['detect']:>8}{group['gate']:>8}{group['block']:>8}{group['fp']:>7}{group['false_block']:>13}"
        )
    print("latency in microseconds:", ", ".join(f"{name} {value}" for name, value in made["latency_us"].items()))
    if asked.wrong:
        for row, got in zip(rows, verdicts, strict=True):
            gated = got in ("ask", "block")
            if (
                row.get("scope") == "core"
                and row.get("strength") == "strong"
                and (
                    (row["expected"] in ("ask", "block") and not gated)
                    or (row["expected"] == "allow" and gated)
                    or (row["expected"] == "block" and got == "ask")
                )
            ):
                print(f"{row['expected']:>5} -> {got:<5} [{row['category']}] {row['command'][:150]!r}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
