"""The word resolver against bash itself: both make the same argv. Only a program that prints its arguments can be found."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from guardhouse.guardrails.running import Runner
from tests.guardrails.packs import shipped

BASH = shutil.which("bash")
TEXTS = [
    "show a b", "show 'a b' c", 'show "a b"c', "show $'\\x61\\tb'", "show a\\ b", "show {a,b}c", "show {1..3}", "X=1; show $X", "X='a b'; show $X", "X='a b'; show \"$X\"", "show ${X:-d}", "show $(echo a b)",
    'show "$(echo a b)"', "show $(printf '%s-' a b)", "A=(x y); show ${A[0]}", "A=(x y); show \"${A[@]}\" z", "for i in 1 2; do show $i; done", "f() { show \"$1\"; }; f q", "set -- p q; show $1 $2", "X=abc; show ${X:1:1}",
    "printf -v Y %s v; show $Y", "show a''b", "show \"a\\\"b\"", "X=a; X+=b; show $X", "show `echo k`", "show $'a\\'b'", "show a{b,c}{d,e}", "show $(echo YQo= | base64 -d)", "X=show; $X z", "s'h'ow m",
]  # fmt: skip


@pytest.mark.skipif(BASH is None, reason="needs bash as its oracle")
@pytest.mark.parametrize("text", TEXTS)
def test_argv_is_what_bash_makes(text: str, tmp_path: Path) -> None:
    stub = tmp_path / "show"
    stub.write_text('#!/bin/sh\nfor one in "$@"; do printf "%s\\037" "$one"; done\nprintf "\\036"\n')
    stub.chmod(0o755)
    decoder = shutil.which("base64")
    if decoder:
        os.symlink(decoder, tmp_path / "base64")
    ran = subprocess.run(
        [str(BASH), "--norc", "-c", text],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=10,
        cwd=tmp_path,
        check=False,
    )
    expected = [line.split("\x1f")[:-1] for line in ran.stdout.split("\x1e")[:-1]]
    runner = Runner(shipped()._programs, text, "")
    runner.run_text(text, 0, len(text))
    got = [[word.text for word in unit.args] for unit in runner.units if unit.program == "show"]
    assert [one for one in got if "\x00" not in "".join(one)][-len(expected) :] == expected
