"""What a person's leave is bound to: a reformatted text is the same, anything that could do something else is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardhouse.guardrails.normal import normal_form
from guardhouse.guardrails.text import Examined


def form(text: str, **changes: object) -> object:
    return normal_form(replace(Examined("operation_text", text, "shell"), **changes))[0]  # type: ignore[arg-type]  # a test's table


SAME = [
    ("git push --force origin main", "git   push\t--force  origin main"),
    ("git push --force origin main", "git push \\\n  --force origin main"),
    ("git push --force origin main", "  git push --force origin main  \n"),
    ("git push --force origin main", "git push --force 'origin' \"main\""),
    ("cd a && make clean", "cd a&&make clean"),
    ("cd a; make clean", "cd a\nmake clean\n"),
    ("cd a; make clean;", "cd a ;\n\n  make clean"),
    ("a | b", "a|b"),
]
OTHER = [
    ("git push --force origin main", "git push --force origin release"),
    ("git push --force origin main", "git push --force origin main; ls"),
    ("git push --force origin main", "git push --force origin main #"),
    ("rm -r 'a b'", "rm -r a b"),
    ("rm -r 'a  b'", "rm -r 'a b'"),
    ('rm -r "$a  $b"', 'rm -r "$a $b"'),
    ("rm -r '*.log'", "rm -r *.log"),
    ("rm -r '~'", "rm -r ~"),
    ("rm -r '$X'", "rm -r $X"),
    ("rm -r $X", "rm -r $Y"),
    ("rm -r $X", 'rm -r "$X"'),
    ("X= rm a", "X=rm a"),
    ("'X=1' rm a", "X=1 rm a"),
    ("rm a >b", "rm a > b c"),
    ("rm a 2>b", "rm a 2 >b"),
    ("rm a & b", "rm a && b"),
    ("rm a &> b", "rm a & > b"),
    ("rm a | b", "rm a || b"),
    ("rm a\\ b", "rm a b"),
    ("rm {a,b}", "rm '{a,b}'"),
    ("rm a; b", "rm 'a;' b"),
    ("cat <<E\na  b\nE", "cat <<E\na b\nE"),
    ("(cd a; rm b)", "cd a; rm b"),
    ("echo a\u00a0b", "echo a b"),
    ("echo a\rb", "echo a b"),
    ("if x; then y; fi", "'if' x; then y; fi"),
    ("f() { a  b; }", "f() { a b; }"),
    ("echo a # b", "echo a"),
    ("echo $(rm  a)", "echo $(rm a; b)"),
    ("=ls", "'=ls'"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_a_reformatted_text_is_the_same(one: str, other: str) -> None:
    assert form(one) == form(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_what_could_do_something_else_is_another(one: str, other: str) -> None:
    assert form(one) != form(other)


def test_where_and_how_it_would_be_done_belongs_to_it() -> None:
    base = form("make clean", cwd="/work/app")
    assert form("make clean", cwd="/work/app/") == base
    assert form("make clean", cwd="/work/app", kind="auto") == base
    assert form("make clean", cwd="/work/other") != base
    assert form("make clean", cwd="/work/app", kind="file") != base
    assert form("make clean", cwd="/work/app", file_paths=("a",)) != form(
        "make clean", cwd="/work/app", file_paths=("b",)
    )
    assert form("make clean", act="write") != form("make clean", act="delete")
    assert form("", kind="file", edits=(("a", "b", False),)) != form("", kind="file", edits=(("a", "c", False),))
    assert form("/", cwd="/") != form("/", cwd="")


@pytest.mark.parametrize(
    ("text", "open_ended"),
    [
        ("rm -r build", False),
        ("rm -r $X", True),
        ("rm -r '$X'", False),
        ("rm -r `x`", True),
        ("echo \"it's\" $X 'y'", True),
        ("echo '\\' $X '\\'", True),
    ],
)
def test_it_is_told_when_more_than_the_text_decides(text: str, open_ended: bool) -> None:
    assert normal_form(Examined("t", text, "shell"))[1] is open_ended


WORDS = st.lists(
    st.sampled_from(
        ["rm", "-rf", "a", "'b c'", '"$X"', "$Y", "|", "&&", ";", "\n", ">", "2>&1", "(", ")", "{", "}", "#", "\\", "x=1",
         "*", "~", "if", "then", "fi", "<<E", "\t", "&", "'", '"', "`", "=", "!"]
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(WORDS, WORDS, st.booleans())
def test_texts_of_one_form_differ_in_blanks_line_ends_and_quotes_only(
    one: list[str], other: list[str], spaced: bool
) -> None:
    joined = (" " if spaced else "").join
    if form(joined(one)) == form(joined(other)):
        blank = str.maketrans("", "", " \t\n;'\"\\")
        assert joined(one).translate(blank) == joined(other).translate(blank)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_every_text_has_a_form(text: str) -> None:
    assert form(text) == form(text)
