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
