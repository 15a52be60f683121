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


ON_LOCKS = "forbid(principal is Agent, action == {action}, resource) when {{ principal.{attribute} < 3 }};\n"


@pytest.mark.parametrize(
    ("action", "attribute", "says", "remedy"),
    [
        ('Action::"acquire_lok"', "trust_level", "unrecognized action", "did you mean `acquire_lock`?"),
        ('Action::"zzz"', "trust_level", "unrecognized action", "schema.cedarschema lists what there is"),
        ('House::Action::"acquire_lock"', "trust_level", "unrecognized action", "leave `House::` out"),
        ('Action::"acquire_lock"', "trust_levl", "attribute `trust_levl`", "did you mean `trust_level`?"),
        ('Action::"acquire_lock"', "trust", "attribute `trust`", "did you mean `trust_level`?"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_what_does_not_fit_the_schema_names_its_line_and_what_to_write(
    action: str, attribute: str, says: str, remedy: str, named: bool
) -> None:
    files = dict(load.read_directory(load.shipped_directory()))
    wrong = ('@id("site.locks")\n' if named else "\n") + ON_LOCKS.format(action=action, attribute=attribute)
    files["cedar/site.cedar"] = (GOOD + "\n" + wrong + GOOD.replace("good", "better")).encode()
    with pytest.raises(LawFault) as caught:
        cedar.compile_policies(files)
    misfits = [problem for problem in caught.value.problems if says in problem.message]
    assert [(problem.line, "`policy" in problem.message) for problem in misfits] == [(4 if named else 5, False)]
    assert remedy in misfits[0].remedy
    unnamed = [problem.line for problem in caught.value.problems if "no `@id`" in problem.message]
    assert unnamed == ([] if named else [5])
