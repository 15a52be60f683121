"""A plain body is read quickly, and never otherwise than with care."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guardhouse.errors import InvalidInput
from guardhouse.gateway.prepare import carefully, quickly

VALUES = st.one_of(
    st.text(max_size=8),
    st.integers(-(2**66), 2**66),
    st.booleans(),
    st.none(),
    st.floats(),
    st.lists(st.one_of(st.text(max_size=4), st.integers()), max_size=3),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Objects whose names may come twice, with white space, escapes and odd numbers; some damaged."""
    names = st.sampled_from(["a", "b", "ab", "é", ""])
    pairs = draw(st.lists(st.tuples(names, VALUES), max_size=4))
    ascii_only = draw(st.booleans())
    parts = [
        json.dumps(name, ensure_ascii=ascii_only)
        + draw(st.sampled_from([":", ": ", ":\n"]))
        + json.dumps(value, ensure_ascii=ascii_only)
        for name, value in pairs
    ]
    text = (
        draw(st.sampled_from(["", " ", "\ufeff"]))
        + "{"
        + ", ".join(parts)
        + draw(st.sampled_from(["}", "} ", ",}", ""]))
    )
    return text.encode("utf-8", "surrogatepass")


@given(bodies())
@example(b'{"a": "x", "a": "y"}')
@example(b'{"a": ["x", "y"], "a": "z", "b": "c"}')
@example(b'{"a": {"b": 1, "b": 2}}')
@example(b'{"a": "\\u0000"}')
@example(b'{"a": "\\ud800"}')
@example(b'{"a": "\xed\xa0\x80"}')
@example(b'{"a": "\x00"}')
@example(b'{"a": 9223372036854775808}')
@example(b'{"a": 123456789012345678901234567890}')
@example(b'{"a": NaN}')
@example(b'{"a": -0}')
@example(b"[]")
@example(b"")
def test_reading_quickly_reads_the_same(body: bytes) -> None:
    plain = quickly(body)
    if plain is not None:
        read = carefully(body)
        assert plain == read
        assert [(name, type(value)) for name, value in plain.items()] == [(n, type(v)) for n, v in read.items()]


@pytest.mark.parametrize(
    "body", [b'{"operation_text": "git status", "kind": "shell"}', b'{"paths": ["a", "b"], "ttl": 5, "x": true}']
)
def test_everyday_bodies_are_read_quickly(body: bytes) -> None:
    assert quickly(body) == json.loads(body)


@pytest.mark.parametrize(
    "body", [b'{"a": 1, "a": 2}', b'{"a": "\\u0000"}', b'{"a": NaN}', b'{"a": 9223372036854775808}', b"["]
)
def test_what_is_refused_is_never_read_quickly(body: bytes) -> None:
    assert quickly(body) is None
    with pytest.raises(InvalidInput):
        carefully(body)
