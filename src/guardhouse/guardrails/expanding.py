"""Words: what quoting, variables, substitutions and braces become, as far as that is known without running."""

from __future__ import annotations

import re

from tree_sitter import Node

from guardhouse.guardrails import arithmetic, words
from guardhouse.guardrails.altering import altered
from guardhouse.guardrails.reading import Reading
from guardhouse.guardrails.units import NOTHING, SILENT, Flow, Spent
from guardhouse.guardrails.words import SPLIT, UNKNOWN, UNTOLD, Word

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
_ABSOLUTE = frozenset({"HOME", "PWD", "OLDPWD", "TMPDIR", "SHELL"})
_FIRST = re.compile(r":\s*0?\s*:\s*1\s*")
"""What leaves of a value its first letter."""
_DOLLAR, _BRACE = ord("$"), ord("{")
Redirection = tuple[str, Word, bool]
"""The effect of a redirection, its file, and whether what the command prints goes there (`2> file` takes only its complaints)."""
_IN_WORD = re.compile(r"\$(\w+)")
_EVERY = re.compile(r'"\$(?:\{(?:(\w+)\[@\]|@)(?::\s*(\d{1,4})(?::\s*(\d{1,4}))?)?\}|@)"')
_COUNTED = re.compile(
    r"(?<!\w)([A-Za-z_]\w*+)(?:\[[^\]]{0,200}+\])?+\s*+(?:\+\+|--|(?:[-+*/%&|^]|<<|>>)?=(?!=))|(?:\+\+|--)\s*([A-Za-z_]\w*)"
)
_COMMENTS = r"grep -[vE]+ (?:'\^ ?#'|\"\^#\"|'\^(?:\\s\*)?#')"
_LOADS = re.compile(
    rf"\$\((?:cat|{_COMMENTS}) (?:[\w.-]+/)*\.env(?:\.[\w-]+)?(?: ?\| ?{_COMMENTS})?(?: ?\| ?xargs(?: -0| -d '\\n')?)?\)"
)
"""`$(grep -v '^#' .env | xargs)` and its like."""


class Expander(Reading):
    """A reading that resolves words."""

    opens: str = ""
    """The number that `exec {name}>` opens just now."""

    def word(self, node: Node, *, assignment: bool = False) -> list[Word]:
        """The words that one node becomes."""
        start, end = self.span(node)
        kind = node.type
        if kind == "string" and not assignment and (listed := self._listed(self.raw(node))) is not None:
            return [Word(text, start, end, taint) for text, taint in listed]
        kinds: list[frozenset[str]] = []
        if kind == "word":
            raw = self.raw(node)
            if node.start_byte and self._text[node.start_byte - 1] == _DOLLAR:
                # The grammar leaves the dollar of a variable behind another one in the word before.
                text = _IN_WORD.sub(lambda m: self._in_word(m, kinds), f"${words.marked(raw)}")
                return [Word(one, start, end) for one in self._expanded(text, start, end)]
            if "`" in raw:
                return [self._ticked(raw, start, end)]
            if "{" not in raw and "\\" not in raw and "$" not in raw:
                return [Word(raw, start, end)]
        text = self._piece(node, kinds)
        joined = frozenset().union(*kinds) if kinds else NOTHING
        if assignment:
            return [Word(words.literal(text.replace(SPLIT, " ")), start, end, joined)]
        if not text and kind in ("simple_expansion", "expansion", "command_substitution"):
            return []  # nothing without quotes is no word
        return [Word(one, start, end, joined) for one in self._expanded(text, start, end)]

    def glued(self, nodes: list[Node]) -> list[Word]:
        """The words that several nodes become which no blank parts."""
        kinds: list[frozenset[str]] = []
        text = "".join(self._piece(node, kinds) for node in nodes)
        joined = frozenset().union(*kinds) if kinds else NOTHING
        start, end = self.span(nodes[0])[0], self.span(nodes[-1])[1]
        return [Word(one, start, end, joined) for one in self._expanded(text, start, end)]

    def _expanded(self, text: str, start: int, end: int) -> list[str]:
        made = words.expand(text)
        if len(made) > 1:
            self.take(len(made))
            if made[-1] == UNTOLD:
                self.too_much(start, end)
        return made

    def _split(self, value: str) -> str:
        """A value where it stands without quotes."""
        given = self.state.variables.get("IFS")
        return words.unquoted(value, given[0] if given is not None else None)

    def _split_all(self, name: str, value: str) -> str:
        """The same of `$name`; the elements of `$@`, `$*` and arrays stay apart whatever parts the words of one."""
        return self._split(words.unquoted(value) if name.endswith(("@", "*", "@]", "*]")) else value)

    def _ticked(self, raw: str, start: int, end: int) -> Word:
        """A backtick in a plain word: the grammar does not tell neighbouring or nested substitutions apart."""
        if "`" in raw.replace("\\`", ""):
            self.event("syntax", start, end)
        return Word(UNKNOWN, start, end, frozenset({"substituted"}))

    def _listed(self, raw: str) -> list[tuple[str, frozenset[str]]] | None:
        """The words of `"${name[@]}"` and `"$@"`, which stay apart inside quotes."""
        match = _EVERY.fullmatch(raw) if raw.startswith('"$') else None
        if match is None:
            return None
        made = self.elements(match[1] or "")
        if match[2] and made:
            # `${a[@]:0}` begins with the first element, `${@:1}` with the first parameter.
            first = int(match[2]) - (0 if match[1] else 1)
            made = made[max(first, 0) :][: int(match[3]) if match[3] else None]
            return made or [("", NOTHING)]
        return made or None

    def elements(self, name: str) -> list[tuple[str, frozenset[str]]]:
        """The elements of an array as far as they follow each other; without a name the positional parameters."""
        made: list[tuple[str, frozenset[str]]] = []
        variables = self.state.variables
        while (found := variables.get(f"{name}[{len(made)}]" if name else str(len(made) + 1))) is not None:
            made.append(found)
        self.take(len(made))
        return made

    def positionals(self, given: list[Word], first: int = 1) -> None:
        """Set `$1` (or, from 0, `$0`) and all behind it, and `$@` with `$*`; those of before are gone."""
        self.take(len(given))
        variables = {name: value for name, value in self.state.variables.items() if not name.isdigit()}
        for number, word in enumerate(given, first):
            variables[str(number)] = (word.text, word.kinds)
        joined = " ".join(word.text for word in given[1 - first :])
        variables["@"] = variables["*"] = (joined, NOTHING)
        self.state.variables = variables

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
            raw = self.raw(node)
            if "`" in raw:
                self._ticked(raw, *self.span(node))
                kinds.append(frozenset({"substituted"}))
                return UNKNOWN
            if "$" in raw and len(raw) > 1:
                # The grammar leaves a variable in a word's middle unread behind another one.
                return _IN_WORD.sub(lambda m: self._in_word(m, kinds), words.marked(raw))
            return words.marked(raw)
        if kind == "raw_string":
            return self.raw(node)[1:-1]
        if kind == "ansi_c_string":
            return words.ansi(self.raw(node)[2:-1])
        if kind in ("string", "translated_string"):
            return self._quoted(node, kinds)
        if kind == "concatenation":
            return self._joined(node, kinds)
        if kind == "simple_expansion":
            return self._split_all(self.raw(node), self._variable(node, kinds))
        if kind == "expansion":
            return self._split_all(self.raw(node).strip("${}"), self._expansion(node, kinds))
        if kind == "command_substitution":
            return self._split(self._substitution(node, kinds).rstrip("\n"))
        if kind == "process_substitution":
            return self._process(node, kinds)
        if kind == "brace_expression":
            return self.raw(node).replace("{", words.OPEN).replace("}", words.CLOSE)
        if kind == "arithmetic_expansion":
            self._substitutions(node)
            raw = self.raw(node).lstrip()
            inner = raw[3:-2] if raw.startswith("$((") else raw[2:-1]
            known = arithmetic.evaluated(inner, lambda name: self._lookup(name, kinds))
            self.counted(inner)
            return UNKNOWN if known is None else known
        if node.named_child_count:
            return self._joined(node, kinds)
        return words.marked(self.raw(node))

    def counted(self, text: str) -> None:
        """What an arithmetic text assigns to is not known from here on."""
        for match in _COUNTED.finditer(text):
            self.state.variables[match[1] or match[2]] = (UNKNOWN, NOTHING)

    def _joined(self, node: Node, kinds: list[frozenset[str]]) -> str:
        parts: list[str] = []
        for child in node.children:
            if (
                child.prev_sibling is not None
                and child.prev_sibling.type == "simple_expansion"
                and self._text[child.start_byte] == _BRACE
            ):
                # Braces are expanded before variables: `$a{b,c}` is `$ab $ac`.
                parts[-1] = UNKNOWN
            if child.is_named:
                parts.append(self._piece(child, kinds))
            elif "`" in child.type:
                parts.append(self._ticked(self.raw(child), *self.span(child)).text)
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
            if kind != "string_content":
                # The grammar counts blanks before a variable to it, and those before the closing quote to that.
                said = self.raw(child)
                parts.append(said[: len(said) - len(said.lstrip())])
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
            return self._together(name[:-3]) if name[-1:] == "*" and "IFS" in self.state.variables else found[0]
        return _KNOWN.get(name)

    def _together(self, name: str) -> str:
        """The elements of an array, or the positional parameters, as `"$*"` joins them."""
        separators = self.state.variables["IFS"][0]
        return UNKNOWN if UNKNOWN in separators else separators[:1].join(one for one, _ in self.elements(name))

    def _variable(self, node: Node, kinds: list[frozenset[str]]) -> str:
        name = self.raw(node).lstrip().removeprefix("$")
        found = self._lookup(name, kinds)
        if found is None:
            if _SECRET_NAME(name):
                kinds.append(frozenset({"secretvar"}))
            elif name in ("$", "BASHPID", "!"):
                kinds.append(frozenset({"own"}))
            return UNKNOWN
        return found

    def _in_word(self, match: re.Match[str], kinds: list[frozenset[str]]) -> str:
        found = self._lookup(match[1], kinds)
        return UNKNOWN if found is None else self._split_all(match[1], found)

    def _expansion(self, node: Node, kinds: list[frozenset[str]]) -> str:
        raw = self.raw(node).lstrip()
        inner = raw[2:-1]
        named = list(node.named_children)
        if not named:
            return UNKNOWN
        if named[0].type == "subscript":
            self._substitutions(named[0])
            base = self.raw(named[0])
            name, _, index = base.partition("[")
            index = index.rstrip("]")
            found = self._lookup(f"{name}[@]" if index in ("@", "*") else f"{name}[{index}]", kinds)
            if found is None and index in ("@", "*"):
                found = self._lookup(name, kinds)
            if found is None and index == "0":
                found = self._lookup(name, kinds)
            if inner.startswith(base + ":") and index in ("@", "*") and inner[len(base) + 1 :].isdigit():
                listed = self.elements(name if name not in ("@", "*") else "")
                kinds.extend(kind for _, kind in listed if kind)
                return " ".join(one for one, _ in listed[int(inner[len(base) + 1 :][:4]) :]) or UNKNOWN
            return UNKNOWN if found is None or inner != base else found
        if named[0].type not in ("variable_name", "special_variable_name"):
            self._substitutions(node)
            return UNKNOWN
        name = self.raw(named[0])
        found = self._lookup(name, kinds)
        if found is None and _SECRET_NAME(name):
            kinds.append(frozenset({"secretvar"}))
        if inner == f"#{name}":
            known = found is not None and UNKNOWN not in found and name in self.state.variables
            return str(len(found or "")) if known else UNKNOWN
        rest = inner.removeprefix("!").removeprefix(name)
        if inner.startswith("!"):
            target = self._lookup(found, kinds) if found and UNKNOWN not in found else None
            return UNKNOWN if target is None else target
        if not rest:
            return UNKNOWN if found is None else found
        default = "".join(self._piece(child, kinds) for child in named[1:]) if len(named) > 1 else rest.lstrip(":-=+?")
        if rest.startswith((":-", ":=", "-", "=")):
            missing = found is None or (not found and rest.startswith(":"))
            return default.replace(SPLIT, " ") if missing else found or ""
        if rest.startswith((":?", "?")):
            return UNKNOWN if found is None else found
        if rest.startswith((":+", "+")):
            return "" if found is None or (not found and rest.startswith(":")) else default
        if found is not None and name not in self.state.variables:
            return self._guessed(name, found, rest)
        made = altered(found, rest) if found is not None and UNKNOWN not in found else None
        return UNKNOWN if made is None else made

    @staticmethod
    def _guessed(name: str, found: str, rest: str) -> str:
        """A value that we guess, cut or altered: known only where that leaves it whole, or the slash of a whole path."""
        if name in _ABSOLUTE and _FIRST.fullmatch(rest):
            return "/"
        return found if altered(found, rest) == found else UNKNOWN

    def _substitution(self, node: Node, kinds: list[frozenset[str]]) -> str:
        if node.parent is not None and self._loads(node, node.parent):
            kinds.append(frozenset({"substituted"}))
            return UNKNOWN
        flow = SILENT
        redirected = [child for child in node.named_children if child.type == "file_redirect"]
        if redirected:
            notes: list[Redirection] = []
            self._file_redirect(redirected[0], notes)
            for operator, target, _ in notes:
                kinds.append(self.effect(operator, [target]))
            return UNKNOWN
        flow = self._sequence(node, None, own=True)
        if flow.kinds:
            kinds.append(flow.kinds)
        if flow.text is None or UNKNOWN in flow.text or len(flow.text) > words.MOST_TEXT:
            if not flow.kinds & {"file"}:
                kinds.append(frozenset({"substituted"}))
            return UNKNOWN
        return words.clean(flow.text)

    def _loads(self, node: Node, around: Node) -> bool:
        """Whether a substitution only makes variables of a project's own `.env`, as `source .env` does."""
        return (
            around.type in ("declaration_command", "command")
            and self._text[around.start_byte : node.start_byte].strip() in (b"export", b"env")
            and _LOADS.fullmatch(self.raw(node)) is not None
        )

    def _process(self, node: Node, kinds: list[frozenset[str]]) -> str:
        writes = self.raw(node).startswith(">")
        if writes:
            # What is written into it is not known here; a shell behind it runs that.
            kinds.append(frozenset({"process"}))
            self._sequence(node, Flow(None, frozenset({"process", "bulk"})), own=True)
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
            self.take(1)
            if one.type in ("command_substitution", "process_substitution"):
                self._substitution(one, [])
            else:
                waiting.extend(one.named_children)

    def _file_redirect(self, node: Node, notes: list[Redirection], extra: list[Word] | None = None) -> None:
        operator = ""
        descriptor = node.child_by_field_name("descriptor")
        if extra is not None:
            # The grammar counts words behind a redirection to it; they are the command's.
            for child in node.children_by_field_name("destination")[1:]:
                extra.extend(self.word(child))
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
        number = self.opens if descriptor is None else self.raw(descriptor)
        prints = descriptor is None or number == "1"
        if operator in (">&", "<&", ">&-", "<&-") and (word.text.isdigit() or word.text == "-"):
            self._descriptor(operator, word, notes, prints=prints)
            return
        if number and number not in ("1", "2"):
            self._opened(number, operator, word)
        if operator.startswith("<") and operator != "<>":
            notes.append(("<read>", word, False))
        else:
            notes.append(("<append>" if operator.endswith(">>") else "<write>", word, prints))

    def _opened(self, number: str, operator: str, word: Word) -> None:
        """Remember what stands behind this number from now on."""
        if operator.startswith("<") and operator != "<>":
            known = self.state.files.get(word.text)
            self.state.files[f"/dev/fd/{number}"] = known or Flow(None, word.kinds | {"file"})
        else:
            self.state.opened[number] = word

    def _descriptor(self, operator: str, word: Word, notes: list[Redirection], *, prints: bool) -> None:
        """`<&4` and `>&4`: what was opened under that number is read or written."""
        name = f"/dev/fd/{word.text}"
        if operator == "<&" and name in self.state.files:
            notes.append(("<read>", Word(name, word.start, word.end, word.kinds), False))
        elif operator == ">&" and word.text in self.state.opened:
            target = self.state.opened[word.text]
            notes.append(("<append>", Word(target.text, word.start, word.end, target.kinds), prints))


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
            "SYSTEM_PROMPT",
        )
    )
