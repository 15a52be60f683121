"""Statements: lists, pipelines, branches, redirections and here-documents, read into commands without running them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tree_sitter import Node

from guardhouse.guardrails import documents, words
from guardhouse.guardrails.expanding import Redirection
from guardhouse.guardrails.naming import Binder
from guardhouse.guardrails.plain import Plain
from guardhouse.guardrails.units import ALONE, NOTHING, SILENT, SOMETHING, Flow, Spent
from guardhouse.guardrails.words import UNKNOWN, Word

_ENDLESS = re.compile(
    r"(?:while\s+(?:\S*/)?(?:true|:|\(\(\s*1\s*\)\)|\[+\s*1\s*\]+)|until\s+(?:\S*/)?(?:false|!\s*true)|for\s*\(\([^;]*;\s*;[^)]*\)\))\s*;?\s*do\b(?!.*\b(?:sleep|read)\b).*[^&>]&(?![&>\d])",
    re.S,
)
_WAITS = re.compile(r"\bwait\b")
_WORDS = frozenset(
    [
        "word",
        "string",
        "raw_string",
        "ansi_c_string",
        "concatenation",
        "number",
        "simple_expansion",
        "expansion",
        "command_substitution",
    ]
)
_NAMING = frozenset({"declaration_command", "unset_command", "test_command"})
_SUBSCRIPTS = re.compile(
    r"(?:-v|unset|declare|typeset|local|export|readonly|-[a-zA-Z]{1,9})\s+'\w{1,99}\[([^'\n]{0,999})\]"
    r"|'\w{1,99}\[([^'\n]{0,999})\]'\s+-(?:eq|ne|lt|le|gt|ge)\b"
)
"""Commands in the brackets of a quoted name, which the shell runs when it works the name out."""
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


_BACKTICKS = re.compile(r"(?<!\\)`((?:[^`\\]|\\.)*)`", re.S)


def _breeds(loop: str) -> bool:
    """Whether an endless loop starts processes and does not wait for the last of them."""
    return _ENDLESS.match(loop) is not None and not _WAITS.search(loop, loop.rindex("&"))


_RETURN = re.compile(r"return(?:[ \t]+\d{1,3})?")
_CHANGES_WORDS = frozenset({"alias", "enable", "eval", "shopt", "source", ".", "trap", "function"})
"""After these, `return` need not be the shell's own, or may be passed over."""


_OPENS = re.compile(r"exec\s+\{(\w+)\}")
_NAMED = 10
"""Bash numbers from here what `exec {name}> file` opens; which number it is says nothing, but that it is another."""


class Reader(Binder):
    """An abstract interpreter of one text. Its runner (see `running`) says what each command does."""

    separators: str | None = None
    """The `IFS` that the command at hand was given alone (`IFS=: read a b`)."""

    def run_plain(self, commands: list[Plain], feed: Flow | None) -> Flow:
        """Read commands told apart already, as `run` reads those of a tree; what they would print."""
        texts: list[str | None] = []
        kinds: frozenset[str] = NOTHING
        given, piped = feed, False
        for one in commands:
            self.take(1)
            keep = dict(self.state.variables) if piped or one.piped else None
            words = one.words
            start, end = self._fixed or (words[0].start, words[-1].end)
            flow = self.command(words, given, start, end)
            if one.into:
                flow = self._into(one.into, flow)
            if keep is not None:
                # Each part of a pipeline runs in a shell of its own.
                self.state.variables = keep
            given, piped = (flow, True) if one.piped else (feed, False)
            if not piped:
                texts.append(flow.text)
                kinds |= flow.kinds
        if len(texts) > 1:
            kinds -= ALONE
        if None in texts:
            return Flow(None, kinds)
        return Flow("".join(text or "" for text in texts), kinds)

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
        if kind in _NAMING and b"[" in self._text[node.start_byte + 2 : node.end_byte]:
            for match in _SUBSCRIPTS.finditer(self.raw(node)):
                within = match[1] or match[2] or ""
                if "$(" in within or "`" in within:
                    self.run_text(f"echo {within}", *self.span(node))
        if kind in ("declaration_command", "unset_command"):
            return self._declare(node)
        if kind in ("while_statement", "c_style_for_statement") and _breeds(self.raw(node)):
            self.event("bomb", *self.span(node))
        if kind == "c_style_for_statement" or self._text[node.start_byte : node.start_byte + 2] == b"((":
            self.counted(self.raw(node))
        if kind == "for_statement":
            return self._for(node, feed)
        if kind in ("while_statement", "c_style_for_statement"):
            before = dict(self.state.variables)
            flow = self._sequence(node, feed)
            self.unsure(before)
            return flow
        if kind == "list" and ((parent := node.parent) is None or parent.type != "list"):
            before = dict(self.state.variables)
            flow = self._sequence(node, feed)
            self._after_list(node, before)
            return flow
        if kind in ("subshell", "compound_statement", "program", "list", "do_group"):
            return self._sequence(node, feed, own=kind == "subshell")
        if kind == "test_command" or kind not in _BODIES:
            self._substitutions(node)
            return SOMETHING if kind not in ("comment",) else SILENT
        return self._sequence(node, feed)

    def _sequence(self, node: Node, feed: Flow | None, *, own: bool = False) -> Flow:
        cwd = self.state.cwd
        before = dict(self.state.variables) if own else None
        texts: list[str | None] = []
        kinds: frozenset[str] = NOTHING
        # The grammar finds a node's parent from the root down: asked only where it may be that, not for each of a long list.
        body = (
            node.type not in ("list", "program", "ERROR")
            and node.parent is not None
            and node.parent.type == "function_definition"
        )
        for child in node.named_children:
            if child.type in ("word", "string", "raw_string", "variable_name", "heredoc_body", "comment"):
                if child.type == "string":
                    self._substitutions(child)
                continue
            behind = self._text[child.end_byte : child.end_byte + 3].lstrip(b" \t")
            apart = dict(self.state.variables) if behind[:1] == b"&" and behind[1:2] != b"&" else None
            flow = self.run(child, feed)
            if apart is not None:
                # `command &` runs in a shell of its own.
                self.state.variables = apart
            if child.type != "function_definition":
                texts.append(flow.text)
                kinds |= flow.kinds
            if body and behind[:1] != b"&" and self._returns(child):
                break
        if before is not None:
            # What a subshell binds ends with it.
            self.state.cwd = cwd
            self.state.variables = before
        if len(texts) > 1:
            kinds -= ALONE
        if any(text is None for text in texts):
            return Flow(None, kinds)
        return Flow("".join(text or "" for text in texts), kinds)

    def _returns(self, node: Node) -> bool:
        """Whether a statement of a function's body ends the function, so that nothing behind it runs.

        Only there: `return` elsewhere is an error that a shell goes on from, and an interactive shell with jobs, or a
        text typed line by line into another program, goes on from `exit`.
        """
        return (
            node.type == "command"
            and self._text[node.start_byte : node.start_byte + 6] == b"return"
            and _RETURN.fullmatch(self.raw(node)) is not None
            and "return" not in self.state.functions
            and "return" not in self.state.aliases
            and not any(unit.program in _CHANGES_WORDS for unit in self.units)
        )

    def _redirected(self, node: Node, feed: Flow | None) -> Flow:
        body = node.child_by_field_name("body")
        redirects = [child for child in node.named_children if child.type.endswith("_redirect")]
        return self._with_redirects(body, redirects, feed)

    def _with_redirects(self, body: Node | None, redirects: list[Node], feed: Flow | None) -> Flow:
        tails: list[Node] = []
        notes: list[Redirection] = []
        extra: list[Word] = []
        opens = None
        if body is not None and self._text[body.start_byte : body.start_byte + 4] == b"exec":
            opens = _OPENS.fullmatch(self.raw(body))
        if opens is not None:
            self.opens = str(_NAMED + len(self.state.opened) + len(self.state.files))
            self.state.variables[opens[1]] = (self.opens, NOTHING)
        for redirect in redirects:
            if redirect.type == "heredoc_redirect":
                feed = self._heredoc(redirect, tails, notes, extra)
            elif redirect.type == "herestring_redirect":
                made = self.word(redirect.named_children[-1]) if redirect.named_children else []
                text = " ".join(one.text for one in made)
                kinds = frozenset().union(*(one.kinds for one in made)) if made else NOTHING
                feed = Flow(None if UNKNOWN in text else text + "\n", kinds)
            elif redirect.type == "file_redirect":
                self._file_redirect(redirect, notes, extra)
        self.opens = ""
        for operator, target, _ in notes:
            if operator == "<read>":
                known = self.state.files.get(target.text)
                unnamed = {"unnamed"} if target.text == UNKNOWN else NOTHING
                feed = known if known is not None else Flow(None, target.kinds | {"file"} | unnamed)
        flow = SILENT
        if body is not None:
            flow = self._command(body, feed, extra) if body.type == "command" else self.run(body, feed)
        elif extra:
            flow = self.command(extra, feed, *self.span(redirects[0]))
        flow = self._into(notes, flow)
        for tail in tails:
            flow = self.run(tail, flow)
        return flow

    def _into(self, notes: Iterable[Redirection], flow: Flow) -> Flow:
        """Note where a command's output goes; what of it is left for the next one to read."""
        left = flow
        for operator, target, prints in notes:
            self.effect(operator, [target], flow)
            if operator in ("<write>", "<append>"):
                known = self.state.files.get(target.text)
                if operator == "<append>" and known is not None and known.text is not None and flow.text is not None:
                    self.state.files[target.text] = Flow(known.text + flow.text, known.kinds | flow.kinds)
                else:
                    self.state.files[target.text] = flow
                self.written(target, flow)
                if prints:
                    left = flow = SILENT
        return left

    def _heredoc(
        self, node: Node, tails: list[Node], notes: list[Redirection], extra: list[Word] | None = None
    ) -> Flow:
        quoted = False
        text: str | None = ""
        if not documents.well_read(node, self._text):
            self.event("syntax", *self.span(node))
        for child in node.named_children:
            if child.type == "heredoc_start":
                quoted = self.raw(child)[:1] in "'\"\\"
            elif child.type == "heredoc_body":
                text = self.raw(child)
                if not quoted:
                    self._substitutions(child)
                    for match in _BACKTICKS.finditer(text):
                        self.take(1)
                        self.run_text(match[1], *self.span(child))
                    text = words.unescape_quoted(self.quoted_text(child))
            elif child.type == "file_redirect":
                self._file_redirect(child, notes)
            elif child.type in _WORDS and extra is not None:
                extra.extend(self.word(child))
            elif child.type not in ("heredoc_end", "file_descriptor"):
                tails.append(child)
        return Flow(None if text is None or UNKNOWN in text else text, NOTHING)

    def _command(self, node: Node, feed: Flow | None, extra: list[Word] | None = None) -> Flow:
        args: list[Word] = []
        redirects: list[Node] = []
        assigned: list[str] = []
        saved: dict[str, tuple[str, frozenset[str]] | None] = {}
        group: list[Node] = []
        first, last, given = 0, -1, node.start_byte
        for child in node.named_children:
            kind = child.type
            if kind == "variable_assignment":
                name = child.child_by_field_name("name")
                if name is not None:
                    saved.setdefault(self.raw(name), self.state.variables.get(self.raw(name)))
                word = self._assign(child)
                if word is not None:
                    assigned.append(word.text)
                given = child.end_byte
            elif kind.endswith("_redirect"):
                redirects.append(child)
            elif kind != "comment":
                if saved and last < 0 and b"\n" in self._text[given : child.start_byte].replace(b"\\\n", b""):
                    saved = {}  # the grammar reads over the line's end: these stand by themselves
                node_of = child.named_children[0] if kind == "command_name" and child.named_children else child
                if (
                    child.start_byte == last
                    and self._text[last - 1 : last + 1].strip(b"`\\") != self._text[last - 1 : last + 1]
                ):
                    # The grammar parts words at a backtick or a backslash also where no blank parts them.
                    group.append(node_of)
                    args[first:] = self.glued(group)
                else:
                    group, first = [node_of], len(args)
                    args.extend(self.word(node_of))
                last = child.end_byte
        given_ifs = self.state.variables.get("IFS", (UNKNOWN, NOTHING))[0] if "IFS" in saved else None
        for called, old in saved.items():
            if args:
                if old is None:
                    self.state.variables.pop(called, None)
                else:
                    self.state.variables[called] = old
        start, end = self.span(node)
        if extra:
            args.extend(extra)
        if "IFS" in saved:
            self.separators = given_ifs
        try:
            if redirects:
                inner: list[Node] = redirects
                return self._redirect_words(args, inner, feed, start, end)
            return self.command(args, feed, start, end)
        finally:
            self.separators = None

    def _redirect_words(self, args: list[Word], redirects: list[Node], feed: Flow | None, start: int, end: int) -> Flow:
        notes: list[Redirection] = []
        tails: list[Node] = []
        for redirect in redirects:
            if redirect.type == "herestring_redirect":
                made = self.word(redirect.named_children[-1]) if redirect.named_children else []
                text = " ".join(one.text for one in made)
                kinds = frozenset().union(*(one.kinds for one in made)) if made else NOTHING
                feed = Flow(None if UNKNOWN in text else text + "\n", kinds)
            elif redirect.type == "heredoc_redirect":
                feed = self._heredoc(redirect, tails, notes, args)
            else:
                self._file_redirect(redirect, notes, args)
        flow = self.command(args, feed, start, end)
        for operator, target, _ in notes:
            self.effect(operator, [target], flow)
            if operator != "<read>":
                self.state.files[target.text] = flow
                self.written(target, flow)
        for tail in tails:
            flow = self.run(tail, flow)
        return flow
