"""Fuzz the engine: `python tests/bench/fuzz_guardrails.py [--runs N] [--seconds N] [--kind auto] [CORPUS]`, guided by coverage (atheris).

Finds texts that raise, that place a finding outside the text, that are judged otherwise a second time, or that cost more
processor time than is promised. Nothing is run: texts are only read.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import atheris

with atheris.instrument_imports(include=["guardhouse.guardrails"]):
    from guardhouse.guardrails import load_packs
    from guardhouse.guardrails.text import Examined

POLICIES = Path(__file__).resolve().parents[2] / "policies"
MOST_SECONDS = 0.3
"""Ten times the promise: instrumented code is slow."""
WORDS = (
    *(
        "rm",
        "-rf",
        "/",
        "git",
        "push",
        "--force",
        "sudo",
        "bash",
        "-c",
        "eval",
        "curl",
        "|",
        "sh",
        "$(",
        ")",
        "`",
        "<<E\n",
        "\nE\n",
    ),
    *(
        "{a,b}",
        "${x:-",
        "}",
        "'",
        '"',
        "$'\\x41'",
        "find",
        "-exec",
        ";",
        "&&",
        "for i in",
        "do",
        "done",
        "SELECT",
        "DROP TABLE",
        "psql",
    ),
    *(
        "python3",
        "-c",
        "import os",
        "os.system(",
        "base64",
        "-d",
        "xargs",
        "kubectl",
        "delete",
        "<(",
        ">",
        "/dev/sda",
        "~/.ssh/id_rsa",
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=0, help="end after so long (0: only by runs)")
    parser.add_argument("--kind", default="auto")
    parser.add_argument("corpus", nargs="*")
    asked = parser.parse_args()
    packs = load_packs(
        {f"guardrails/{path.name}": path.read_bytes() for path in sorted((POLICIES / "guardrails").glob("*.yaml"))}
    )

    def one(data: bytes) -> None:
        made = atheris.FuzzedDataProvider(data)
        parts = []
        for _ in range(made.ConsumeIntInRange(1, 40)):
            known = made.ConsumeBool()
            parts.append(made.PickValueInList(list(WORDS)) if known else made.ConsumeUnicode(8))
        text = " ".join(parts)
        asked_for = (Examined("t", text, asked.kind),)
        packs._made.clear()
        started = time.thread_time()
        first = packs.examine(asked_for)
        taken = time.thread_time() - started
        packs._made.clear()
        if packs.examine(asked_for) != first:
            raise AssertionError(f"judged otherwise a second time: {text!r}")
        if any(not 0 <= found.start <= found.end <= len(text) for found in first):
            raise AssertionError(f"a finding outside the text: {text!r}")
        if taken > MOST_SECONDS:
            raise AssertionError(f"{taken * 1000:.0f} ms for {text!r}")

    bounds = [f"-runs={asked.runs}", f"-max_total_time={asked.seconds}", "-max_len=600", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *bounds, *asked.corpus], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
