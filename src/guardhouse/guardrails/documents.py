"""Here-documents end where a shell ends them, not where the grammar thinks: what stands behind one is run."""

from __future__ import annotations

import re

from tree_sitter import Node

_MARK = re.compile(rb"""(?:[^\s;&|<>()'"\\$`]|'[^'\n]*'|"[^"\n\\$`]*"|\\[^\n])+""")
_QUOTES = re.compile(rb"""'([^']*)'|"([^"]*)"|\\(.)""")


def well_read(node: Node, data: bytes) -> bool:
    """Whether the tree ends this here-document at the first line that is its mark, as every shell does.

    The grammar also takes a line that only begins with the mark, misses the line behind a backslash, and reads a mark
    that is quoted in part, or is not ASCII, otherwise than a shell.
    """
    start = body = end = None
    for child in node.children:
        if child.type == "heredoc_start":
            start = child
        elif child.type == "heredoc_body":
            body = child
        elif child.type == "heredoc_end":
            end = child
    if start is None:
        return False
    match = _MARK.match(data, start.start_byte)
    if match is None or data[match.end() : match.end() + 1] in (b"'", b'"', b"\\", b"$", b"`"):
        return False
    mark = _QUOTES.sub(lambda part: part[1] or part[2] or part[3] or b"", match[0])
    dashed = data[: start.start_byte].rstrip(b" \t").endswith(b"<<-")
    first = body if body is not None else end
    if first is None:
        return b"\n" not in data[match.end() :].strip(b"\n")
    at = data.rfind(b"\n", 0, first.start_byte) + 1
    head = data.find(b"\n", match.end()) + 1
    opened = data.rfind(b"\n", 0, start.start_byte) + 1
    if data.count(b"<<", opened, head) == 1 and data[head:at].strip(b"\n"):
        return False  # lines of it were read as something else
    # A body may begin with empty lines that the grammar leaves out.
    while at > match.end() and data[at - 2 : at] == b"\n\n":
        at -= 1
    found = _line(data, at, mark, dashed=dashed)
    if found is None:
        return end is None or end.start_byte == end.end_byte
    return end is not None and found[0] <= end.start_byte <= found[1] and data[end.start_byte : found[1]] == mark


def _line(data: bytes, at: int, mark: bytes, *, dashed: bool) -> tuple[int, int] | None:
    """Where the first line from here on is this mark: all lines are looked at in one step, as a text may have many marks."""
    if at >= len(data):
        return None
    if dashed:
        match = re.compile(rb"(?m)^\t*+" + re.escape(mark) + rb"$").search(data, at)
        return None if match is None or match.start() == len(data) else match.span()
    if data.startswith(mark, at) and data[at + len(mark) : at + len(mark) + 1] in (b"", b"\n"):
        return at, at + len(mark)
    found = data.find(b"\n" + mark + b"\n", at) + 1
    if found:
        return found, found + len(mark)
    last = len(data) - len(mark)
    return (last, len(data)) if at < last < len(data) and data.endswith(b"\n" + mark) else None
