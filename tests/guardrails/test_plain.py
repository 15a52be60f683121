"""Plain text read without the grammar: whatever the grammar says of it, this says too."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardhouse.guardrails import plain
from guardhouse.guardrails.packs import read_packs
from guardhouse.guardrails.running import Runner
from guardhouse.guardrails.units import Spent
from tests.guardrails.disguises import SEEDS, WRAPPERS
from tests.guardrails.packs import FOLDER, shipped
from tests.guardrails.test_evasions import EVASIONS, LOOKALIKES, _texts

TIMES = int(os.environ.get("GUARDHOUSE_FUZZ_TIMES", "1"))
_SHARED = re.compile(r"(?:&&|\|).*>|>.*(?:\n|;|&&|\|)", re.S)
"""Of `a && b > file` the grammar says that what both print goes to the file. A shell, and `plain`, say `b` alone."""
_LOST = re.compile(r"(?:^|\s)-\s+\d>")
"""Of `cat - 2>file` the grammar loses the `-`."""


class Grammarian(Runner):
    """The reader with the grammar for everything."""

    def told_plainly(self, text: str, base: int, fixed: tuple[int, int] | None) -> None:
        return None


def _told(reader: type[Runner], text: str) -> dict[str, Any]:
    runner = reader(shipped()._programs, text, "")
    try:
        flow: Any = runner.run_text(text, 0, len(text))
    except Spent:
        flow = "spent"
    exact = _SHARED.search(text) is None
    return {
        "units": [
            (one.program, one.args, one.start, one.end, one.via, one.cwd, one.feed if exact else None, one.trial)
            for one in runner.units
        ],
        "events": runner.events,
        "codes": runner.codes,
        "queries": runner.sqls,
        "cwd": runner.state.cwd,
        "flow": flow if exact else None,
    }


def _samples() -> list[str]:
    files = {f"guardrails/{path.name}": path.read_bytes() for path in FOLDER.glob("*.yaml")}
    texts = [example.text for example in read_packs(files).examples]
    texts += [text for family in EVASIONS.values() for body in family.values() for text in _texts(body)]
    texts += [text for body in LOOKALIKES.values() for text in _texts(body)]
    texts += [wrapped(seed) for wrapped in WRAPPERS.values() for seed in SEEDS]
    return texts


def test_every_sample_reads_the_same_both_ways() -> None:
    texts = _samples()
    assert sum(plain.read(text, 0, None) is not None for text in texts) > len(texts) / 3, "the short way is hardly gone"
    assert [text for text in texts if _told(Runner, text) != _told(Grammarian, text)] == []


@pytest.mark.parametrize(
    "text",
    ["", " ", "\n", "$a", "a $b", "a {b,c}", "a \\b", "a `b`", "a #b", "a (b)", "a=b", "a=b c", "export a=b", "if a", "a | | b", "a &&", "| a",
     "a ;; b", "a & b", "a < b", "a > ", "> b", "a > b c", "a 12> b", "a>b", "a >| b", "a >&b", "a 'b", 'a "b', 'a "$b"', "a == b", "a \u00e9",
     "time a", "! a", "[ a ]", "a\\\nb", "a |& b", "a |\nb", "a <<b", "a\x01b", "a 'b\x01'", "a" * (plain.MOST_PLAIN + 1)],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_the_grammar(text: str) -> None:
    assert plain.read(text, 0, None) is None


def test_places_are_those_of_the_text_or_the_one_given() -> None:
    told = plain.read(" a 'b c' && d", 10, None)
    assert told is not None
    assert [(word.text, word.start, word.end) for one in told for word in one.words] == [
        ("a", 11, 12),
        ("b c", 13, 18),
        ("d", 22, 23),
    ]
    told = plain.read("a | b", 10, (3, 5))
    assert told is not None
    assert {(word.start, word.end) for one in told for word in one.words} == {(3, 5)}


# -- made-up texts ----------------------------------------------------------------------------------------------------

bare = st.text("abz09_./:@%+,=~^*?-", min_size=1, max_size=5)
single = st.builds("'{}'".format, st.text('ab 1$"\\`{}(),;|&#<>*!=[]~', max_size=6))
double = st.builds('"{}"'.format, st.text("ab 1'{}(),;|&#<>*!=[]~", max_size=6))
word = st.lists(st.one_of(bare, bare, single, double), min_size=1, max_size=3).map("".join)
program = st.sampled_from(
    ["echo", "cat", "sh", "bash -c", "rm", "cd", "tee", "curl", "sudo", "env", "xargs", "git", "find", "a", "./b", "then", "'ls'", "2"]
)  # fmt: skip
redirection = st.sampled_from(
    ["> f", ">f", ">> f", "2>/dev/null", "2> f", "2>&1", ">&2", "1> f", "&> f", "3>&1", "2>>'f g'"]
)
command = st.builds(
    lambda first, words, ends: " ".join([first, *words, *ends]),
    program,
    st.lists(word, max_size=3),
    st.lists(redirection, max_size=2),
)
text = st.lists(st.tuples(command, st.sampled_from([" | ", "|", " && ", " || ", "; ", "\n", "\n\n"])), min_size=1, max_size=4).map(
    lambda pairs: "".join(one + mark for one, mark in pairs[:-1]) + pairs[-1][0]
)  # fmt: skip


@settings(max_examples=300 * TIMES, derandomize=TIMES == 1, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text, st.sampled_from(["", ";", " &", "\n", " "]))
def test_made_up_text_reads_the_same_both_ways(body: str, end: str) -> None:
    text = body + end
    if plain.read(text, 0, None) is not None and _LOST.search(text) is None:
        assert _told(Runner, text) == _told(Grammarian, text)
