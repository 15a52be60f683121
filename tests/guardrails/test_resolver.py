"""The word resolver against bash itself: both make the same argv. Only a program that prints its arguments can be found."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


# -- made-up texts ----------------------------------------------------------------------------------------------------
# Only these two names stand where a command is, everything else is put together from harmless letters, and nothing but
# the stubs can be found: whatever a mistake in here makes of a text, it runs nothing else.

TIMES = int(os.environ.get("GUARDHOUSE_FUZZ_TIMES", "1"))
STUBS = ("argv1", "argv2")
STUB = '#!/bin/sh\nprintf "%s\\037" "${0##*/}" "$@" >&2\nprintf "\\036" >&2\n'
GIVEN = "V=abcab; W='a b'; E=; A=(p 'q r' s); "

bare = st.text("abXY019_.:@%+", min_size=1, max_size=5)
spaced = st.text("ab 19.:@%+,{}~#;|&<>()", max_size=6)
single = st.builds("'{}'".format, st.text('ab 1$"\\`{},;|&#<>*', max_size=6))
# Not `\\ `: where it begins a word, the grammar takes it for a blank. That reads more words than there are, never fewer.
escaped = st.sampled_from(["\\a", "\\$", "\\\\", "\\'", '\\"', "\\{", "\\,", "\\}", "\\;", "\\&", "\\#", "\\~", "\\\n"])
ansi = st.builds(
    "$'{}'".format,
    st.lists(
        st.sampled_from(["a", " ", "b", "\\x41", "\\x7a", "\\101", "\\60", "\\u0041", "\\u00e9", "\\U0001F600", "\\n", "\\t", "\\\\", "\\'", '\\"', '"', "$", "\\z", "{", ","]),
        max_size=5,
    ).map("".join),
)  # fmt: skip
variable = st.sampled_from(["$V", "${V}", "$W", "${W}", "$E", "${A[0]}", "${A[1]}", "$A"])
altered = st.sampled_from(
    ["${V:-d}", "${V-d}", "${E:-d}", "${E-d}", "${N:-d}", "${N-d}", "${V:+d}", "${E:+d}", "${N+d}", "${V%b}", "${V%%b*}", "${V#a}", "${V#*b}", "${V##*b}", "${V/b/X}", "${V//b/X}", "${V^^}", "${V^}", "${V,,}", "${V:1}", "${V:1:2}", "${V:0:1}", "${#V}", "${N:-$V}", "${V/#a/X}", "${V/%b/X}"]
)  # fmt: skip
printed = st.builds(
    "$({} {})".format,
    st.sampled_from(["printf %s", "echo", "printf '%s'", "echo -n"]),
    bare.filter(lambda text: "%" not in text),
)
ticked = st.builds("`echo {}`".format, bare)
# Not nested: of `{1,{2,3}}` we make some words twice. Never at the cost of one that a shell makes.
braced = st.lists(st.text("abX1", min_size=1, max_size=2), min_size=2, max_size=3).map(
    lambda items: "{" + ",".join(items) + "}"
) | st.sampled_from(["{1..3}", "{3..1}", "{a..c}", "{a}", "{}", "{-1..1}"])
inside = st.one_of(
    st.text("ab 1;|&<>#~,'", max_size=5), variable, altered, printed, st.sampled_from(["\\$", '\\"', "\\\\", "\\`", "\\a", "\\\n", "{a,b}", "!"])
)  # fmt: skip
double = st.lists(inside, max_size=4).map(lambda parts: '"' + "".join(parts) + '"')
listed = st.sampled_from(['"${A[@]}"', '"$@"', '"${A[*]}"', "${A[@]}"])
tilde = st.sampled_from(["~", "~/a", "a~", "~+x"])
part = st.one_of(bare, single, escaped, ansi, variable, altered, printed, ticked, braced, double)
word = st.lists(part, min_size=1, max_size=3).map("".join) | listed | tilde
command = st.builds(
    lambda stub, given_words, blank: blank.join([stub, *given_words]),
    st.sampled_from([*STUBS, "'argv1'", "ar'gv'2", "\\argv1", "$'argv2'", "$'\\x61rgv1'", '"argv1"', "$(echo argv1)"]),
    st.lists(word, max_size=4),
    st.sampled_from([" ", "  ", "\t", " \\\n"]),
)
text = st.lists(command, min_size=1, max_size=3).flatmap(
    lambda commands: st.lists(
        st.sampled_from(["; ", "\n", " && ", "\n\n", " # note\n", " # it's\n", "\n \n", ";\n", " &&\n", "\n# note\n", "\n\t", "\n\\\n"]),
        min_size=len(commands),
        max_size=len(commands),
    ).map(lambda marks: "".join(one + mark for one, mark in zip(commands, [*marks[1:], ""], strict=True)))
)  # fmt: skip


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with nothing but the stubs, and an empty one to stand in."""
    folder, empty = tmp_path_factory.mktemp("stubs"), tmp_path_factory.mktemp("empty")
    for name in STUBS:
        (folder / name).write_text(STUB)
        (folder / name).chmod(0o755)
    return folder, empty


def _made_by_bash(text: str, stubs: tuple[Path, Path]) -> list[list[str]] | None:
    """The words that bash gives to each stub in turn, or None where it finds a fault in the text."""
    folder, empty = stubs
    # With `~` as its home, a tilde stays what it is, as it does in our words.
    ran = subprocess.run(
        [str(BASH), "--norc", "--noprofile", "-c", text],
        env={"PATH": str(folder), "HOME": "~", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=10,
        cwd=empty,
        check=False,
    )
    said = ran.stderr.decode("utf-8", "replace")
    made = [line.split("\x1f")[:-1] for line in said.split("\x1e")[:-1]]
    faulty = said.rpartition("\x1e")[2] != "" or any(one[:1] not in (["argv1"], ["argv2"]) for one in made)
    return None if faulty else made


@pytest.mark.skipif(BASH is None, reason="needs bash as its oracle")
@settings(
    max_examples=60 * TIMES,
    derandomize=TIMES == 1,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(text)
def test_what_is_told_as_known_is_what_bash_makes(stubs: tuple[Path, Path], text: str) -> None:
    whole = GIVEN + text
    expected = _made_by_bash(whole, stubs)
    if expected is None:
        return
    runner = Runner(shipped()._programs, whole, "")
    runner.run_text(whole, 0, len(whole))
    if any(event.name in ("syntax", "size", "program") for event in runner.events):
        return  # it asks
    got = [[unit.program, *(one.text for one in unit.args)] for unit in runner.units if unit.program in STUBS]
    assert len(got) == len(expected), (got, expected)
    for ours, theirs in zip(got, expected, strict=True):
        if "\x00" not in "".join(ours):
            assert ours == theirs
