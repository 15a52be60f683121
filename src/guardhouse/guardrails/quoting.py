"""The other quotes of Perl, Ruby and PHP, written as ordinary ones, so that one set of patterns reads what stands in them.

Perl's `q qq qw qx` with every delimiter, Ruby's `%q %Q %w %W %i %x %()`, and the here-documents of all three.
It is a likeness, read beside the code as it was written: what it takes for a quote too much is judged once more than needed.
"""

from __future__ import annotations

import re

MOST_STEPS, QUOTE_COST = 8_000, 20
"""Delimiters looked at in one piece of code, a quote counted as twenty; beyond them the caller is told that there is more."""
_PAIRS = {"(": ")", "[": "]", "{": "}", "<": ">"}
_TEXT = r"(?P<text>(?<![$\\\w])(?:'(?:\\.|[^\\'])*'|\"(?:\\.|[^\\\"])*\"|`(?:\\.|[^\\`])*`)|(?:^|(?<=[\s;]))\#[^\n]*)"
_QUOTED = {
    "perl": r"(?<![\w$@%&])(?<!->)(?<!::)(?<!sub\ )q(?P<kind>[qwx]?)(?!\s*=>)(?:\s*(?P<open>[^\w\s\#])|(?P<hash>\#)|\s+(?P<word>\w))",
    "ruby": r"(?<![\w%])(?:%(?P<kind>[qQwWiIx])(?P<open>[^\w\s])|(?:^|(?<=[(,=;\[|{&])|(?<=[\w,=(]\ ))%(?P<bare>[(\[{<|!/^]))",
}
_HERE = {
    "perl": r"<<~?(?P<h>['\"]?)(?P<end>[A-Za-z_]\w*)(?P=h)",
    "ruby": r"<<[~-]?(?P<h>['\"`]?)(?P<end>[A-Za-z_]\w*)(?P=h)",
    "php": r"<<<[ \t]*(?P<h>['\"]?)(?P<end>[A-Za-z_]\w*)(?P=h)(?=\r?\n)",
}
_OPENED = {
    lang: re.compile("|".join(filter(None, (_QUOTED.get(lang), here))), re.S | re.X | re.M)
    for lang, here in _HERE.items()
}
LANGUAGES = frozenset(_OPENED)
_OUTER = {lang: re.compile(f"{_TEXT}|{found.pattern}", re.S | re.X | re.M) for lang, found in _OPENED.items()}


def readings(code: str, lang: str) -> tuple[list[str], bool]:
    """The code with its other quotes as ordinary ones, read from outside and from inside (none where it has none); whether whole."""
    if lang not in _OPENED or _OPENED[lang].search(code) is None:
        return [], True
    outer, inner = _Reader(code, lang), _Reader(code, lang)
    made = [outer.read(_OUTER[lang], inside=False), inner.read(_OPENED[lang], inside=True)]
    return [one for one in dict.fromkeys(made) if one != code], outer.steps > 0 and inner.steps > 0


class _Reader:
    """One reading; `steps` is what is left of its work.

    From outside, a text or comment is skipped, and a quote holds all that stands in it. From inside, nothing is skipped, and a
    quote with another in it is none, so that no quote that is only spoken of can swallow the code behind it.
    """

    def __init__(self, code: str, lang: str) -> None:
        self.code = code
        self.lang = lang
        self.steps = MOST_STEPS

    def read(self, opened: re.Pattern[str], *, inside: bool) -> str:
        code, made, at = self.code, "", 0
        bodies: list[tuple[int, int]] = []
        while self.steps > 0 and (match := opened.search(code, at)) is not None:
            self.steps -= QUOTE_COST
            found = match.groupdict()
            for start, end in [one for one in bodies if one[0] <= match.start()]:
                # The body of a here-document was told where it is named.
                made += code[at:start]
                at = max(at, end)
                bodies.remove((start, end))
            if at > match.start():
                continue
            made += code[at : match.start()]
            at = match.end()
            if found.get("text") is not None:
                made += match[0]
            elif found.get("end") is not None:
                body = self._here(match, bodies)
                made += match[0] if body is None else _written(code[body[0] : body[1]], "")
            else:
                opener = found.get("open") or found.get("bare") or found.get("hash") or found.get("word") or ""
                closed = self._closed(opener, at)
                if closed is None or (inside and _OPENED[self.lang].search(code, at, closed) is not None):
                    made += match[0]
                    continue
                text = code[at:closed]
                for delimiter in {opener, _PAIRS.get(opener, opener)} if "\\" in text else ():
                    text = text.replace(f"\\{delimiter}", delimiter)
                if made.endswith("*"):
                    made = made[:-1]
                made += _written(text, (found.get("kind") or "").lower())
                at = closed + 1
        for start, end in bodies:
            made += code[at:start]
            at = max(at, end)
        return made + code[at:]

    def _closed(self, opener: str, at: int) -> int | None:
        """Where a quote ends, pairs in it counted, or nothing."""
        closer = _PAIRS.get(opener, opener)
        depth = 1
        for match in re.compile(rf"\\.|[{re.escape(opener + closer)}]", re.S).finditer(self.code, at):
            self.steps -= 1
            if self.steps <= 0:
                return None
            if match[0] == closer:
                depth -= 1
            elif match[0] == opener:
                depth += 1
            if depth == 0:
                return match.start()
        return None

    def _here(self, match: re.Match[str], bodies: list[tuple[int, int]]) -> tuple[int, int] | None:
        """Where the body of a here-document stands; in `bodies` what of the code it takes."""
        start = max([self.code.find("\n", match.end()) + 1, *(end for _start, end in bodies)])
        if start == 0:
            return None
        at = start
        while at < len(self.code) and self.steps > 0:
            self.steps -= 1
            end = self.code.find("\n", at)
            line = self.code[at : end if end >= 0 else len(self.code)]
            told = line.strip()
            if told == match["end"] or (self.lang == "php" and re.match(rf"{match['end']}\b", told)):
                # What stands behind the word in PHP is code: `X);`.
                bodies.append((start, at + line.index(match["end"]) + len(match["end"])))
                return start, at
            at += len(line) + 1
        return None


def _written(text: str, kind: str) -> str:
    """A text as an ordinary quote; a list for words, a call for what is run."""
    if kind in ("w", "i"):
        return "(" + ", ".join(_written(word, "") for word in text.split()) + ")"
    quote = next((one for one in "'\"" if one not in text), "'")
    made = quote + (re.sub(rf"(?<!\\){quote}", rf"\\{quote}", text) if quote in text else text) + quote
    return f"system({made})" if kind == "x" else made
