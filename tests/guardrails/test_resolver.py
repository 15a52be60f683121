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


# -- what a text's own commands do to names, functions and numbers -----------------------------------------------------


def _known_as_made(whole: str, stubs: tuple[Path, Path]) -> list[list[str]] | None:
    """Hold every call that bash makes, in order, against ours: what we tell as known is what bash made. Ours; None: a fault."""
    expected = _made_by_bash(whole, stubs)
    runner = Runner(shipped()._programs, whole, "")
    runner.run_text(whole, 0, len(whole))
    if expected is None or any(event.name in ("syntax", "size", "program") for event in runner.events):
        return None
    got = [[unit.program, *(one.text for one in unit.args)] for unit in runner.units if unit.program in STUBS]
    left = iter(got)
    for theirs in expected:
        # A function's body is read once more where it is defined, so ours may be more; never fewer, never in another order.
        assert any(ours == theirs or (ours[0] == theirs[0] and "\x00" in "".join(ours)) for ours in left), (
            whole,
            theirs,
        )
    return got


number = st.sampled_from(["0", "1", "2", "7", "10", "64", "010", "0x1F", "2#101", "N", "$N", "${N}", "M", "$M", "Z"])
sum_ = st.recursive(
    number,
    lambda inner: st.one_of(
        st.builds(
            "{} {} {}".format,
            inner,
            st.sampled_from(["+", "-", "*", "/", "%", "<<", ">>", "&", "|", "^", "<", "<=", ">", ">=", "==", "!=", "&&", "||"]),
            inner,
        ),
        st.builds("({})".format, inner),
        st.builds("{}{}".format, st.sampled_from(["-", "!", "~"]), number),
        st.builds("{} ? {} : {}".format, inner, inner, inner),
        st.builds("{} ** {}".format, st.sampled_from(["2", "N"]), st.sampled_from(["0", "3", "5"])),
    ),
    max_leaves=6,
)  # fmt: skip
_FUZZED = settings(
    max_examples=100 * TIMES,
    derandomize=TIMES == 1,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.mark.skipif(BASH is None, reason="needs bash as its oracle")
@_FUZZED
@given(sum_, sum_)
def test_sums_come_to_what_bash_makes_of_them(stubs: tuple[Path, Path], first: str, second: str) -> None:
    got = _known_as_made(f'N=7; M=-3; Z=0; argv1 $(({first})) "a$(( {second} ))b"', stubs)
    if got is not None and not set("/%") & set(first + second) and "**" not in first + second:
        # What bash leaves out behind `&&` or `?` may divide by nothing there; we do not tell then.
        assert "\x00" not in "".join(got[0]), "every name in it is known, and so is the sum"


@pytest.mark.parametrize(
    "text",
    ["$((i++))", "$((i=3))", "$((N+=1))", "$((NOT_SET+1))", "$(($1))", "$((1/0))", "$((1,2))", "$(($(echo 1)))", "$((W))", "$((2**64))", "$((0x))", "$((09))", "$((A[0]))", "$((" + "(" * 40 + "1" + ")" * 40 + "))"],
)  # fmt: skip
def test_a_sum_that_is_not_known_is_told_so(text: str) -> None:
    whole = f"N=7; W='a b'; argv1 {text}"
    runner = Runner(shipped()._programs, whole, "")
    runner.run_text(whole, 0, len(whole))
    assert [unit.args[0].text for unit in runner.units if unit.program == "argv1"] == ["\x00"]


nested = st.recursive(
    st.text("abX1", max_size=2) | st.sampled_from(["1..3", "c..a", "01..03", "1..9..4", "a..e..2", "x..", "{}", "3..-3..3"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda items: "{" + ",".join(items) + "}"),
        st.builds("{}{}".format, inner, inner),
    ),
    max_leaves=7,
)  # fmt: skip


@pytest.mark.skipif(BASH is None, reason="needs bash as its oracle")
@_FUZZED
@given(st.builds("{}{}{}".format, st.text("ab", max_size=1), nested, st.text("{},a", max_size=2)))
def test_braces_in_braces_are_what_bash_makes_of_them(stubs: tuple[Path, Path], text: str) -> None:
    expected = _made_by_bash(f"argv1 -{text}", stubs)
    runner = Runner(shipped()._programs, f"argv1 -{text}", "")
    runner.run_text(runner.source, 0, len(runner.source))
    if expected is None or any(event.name in ("syntax", "program") for event in runner.events):
        return
    ours = [word.text for unit in runner.units if unit.program == "argv1" for word in unit.args]
    if len(expected[0]) - 1 > 64:
        assert "\x00" in ours[-1], "what is left out is told"
    else:
        assert ours == expected[0][1:]


_SHOWN = ('argv1 V "$V"', 'argv1 W "$W"', 'argv1 0 "${A[0]}"', 'argv1 1 "${A[1]}"', 'argv1 1 "$1"', 'argv1 x "${V}x"')
taken = st.sampled_from(
    [
        '"$1"',
        "$1",
        '"$2"',
        '"$@"',
        "$@",
        '"$*"',
        "${1:-d}",
        '"${2:-e}"',
        '"$V"',
        'x"$1"y',
        "$#",
        "k",
        "'b c'",
        '"${3}"',
        '"$W"',
    ]
)
call = st.builds(
    "{} {}".format, st.sampled_from(["f", "g", "argv1", "argv2"]), st.lists(taken, max_size=3).map(" ".join)
)
body = st.lists(
    call | st.sampled_from(["V=new", "local V=mine", "local W; W=its", "set -- s t", "shift", "W=$1"]),
    min_size=1,
    max_size=3,
).map("; ".join)
defined = st.builds(
    lambda shape, name, inner: shape.replace("NAME", name).replace("BODY", inner),
    st.sampled_from(["NAME() { BODY; }", "function NAME { BODY; }", "NAME() ( BODY )", "NAME ()\n{\nBODY\n}"]),
    st.sampled_from(["f", "g"]),
    body.filter(lambda inner: "f " not in inner and "g " not in inner)
    | st.builds('{}; g "$1" k'.format, st.sampled_from(["argv2 $1", "V=its", "shift"])),
)


@pytest.mark.skipif(BASH is None, reason="needs bash as its oracle")
@_FUZZED
@given(st.lists(defined, min_size=1, max_size=3), st.lists(call, min_size=1, max_size=3), st.booleans())
def test_what_functions_are_called_with_is_what_bash_gives_them(
    stubs: tuple[Path, Path], functions: list[str], calls: list[str], positional: bool
) -> None:
    # One that calls itself, or is called before it stands there, makes a fault in bash, and no claim here.
    lines = ['g() { argv1 g "$1" "$2" "$V"; }', *functions]
    if any(line.startswith(("g", "function g")) and 'g "$1" k' in line for line in lines):
        return
    head = GIVEN + ("set -- one two; " if positional else "")
    _known_as_made(head + "\n" + "\n".join([*lines, *calls, *_SHOWN]), stubs)


# Not behind `return` or `break`: what stands there is read as if it ran, and may be told instead of what was before.
changed = st.sampled_from(
    ["V=a", "W=$V", "V+=b", "export V=c", "declare V=d", "unset V", "V=", "( V=s )", "{ V=g; }", "V=t argv2 x", ': "${V:=k}"', ': "${Q:=k}"; V=$Q',
     "true && V=a1", "false && V=a2", "true || V=b1", "false || V=b2", "if true; then V=i; else V=j; fi", "if false; then V=i; fi",
     "for V in 1 2; do :; done", "for i in 1 2; do V=$V$i; done", "while false; do V=z; done", "case x in x) V=q;; *) V=r;; esac", "f() { V=f1; }; f", "g() { local V=l; W=m; }; g",
     "V=p | argv2", "argv2 | V=p2", "V=bg & wait", "{ V=bg; } & wait", "V=$(V=sub; echo $V)", "V=$(W=sub; echo x)", "read V <<< 'r s'", "printf -v V %s pv", "set -- a b", "shift", "V=$1",
     "eval 'V=ev'", "eval \"V=\\$W\"", "A=(x y)", "A+=(z)", "A[1]=n", "V=${A[1]}", "V=$((1+1))", "((V=4))", "let V=3", "V=${V/a/b}", "V=${W:-n}", "unset A", "IFS=,", "W='*'", "! V=neg",
     "until true; do V=u; done", "V=one; V=two", "declare -i V=2+3", "typeset W=ty", "V=~", "V=a{b,c}", "local V=x", "readonly Q=1", "V=\"$W\"'x'", "[[ $V ]] && V=dd", "exec 3>&1; V=ex",
      "for i in; do V=none; done", "V=x; unset V", "V=1 W=$V", "export W", "mapfile -t A <<< 'm n'",   "{ V=in; } > o"]
)  # fmt: skip


@pytest.mark.skipif(BASH is None, reason="needs bash as its oracle")
@_FUZZED
@given(st.lists(changed, min_size=1, max_size=4), st.sampled_from(["; ", "\n"]))
def test_what_earlier_commands_leave_is_what_bash_has_then(
    stubs: tuple[Path, Path], lines: list[str], mark: str
) -> None:
    _known_as_made(GIVEN + mark.join([*lines, *_SHOWN]), stubs)
