"""Settings files of every shape, generated: what people and formatters leave behind."""

from __future__ import annotations

import json

from hypothesis import strategies as st

NAMES = st.one_of(
    st.sampled_from(["hooks", "PreToolUse", "model", "env", "Guardhouse", "shim.py", "version"]), st.text(max_size=4)
)
BLANK = st.text(alphabet=" \t", max_size=3)
NEWLINE = st.sampled_from(["\n", "\r\n"])


@st.composite
def gap(draw: st.DrawFn) -> str:
    """Blanks and comments between two tokens."""
    parts = draw(
        st.lists(
            st.one_of(
                BLANK,
                NEWLINE,
                st.sampled_from(["/* a */", '/* , } ] " */', "/**/", "// why\n", '// ,]}"\r\n', "//\n"]),
            ),
            max_size=3,
        )
    )
    return "".join(parts)


SCALARS = st.one_of(
    st.sampled_from(["true", "false", "null", "0", "-1.5e3", '""', '"a\\"b"', '"// no comment"', '"/hooks/shim.py"']),
    st.text(max_size=6).map(lambda text: json.dumps(text, ensure_ascii=False)).filter(lambda t: "\x7f" not in t),
)


def value(depth: int = 3) -> st.SearchStrategy[str]:
    return st.one_of(SCALARS, array(depth), obj(depth)) if depth else SCALARS


@st.composite
def array(draw: st.DrawFn, depth: int = 3) -> str:
    return "[" + _joined(draw, draw(st.lists(value(depth - 1), max_size=3))) + "]"


@st.composite
def obj(draw: st.DrawFn, depth: int = 3) -> str:
    names = draw(st.lists(NAMES, max_size=3, unique=True))
    members = [
        json.dumps(name) + draw(gap()) + ":" + draw(gap()) + draw(value(depth - 1))
        for name in names
        if name not in ("hooks", "PreToolUse")
    ]
    return "{" + _joined(draw, members) + "}"


@st.composite
def event(draw: st.DrawFn) -> str:
    return "[" + _joined(draw, draw(st.lists(obj(2), max_size=3))) + "]"


@st.composite
def settings(draw: st.DrawFn) -> str:
    """A whole file with, perhaps, hooks of others in it."""
    members = [
        json.dumps(name) + draw(gap()) + ":" + draw(gap()) + draw(value(2))
        for name in draw(st.lists(NAMES, max_size=3, unique=True))
        if name != "hooks"
    ]
    if draw(st.booleans()):
        events = [
            json.dumps(name) + draw(gap()) + ":" + draw(gap()) + draw(event())
            for name in draw(st.lists(st.sampled_from(["PreToolUse", "Stop", "SessionStart"]), max_size=2, unique=True))
        ]
        hooks = '"hooks"' + draw(gap()) + ":" + draw(gap()) + "{" + _joined(draw, events) + "}"
        members.insert(draw(st.integers(0, len(members))), hooks)
    return draw(gap()) + "{" + _joined(draw, members) + "}" + draw(gap())


def _joined(draw: st.DrawFn, parts: list[str]) -> str:
    text = draw(gap())
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        text += part + draw(gap()) + ("," if not last or draw(st.booleans()) else "") + draw(gap())
    return text


TOPS = [
    'model = "x" # mine',
    "approval_policy = 'never'",
    'notify = ["a",\n  "b", # why\n]',
    'note = """\n[[hooks.PreToolUse]]\nguardhouse hooks/run codex\n"""',
    '"a b" . c = 1',
    "since = 2026-11-01T10:00:00Z",
]
TABLES = [
    "[tui]\nx = 1",
    "[features]\nhooks = true",
    '[projects."/srv/a b"]\ntrust_level = "trusted"',
    '[mcp_servers.guardhouse]\ncommand = "guardhouse"\nargs = ["mcp"]',
    '[hooks.state."/srv/x:pre_tool_use:0:0"]\ntrusted_hash = "sha256:a"',
    '[ odd . "ta ble" ] # spaced',
]
INLINE = [
    '[[hooks.PostToolUse]]\nmatcher = "Bash"\n[[hooks.PostToolUse.hooks]]\ntype = "command"\ncommand = "lint"',
    '[[hooks.PreToolUse]]\nmatcher = "^mcp"\nhooks = [{ type = "command", command = "mine" }]',
    "[[hooks.Stop]]",
]
BETWEEN = ["", "# a comment", "   ", "# guardhouse hooks/run codex", "\t# [[hooks.PreToolUse]]"]


@st.composite
def tables(draw: st.DrawFn) -> str:
    """A whole `config.toml` with hooks of others in it, in one manner of ending lines or in both, ended or not."""
    parts = draw(st.lists(st.sampled_from(TOPS), max_size=3, unique=True))
    below = draw(st.lists(st.sampled_from(TABLES), max_size=3, unique=True))
    below += draw(st.lists(st.sampled_from(INLINE), min_size=1, max_size=3, unique=True))
    parts += draw(st.permutations(below))
    lines: list[str] = []
    for part in parts:
        lines += draw(st.lists(st.sampled_from(BETWEEN), max_size=2))
        lines += part.split("\n")
    lines += draw(st.lists(st.sampled_from(BETWEEN), max_size=2))
    ends = draw(st.sampled_from([["\n"], ["\r\n"], ["\n", "\r\n"]]))
    text = "".join(line + draw(st.sampled_from(ends)) for line in lines)
    return text.rstrip("\r\n") if draw(st.booleans()) else text
