"""The ground every reader of shell text stands on: the parser, places in the text, and the bounds of the work."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Any

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

from guardhouse.guardrails import plain
from guardhouse.guardrails.blanks import flat
from guardhouse.guardrails.budget import (
    BROKEN,
    BROKEN_COST,
    FAULT_COST,
    MOST_LOOKED,
    MOST_NODES,
    PARSE_COST,
    UNIT_COST,
    UNIT_LETTERS,
    WHOLE,
)
from guardhouse.guardrails.plain import Plain
from guardhouse.guardrails.programs import UNSPECIFIED, Programs
from guardhouse.guardrails.units import MOST_DEPTH, SOMETHING, Event, Flow, Spent, State, Unit
from guardhouse.guardrails.words import Word

MOST_SHELL = 8 * 1024
MOST_UNITS = 400
MOST_LETTERS = 16 * MOST_SHELL
"""Characters in the words of all commands together: variables can make a short text say very much."""
MOST_PROGRESS = 75
"""Parser progress callbacks for one text; 8 KiB of ordinary script need forty to seventy."""
MOST_DANGLING = 20
"""Operators with no command between them: the grammar's recovery from them is quadratic, too, and calls back late."""
_DANGLING = re.compile(rb"(?:\|\||&&|\|&?|;|^)\s*(?:\|\||&&|\|&?)")
_LEAST_PLACED = 4
"""A text shorter than this may stand anywhere by chance."""
_SHORT = 512
_TINY = 128
"""Bytes that are parsed without callbacks: at worst this takes a millisecond, and most texts are no longer."""
MOST_OPENED = 300
"""Opening brackets in one text: the grammar's recovery from unclosed ones is quadratic and barely calls back."""
MOST_CLOSED = 200
"""Closing brackets that nothing opened: a `case` has one for each branch, and the grammar tries each as many things."""
MOST_SQUARE = 100
"""Square brackets that stand open at once: recovering from each takes the grammar fifty times as long as reading it."""
MOST_DOCUMENTS = 80
"""Here-documents in one text, for the same reason: ordinary scripts of 8 KiB have up to five."""
MOST_COMPOUND = 60
"""Heads of `case` without an `esac`, and of `for` without a `done`."""
_CASE, _ESAC = re.compile(rb"\bcase\s+\S+\s+in\b"), re.compile(rb"\besac\b")
_FOR, _DONE = re.compile(rb"\bfor\s+\w+\s+in\b"), re.compile(rb"\bdone\b")
_SQUARE = re.compile(rb"[\[\]]")
_DOCUMENT = re.compile(rb"(?<!<)<<(?!<)")
MOST_READS = 200
"""How often the parser may ask for the text: ordinary scripts of 8 KiB need twenty, and recovery asks at each step back."""
_SWALLOWED = re.compile(rb"(?<!\\)((?:\\\\)*\n)((?:\\\n)*)(\\(?=[\w./+@%:,=!?*~^-]))?")
"""The grammar reads over a line's end where a backslash begins the next line, and so makes one command of two."""
_LANGUAGE = Language(tree_sitter_bash.language())


class Reading(ABC):
    """One text being read. Commands and events gather in its lists; what a statement does is the business of its heirs."""

    def __init__(self, programs: Programs, source: str, cwd: str) -> None:
        self.programs = programs
        self.source = source
        self.units: list[Unit] = []
        self.events: list[Event] = []
        self.state = State(cwd=cwd)
        self.nodes = MOST_NODES
        self.bytes = 4 * MOST_SHELL
        self.letters = MOST_LETTERS
        self.codes: list[tuple[str, int, int, tuple[str, ...]]] = []
        self.sqls: list[tuple[str, int, int, tuple[str, ...]]] = []
        self._text = b""
        self._base = 0
        self._fixed: tuple[int, int] | None = None
        self.via: tuple[str, ...] = ()
        self.depth = 0
        self.trial = False

    def span(self, node: Node) -> tuple[int, int]:
        """A node's place in the original text, in characters."""
        if self._fixed is not None:
            return self._fixed
        start, end = node.start_byte, node.end_byte
        if self._ascii:
            base = self._base
            return base + start, base + end
        return self._base + len(self._text[:start].decode("utf-8", "replace")), self._base + len(
            self._text[:end].decode("utf-8", "replace")
        )

    def place(self, text: str, start: int, end: int) -> tuple[int, int]:
        """Where a text that flows in, such as a here-document, stands in the original; the span given unless it does once."""
        text = text.lstrip("\n")
        said = text.rstrip("\n")
        at = self.source.find(said) if len(said) >= _LEAST_PLACED else -1
        if at < 0 or self.source.find(said, at + 1) >= 0:
            return start, end
        return at, at + len(text if self.source.startswith(text, at) else said)

    def raw(self, node: Node) -> str:
        return self._text[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def event(self, name: str, start: int, end: int, detail: str = "") -> None:
        """Note something for the rules that subscribe to it; in a trial nothing is noted."""
        if not self.trial:
            self.events.append(Event(name, start, end, self.via, detail))

    def too_much(self, start: int, end: int) -> None:
        """Tell that something here was cut short: behind every limit stands this doubt, in a trial too."""
        self.events.append(Event("size", start, end, self.via))

    def run_text(self, text: str, start: int, end: int, feed: Flow | None = None) -> Flow:
        """Read text that would run as shell, at this place of the original."""
        if self.depth >= MOST_DEPTH:
            self.event("depth", start, end)
            return SOMETHING
        data = text.encode("utf-8", "replace")
        self.bytes -= len(data)
        if self.bytes < 0 or len(data) > MOST_SHELL:
            self.too_much(start, end)
            return SOMETHING
        at = self.source.find(text, start, end) if text else -1
        base, fixed = (max(at, 0), None) if at >= 0 else (0, (start, end))
        commands = self.told_plainly(text, base, fixed)
        tree = self._tree(data) if commands is None else None
        if tree is None and commands is None:
            self.too_much(start, end)
            return SOMETHING
        saved = (self._text, self._base, self._fixed, self._ascii if self.depth else True)
        self._text, self._ascii = data, len(data) == len(text)
        self._base, self._fixed = base, fixed
        self.depth += 1
        try:
            if commands is not None:
                return self.run_plain(commands, feed)
            root: Node = tree.root_node  # type: ignore[union-attr]  # one of the two is there
            if root.has_error:
                self._broken(root)
            return self.run(root, feed)
        finally:
            self.depth -= 1
            self._text, self._base, self._fixed, self._ascii = saved

    _ascii: bool = True

    def _tree(self, data: bytes) -> Any:
        """The syntax tree of a text, or None when reading it needs more work than is allowed. What it takes is told afterwards."""
        self.take(PARSE_COST + len(data) // WHOLE if self.depth else 0)
        tree = _parse(data)
        if not self.depth:
            self.nodes -= len(data) // WHOLE
        if tree is None:
            self.nodes -= BROKEN_COST + len(data) // BROKEN
        elif tree.root_node.has_error:
            self.nodes -= BROKEN_COST + FAULT_COST * _faults(tree.root_node)
        return tree

    def take(self, nodes: int) -> None:
        """Take so much work; Spent when it is not left."""
        self.nodes -= nodes
        if self.nodes < 0:
            raise Spent

    def _broken(self, root: Node) -> None:
        waiting = [root]
        looked = 0
        unclosed: bool | None = None
        while waiting and looked < MOST_NODES:
            node = waiting.pop()
            looked += 1
            if node.is_error or node.is_missing:
                unclosed = self._unclosed() if unclosed is None else unclosed
                if unclosed:
                    return
                if node.type == "ERROR" and self.raw(node).strip() in ("<>", ";", "&", ")", "$"):
                    continue
                self.event("syntax", *self.span(node))
                return
            if node.has_error:
                waiting.extend(node.children)

    def _unclosed(self) -> bool:
        """One plain line with a quote left open: a shell refuses to run any of it."""
        text = self._text.decode("utf-8", "replace").strip()
        if any(mark in text for mark in ("\n", "\\\\", "$'", "<<", "#", "`", "$(")):
            return False
        return re.fullmatch(r"""(?:[^'"\\]|'[^']*'|"(?:[^"\\]|\\.)*")*(?:"(?:[^"\\]|\\.)*|'[^']*)""", text) is not None

    def unit(self, program: str, args: list[Word], start: int, end: int, feed: Flow | None) -> Unit:
        """Note a command that would run."""
        if len(self.units) >= MOST_UNITS:
            raise Spent
        letters = sum(len(word.text) for word in args)
        self.letters -= letters
        if self.letters < 0:
            raise Spent
        self.take(UNIT_COST + letters // UNIT_LETTERS)
        made = Unit(program, args, start, end, self.via, self.state.cwd, feed, self.trial)
        self.units.append(made)
        return made

    def spec(self, name: str) -> Any:
        return self.programs.get(name, UNSPECIFIED)

    # -- what heirs fill ---------------------------------------------------------------------------------------------

    def told_plainly(self, text: str, base: int, fixed: tuple[int, int] | None) -> list[Plain] | None:
        """The commands of a text that needs no grammar; see `plain`."""
        return plain.read(text, base, fixed)

    @abstractmethod
    def run_plain(self, commands: list[Plain], feed: Flow | None) -> Flow:
        """Read commands told apart already; what they would print."""

    @abstractmethod
    def run(self, node: Node, feed: Flow | None = None) -> Flow:
        """Read one node as a statement; what it would print."""

    @abstractmethod
    def _sequence(self, node: Node, feed: Flow | None, *, own: bool = False) -> Flow:
        """Read the statements of a node one after the other; what they would print."""

    @abstractmethod
    def command(self, args: list[Word], feed: Flow | None, start: int, end: int) -> Flow:
        """Read one command, its words resolved; what it would print."""

    @abstractmethod
    def effect(self, operator: str, targets: list[Word], gets: Flow | None = None) -> frozenset[str]:
        """Note that paths are read, written, deleted or sent; what flows out of them."""

    @abstractmethod
    def written(self, target: Word, flow: Flow) -> None:
        """Look at what a file was given."""

    @abstractmethod
    def assigned(self, word: Word) -> None:
        """Look at what a variable was given."""


_BEFORE_GROUP = re.compile(
    rb"(?<![^\s;&|(){}`])(?:(?:!|time(?:[ \t]+(?:-p|--))?|coproc(?:[ \t]+[A-Za-z_]\w*(?=[ \t]+[{(]))?)(?:[ \t]|\\\n)*){1,8}(?=[({])"
)
"""Words before a group or a subshell: the grammar takes the bracket behind them for an argument, or reads a function.

No more than eight, as each of a long row would be looked at once for every one before it.
"""
_IN_LIST = rb"[^\s{}$`();&|<>\\#]*+"
_BRACE_LIST = re.compile(
    rb"(?<![^\s;&|(`])\{(?=\S*?(?:,|\.\.))" + _IN_LIST + rb"(?:\{" + _IN_LIST + rb"\}" + _IN_LIST + rb")*+\}"
)
"""A brace list where a word begins: the grammar knows none for a command's name."""
_NO_BRACES = bytes.maketrans(b"{},", b"...")
"""What the parser sees of one; what the word becomes is read from the text itself."""
_WIDE_BLANK = re.compile(rb"\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|\xe2\x81\x9f|\xe3\x80\x80")
_NARROW = bytes(range(128)) + b"X" * 128
"""What the parser sees for letters beyond ASCII; the text itself is never changed."""


def _told_apart(match: re.Match[bytes]) -> bytes:
    """The same with blanks for the backslashes behind the line's end: what it means stays, and so does its length."""
    return match[1] + b" \n" * (len(match[2]) // 2) + (b" " if match[3] else b"")


def _deepest(data: bytes) -> int:
    """How many square brackets stand open at once, at most."""
    depth = deepest = 0
    for mark in _SQUARE.findall(data):
        depth = depth + 1 if mark == b"[" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest


def _faults(root: Node) -> int:
    """How many faults the grammar found, as far as is looked."""
    waiting, faults = [root], 0
    for _ in range(MOST_LOOKED):
        if not waiting:
            break
        node = waiting.pop()
        faults += node.is_error or node.is_missing
        if node.has_error:
            waiting.extend(node.children)
    return faults


def _slow(data: bytes) -> bool:
    """Whether the grammar would recover again and again from what takes it long each time."""
    if data.count(b"[") > MOST_SQUARE and _deepest(data) > MOST_SQUARE:
        return True
    for begun, word, head, end in ((b"case", b"esac", _CASE, _ESAC), (b"for", b"done", _FOR, _DONE)):
        if data.count(begun) - data.count(word) <= MOST_COMPOUND:
            continue
        if len(head.findall(data)) - len(end.findall(data)) > MOST_COMPOUND:
            return True
    return data.count(b"<<") > MOST_DOCUMENTS and len(_DOCUMENT.findall(data)) > MOST_DOCUMENTS


def _parse(data: bytes) -> Any:
    """The tree, or None when the parser needs more work than is allowed."""
    if data.count(b"(") + data.count(b"[[") + data.count(b"{") > MOST_OPENED:
        return None
    if data.count(b")") - data.count(b"(") > MOST_CLOSED:
        return None
    if len(data) > _SHORT and _slow(data):
        return None
    if len(data) > _SHORT and (_DANGLING.match(data.lstrip()) or len(_DANGLING.findall(data)) > MOST_DANGLING):
        return None
    if not data.isascii():
        # The grammar's scanner asks the C library for the class of a letter in a table of 256 places: any other letter
        # may end the process. It also splits words at blanks that no shell splits at; that is kept, as the stricter way.
        data = _WIDE_BLANK.sub(lambda match: b" " * len(match[0]), data).translate(_NARROW)
    if b"\n\\" in data:
        data = _SWALLOWED.sub(_told_apart, data)
    data = flat(data)
    if b"!" in data or b"time" in data or b"coproc" in data:
        data = _BEFORE_GROUP.sub(lambda match: b" " * len(match[0]), data)
    if b"{" in data and (b"," in data or b".." in data):
        data = _BRACE_LIST.sub(lambda match: match[0].translate(_NO_BRACES), data)
    if len(data) <= _TINY:
        return Parser(_LANGUAGE).parse(data)
    parser = Parser(_LANGUAGE)
    left, reads = [MOST_PROGRESS], [MOST_READS]

    def given(offset: int, _point: Any) -> bytes:
        reads[0] -= 1
        return data[offset : offset + 65536] if reads[0] >= 0 else b""

    def progress(*_: Any) -> bool:
        left[0] -= 1
        return left[0] < 0

    try:
        made = parser.parse(given, progress_callback=progress)
    except ValueError:
        parser.reset()
        return None
    return made if reads[0] >= 0 else None


def tree(data: bytes) -> Any:
    """The syntax tree of a shell text for readers that only compare, or None when reading it needs more work than is allowed."""
    return _parse(data)
