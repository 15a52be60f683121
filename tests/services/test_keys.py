"""Keys: one spelling for one thing, whatever a caller writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardhouse.errors import InvalidInput
from guardhouse.services.keys import (
    MAX_KEY,
    NAMESPACES,
    canonical_key,
    canonical_prefix,
    feature_of,
    matches,
    pause_key,
)


@pytest.mark.parametrize(
    ("given_key", "canonical"),
    [
        ("src/app.py", "file:default//src/app.py"),
        (" ./src//app.py/ ", "file:default//src/app.py"),
        ("file:github.com/acme/shop//src/./app.py", "file:github.com/acme/shop//src/app.py"),
        ("res:deploy//prod/", "res:deploy/prod"),
        ("cafe\u0301.txt", "file:default//caf\u00e9.txt"),
        ("api:get auth/login", "api:GET /auth/login"),
    ],
)
def test_a50_a_key_has_one_spelling(given_key: str, canonical: str) -> None:
    assert canonical_key(given_key).text == canonical


@pytest.mark.parametrize(
    "given_key",
    [
        "api:/auth/login",
        "db:users",
        "event:user.created",
        "flag:dark-mode",
        "env:DATABASE_URL",
        "contract:auth-api",
        "feature:add-auth:pause",
    ],
)
def test_c50_logical_keys_are_taken_as_written(given_key: str) -> None:
    assert canonical_key(given_key).text == given_key


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "  ",
        "/",
        ".",
        "res:",
        "queue:x",
        "/etc/passwd",
        "~/x",
        "./~/x",
        "C:/x",
        "./C:x",
        "file:repo///etc",
        "a/../b",
        "..",
        "a\\b",
        "a\nb",
        "a\x00b",
        "a\u202eb",
        "a\u200bb",
        "a\ufeffb",
        "res:" + "x" * 256,
        "res:" + "/".join(["x" * 200] * 6),
    ],
)
def test_c50_what_is_no_key_is_refused_and_the_field_named(hostile: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        canonical_key(hostile)
    assert refused.value.fields[0].field == "key"


_SEGMENT = st.text(st.sampled_from("abAB.:~ -_e\u0301\u00e9"), min_size=1, max_size=6)
_WRITTEN = st.builds(
    lambda namespace, parts, glue: namespace + glue.join(parts),
    st.sampled_from(["", *(f"{name}:" for name in NAMESPACES)]),
    st.lists(_SEGMENT, min_size=1, max_size=4),
    st.sampled_from(["/", "//", "/./", ":"]),
)


@given(_WRITTEN)
def test_a_canonical_key_is_its_own_canonical_key(written: str) -> None:
    try:
        key = canonical_key(written)
    except InvalidInput:
        return
    assert canonical_key(key.text) == key
    assert len(key.text.encode()) <= MAX_KEY


@given(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=4), st.data())
def test_no_two_spellings_of_one_path_survive(parts: list[str], data: st.DataObject) -> None:
    glue = st.sampled_from(["/", "//", "/./", " / "])
    other = parts[0] + "".join(data.draw(glue) + part for part in parts[1:])
    other = data.draw(st.sampled_from(["", "./", " "])) + other + data.draw(st.sampled_from(["", "/", "/.", " "]))
    assert canonical_key(other) == canonical_key("/".join(parts))


@pytest.mark.parametrize("spelling", ["feature:x:pause", "feature:x/pause", "feature:x//pause", "feature: x : pause "])
def test_c51_every_spelling_of_a_pause_lock_is_that_pause_lock(spelling: str) -> None:
    assert canonical_key(spelling).text == pause_key("x")
    assert feature_of(canonical_key(spelling)) == ""


@pytest.mark.parametrize("spelling", ["feature:x", "feature:x/y", "feature:x:y", "feature: x :y", "feature:x::y"])
def test_c51_every_key_of_a_feature_names_it(spelling: str) -> None:
    assert feature_of(canonical_key(spelling)) == "x"


def test_a51_a_prefix_ends_at_a_segment() -> None:
    prefix = canonical_prefix("res:deploy/")
    assert matches("res:deploy", prefix)
    assert matches("res:deploy/prod", prefix)
    assert not matches("res:deployment", prefix)
    assert matches("feature:x:pause", canonical_prefix("feature:x"))
    assert not matches("feature:xy:pause", canonical_prefix("feature:x"))
    assert matches("file:default//src/a", canonical_prefix("file:"))
    assert not matches("file:other//src/a", canonical_prefix("file:"))
