"""Arithmetic: what `$((…))` comes to, as far as every name in it is known to be a number."""

from __future__ import annotations

import re
from collections.abc import Callable

MOST_LETTERS = 200
_MOST_NESTING = 20
_TOKEN = re.compile(
    r"\s*(?:(?P<number>0[xX][0-9a-fA-F]+|(?P<base>\d{1,2})#(?P<digits>[0-9a-z]+)|\d+)|\$?(?:\{(?P<braced>\w+)\}|(?P<name>[A-Za-z_]\w*|\$?\d(?<=\$\d)))"
    r"|(?P<sign>\*\*|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>?:()]))"
)
_LEVELS = (("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", "<=", ">", ">="), ("<<", ">>"), ("+", "-"), ("*", "/", "%"))  # fmt: skip
_PLAIN: dict[str, Callable[[int, int], int]] = {
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "&": lambda a, b: a & b,
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    "<=": lambda a, b: int(a <= b),
    ">": lambda a, b: int(a > b),
    ">=": lambda a, b: int(a >= b),
    "<<": lambda a, b: a << (b & 63),
    ">>": lambda a, b: a >> (b & 63),
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "||": lambda a, b: int(bool(a or b)),
    "&&": lambda a, b: int(bool(a and b)),
}


class _Unsure(Exception):
    """Its value is not known here."""


def evaluated(text: str, lookup: Callable[[str], str | None]) -> str | None:
    """The number that an arithmetic text comes to, or None where that is not known: a name without a number, an assignment, a fault."""
    if len(text) > MOST_LETTERS:
        return None
    tokens: list[str | int] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            return None
        at = match.end()
        if match["number"] is not None:
            made = _number(match["number"])
            if made is None:
                return None
            tokens.append(made)
        elif match["sign"] is not None:
            tokens.append(match["sign"])
        else:
            known = lookup(match["braced"] or match["name"].removeprefix("$"))
            value = _number(known.strip()) if known is not None else None
            if value is None:
                return None
            tokens.append(value)
    reader = _Reader(tokens)
    try:
        value = reader.choice(0)
    except (_Unsure, IndexError):
        return None
    return str(value) if reader.at == len(tokens) else None


def _number(text: str) -> int | None:
    """An integer as bash writes it; None for anything else."""
    try:
        if "#" in text:
            base, _, digits = text.partition("#")
            return _wrapped(int(digits, int(base))) if 2 <= int(base) <= 36 else None
        sign = -1 if text.startswith("-") else 1
        digits = text.lstrip("-") if text.count("-") <= 1 else "x"
        if not digits.isalnum() or not digits.isascii():
            return None
        if digits[:2] in ("0x", "0X"):
            return _wrapped(sign * int(digits, 16))
        return _wrapped(sign * int(digits, 8 if digits[0] == "0" and len(digits) > 1 else 10))
    except ValueError:
        return None


def _wrapped(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


class _Reader:
    """Precedence as in C, on numbers of 64 bits."""

    def __init__(self, tokens: list[str | int]) -> None:
        self.tokens = tokens
        self.at = 0

    def _sign(self) -> str | int | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def choice(self, depth: int) -> int:
        if depth > _MOST_NESTING:
            raise _Unsure
        value = self._level(0, depth)
        if self._sign() != "?":
            return value
        self.at += 1
        first = self.choice(depth + 1)
        if self._sign() != ":":
            raise _Unsure
        self.at += 1
        second = self.choice(depth + 1)
        return first if value else second

    def _level(self, level: int, depth: int) -> int:
        if level == len(_LEVELS):
            return self._power(depth)
        value = self._level(level + 1, depth)
        while (sign := self._sign()) in _LEVELS[level]:
            self.at += 1
            value = _wrapped(self._applied(str(sign), value, self._level(level + 1, depth)))
        return value

    @staticmethod
    def _applied(sign: str, first: int, second: int) -> int:
        if sign in ("/", "%"):
            if second == 0:
                raise _Unsure
            whole = abs(first) // abs(second) * (1 if (first < 0) == (second < 0) else -1)
            return whole if sign == "/" else first - whole * second
        return _PLAIN[sign](first, second)

    def _power(self, depth: int) -> int:
        value = self._single(depth)
        if self._sign() == "**":
            self.at += 1
            power = self._power(depth + 1)
            if not 0 <= power <= 63 or depth > _MOST_NESTING:
                raise _Unsure
            return _wrapped(value**power)
        return value

    def _single(self, depth: int) -> int:
        token = self.tokens[self.at]
        self.at += 1
        if isinstance(token, int):
            return token
        if depth > _MOST_NESTING:
            raise _Unsure
        if token == "(":  # noqa: S105  a sign of the text
            value = self.choice(depth + 1)
            if self._sign() != ")":
                raise _Unsure
            self.at += 1
            return value
        if token not in ("-", "+", "!", "~") or self._sign() == token:
            raise _Unsure
        value = self._single(depth + 1)
        return {"-": _wrapped(-value), "+": value, "!": int(not value), "~": ~value}[token]
