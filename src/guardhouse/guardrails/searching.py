"""`find` and `fd`: programs that run commands over what they find."""

from __future__ import annotations

import re

from guardhouse.guardrails import paths
from guardhouse.guardrails.coding import Coder
from guardhouse.guardrails.effects import SENSITIVE
from guardhouse.guardrails.units import NOTHING, Flow, base_name
from guardhouse.guardrails.words import Word


class Finder(Coder):
    """A reader that opens the clauses of `find -exec` and its like."""

    def _find(self, name: str, rest: list[Word], start: int, end: int) -> Flow:
        self.nodes -= len(rest)
        clauses = ("-exec", "-execdir", "-ok", "-okdir") if name == "find" else ("-x", "--exec", "-X", "--exec-batch")
        first = next(
            (
                at
                for at, word in enumerate(rest)
                if word.text[:1] in "-(!" and word.text not in ("-L", "-P", "-H", "-E", "-x", "-X")
            ),
            len(rest),
        )
        if name == "find" and rest and rest[0].text == "-D":
            return self._find(name, rest[2:], start, end)
        given = [word for word in rest[:first] if not word.text.startswith("-")]
        roots = given if name == "find" else given[1:] or []
        roots = roots or [Word(".", start, end)]
        texts = [word.text for word in rest]
        narrowed = (
            any(
                text
                in (
                    "-name",
                    "-iname",
                    "-path",
                    "-ipath",
                    "-regex",
                    "-wholename",
                    "-newer",
                    "-mtime",
                    "-mmin",
                    "-size",
                    "-empty",
                    "-user",
                    "-inum",
                    "-atime",
                    "-ctime",
                    "-cmin",
                    "-amin",
                    "-maxdepth",
                    "-type",
                )
                for text in texts
            )
            or name != "find"
        )
        sensitive = any(paths.classes(text, "", "") & SENSITIVE for text in texts[first:]) or any(
            text in (".env", "*.pem", "*.key", "id_rsa", "id_rsa*", "id_*") for text in texts
        )
        at = 0
        while at < len(rest):
            if texts[at] in clauses:
                stop = next((n for n in range(at + 1, len(rest)) if texts[n] in (";", "+", "\\;")), len(rest))
                inner = rest[at + 1 : stop]
                at = stop
                if not inner:
                    continue
                for root in roots[:4]:
                    whole = not narrowed and any(re.match(r"-\w*[rR]|--rec", word.text) for word in inner)
                    target = root.text if whole or root.text == "/" else f"{root.text.rstrip('/')}/{{}}"
                    made = [
                        Word(
                            word.text.replace("{}", target),
                            word.start,
                            word.end,
                            word.kinds | (frozenset({"secret"}) if sensitive and "{}" in word.text else NOTHING),
                        )
                        for word in inner
                    ]
                    if name != "find" and not any("{}" in word.text for word in inner):
                        made.append(Word(target, start, end))
                    self._within(
                        f"{name} {texts[at - len(inner) - 1] if at - len(inner) - 1 >= 0 else '-exec'}",
                        self.command,
                        made,
                        None,
                        start,
                        end,
                    )
                    if sensitive and made and base_name(made[0].text) in ("cat", "cp", "tar", "base64", "curl"):
                        self.event("secret.read", start, end)
            at += 1
        return Flow(None, frozenset({"secret"}) if sensitive and "-exec" in texts else NOTHING)


def without_clauses(rest: list[Word]) -> list[Word]:
    """The arguments of `find` without the commands that stand between them."""
    made, inside = [], False
    for word in rest:
        if word.text in ("-exec", "-execdir", "-ok", "-okdir"):
            inside = True
        elif inside and word.text in (";", "+", "\\;"):
            inside = False
        elif not inside:
            made.append(word)
    return made
