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
    while at < len(data):
        stop = data.find(b"\n", at)
        stop = len(data) if stop < 0 else stop
        line = data[at:stop]
        if (line.lstrip(b"\t") if dashed else line) == mark:
            return end is not None and at <= end.start_byte <= stop and data[end.start_byte : stop] == mark
        at = stop + 1
    return end is None or end.start_byte == end.end_byte
