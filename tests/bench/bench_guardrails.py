"""Time the engine in process: everyday commands, labelled rows where given, hostile text, and ten times the rules."""

from __future__ import annotations

import argparse
import gc
import json
import random
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from guardhouse.gateway.disk import Disk
from guardhouse.gateway.surroundings import placed
from guardhouse.guardrails import load_packs
from guardhouse.guardrails.engine import Engine
from guardhouse.guardrails.surroundings import Surroundings
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
    "; do x[",
    "} <<E ",
    "for i in |",
    "perl -e 'a=$a$a;a=$a$a;",
    "SELECT JOIN NULL ",
    "SELECT CAST(a AS x -> ",
    "1 ?",
    "x -> ",
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


LONG, MOST = 15, 30
"""Milliseconds: what is measured again, and what no text should take."""
PIECES = [
    *HOSTILE,
    *"'\"`(){}[]<>|&;#%@",
    "\\\n",
    "''",
    "a=b;",
    "$a",
    "rm ",
    "--a=",
    "/a",
    "~/",
    "~x ",
    "a/../",
    "*a ",
    "/* ",
    "cd a;",
    "x[",
    "psql -c ",
    "DROP TABLE a;",
    "ruby -e '",
    "perl -e '",
    "awk '",
    "vim -c '",
    'python3 -c "',
    "import os;",
    "os.system(",
    "open(",
    "subprocess.run([",
    "curl http://x ",
    "base64 -d|sh ",
    "find . -name ",
    "; done ",
    "esac ",
    "function f(){",
    "f() { f; }; f;",
    "if x; then ",
    "(SELECT 1),",
    "DO $$ x $$;",
]
"""What random mixtures are made of."""
MIXED_FRAMES = [*FRAMES, "perl -e '{}'", "vim -c '{}'", "psql <<E\n{}\nE", "cd a; {}", "eval '{}'", 'node -e "{}"']


def mixtures(count: int, seed: int) -> Iterator[Examined]:
    """Random texts of up to 8 KB: hostile pieces by themselves or repeated, bare or in a frame, of each kind."""
    chance = random.Random(seed)
    for _ in range(count):
        size = chance.choice((300, 1_000, 2_000, 4_000, 8_000))
        repeated = "".join(chance.choice(PIECES) for _ in range(chance.choice((1, 1, 2, 3, 5))))
        body = repeated * (size // len(repeated) + 1)
        if chance.random() < 0.5:
            body = "".join(chance.choice(PIECES) for _ in range(size // 4))
        frame = chance.choice(MIXED_FRAMES) if chance.random() < 0.7 else "{}"
        text = frame.replace("{}", body[: size - 40])
        kind = chance.choice(("auto", "auto", "shell", "sql"))
        yield Examined("t", text, kind, cwd=chance.choice(("", str(POLICIES.parent))))


def milliseconds(engine: Engine, text: Examined) -> float:
    """Processor time of one call's text: its names looked up on the disk, and the text examined."""
    around = Surroundings(user_home=str(Path.home()), state=("/srv/guardhouse",))
    engine.examine((Examined("other", ""),))
    started = time.thread_time_ns()
    engine.examine(placed((text,), around, Disk()))
    return (time.thread_time_ns() - started) / 1e6


def mixed(engine: Engine, count: int, seed: int) -> None:
    """What random mixtures cost; those that took long are measured four times more, and the least counts."""
    taken = []
    for number, text in enumerate(mixtures(count, seed)):
        if number % 200 == 0:
            gc.collect()
        took = milliseconds(engine, text)
        if took > LONG:
            marked = (replace(text, text=f"{text.text}{' ' * more}") for more in range(1, 5))
            took = min(took, *(milliseconds(engine, one) for one in marked))
        taken.append((took, text.text))
    taken.sort(reverse=True)
    over = sum(took >= MOST for took, _ in taken)
    print(
        f"{count:,} hostile mixtures (seed {seed}): worst {taken[0][0]:.1f} ms, one in a hundred {taken[count // 100][0]:.1f} ms,"
        f" p50 {taken[count // 2][0]:.1f} ms, {over} of {MOST} ms or more; the worst begins {taken[0][1][:60]!r}"
    )


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
    parser.add_argument("--mixtures", type=int, default=2_000, help="how many random mixtures of hostile pieces")
    parser.add_argument("--seed", type=int, default=1)
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
    gc.collect()
    gc.freeze()  # as a gateway does: what was loaded for good is no garbage to look through
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
    mixed(engine, asked.mixtures, asked.seed)
    print(f"hostile text: worst {worst[0] / 1000:.1f} ms (`{worst[1]}` repeated in `{worst[2]!r}`)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
