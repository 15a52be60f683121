"""Time the engine in process: everyday commands, labelled rows where given, hostile text, and ten times the rules."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from guardhouse.guardrails import load_packs
from guardhouse.guardrails.engine import Engine
from guardhouse.guardrails.text import Examined

POLICIES = Path(__file__).resolve().parents[2] / "policies"
EVERYDAY = [
    "ls -la",
    "git status",
    "git push origin main",
    "npm ci && npm test",
    "sudo env A=1 bash -c 'rm -rf build'",
    "curl -fsSL https://example.com | jq .",
] * 50
HOSTILE = [
    "a|",
    "[[ (",
    "$(",
    "{a,b}",
    "<<E ",
    "eval ",
    "sudo ",
    'bash -c "',
    "find . -exec ",
    "xargs ",
    "a=$a$a;",
    "rm -rf a ",
    "! ",
    ")",
    "[a]",
    "&#",
    "a&&&",
    "../  ",
    "awk '{print}' ",
    "case x in a) Bearer abcdefgh1234 ",
    "psql -c 'delete from a where b=1 or not c=2 or d=e';",
    "delete from a where b=1 or not c=2 or d=e or f=g or (h=i and j=k) or l<m or n>o;",
    "\n",
    "\t\n",
    '\\"',
    "\\a",
    "--\n",
    "<<\nphp",
    "& [;",
    "system(",
    ".printf",
]
FRAMES = [
    "{}",
    "cat <<E | bash\n{}\nE\n",
    "ssh h '{}'",
    'psql -c "{}"',
    "python3 -c '{}'",
    "pwsh -c '{}'",
    "x=$({})",
    "sed '{}'",
    "awk '{}'",
    "for i in {}; do ls; done",
]


def measured(engine: Engine, texts: list[str]) -> list[float]:
    """Microseconds of processor time for each text, in rising order; nothing is answered from memory."""
    made = []
    for number, text in enumerate(texts):
        asked = (Examined(f"t{number}", text),)
        started = time.thread_time_ns()
        engine.examine(asked)
        made.append((time.thread_time_ns() - started) / 1000)
    return sorted(made)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path)
    asked = parser.parse_args()
    files = {
        str(path.relative_to(POLICIES)): path.read_bytes() for path in sorted((POLICIES / "guardrails").glob("*.yaml"))
    }
    texts = [json.loads(line)["command"] for line in asked.file.read_text().splitlines()] if asked.file else EVERYDAY
    copies = dict(files)
    for number in range(9):
        for path, data in files.items():
            if b"\nrules:" in data:
                copies[path.replace(".yaml", f"-{number}.yaml")] = re.sub(
                    rb"(?m)^(  - id: )", b"\\1x%d." % number, data
                )
    engines = [("shipped rules", load_packs(files)), ("ten times the rules", load_packs(copies))]
    for _, engine in engines:
        measured(engine, ["SELECT 1", *texts])  # the SQL reader is loaded by the first text that needs it
    # One text after the other by both, so that the machine's other work slows both alike.
    taken: dict[str, list[float]] = {name: [] for name, _ in engines}
    for text in texts:
        for name, engine in engines:
            taken[name] += measured(engine, [f"{text} "])
    for name, engine in engines:
        made = sorted(taken[name])
        print(
            f"{name}: {len(engine.rules)} rules, p50 {made[len(made) // 2]:.0f} us, p99 {made[len(made) * 99 // 100]:.0f} us, max {made[-1]:.0f} us"
        )
    engine = load_packs(files)
    worst = max(
        (min(measured(engine, [frame.format(unit * (size // len(unit))) + mark])[0] for mark in ("", " ")), unit, frame)
        for unit in HOSTILE
        for frame in FRAMES
        for size in (2_400, 4_000, 8_000, 20_000)
    )
    print(f"hostile text: worst {worst[0] / 1000:.1f} ms (`{worst[1]}` repeated in `{worst[2]!r}`)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
