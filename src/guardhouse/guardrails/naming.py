"""Names that a text binds for its own later commands: variables, functions, loop variables, declarations."""

from __future__ import annotations

from tree_sitter import Node

from guardhouse.guardrails import words
from guardhouse.guardrails.expanding import Expander
from guardhouse.guardrails.units import MOST_DEPTH, NOTHING, SILENT, SOMETHING, Flow
from guardhouse.guardrails.words import UNKNOWN, Word


class Binder(Expander):
    """An expander that knows how names come to their values."""

    def _define(self, node: Node) -> Flow:
        name = node.child_by_field_name("name")
        body = node.child_by_field_name("body")
        if name is not None and body is not None:
            called = self.raw(name)
            self.state.functions[called] = (body, (self._text, self._base, self._fixed, self._ascii))
            for one in self._commands_in(body):
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
        known = self.state.functions.get(name)
        if known is None or name in self.state.called or self.depth > MOST_DEPTH:
            return None
        body, place = known
        keep, outer = dict(self.state.variables), self.state.locals
        self.state.locals = {}
        self.positionals(args)
        self.state.called.add(name)
        here = (self._text, self._base, self._fixed, self._ascii)
        self._text, self._base, self._fixed, self._ascii = place
        try:
            return self.run(body, feed)
        finally:
            self._text, self._base, self._fixed, self._ascii = here
            self.state.called.discard(name)
            # What a function binds stays, but its arguments and its own names.
            given = {one: keep.get(one) for one in (*keep, *self.state.variables) if one.isdigit() or one in ("@", "*")}
            for own, old in (given | self.state.locals).items():
                if old is not None:
                    self.state.variables[own] = old
                else:
                    self.state.variables.pop(own, None)
            self.state.locals = outer

    def _for(self, node: Node, feed: Flow | None) -> Flow:
        name = node.child_by_field_name("variable")
        body = node.child_by_field_name("body")
        listed: list[Word] = []
        for child in node.children_by_field_name("value"):
            listed.extend(self.word(child))
        if name is None or body is None:
            return SOMETHING
        called = self.raw(name)
        before = dict(self.state.variables)
        for word in listed or [Word(UNKNOWN)]:
            self.state.variables[called] = (word.text, word.kinds)
            self.run(body, feed)
        if not listed:
            self.unsure(before)
        return SOMETHING

    def unsure(self, before: dict[str, tuple[str, frozenset[str]]]) -> None:
        """What was read since then may have run another number of times: a name that it changed may have either value."""
        for name, (text, kinds) in list(self.state.variables.items()):
            old = before.get(name)
            if old is not None and old[0] != text:
                self.state.variables[name] = (UNKNOWN, kinds)

    def _assign(self, node: Node) -> Word | None:
        name = node.child_by_field_name("name")
        value = node.child_by_field_name("value")
        if name is None:
            return None
        called = self.raw(name)
        if name.type == "subscript":
            self._substitutions(name)
        if value is None:
            made = Word("")
        elif value.type == "array":
            return self._array(node, name, called, value)
        else:
            pieces = self.word(value, assignment=True)
            made = pieces[0] if pieces else Word("")
        old = self.state.variables.get(called)
        text = made.text
        if b"+=" in self._text[node.start_byte : name.end_byte + 3] and old is not None:
            text = old[0] + text
        if self.depth and self._in_branch(node) and old is not None and old[0] != text:
            text = UNKNOWN  # which of the two it is, only running tells
        if len(text) > words.MOST_TEXT:
            text = UNKNOWN
        self.state.variables[called] = (text, made.kinds)
        if name.type == "subscript":
            # An element is another now, so that the whole of the array is no longer what it was.
            self.state.variables[f"{called.partition('[')[0]}[@]"] = (UNKNOWN, made.kinds)
        word = Word(f"{called}={text}", *self.span(node), made.kinds)
        self.effect("<assign>", [word])
        return word

    def _array(self, node: Node, name: Node, called: str, value: Node) -> Word:
        parts: list[Word] = []
        if b"+=" in self._text[name.end_byte : name.end_byte + 2]:
            parts.extend(Word(text, kinds=kinds) for text, kinds in self.elements(called))
        for child in value.named_children:
            parts.extend(self.word(child))
        kinds = frozenset().union(*(part.kinds for part in parts)) if parts else NOTHING
        self.filled(called, parts)
        joined = self.state.variables[f"{called}[@]"][0]
        # Without an index it is the first that is meant.
        self.state.variables[called] = (parts[0].text if parts else "", kinds)
        word = Word(f"{called}={joined}", *self.span(node), kinds)
        self.effect("<assign>", [word])
        return word

    def filled(self, called: str, parts: list[Word]) -> None:
        """An array holds these now, and nothing of before."""
        self.take(len(parts))
        variables = self.state.variables
        number = len(parts)
        while variables.pop(f"{called}[{number}]", None) is not None:
            number += 1
        for number, part in enumerate(parts):
            variables[f"{called}[{number}]"] = (part.text, part.kinds)
        joined = " ".join(part.text for part in parts)
        kinds = frozenset().union(*(part.kinds for part in parts)) if parts else NOTHING
        variables[f"{called}[@]"] = (joined if len(joined) <= words.MOST_TEXT else UNKNOWN, kinds)

    @staticmethod
    def _in_branch(node: Node) -> bool:
        parent = node.parent
        return parent is not None and parent.type in ("if_statement", "else_clause", "elif_clause", "case_item")

    def _after_list(self, node: Node, before: dict[str, tuple[str, frozenset[str]]]) -> None:
        """Behind `a && V=b || V=c` a name may have its old value or its new one, unless what gives it surely ran."""
        first = node
        while first.type == "list" and first.named_children:
            first = first.named_children[0]
        sure: set[str] = set()
        while first.type in ("variable_assignment", "variable_assignments", "declaration_command"):
            sure.update(self.raw(one).partition("=")[0].rstrip("+") for one in (first, *first.named_children))
            mark, follows = first.next_sibling, first.next_named_sibling
            if mark is None and first.parent is not None and first.parent != node:
                mark, follows = first.parent.next_sibling, first.parent.next_named_sibling
            if mark is None or follows is None or mark.type != "&&":
                break
            first = follows
        given = {
            self.raw(one).partition("=")[0].rstrip("+") for one in _elements(node) if one.type == "variable_assignment"
        }
        for name, (text, kinds) in list(self.state.variables.items()):
            old = before.get(name)
            if old is not None and name not in sure and (old[0] != text or name in given):
                self.state.variables[name] = (UNKNOWN, kinds)

    def _declare(self, node: Node) -> Flow:
        made: list[Word] = []
        program = self.raw(node).split(None, 1)[0]
        inside = program in ("local", "declare", "typeset") and bool(self.state.called)
        for child in node.named_children:
            if inside and child.type in ("variable_assignment", "variable_name", "word"):
                named = self.raw(child).partition("=")[0].rstrip("+")
                self.state.locals.setdefault(named, self.state.variables.get(named))
            if child.type == "variable_assignment":
                word = self._assign(child)
                if word is not None:
                    made.append(word)
            else:
                made.extend(self.word(child))
        if program == "unset" and not any(word.text == "-f" for word in made):
            for word in made:
                for one in [name for name in self.state.variables if name.partition("[")[0] == word.text]:
                    del self.state.variables[one]
        if any(word.text.startswith("-") and not {*"nilu"}.isdisjoint(word.text) for word in made):
            for word in made:
                self.state.variables[word.text.partition("=")[0]] = (UNKNOWN, NOTHING)
        start, end = self.span(node)
        self.unit(program, made, start, end, None)
        bare = program in ("export", "declare", "typeset") and all(word.text.startswith("-") for word in made)
        return Flow(None, frozenset({"env"}) if bare else NOTHING)

    def _commands_in(self, node: Node) -> list[Node]:
        found, waiting = [], [node]
        while waiting:
            one = waiting.pop()
            if one.type == "command_name":
                found.append(one)
                self.take(1)
            else:
                waiting.extend(one.named_children)
        return found


def _elements(node: Node) -> list[Node]:
    """What a list of `&&` and `||` joins, in order."""
    if node.type != "list":
        return [node]
    return [one for child in node.named_children for one in _elements(child)]
