"""Loading: whole or not at all, LawFault and nothing else, and a site that edits only what it changes."""

from __future__ import annotations

import json
import os
from contextlib import suppress

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardhouse.bundle.check import read_cases
from guardhouse.bundle.load import (
    MAX_BYTES,
    load_directory,
    load_files,
    read_directory,
    shipped_directory,
    write_site_skeleton,
)
from guardhouse.errors import LawFault
from guardhouse.gates import reading
from tests.judging import ACTIONS, SHIPPED, law

DEEP = b"[" * 2_000
BOMB = b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
DUPLICATE = b"engine: cedar\nengine: native\n"
TEXTS = {
    "nul": b"a: \0",
    "bidi": "a: \u202e".encode(),
    "not utf-8": b"\xff\xfe",
    "bom only": b"\xef\xbb\xbf",
    "deep": DEEP,
    "bomb": BOMB,
    "a number": b"3",
    "a list": b"[]",
    "two documents": b"a: 1\n---\nb: 2\n",
    "a tag": b"!!python/object/apply:os.system [id]",
    "a date": b"rules: 2020-01-01",
    "not closed": b"rules: [",
    "a merge": b"rules: {<<: {a: 1}}",
    "a number as key": b"1: x",
    "a large number": b"rules: [99999999999999999999999999]",
    "half a character": b'rules: ["\\ud800"]',
    "an escaped nul": b'rules: ["\\0"]',
    "an empty number": b'rules: [!!int ""]',
    "an odd boolean": b"rules: [!!bool perhaps]",
    "a set": b"rules: !!set {a}",
    "tabs": b"\t- x",
}
FILES = [
    "gateway.yaml",
    "profiles.yaml",
    "native/x.yaml",
    "network/x.yaml",
    "guardrails/x.yaml",
    "playbooks/x.yaml",
    "cases/x.yaml",
]


BARE = {"gateway.yaml": b"engine: cedar", "profiles.yaml": b"profiles: {default: {}}"}
SMALL = {name: SHIPPED[name] for name in ("gateway.yaml", "profiles.yaml", "schema.cedarschema")}
HOSTILE = [
    (file, kind)
    for file in (*FILES, "schema.cedarschema", "cedar/x.cedar")
    for kind in TEXTS
    # An empty `gateway.yaml` says nothing wrong, and what is only wrong as a case is for a check to tell.
    if (file, kind) != ("gateway.yaml", "bom only")
    and (file != "cases/x.yaml" or kind not in ("bom only", "a number", "a list"))
]


@pytest.mark.parametrize(("file", "kind"), HOSTILE)
def test_hostile_text_is_a_law_fault_that_names_the_file(file, kind):
    with pytest.raises(LawFault) as caught:
        load_files(SMALL | {file: TEXTS[kind]}, ACTIONS)
    assert file in {problem.file for problem in caught.value.problems}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([*FILES, "schema.cedarschema", "cedar/x.cedar"]),
    st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
def test_no_bytes_raise_anything_else(file, data):
    with suppress(LawFault):
        load_files(BARE | {file: data}, {})


def test_a_key_that_is_given_twice_is_told_with_its_line():
    with pytest.raises(LawFault) as caught:
        load_files(SHIPPED | {"gateway.yaml": DUPLICATE}, ACTIONS)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("gateway.yaml", 2)


def test_every_problem_of_every_file_is_told_at_once():
    broken = {"network/x.yaml": b"allow: 3", "native/x.yaml": b"rules: [{}]", "cedar/x.cedar": b"permit ("}
    with pytest.raises(LawFault) as caught:
        load_files(SHIPPED | broken, ACTIONS)
    assert {problem.file for problem in caught.value.problems} == broken.keys()


@pytest.mark.parametrize(
    "file", ["native/x.yml", "cedar/x.txt", "other.yaml", "cedar/sub/x.cedar", "guardrails/x.json", "x"]
)
def test_a_file_that_nobody_would_read_is_a_fault(file):
    with pytest.raises(LawFault, match="nothing reads a file of this name"):
        load_files(SHIPPED | {file: b"rules: []"}, ACTIONS)


def test_too_much_is_a_fault():
    with pytest.raises(LawFault):
        load_files(SHIPPED | {"a.md": b"x" * (MAX_BYTES + 1)}, ACTIONS)
    with pytest.raises(LawFault):
        load_files({f"{n}.md": b"" for n in range(1_001)}, ACTIONS)


def test_the_schemas_actions_are_the_catalogs():
    without = dict(list(ACTIONS.items())[1:])
    with pytest.raises(LawFault, match="is no operation"):
        load_files(SHIPPED, without)
    with pytest.raises(LawFault, match="is not declared"):
        load_files(SHIPPED, ACTIONS | {"fly": ACTIONS["check_locks"]})
    with pytest.raises(LawFault, match="must be in"):
        load_files(SHIPPED, ACTIONS | {"check_locks": ACTIONS["acquire_lock"]})


def test_the_law_is_the_judging_part_of_the_digest():
    guide = law((("playbooks/x.yaml", b"role: x\n"),))
    assert (guide.law == law().law, guide.digest == law().digest) == (True, False)
    native = law((("gateway.yaml", b"engine: native\n"),))
    assert native.law != law().law
    judging = law((("network/x.yaml", b"allow: []\n"),))
    assert judging.law != law().law


def test_a_site_takes_what_is_shipped_and_edits_what_it_changes(tmp_path):
    write_site_skeleton(tmp_path)
    taken = load_directory(tmp_path, ACTIONS)
    assert taken.law == law().law
    (tmp_path / "profiles.yaml").write_text("profiles: {default: {}}")
    (tmp_path / "cedar" / "site.cedar").write_text('@id("site") permit (principal, action, resource);')
    files = read_directory(tmp_path)
    assert files["profiles.yaml"] == b"profiles: {default: {}}"
    assert files["cedar/agents.cedar"] == SHIPPED["cedar/agents.cedar"]
    assert load_directory(tmp_path, ACTIONS).law != taken.law


def test_the_skeleton_leaves_what_is_there_alone(tmp_path):
    (tmp_path / "gateway.yaml").write_text("engine: native\n")
    write_site_skeleton(tmp_path)
    assert (tmp_path / "gateway.yaml").read_text() == "engine: native\n"


@pytest.mark.parametrize("include", ["shipped@2", "../x", "[shipped@1]", "3"])
def test_only_what_is_shipped_can_be_included(tmp_path, include):
    (tmp_path / "gateway.yaml").write_text(f"include: {include}\n")
    with pytest.raises(LawFault, match="can be included"):
        read_directory(tmp_path)


def test_a_link_out_of_the_directory_is_a_fault(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "secret.md"
    outside.write_text("x")
    write_site_skeleton(inside)
    (inside / "x.md").symlink_to(outside)
    with pytest.raises(LawFault, match="leads out"):
        read_directory(inside)
    (inside / "x.md").unlink()
    (inside / "cedar" / "loop").symlink_to(inside / "cedar" / "loop")
    with pytest.raises(LawFault):
        read_directory(inside)


def test_a_link_to_a_directory_outside_is_a_fault(tmp_path):
    outside = tmp_path / "out"
    outside.mkdir()
    write_site_skeleton(tmp_path / "in")
    (tmp_path / "in" / "more").symlink_to(outside)
    with pytest.raises(LawFault, match="leads out"):
        read_directory(tmp_path / "in")


def test_a_pipe_is_not_read(tmp_path):
    write_site_skeleton(tmp_path)
    os.mkfifo(tmp_path / "cedar" / "x.cedar")
    assert "cedar/x.cedar" not in read_directory(tmp_path)


def test_a_directory_that_is_not_there_is_a_fault(tmp_path):
    with pytest.raises(LawFault):
        load_directory(tmp_path / "none", ACTIONS)


def test_what_is_shipped_loads_from_its_directory():
    assert load_directory(shipped_directory(), ACTIONS).digest == law().digest


@pytest.mark.parametrize(
    "name",
    [
        "/x.md",
        "../x.md",
        "a//x.md",
        "./x.md",
        "a/../x.md",
        "x\n.md",
        "\x00.md",
        "\ud800.md",
        "\u202e.md",
        "x" * 300 + ".md",
        "",
    ],
)
def test_a_name_that_is_no_plain_path_is_a_fault(name):
    with pytest.raises(LawFault, match="no plain relative path") as caught:
        load_files(SMALL | {name: b""}, ACTIONS)
    assert str(caught.value).encode().isascii()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("playbooks/x.yaml", "role: [x]"),
        ("playbooks/x.yaml", "role: x\ninvariants: 3"),
        ("playbooks/x.yaml", "role: x\ninvariants: [3]"),
        ("playbooks/x.yaml", "role: x\ntitle: [x]"),
        ("playbooks/x.yaml", "role: x\nguide: 2"),
        ("native/x.yaml", 'rules: [{id: "a\\nb", effect: permit}]'),
        ("native/x.yaml", f"rules: [{{id: {'x' * 201}, effect: permit}}]"),
        ("network/x.yaml", 'allow: [{id: "a\\u202e", domains: [example.com]}]'),
        ("cedar/x.cedar", '@id("a\\0b") permit (principal, action, resource);'),
        ("cedar/x.cedar", "permit (principal, action, resource);"),
        ("cedar/x.cedar", '@id("x") @id("y") permit (principal, action, resource);'),
    ],
)
def test_what_could_not_be_served_or_recorded_is_a_fault(file, text):
    with pytest.raises(LawFault) as caught:
        load_files(SMALL | {file: text.encode()}, ACTIONS)
    assert {problem.file for problem in caught.value.problems} == {file}


_KEYS = (
    "id effect permit forbid actions principal kind agent trust_at_least resource types context labels engine include profiles default "
    "limits allowed held_locks allow deny domains example.com role invariants guide pack category rules pattern severity block event "
    "min_trust reason must_match must_pass argv kinds programs cases name as ask expect"
)
WORDS = st.sampled_from(_KEYS.split())
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
TOPS = {
    "gateway.yaml": ("engine", "include"),
    "profiles.yaml": ("profiles",),
    "native/x.yaml": ("rules",),
    "network/x.yaml": ("allow", "deny"),
    "guardrails/x.yaml": ("pack", "category", "rules", "programs", "protects"),
    "guardrails/overrides.yaml": ("overrides", "rules"),
    "playbooks/x.yaml": ("role", "title", "invariants", "guide"),
    "cases/x.yaml": ("cases",),
}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(TOPS)), st.data())
def test_no_well_formed_nonsense_raises_anything_else(file, data):
    value = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(TOPS[file], ANYTHING)))
    with suppress(LawFault):
        load_files(BARE | {file: json.dumps(value).encode()}, {})
    with suppress(LawFault):
        read_cases({file: json.dumps(value).encode()}, ACTIONS)


_TOKENS = (
    '@id("x") @effect("approval") permit forbid ( ) , ; principal action resource == in is Agent Action::"read" when unless { } '
    '[ ] 9223372036854775808 -1 "\\u{0}" "\\ * context . has like "*" ip("x") decimal("1") ?principal // action "x" appliesTo '
    "entity type namespace Set<Long> \u0130 \U0001f600"
)
PIECES = st.sampled_from(_TOKENS.split())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["schema.cedarschema", "cedar/x.cedar"]), st.lists(PIECES, max_size=14).map(" ".join))
def test_no_cedar_text_raises_anything_else(file, text):
    with suppress(LawFault):
        load_files(BARE | {file: text.encode()}, {})


@pytest.mark.parametrize(
    "text", ["include: !!int ''", "include: !!bool x", "- x", "include: {a: 1}", "a: 1\na: 2", "[" * 99]
)
def test_a_directory_whose_gateway_cannot_be_read_is_a_fault(tmp_path, text):
    (tmp_path / "gateway.yaml").write_text(text)
    with pytest.raises(LawFault):
        load_directory(tmp_path, ACTIONS)


def test_both_readers_of_yaml_read_the_shipped_law_alike(monkeypatch):
    files = [name for name in SHIPPED if name.endswith(".yaml")]
    fast = {name: reading.read_yaml(name, SHIPPED[name]) for name in files}
    monkeypatch.setattr(reading, "_LOADER", yaml.SafeLoader)
    for name, (value, lines) in fast.items():
        slow, slow_lines = reading.read_yaml(name, SHIPPED[name])
        assert slow == value
        assert vars(slow_lines) == vars(lines)


@pytest.mark.parametrize("kind", TEXTS)
def test_the_slow_reader_refuses_what_the_fast_one_does(monkeypatch, kind):
    monkeypatch.setattr(reading, "_LOADER", yaml.SafeLoader)
    with pytest.raises(LawFault):
        load_files(SMALL | {"profiles.yaml": TEXTS[kind]}, ACTIONS)


MISSPELT = b"""rules:
  - id: site.typo
    effect: forbid
    actions: [acquire_lok]
    principal: {kind: agent, roles: [whoever], profiles: [ghost]}
    resource:
      types: [Fil]
      categories: [gti]
      severities: [blok]
      path_classes: [hme]
    context:
      surfaces: [htp]
"""


def test_a_native_rule_that_could_never_bind_is_a_fault_with_its_line_and_what_was_meant():
    with pytest.raises(LawFault) as caught:
        load_files(SHIPPED | {"native/site.yaml": MISSPELT}, ACTIONS)
    told = {(problem.line, problem.remedy) for problem in caught.value.problems if problem.file == "native/site.yaml"}
    assert told == {
        (4, "did you mean `acquire_lock`?"),
        (5, "use ci, claude-code, codex, cursor, default, gemini, mcp, orchestrator, reviewer, unlimited"),
        (7, "did you mean `File`?"),
        (8, "did you mean `git`?"),
        (9, "did you mean `block`?"),
        (10, "did you mean `home`?"),
        (12, "did you mean `http`?"),
    }


def test_a_profile_that_names_no_operation_is_a_fault_with_its_line_and_what_was_meant():
    faulty = SHIPPED["profiles.yaml"].replace(b"profiles:", b"profiles:\n  mine:\n    blocked: [aquire_lock]", 1)
    with pytest.raises(LawFault) as caught:
        load_files(SHIPPED | {"profiles.yaml": faulty}, ACTIONS)
    (problem,) = caught.value.problems
    line = faulty[: faulty.index(b"mine:")].count(b"\n") + 1
    assert (problem.line, problem.remedy) == (line, "did you mean `acquire_lock`?")
