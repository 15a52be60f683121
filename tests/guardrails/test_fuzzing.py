"""Disguises that must not change a verdict, any number of them, and texts that nobody thought of."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardhouse.guardrails import draw
from guardhouse.guardrails.text import Examined
from tests.effort import within
from tests.guardrails.disguises import FRAMES, SEEDS, WORDS, WRAPPERS
from tests.guardrails.packs import shipped, verdict

ROOT = Path(__file__).resolve().parents[2]
TIMES = int(os.environ.get("GUARDHOUSE_FUZZ_TIMES", "1"))
"""How often as many examples as usual; `make fuzz` says many."""
STOPPED, PASSED = ("ask", "block"), ("allow", "warn")
FUZZED = settings(derandomize=TIMES == 1, deadline=None, suppress_health_check=[HealthCheck.too_slow])


CALM_SEED = "ls -la"


def _found(text: str) -> set[str]:
    return {one.rule for one in shipped().examine((Examined("t", text),))}


@pytest.mark.parametrize("spelling", WORDS)
def test_no_spelling_of_its_words_hides_a_seed(spelling: str) -> None:
    """A seed is stopped by what it is: by a rule that does not stop a harmless command spelled so."""
    anyway = _found(WORDS[spelling](shlex.split(CALM_SEED)))
    spelled = {seed: WORDS[spelling](shlex.split(seed)) for seed in SEEDS}
    assert [seed for seed, text in spelled.items() if verdict(text) not in STOPPED or not _found(text) - anyway] == []


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_no_wrapper_hides_a_seed(wrapper: str) -> None:
    """The same: some wrappers are stopped whatever they hold, and say nothing of whether they were opened."""
    anyway = _found(WRAPPERS[wrapper](CALM_SEED))
    wrapped = {seed: WRAPPERS[wrapper](seed) for seed in SEEDS}
    assert [seed for seed, text in wrapped.items() if verdict(text) not in STOPPED or not _found(text) - anyway] == []


@settings(FUZZED, max_examples=500 * TIMES)
@given(st.sampled_from(SEEDS), st.sampled_from(sorted(WORDS)), st.lists(st.sampled_from(sorted(WRAPPERS)), max_size=4))
def test_what_is_stopped_stays_stopped_under_any_disguises(seed: str, spelling: str, wrappers: list[str]) -> None:
    text = WORDS[spelling](shlex.split(seed))
    for name in wrappers:
        text = WRAPPERS[name](text)
    assert verdict(text) in STOPPED, text


# Options may stand in any order, apart or in clusters, short or long, cut short where the program allows it.
OPTIONS = {
    "rm": ("rm", ["-r", "-f", "-v"], ["/"]),
    "rm long": ("rm", ["--recursive", "--force", "--verbose"], ["~"]),
    "rm short of long": ("rm", ["--recurs", "--forc"], ["/etc"]),
    "git push": ("git push", ["-u", "-f", "-q"], ["origin", "main"]),
    "git clean": ("git clean", ["-f", "-d", "-x"], []),
    "docker": ("docker system prune", ["-a", "-f"], []),
    "chmod": ("chmod", ["-R", "-v"], ["777", "/etc"]),
    "kubectl": ("kubectl", ["-n=prod", "--context=live"], ["delete", "namespace", "prod"]),
}


@settings(FUZZED, max_examples=300 * TIMES)
@given(st.sampled_from(sorted(OPTIONS)), st.data())
def test_options_may_stand_anywhere(name: str, data: st.DataObject) -> None:
    program, options, words = OPTIONS[name]
    given_options = data.draw(st.permutations(options))
    if all(len(one) == 2 for one in options) and data.draw(st.booleans()):
        given_options = ["-" + "".join(one[1] for one in given_options)]
    words = list(words)
    for one in given_options:
        words.insert(data.draw(st.integers(0, len(words))), one)
    assert verdict(f"{program} {' '.join(words)}") in STOPPED, words


@pytest.mark.parametrize("frame", FRAMES)
def test_each_frame_makes_data_of_every_seed(frame: str) -> None:
    assert [seed for seed in SEEDS if verdict(FRAMES[frame](seed)) not in PASSED] == []


@settings(FUZZED, max_examples=300 * TIMES)
@given(st.sampled_from(SEEDS), st.lists(st.sampled_from(sorted(WRAPPERS)), max_size=2), st.sampled_from(sorted(FRAMES)))
def test_data_stays_data_however_dangerous_it_reads(seed: str, wrappers: list[str], frame: str) -> None:
    text = seed
    for name in wrappers:
        text = WRAPPERS[name](text)
    assert verdict(FRAMES[frame](text)) in PASSED, text


HARMLESS = ["ls -la", "git status", "npm test", "cat README.md", "make build", "python3 -m pytest -q", "kubectl get pods", "rm -rf build"]  # fmt: skip
CALM = ["and", "or", "subshell", "group", "if", "loop", "case", "function", "sh", "bash", "eval", "timeout", "nice", "env", "pipe", "here-string", "here-document", "variable", "ssh", "comment", "substitution", "assignment", "exec", "command"]  # fmt: skip
SPELLED = ["as it is", "single quotes", "hex", "octal", "unicode", "broken quotes", "backslashes", "tabs", "continued", "variables", "array", "set"]  # fmt: skip


@settings(FUZZED, max_examples=300 * TIMES)
@given(st.sampled_from(HARMLESS), st.sampled_from(SPELLED), st.lists(st.sampled_from(CALM), max_size=3))
def test_what_passes_still_passes_when_wrapped_in_the_open(seed: str, spelling: str, wrappers: list[str]) -> None:
    text = WORDS[spelling](shlex.split(seed))
    for name in wrappers:
        text = WRAPPERS[name](text)
    assert verdict(text) in PASSED, text


# -- texts that nobody thought of -------------------------------------------------------------------------------------

PIECES = [
    "rm", "-rf", "/", "git push", "--force", "sudo ", "bash -c ", "eval ", "curl x", "|", "||", "&&", "&", ";", ";;", "$(", ")", "`", "<<E\n", "\nE\n", "{", "}", "{a,b}", "{1..9}", "${x", ":-", "'", '"', "$'", "\\", "\n",
    "find . -exec ", "for i in a; do ", "done", "if ", "then ", "fi", "case x in ", "esac", "SELECT ", "DROP TABLE a", "psql -c ", "python3 -c ", "import os;os.system(", "base64 -d", "<(", ">", "<", "/dev/sda", "é", "\u202e", "\x00", "\ud800",
    "[[ ", " ]]", "((", "))", "=~", "a=", "$a", "a+=$a", "[@]", "#", "!", "select x in ", "coproc ", "function f ", "f() ", "<<<", ">&", "2>&1", "\r\n", "\t", "@{", "%", "𝕣𝕞", "\ufeff",
]  # fmt: skip
KINDS = st.sampled_from(["auto", "shell", "sql", "file", "prose", "unheard-of"])
TOOLS = st.sampled_from(["", "Bash", "PowerShell", "psql", "Write", "mcp__db__query", "\ud800"])


def _examined_twice(asked: Examined) -> None:
    """Never raises, says the same of the same text, and only of places in it; and its words can be drawn and sent."""
    packs = shipped()
    packs._made.clear()
    first = packs.examine((asked,))
    packs._made.clear()
    assert packs.examine((asked,)) == first
    assert all(0 <= one.start <= one.end <= len(asked.text) for one in first)
    explained = packs.explain((asked,), first)
    draw(explained, packs.redact(asked.text)).encode()
    str(explained).encode()


@settings(FUZZED, max_examples=400 * TIMES)
@given(st.lists(st.sampled_from(PIECES), max_size=60), KINDS, TOOLS)
def test_no_pile_of_pieces_raises_or_is_judged_twice_differently(pieces: list[str], kind: str, tool: str) -> None:
    _examined_twice(Examined("t", "".join(pieces), kind, tool=tool))


@settings(FUZZED, max_examples=300 * TIMES)
@given(
    st.text(alphabet=st.characters(exclude_categories=()), max_size=300)
    | st.binary(max_size=300).map(lambda data: data.decode("utf-8", "surrogateescape"))
    | st.binary(max_size=300).map(lambda data: data.decode("latin-1")),
    KINDS,
    st.sampled_from(["", ".", "/srv/app", "~", "../..", "\x00", "/" + "a/" * 500]),
)
def test_no_text_at_all_raises(text: str, kind: str, cwd: str) -> None:
    _examined_twice(Examined("t", text, kind, cwd, workspace_root="/srv/app"))


NESTS = [
    ("$(", ")"), ("`", "`"), ("(", ")"), ("{ ", ";}"), ("((", "))"), ("[[ ", " ]]"), ("if ", ";then x;fi"), ("${a:-", "}"), ('"$(', ')"'), ("<(", ")"), ("sudo ", ""),
    ("bash -c '", "'"), ("eval ", ""), ("find . -exec ", " \\;"), ("xargs ", ""), ("f(){ ", ";}"), ("! ", ""), ("time ", ""), ("(SELECT ", ")"), ("case x in x) ", ";; esac"), ("echo x | ", ""), ("{a,", "}"),
]  # fmt: skip


@settings(FUZZED, max_examples=60 * TIMES)
@given(st.lists(st.sampled_from(NESTS), min_size=1, max_size=3), st.sampled_from([1, 2, 7, 9, 30, 400]), KINDS)
def test_no_nesting_raises(nests: list[tuple[str, str]], times: int, kind: str) -> None:
    text = "x"
    for opened, closed in nests:
        text = opened * times + text + closed * times
    _examined_twice(Examined("t", text[:20_000], kind))


def test_work_is_bounded_also_where_small_texts_are_run_many_times() -> None:
    """The sum counts, not each: variables that grow, and parsers that recover again and again."""
    packs = shipped()
    for inner in ("a=$a$a;" * 60, "a=(" * 60, "a|" * 120, "[[ (" * 60, "<<E " * 50, "${" * 60, "x;" * 150, "a b " * 50):
        for frame in (
            "eval '{}';",
            "sh -c '{}';",
            "echo '{}' | sh;",
            "alias z='{}'; z;",
            "f() {{ {}\n}}; f;",
            "echo ``;",
        ):
            one = frame.format(inner)
            text = (one * (8_000 // len(one)))[:8_100]

            def examination(text: str = text) -> None:
                packs._made.clear()
                packs.examine((Examined("t", text),))

            assert within(0.3, examination), (frame, inner[:8])


PLACES = ["echo {{{0},b}}", "echo {{1..{0}}}", "cat <<E\n${0}\nE\n", "[[ -{0} x ]]", "echo ${{{0}}}", "{0}() {{ x; }}"]


def test_letters_of_any_alphabet_do_not_end_the_process() -> None:
    """The grammar's scanner looks letters up in a table of 256; in a process of its own, since a fault ends it."""
    code = (
        "import sys; from guardhouse.guardrails.reading import tree\n"
        "for place in sys.argv[1:]:\n"
        "    for at in range(0x80, 0x110000, 0x1000):\n"
        "        tree(place.format(chr(at) * 3).encode('utf-8', 'replace'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *PLACES], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="the fuzzer has no wheel for this Python")
def test_the_fuzzer_finds_nothing_in_a_short_run(tmp_path: Path) -> None:
    """Its long run is `make fuzz`."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "bench" / "fuzz_guardrails.py"), "--runs", "600", "--seconds", "6"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ran = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
    assert ran is not None
    assert int(ran[1]) > 50
