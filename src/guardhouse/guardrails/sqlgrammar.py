"""SQL's grammar, within bounded work: the library's own may try each of two readings at every word, and so never end."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from sqlglot import ErrorLevel, exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError, TokenError
from sqlglot.parser import Parser
from sqlglot.tokenizer_core import Token

ADVANCE, OPERAND, FAULT = 1, 4, 8
"""Steps of about two microseconds: going to another word, forward or back; looking for an operand through all that may
stand before it; and putting a fault into words, which is done for each reading that is given up."""
TABLE, JOIN, TYPE = 12, 8, 10
"""Looking for a table, for a join behind it, and for a type, whose name is taken apart anew."""
TOKEN, LETTERS = 1, 2
"""Steps of telling one word from the next, and the letters of the text for one more."""
COPY = 2
"""A node of a tree that is copied: what stands before a call behind a dot or an arrow is, whole, for each such call."""
_LINK = 4
"""Nodes that a dot or an arrow, with what stands behind it, adds to a tree."""
_DIALECT = Dialect.get_or_raise(None)
logging.getLogger("sqlglot").setLevel(logging.ERROR)


class TooLong(SqlglotError):
    """Reading the text takes more work than is allowed."""


class _Bounded(Parser):
    """The library's parser, but for the count of what it does."""

    left: int
    _before: Any = None
    _behind: int = 0

    def _advance(self, times: int = 1) -> None:
        self.left -= ADVANCE
        if self.left < 0 and times > 0:  # on the way back it cleans up behind itself
            raise TooLong("too many steps")
        super()._advance(times)

    def _parse_unary(self) -> Any:
        self.left -= OPERAND
        return super()._parse_unary()

    def _parse_table(self, *args: Any, **options: Any) -> Any:
        self.left -= TABLE
        return super()._parse_table(*args, **options)

    def _parse_join(self, *args: Any, **options: Any) -> Any:
        self.left -= JOIN
        return super()._parse_join(*args, **options)

    def _parse_types(self, *args: Any, **options: Any) -> Any:
        self.left -= TYPE
        return super()._parse_types(*args, **options)

    def _parse_column_ops(self, this: Any) -> Any:
        saved = self._before, self._behind
        self._before, self._behind = this, 0
        try:
            return super()._parse_column_ops(this)
        finally:
            self._before, self._behind = saved

    def _parse_field(self, *args: Any, **options: Any) -> Any:
        found = super()._parse_field(*args, **options)
        if options.get("anonymous_func"):
            self._copied(found)
        return found

    def _parse_column_reference(self) -> Any:
        found = super()._parse_column_reference()
        self._copied(found)
        return found

    def _parse_bitwise(self) -> Any:
        found = super()._parse_bitwise()
        self._copied(found)
        return found

    def _copied(self, found: Any) -> None:
        """Count what the library copies where this is a call behind a dot or an arrow; a few calls elsewhere count as well."""
        self._behind += _LINK
        if self._before is not None and isinstance(found, exp.Func | exp.Window):
            self.left -= COPY * (self._behind + sum(1 for _ in self._before.walk()))
            if self.left < 0:
                raise TooLong("too many copies")

    def raise_error(self, message: str, *token: Token) -> None:
        self.left -= FAULT
        super().raise_error(message, *token)


class Parsed(NamedTuple):
    """The trees of a text's statements, None where it is none that the grammar knows; and the steps that it took.

    `cut`: it would have taken more than were allowed, so that it may be one all the same.
    """

    trees: list[Any] | None
    steps: int
    cut: bool = False


def statements(text: str, steps: int) -> Parsed:
    """Read the statements of a text within so many steps. Never raises for what stands in it."""
    try:
        tokens = _DIALECT.tokenize(text)
    except TokenError:
        return Parsed(None, len(text) // LETTERS)
    parser = _Bounded(error_level=ErrorLevel.IMMEDIATE, dialect=_DIALECT)
    parser.left = steps - TOKEN * len(tokens) - len(text) // LETTERS
    try:
        return Parsed([tree for tree in parser.parse(tokens, text) if tree is not None], steps - parser.left)
    except TooLong:
        return Parsed(None, steps, cut=True)
    except (SqlglotError, RecursionError, ValueError, TypeError, AttributeError, KeyError, IndexError):
        return Parsed(None, steps - parser.left)
