"""A Cedar file that does not parse is told by the line on which its first bad policy begins."""

from __future__ import annotations

import pytest

from guardhouse.bundle import load
from guardhouse.errors import LawFault
from guardhouse.gates.policy import cedar

GOOD = '@id("site.good")\npermit(principal, action, resource); // a ; in a comment\n'
STRING = '@id("site.text")\n@advice("a ; and a // in text")\npermit(principal, action, resource);\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("permit(principal, acton resource);\n", 1),
        (GOOD + "\n\npermit(principal, acton resource);\n", 5),
        (GOOD + STRING + "forbid(principal;\n" + GOOD, 6),
        (GOOD + "permit(principal, action, resource)\n", 3),
    ],
)
def test_a_syntax_error_names_its_line(text: str, line: int) -> None:
    files = dict(load.read_directory(load.shipped_directory()))
    files["cedar/site.cedar"] = text.encode()
    with pytest.raises(LawFault) as caught:
        cedar.compile_policies(files)
    assert [(problem.file, problem.line) for problem in caught.value.problems] == [("cedar/site.cedar", line)]
