"""Hostile policy text is an error, never a crash."""

import pytest

from guardhouse.bundle.child import parse_untrusted
from guardhouse.bundle.load import shipped_directory

SCHEMA = (shipped_directory() / "schema.cedarschema").read_bytes()
HOSTILE = {
    "nested": b'@id("x") permit(principal,action,resource) when {' + b"(" * 10_000 + b"};",
    "large": b"x" * 10_000_001,
    "nul": b"\0",
    "bidi": "\u202e".encode(),
    "negated": b'@id("x") permit(principal,action,resource) when {' + b"!" * 9_000 + b"true};",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_is_a_problem(kind):
    assert parse_untrusted({"schema.cedarschema": SCHEMA, "cedar/a.cedar": HOSTILE[kind]})


def test_good_text_has_none():
    text = b'@id("x") permit(principal, action, resource);'
    assert parse_untrusted({"schema.cedarschema": SCHEMA, "cedar/a.cedar": text}) == ()
