"""Read shell text into the commands it would run, without running it: an abstract interpretation bounded by work."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import Any

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

from guardhouse.guardrails import words
from guardhouse.guardrails.programs import UNSPECIFIED, Programs
from guardhouse.guardrails.words import SPLIT, UNKNOWN, Word

MOST_SHELL = 8 * 1024
MOST_NODES = 4000
MOST_UNITS = 400
MOST_DEPTH = 8
MOST_PROGRESS = 250
"""Parser progress callbacks for one text; ordinary text needs a handful."""
MOST_OPENED = 300
"""Opening brackets in one text: the grammar's recovery from unclosed ones is quadratic and barely calls back."""
_LANGUAGE = Language(tree_sitter_bash.language())
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Flow:
    """What comes out of a command: its text where that is known, and what kind of thing it carries."""

    text: str | None = None
    kinds: frozenset[str] = NOTHING


SILENT = Flow("")
SOMETHING = Flow(None)


@dataclass(slots=True)
class Unit:
    """One command that would run, or one effect of it (`<read>`, `<write>`, `<append>`, `<delete>`, `<send>`, `<assign>`)."""

    program: str
    args: list[Word]
    start: int
    end: int
    via: tuple[str, ...] = ()
    cwd: str = ""
    feed: Flow | None = None
    trial: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something seen that no argv shows; rules subscribe to it by name."""

    name: str
    start: int
    end: int
    via: tuple[str, ...] = ()
    detail: str = ""


class Spent(Exception):
    """The work allowed for one text is used up."""


@dataclass(slots=True)
class State:
    """What earlier commands of the same text left behind."""

    variables: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)
    functions: dict[str, Node] = field(default_factory=dict)
    called: set[str] = field(default_factory=set)
    aliases: dict[str, str] = field(default_factory=dict)
    files: dict[str, Flow] = field(default_factory=dict)
    cwd: str = ""


_KNOWN = {
    "HOME": "~",
    "PWD": ".",
    "OLDPWD": "..",
    "TMPDIR": "/tmp",  # noqa: S108  a word's value, no file is made
    "IFS": " ",
    "USER": "user",
    "SHELL": "/bin/sh",
    "LOGNAME": "user",
    "UID": "1000",
    "RANDOM": "1",
}
_ENDLESS = re.compile(
    r"(?:while\s+(?:\S*/)?(?:true|:|\(\(\s*1\s*\)\)|\[+\s*1\s*\]+)|until\s+(?:\S*/)?(?:false|!\s*true)|for\s*\(\([^;]*;\s*;[^)]*\)\))\s*;?\s*do\b(?!.*\b(?:sleep|read)\b).*[^&>]&(?![&>\d])",
    re.S,
)
_EVERY = re.compile(r'"\$(?:\{(\w+)\[@\]\}|@|\{@\})"')
_BODIES = frozenset(
    [
        "program",
        "list",
        "pipeline",
        "subshell",
        "compound_statement",
        "if_statement",
        "elif_clause",
        "else_clause",
        "while_statement",
        "for_statement",
        "c_style_for_statement",
        "do_group",
        "case_statement",
        "case_item",
        "negated_command",
        "ERROR",
        "redirected_statement",
    ]
)


class Reader:
    """Reads one text. Its runner (see `running`) says what each command does; commands and events gather in its lists."""

    def __init__(self, programs: Programs, source: str, cwd: str) -> None:
        self.programs = programs
        self.source = source
        self.units: list[Unit] = []
        self.events: list[Event] = []
        self.state = State(cwd=cwd)
        self.nodes = MOST_NODES
        self.bytes = 4 * MOST_SHELL
        self.codes: list[tuple[str, int, int, tuple[str, ...]]] = []
        self.sqls: list[tuple[str, int, int, tuple[str, ...]]] = []
        self._text = b""
        self._base = 0
        self._fixed: tuple[int, int] | None = None
        self.via: tuple[str, ...] = ()
        self.depth = 0
        self.trial = False

    # -- places ------------------------------------------------------------------------------------------------

    def span(self, node: Node) -> tuple[int, int]:
        """A node's place in the original text, in characters."""
        if self._fixed is not None:
            return self._fixed
        start, end = node.start_byte, node.end_byte
        if self._ascii:
            return self._base + start, self._base + end
        return self._base + len(self._text[:start].decode("utf-8", "replace")), self._base + len(
            self._text[:end].decode("utf-8", "replace")
        )

    def raw(self, node: Node) -> str:
        return self._text[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def event(self, name: str, start: int, end: int, detail: str = "") -> None:
        """Note something for the rules that subscribe to it; in a trial nothing is noted."""
        if not self.trial:
            self.events.append(Event(name, start, end, self.via, detail))

    # -- texts -------------------------------------------------------------------------------------------------

    def run_text(self, text: str, start: int, end: int, feed: Flow | None = None) -> Flow:
        """Read text that would run as shell, at this place of the original."""
        if self.depth >= MOST_DEPTH:
            self.event("depth", start, end)
            return SOMETHING
        data = text.encode("utf-8", "replace")
        self.bytes -= len(data)
        if self.bytes < 0 or len(data) > MOST_SHELL:
            self.event("size", start, end)
            return SOMETHING
        tree = _parse(data)
        if tree is None:
            self.event("size", start, end)
            return SOMETHING
        saved = (self._text, self._base, self._fixed, self._ascii if self.depth else True)
        self._text, self._ascii = data, len(data) == len(text)
        at = self.source.find(text, start, end) if text else -1
        self._base, self._fixed = (max(at, 0), None) if at >= 0 else (0, (start, end))
        self.depth += 1
        try:
            root = tree.root_node
            if root.has_error:
                self._broken(root)
            return self.run(root, feed)
        finally:
            self.depth -= 1
            self._text, self._base, self._fixed, self._ascii = saved

    _ascii: bool = True

    def _broken(self, root: Node) -> None:
        waiting = [root]
        looked = 0
        while waiting and looked < MOST_NODES:
            node = waiting.pop()
            looked += 1
            if node.is_error or node.is_missing:
                if self._unclosed():
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

    # -- statements --------------------------------------------------------------------------------------------

    def run(self, node: Node, feed: Flow | None = None) -> Flow:
        """Read one node as a statement; what it would print."""
        self.nodes -= 1
        if self.nodes < 0:
            raise Spent
        kind = node.type
        if kind == "command":
            return self._command(node, feed)
        if kind == "pipeline":
            flow = feed
            for child in node.named_children:
                if child.type == "comment":
                    continue
                keep = dict(self.state.variables)
                flow = self.run(child, flow)
                if child.type not in ("compound_statement", "while_statement"):
                    # Each part of a pipeline runs in a shell of its own.
                    self.state.variables = keep
            return flow or SOMETHING
        if kind == "redirected_statement":
            return self._redirected(node, feed)
        if kind == "function_definition":
            return self._define(node)
        if kind == "variable_assignment":
            self._assign(node)
            return SILENT
        if kind == "variable_assignments":
            for child in node.named_children:
                self._assign(child)
            return SILENT
        if kind in ("declaration_command", "unset_command"):
            return self._declare(node)
        if kind in ("while_statement", "c_style_for_statement") and _ENDLESS.match(self.raw(node)):
            self.event("bomb", *self.span(node))
        if kind == "for_statement":
            return self._for(node, feed)
        if kind in ("subshell", "compound_statement", "program", "list", "do_group"):
            return self._sequence(node, feed, own=kind == "subshell")
        if kind == "test_command" or kind not in _BODIES:
            self._substitutions(node)
            return SOMETHING if kind not in ("comment",) else SILENT
        return self._sequence(node, feed)

    def _sequence(self, node: Node, feed: Flow | None, *, own: bool = False) -> Flow:
        cwd = self.state.cwd
        texts: list[str | None] = []
        kinds: frozenset[str] = NOTHING
        for child in node.named_children:
            if child.type in ("word", "string", "raw_string", "variable_name", "heredoc_body", "comment"):
                if child.type == "string":
                    self._substitutions(child)
                continue
            flow = self.run(child, feed)
            if child.type != "function_definition":
                texts.append(flow.text)
                kinds |= flow.kinds
        if own:
            self.state.cwd = cwd
        if any(text is None for text in texts):
            return Flow(None, kinds)
        return Flow("".join(text or "" for text in texts), kinds)

    def _redirected(self, node: Node, feed: Flow | None) -> Flow:
        body = node.child_by_field_name("body")
        redirects = [child for child in node.named_children if child.type.endswith("_redirect")]
        return self._with_redirects(body, redirects, feed)

    def _with_redirects(self, body: Node | None, redirects: list[Node], feed: Flow | None) -> Flow:
        tails: list[Node] = []
        notes: list[tuple[str, Word]] = []
        for redirect in redirects:
            if redirect.type == "heredoc_redirect":
                feed = self._heredoc(redirect, tails, notes)
            elif redirect.type == "herestring_redirect":
                made = self.word(redirect.named_children[-1]) if redirect.named_children else []
                text = " ".join(one.text for one in made)
                kinds = frozenset().union(*(one.kinds for one in made)) if made else NOTHING
                feed = Flow(None if UNKNOWN in text else text + "\n", kinds)
            elif redirect.type == "file_redirect":
                self._file_redirect(redirect, notes)
        for operator, target in notes:
            if operator == "<read>":
                known = self.state.files.get(target.text)
                feed = known if known is not None else Flow(None, target.kinds | {"file"})
        flow = SILENT
        if body is not None:
            flow = self._command(body, feed) if body.type == "command" else self.run(body, feed)
        for operator, target in notes:
            self.effect(operator, [target])
            if operator in ("<write>", "<append>"):
                known = self.state.files.get(target.text)
                if operator == "<append>" and known is not None and known.text is not None and flow.text is not None:
                    self.state.files[target.text] = Flow(known.text + flow.text, known.kinds | flow.kinds)
                else:
                    self.state.files[target.text] = flow
                self.written(target, flow)
                flow = SILENT
        for tail in tails:
            flow = self.run(tail, flow)
        return flow

    def _heredoc(self, node: Node, tails: list[Node], notes: list[tuple[str, Word]]) -> Flow:
        quoted = False
        text: str | None = ""
        for child in node.named_children:
            if child.type == "heredoc_start":
                quoted = self.raw(child)[:1] in "'\"\\"
            elif child.type == "heredoc_body":
                text = self.raw(child)
                if not quoted:
                    self._substitutions(child)
                    text = words.unescape_quoted(self.quoted_text(child))
            elif child.type == "file_redirect":
                self._file_redirect(child, notes)
            elif child.type not in ("heredoc_end", "file_descriptor"):
                tails.append(child)
        return Flow(None if text is None or UNKNOWN in text else text, NOTHING)

    def _file_redirect(self, node: Node, notes: list[tuple[str, Word]]) -> None:
        operator = ""
        for child in node.children:
            if not child.is_named and child.type.lstrip("0123456789")[:1] in "<>&":
                operator = child.type
        target = node.child_by_field_name("destination")
        if target is None:
            return
        made = self.word(target)
        if not made:
            return
        word = made[0]
        if operator in (">&", "<&", ">&-", "<&-") and (word.text.isdigit() or word.text == "-"):
            return
        if operator.startswith("<") and operator != "<>":
            notes.append(("<read>", word))
        else:
            notes.append(("<append>" if operator.endswith(">>") else "<write>", word))

    def _define(self, node: Node) -> Flow:
        name = node.child_by_field_name("name")
        body = node.child_by_field_name("body")
        if name is not None and body is not None:
            called = self.raw(name)
            if len(self.state.functions) < 64:
                self.state.functions[called] = body
            for one in _commands_in(body):
                if self._text[one.start_byte : one.end_byte].decode("utf-8", "replace") == called:
                    parent = one.parent.parent if one.parent is not None else None
                    if parent is not None and parent.type in ("pipeline", "compound_statement", "list", "subshell"):
                        self.event("bomb", *self.span(node))
                    break
            keep = dict(self.state.variables)
            if called not in self.state.called:
                # A function may be called by what we do not see, so its body counts, with unknown arguments.
                self.state.called.add(called)
                self.run(body, None)
                self.state.called.discard(called)
            self.state.variables = keep
        return SILENT

    def call(self, name: str, args: list[Word], feed: Flow | None) -> Flow | None:
        """Run a function of this text with its arguments, or None when there is no such function."""
        body = self.state.functions.get(name)
        if body is None or name in self.state.called or self.depth > MOST_DEPTH:
            return None
        if not (0 <= body.start_byte <= body.end_byte <= len(self._text)) or self._fixed is not None:
            return None
        keep = self.state.variables
        self.state.variables = dict(keep)
        for number, word in enumerate(args[:9], 1):
            self.state.variables[str(number)] = (word.text, word.kinds)
        joined = " ".join(word.text for word in args)
        self.state.variables["@"] = self.state.variables["*"] = (joined, NOTHING)
        self.state.called.add(name)
        try:
            return self.run(body, feed)
        finally:
            self.state.called.discard(name)
            self.state.variables = keep

    def _for(self, node: Node, feed: Flow | None) -> Flow:
        name = node.child_by_field_name("variable")
        body = node.child_by_field_name("body")
        listed: list[Word] = []
        for child in node.children_by_field_name("value"):
            listed.extend(self.word(child))
        if name is None or body is None:
            return SOMETHING
        called = self.raw(name)
        for word in listed[:4] or [Word(UNKNOWN)]:
            self.state.variables[called] = (word.text, word.kinds)
            self.run(body, feed)
        return SOMETHING

    def _assign(self, node: Node) -> Word | None:
        name = node.child_by_field_name("name")
        value = node.child_by_field_name("value")
        if name is None:
            return None
        called = self.raw(name)
        if value is None:
            made = Word("")
        elif value.type == "array":
            parts: list[Word] = []
            for child in value.named_children:
                parts.extend(self.word(child))
            for number, part in enumerate(parts[:16]):
                self.state.variables[f"{called}[{number}]"] = (part.text, part.kinds)
            made = Word(
                " ".join(part.text for part in parts),
                kinds=frozenset().union(*(p.kinds for p in parts)) if parts else NOTHING,
            )
        else:
            pieces = self.word(value, assignment=True)
            made = pieces[0] if pieces else Word("")
        old = self.state.variables.get(called)
        text = made.text
        if b"+=" in self._text[node.start_byte : name.end_byte + 3] and old is not None:
            text = old[0] + text
        if self.depth and self._in_branch(node) and old is not None and old[0] != text:
            text = UNKNOWN if len(old[0]) > len(text) else text
        self.state.variables[called] = (text[: words.MOST_TEXT], made.kinds)
        word = Word(f"{called}={text}", *self.span(node), made.kinds)
        self.effect("<assign>", [word])
        return word

    @staticmethod
    def _in_branch(node: Node) -> bool:
        parent = node.parent
        return parent is not None and parent.type in ("if_statement", "else_clause", "elif_clause", "case_item", "list")

    def _declare(self, node: Node) -> Flow:
        made: list[Word] = []
        for child in node.named_children:
            if child.type == "variable_assignment":
                word = self._assign(child)
                if word is not None:
                    made.append(word)
            else:
                made.extend(self.word(child))
        program = self.raw(node).split(None, 1)[0]
        if any(word.text.startswith("-") and "n" in word.text for word in made):
            for word in made:
                self.state.variables[word.text.partition("=")[0]] = (UNKNOWN, NOTHING)
        start, end = self.span(node)
        self.unit(program, made, start, end, None)
        return Flow(None, frozenset({"env"}) if program in ("export", "declare") and not made else NOTHING)

    def _command(self, node: Node, feed: Flow | None) -> Flow:
        args: list[Word] = []
        redirects: list[Node] = []
        assigned: list[str] = []
        saved: dict[str, tuple[str, frozenset[str]] | None] = {}
        for child in node.named_children:
            kind = child.type
            if kind == "variable_assignment":
                name = child.child_by_field_name("name")
                if name is not None:
                    saved.setdefault(self.raw(name), self.state.variables.get(self.raw(name)))
                word = self._assign(child)
                if word is not None:
                    assigned.append(word.text)
            elif kind == "command_name":
                args.extend(
                    self.word(child.named_children[0])
                    if child.named_children
                    else [Word(self.raw(child), *self.span(child))]
                )
            elif kind.endswith("_redirect"):
                redirects.append(child)
            elif kind != "comment":
                args.extend(self.word(child))
        for called, old in saved.items():
            if args:
                if old is None:
                    self.state.variables.pop(called, None)
                else:
                    self.state.variables[called] = old
        start, end = self.span(node)
        if redirects:
            inner: list[Node] = redirects
            return self._redirect_words(args, inner, feed, start, end)
        return self.command(args, feed, start, end)

    def _redirect_words(self, args: list[Word], redirects: list[Node], feed: Flow | None, start: int, end: int) -> Flow:
        notes: list[tuple[str, Word]] = []
        tails: list[Node] = []
        for redirect in redirects:
            if redirect.type == "herestring_redirect":
                made = self.word(redirect.named_children[-1]) if redirect.named_children else []
                text = " ".join(one.text for one in made)
                kinds = frozenset().union(*(one.kinds for one in made)) if made else NOTHING
                feed = Flow(None if UNKNOWN in text else text + "\n", kinds)
            elif redirect.type == "heredoc_redirect":
                feed = self._heredoc(redirect, tails, notes)
            else:
                self._file_redirect(redirect, notes)
        flow = self.command(args, feed, start, end)
        for operator, target in notes:
            self.effect(operator, [target])
            if operator != "<read>":
                self.state.files[target.text] = flow
                self.written(target, flow)
        for tail in tails:
            flow = self.run(tail, flow)
        return flow

    # -- words -------------------------------------------------------------------------------------------------

    def word(self, node: Node, *, assignment: bool = False) -> list[Word]:
        """The words that one node becomes."""
        kinds: list[frozenset[str]] = []
        start, end = self.span(node)
        if node.type == "string" and not assignment and (listed := self._listed(self.raw(node))) is not None:
            return [Word(text, start, end, taint) for text, taint in listed]
        if node.type == "word":
            raw = self.raw(node)
            if "{" not in raw and "\\" not in raw:
                return [Word(raw, start, end)]
        text = self._piece(node, kinds)
        joined = frozenset().union(*kinds) if kinds else NOTHING
        if assignment:
            return [Word(text.replace(SPLIT, " "), start, end, joined)]
        return [Word(one, start, end, joined) for one in words.expand(text)]

    def _listed(self, raw: str) -> list[tuple[str, frozenset[str]]] | None:
        """The words of `"${name[@]}"` and `"$@"`, which stay apart inside quotes."""
        match = _EVERY.fullmatch(raw)
        if match is None:
            return None
        made = []
        for number in range(16):
            found = self.state.variables.get(f"{match[1]}[{number}]" if match[1] else str(number + 1))
            if found is None:
                break
            made.append(found)
        return made or None

    def _piece(self, node: Node, kinds: list[frozenset[str]]) -> str:
        self.nodes -= 1
        if self.nodes < 0:
            raise Spent
        kind = node.type
        if kind in (
            "word",
            "number",
            "extglob_pattern",
            "regex",
            "variable_name",
            "special_variable_name",
            "test_operator",
        ):
            if kind == "number" and node.named_child_count:
                return self._joined(node, kinds)
            return words.marked(self.raw(node))
        if kind == "raw_string":
            return self.raw(node)[1:-1]
        if kind == "ansi_c_string":
            return words.ansi(self.raw(node)[2:-1])
        if kind in ("string", "translated_string"):
            return self._quoted(node, kinds)
        if kind == "concatenation":
            return self._joined(node, kinds)
        if kind == "simple_expansion":
            return words.unquoted(self._variable(node, kinds))
        if kind == "expansion":
            return words.unquoted(self._expansion(node, kinds))
        if kind == "command_substitution":
            return words.unquoted(self._substitution(node, kinds).rstrip("\n"))
        if kind == "process_substitution":
            return self._process(node, kinds)
        if kind == "brace_expression":
            return self.raw(node).replace("{", words.OPEN).replace("}", words.CLOSE)
        if kind == "arithmetic_expansion":
            self._substitutions(node)
            return "1"
        if node.named_child_count:
            return self._joined(node, kinds)
        return words.marked(self.raw(node))

    def _joined(self, node: Node, kinds: list[frozenset[str]]) -> str:
        parts = []
        for child in node.children:
            if child.is_named:
                parts.append(self._piece(child, kinds))
            else:
                parts.append(words.marked(self.raw(child)) if child.type != "$" else "")
        return "".join(parts)

    def _quoted(self, node: Node, kinds: list[frozenset[str]]) -> str:
        parts: list[str] = []
        at = None
        for child in node.children:
            if at is not None and child.start_byte > at:
                parts.append(self._text[at : child.start_byte].decode("utf-8", "replace"))
            at = child.end_byte
            kind = child.type
            if kind == "string_content":
                parts.append(words.unescape_quoted(self.raw(child)))
            elif kind in ("simple_expansion", "expansion"):
                one = self._variable(child, kinds) if kind == "simple_expansion" else self._expansion(child, kinds)
                parts.append(one)
            elif kind == "command_substitution":
                parts.append(self._substitution(child, kinds).rstrip("\n"))
            elif kind == "string":
                parts.append(self._quoted(child, kinds))
            elif child.is_named:
                parts.append(self._piece(child, kinds))
        return "".join(parts)

    def quoted_text(self, node: Node) -> str:
        """A here-document's body with what is known filled in."""
        kinds: list[frozenset[str]] = []
        parts: list[str] = []
        at = node.start_byte
        for child in node.named_children:
            if child.type in ("simple_expansion", "expansion", "command_substitution"):
                parts.append(self._text[at : child.start_byte].decode("utf-8", "replace"))
                if child.type == "command_substitution":
                    parts.append(UNKNOWN)
                else:
                    parts.append(
                        self._variable(child, kinds)
                        if child.type == "simple_expansion"
                        else self._expansion(child, kinds)
                    )
                at = child.end_byte
        parts.append(self._text[at : node.end_byte].decode("utf-8", "replace"))
        return "".join(parts)

    def _lookup(self, name: str, kinds: list[frozenset[str]]) -> str | None:
        found = self.state.variables.get(name)
        if found is not None:
            if found[1]:
                kinds.append(found[1])
            return found[0]
        return _KNOWN.get(name)

    def _variable(self, node: Node, kinds: list[frozenset[str]]) -> str:
        name = self.raw(node).removeprefix("$")
        found = self._lookup(name, kinds)
        if found is None:
            if _SECRET_NAME(name):
                kinds.append(frozenset({"secretvar"}))
            return UNKNOWN
        return found

    def _expansion(self, node: Node, kinds: list[frozenset[str]]) -> str:
        raw = self.raw(node)
        inner = raw[2:-1]
        named = list(node.named_children)
        if not named:
            return UNKNOWN
        if named[0].type == "subscript":
            base = self.raw(named[0])
            name, _, index = base.partition("[")
            index = index.rstrip("]")
            found = self._lookup(name if index in ("@", "*") else f"{name}[{index}]", kinds)
            if found is None and index == "0":
                found = self._lookup(name, kinds)
            return UNKNOWN if found is None or inner != base else found
        if named[0].type not in ("variable_name", "special_variable_name"):
            self._substitutions(node)
            return UNKNOWN
        name = self.raw(named[0])
        found = self._lookup(name, kinds)
        if found is None and _SECRET_NAME(name):
            kinds.append(frozenset({"secretvar"}))
        rest = inner.removeprefix("!").removeprefix(name)
        if inner.startswith("!"):
            target = self._lookup(found, kinds) if found and UNKNOWN not in found else None
            return UNKNOWN if target is None else target
        if not rest:
            return UNKNOWN if found is None else found
        default = "".join(self._piece(child, kinds) for child in named[1:]) if len(named) > 1 else rest.lstrip(":-=+?")
        if rest.startswith((":-", ":=", "-", "=")):
            return default.replace(SPLIT, " ") if found in (None, "") else found or ""
        if rest.startswith((":?", "?")):
            return UNKNOWN if found is None else found
        if rest.startswith((":+", "+")):
            return "" if found is None else default
        if found is not None and rest.startswith(":"):
            numbers = rest[1:].split(":")
            if all(number.strip().isdigit() for number in numbers) and UNKNOWN not in found:
                first = int(numbers[0])
                return found[first : first + int(numbers[1])] if len(numbers) > 1 else found[first:]
        return UNKNOWN

    def _substitution(self, node: Node, kinds: list[frozenset[str]]) -> str:
        flow = SILENT
        redirected = [child for child in node.named_children if child.type == "file_redirect"]
        if redirected:
            notes: list[tuple[str, Word]] = []
            self._file_redirect(redirected[0], notes)
            for operator, target in notes:
                kinds.append(self.effect(operator, [target]))
            return UNKNOWN
        flow = self._sequence(node, None, own=True)
        if flow.kinds:
            kinds.append(flow.kinds)
        if flow.text is None or UNKNOWN in flow.text or len(flow.text) > words.MOST_TEXT:
            return UNKNOWN
        return words.clean(flow.text)

    def _process(self, node: Node, kinds: list[frozenset[str]]) -> str:
        writes = self.raw(node).startswith(">")
        if writes:
            # What is written into it is not known here; a shell behind it runs that.
            kinds.append(frozenset({"process"}))
            self._sequence(node, Flow(None, frozenset({"process"})), own=True)
            return f"/dev/fd/{node.start_byte % 1000 + 63}"
        flow = self._sequence(node, None, own=True)
        name = f"/dev/fd/{node.start_byte % 1000 + 63}"
        self.state.files[name] = flow
        kinds.append(flow.kinds)
        return name

    def _substitutions(self, node: Node) -> None:
        """Run the command substitutions inside a node that is itself only data."""
        waiting = [node]
        while waiting:
            one = waiting.pop()
            self.nodes -= 1
            if self.nodes < 0:
                raise Spent
            if one.type in ("command_substitution", "process_substitution"):
                self._substitution(one, [])
            else:
                waiting.extend(one.named_children)

    # -- to be filled by the runner --------------------------------------------------------------------------------

    def command(self, args: list[Word], feed: Flow | None, start: int, end: int) -> Flow:
        raise NotImplementedError

    def effect(self, operator: str, targets: list[Word]) -> frozenset[str]:
        raise NotImplementedError

    def written(self, target: Word, flow: Flow) -> None:
        """A file was written; nothing to do here."""

    def unit(self, program: str, args: list[Word], start: int, end: int, feed: Flow | None) -> Unit:
        """Note a command that would run."""
        if len(self.units) >= MOST_UNITS:
            raise Spent
        made = Unit(program, args, start, end, self.via, self.state.cwd, feed, self.trial)
        self.units.append(made)
        return made

    def spec(self, name: str) -> Any:
        return self.programs.get(name, UNSPECIFIED)


def _SECRET_NAME(name: str) -> bool:  # noqa: N802  reads as a predicate constant
    upper = name.upper()
    return upper.endswith(
        (
            "TOKEN",
            "SECRET",
            "PASSWORD",
            "PASSWD",
            "API_KEY",
            "APIKEY",
            "ACCESS_KEY",
            "PRIVATE_KEY",
            "SECRET_KEY",
            "CREDENTIALS",
            "_PAT",
        )
    )


def _commands_in(node: Node) -> list[Node]:
    found, waiting, looked = [], [node], 0
    while waiting and looked < 500:
        one = waiting.pop()
        looked += 1
        if one.type == "command_name":
            found.append(one)
        else:
            waiting.extend(one.named_children)
    return found


def base_name(text: str) -> str:
    """A program's name without its folder and without `.exe`."""
    return posixpath.basename(text).removesuffix(".exe") if "/" in text or "." in text else text


def _parse(data: bytes) -> Any:
    """The tree, or None when the parser needs more work than is allowed."""
    if data.count(b"(") + data.count(b"[[") + data.count(b"{") > MOST_OPENED:
        return None
    parser = Parser(_LANGUAGE)
    left = [MOST_PROGRESS]

    def progress(*_: Any) -> bool:
        left[0] -= 1
        return left[0] < 0

    try:
        return parser.parse(lambda offset, _point: data[offset : offset + 65536], progress_callback=progress)
    except ValueError:
        parser.reset()
        return None
