"""A known variable's value cut, replaced or re-cased by `${name…}`, as far as that is simple."""

from __future__ import annotations

import re

MOST_VALUE = {0: 512, 1: 256, 2: 48}
"""Letters of a value by the stars of a pattern: each star looks at each letter once more for every one before it."""
MOST_PATTERN = 64


def altered(value: str, operation: str) -> str | None:
    """What `${name<operation>}` makes of this value; None where that is not known here."""
    most = MOST_VALUE.get(operation.count("*"))
    if most is None or len(value) > most or len(operation) > MOST_PATTERN or "$" in operation or "`" in operation:
        return None
    if operation in ("^^", ",,", "^", ",", "@U", "@L", "@u"):
        return _cased(value, operation)
    if operation.startswith(":"):
        return _sliced(value, operation[1:])
    head = operation[:1]
    if head in "#%":
        long = operation[1:2] == head
        pattern = _regex(operation[2:] if long else operation[1:], long)
        if pattern is None:
            return None
        if head == "#":
            match = re.match(pattern, value, re.S)
            return value[match.end() :] if match else value
        starts = range(len(value) + 1) if long else range(len(value), -1, -1)
        for at in starts:
            if re.fullmatch(pattern, value[at:], re.S):
                return value[:at]
        return value
    if head == "/":
        every = operation[1:2] == "/"
        old, _, new = (operation[2:] if every else operation[1:]).partition("/")
        anchor = old[:1] if old[:1] in ("#", "%") and not every else ""
        old = old[1:] if anchor else old
        pattern = _regex(old, long=True) if old else None
        if pattern is None:
            return None
        if anchor:
            pattern = f"\\A(?:{pattern})" if anchor == "#" else f"(?:{pattern})\\Z"
        return re.sub(pattern, lambda _match: new, value, count=0 if every else 1, flags=re.S)
    return None


def _cased(value: str, operation: str) -> str:
    if operation in ("^^", "@U"):
        return value.upper()
    if operation in (",,", "@L"):
        return value.lower()
    first = value[:1].upper() if operation in ("^", "@u") else value[:1].lower()
    return first + value[1:]


def _sliced(value: str, numbers: str) -> str | None:
    parts = [part.strip() for part in numbers.split(":")]
    if len(parts) > 2 or not all(re.fullmatch(r"-?\d{1,4}", part) for part in parts):
        return None
    first = int(parts[0])
    length = int(parts[1]) if len(parts) > 1 else None
    rest = value[first:] if first >= 0 else value[max(0, len(value) + first) :]
    return rest if length is None else rest[:length]


def _regex(glob: str, long: bool) -> str | None:
    """The pattern as a regular expression; None where it has brackets."""
    if "[" in glob or "(" in glob:
        return None
    made = []
    for part in re.findall(r"\\.|.", glob, re.S):
        if part == "*":
            made.append(".*" if long else ".*?")
        elif part == "?":
            made.append(".")
        else:
            made.append(re.escape(part[-1]))
    return "".join(made)
