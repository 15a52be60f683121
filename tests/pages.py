"""Pages whose commands are run: each `bash run` block is followed by the `text` block that shows what it prints.

What differs from run to run is shown as a placeholder. `GUARDHOUSE_RENEW_GOLDEN=1` writes what was printed into the page.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

RENEW = os.environ.get("GUARDHOUSE_RENEW_GOLDEN") == "1"

_MASKS = (
    (r"\b(gdh_[a-z]+)_[\w-]+", r"\1_…"),
    (r"\b(agt|apr|ctl|dec|grt|lck|mod|mode|per|req|ses|tok|wsp)_[0-9a-z]{12,}", r"\1_…"),
    (r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?", "2026-…Z"),
    (r'"20\d\d-\d\d-\d\d"', '"2026-…"'),
    (r"\b[0-9a-f]{64}\b", "…"),
    (r"\bsha256:[0-9a-f]{12,}", "sha256:…"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:8420"),
    (r"\(process \d+\)", "(process 4711)"),
    (r"\b\d+\.\d ms", "… ms"),
    (r"((?:checkpoints|outside checkpoint) +)\d+$", r"\1…"),  # how many there are hangs on how fast the machine is
    (r"[ \t]+$", ""),
)


def masked(text: str) -> str:
    for pattern, shown in _MASKS:
        text = re.sub(pattern, shown, text, flags=re.MULTILINE)
    return text.strip("\n")


def blocks_of(text: str) -> list[tuple[str, str, int, int]]:
    """Every fenced block: its info line, its content, and where its content begins and ends in the page."""
    return [
        (found[1], found[2], found.start(2), found.end(2))
        for found in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def compare(page: Path, made: dict[int, str]) -> None:
    """Hold each printed text against the block (by its number) that shows it; or write it there, when renewing."""
    text = page.read_text(encoding="utf-8")
    blocks = blocks_of(text)
    if RENEW:
        for number in sorted(made, reverse=True):
            text = text[: blocks[number][2]] + made[number] + "\n" + text[blocks[number][3] :]
        page.write_text(text, encoding="utf-8")
        return
    for number, printed in made.items():
        assert blocks[number][1].strip("\n") == printed


def run_page(page: Path, env: Mapping[str, str], cwd: Path, shown: Mapping[str, str] | None = None) -> None:
    """Run a page's `bash setup` blocks, then its `bash run` blocks, as one shell, and compare what each of these prints.

    `shown`: what stands for a text of this run, such as a folder of the test's, in the page.
    """
    blocks = blocks_of(page.read_text(encoding="utf-8"))
    numbers = [number for number, (info, *_) in enumerate(blocks) if info == "bash run"]
    assert numbers
    script = "".join(content for info, content, *_ in blocks if info == "bash setup")
    script += "".join(f"echo '<<{number}>>'\n{blocks[number][1]}" for number in numbers)
    done = subprocess.run(
        ["bash", "-c", script],
        env=dict(env),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
    )
    text = done.stdout
    for this, that in (shown or {}).items():
        text = text.replace(this, that)
    parts = re.split(r"^<<(\d+)>>\n", text, flags=re.MULTILINE)[1:]
    printed = {int(number) + 1: masked(told) for number, told in zip(parts[::2], parts[1::2], strict=True)}
    assert printed.keys() == {number + 1 for number in numbers}
    assert all(blocks[number][0] == "text" for number in printed)
    compare(page, printed)
