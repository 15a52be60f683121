"""A path under any heap of spellings is known for what it is; whatever else a tool is given is read or refused."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.surfaces.hooks.grounds import Ground, lay
from tests.surfaces.hooks.test_tools_and_the_guard import READERS, STATE


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return lay(tmp_path_factory.mktemp("spellings"))


def disguised(path: str, steps: list[bool]) -> str:
    """A path under several spellings at once, the innermost first, as a program would undo them."""
    dots, slashes, unseen, percent, twice, url, blanks, quotes = steps
    text = path
    text = text.replace("/gate/", "/gate./") if dots else text
    text = text.replace("/", "\\") if slashes and not (url or percent) else text
    text = text.replace("gate", "g\u200bate") if unseen else text
    text = text.replace("e", "%65") if percent else text
    text = text.replace("%", "%25") if percent and twice else text
    text = f"FILE://localhost{text}" if url else text
    text = f"'{text}'" if quotes else text
    return f"\n {text}\t" if blanks else text


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.booleans(), min_size=8, max_size=8),
    reader=st.sampled_from([one for one in READERS if one[2] != "relativeFile"]),
    through=st.sampled_from(["", "vault", "src/deep", "everything/.vault/gate"]),
)
def test_spellings_may_be_heaped_upon_each_other(
    ground: Ground, steps: list[bool], reader: tuple[str, str, str], through: str
) -> None:
    client, tool, key = reader
    plain = f"{ground.app}/{through}/signing.key" if through else f"{ground.home}/signing.key"
    found = ground.rules(client, ground.use(client, tool, {key: disguised(plain, steps)}))
    assert STATE in found


KEYS = ["file_path", "path", "command", "cmd", "args", "edits", "old_string", "new_string", "content", "pattern", "glob", "url", "env", "pid", "files", "/a/b", "input", "query", ""]  # fmt: skip
TEXTS = st.sampled_from(["", "a", "~", "/", "..", "**", "{a,b}" * 40, "{" * 200, "%" * 50, "$HOME", "file:", "[" * 300, "*** Add File: x\n+y", "\ud800", "\n", '{"a":', '"' * 20]) | st.text(max_size=40)  # fmt: skip
VALUES = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    client=st.sampled_from(["claude-code", "codex", "gemini", "copilot", "opencode"]),
    tool=st.sampled_from(["Read", "Write", "Edit", "MultiEdit", "apply_patch", "Grep", "glob", "Bash", "WebFetch", "mcp__x__run", "read_many_files", "NotebookEdit", "new_tool"]),
    put=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5),
)  # fmt: skip
def test_whatever_a_tool_is_given_is_read_or_refused_never_a_fault(
    ground: Ground, client: str, tool: str, put: dict[str, Any]
) -> None:
    with suppress(ValidationError, UnicodeError):  # the gateway refuses such a body before it is examined
        ground.rules(client, ground.use(client, tool, put))
