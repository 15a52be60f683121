"""`find` and `fd`: programs that run commands over what they find."""

from __future__ import annotations

import re

from guardhouse.guardrails import paths
from guardhouse.guardrails.effects import SENSITIVE
from guardhouse.guardrails.hooking import Hooker
from guardhouse.guardrails.units import NOTHING, Flow, base_name
from guardhouse.guardrails.words import Word

_DELETERS = frozenset(["rm", "unlink", "shred", "srm", "wipe", "truncate"])
_NAMES = frozenset(["-name", "-iname", "-path", "-ipath", "-regex", "-wholename"])
_FILTERS = _NAMES | frozenset(
    ["-newer", "-mtime", "-mmin", "-size", "-empty", "-user", "-inum", "-atime", "-ctime", "-cmin", "-amin"]
)
_EVERY = re.compile(r"(?:\./)?\?*+\*[*?]*+|\.[*+]|\.\*\$|\./\*")
"""Patterns that every name fits: they narrow nothing."""
_WHOLE = frozenset(["root", "home", "system", "personal", "here", "outside"])


class Finder(Hooker):
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
        narrowed = _narrows(texts) if name == "find" else _fits_some(given, texts)
        own = [word.text for word in without_clauses(rest)] if name == "find" and "-delete" in texts else []
        if "-delete" in own:
            cut = own.index("-delete")
            if not _narrows(own[:cut]) or own[cut - 1] in ("-o", "-or", ","):
                # A test behind it, denied or in the other branch narrows nothing.
                for root in roots:
                    self.unit("find", [root, Word("-delete", start, end)], start, end, None)
        sensitive = any(paths.classes(text, "", "") & SENSITIVE for text in texts[first:]) or any(
            text in (".env", "*.pem", "*.key", "id_rsa", "id_rsa*", "id_*") for text in texts
        )
        # What is found under one name is that name; the path before it does not matter.
        given_names = [texts[n + 1] for n in range(first, len(rest) - 1) if texts[n] in ("-name", "-iname")]
        named = given_names[0] if len(given_names) == 1 and not {"-o", "-or"} & set(texts) else None
        if named is not None and any(mark in named for mark in "*?["):
            named = None
        at = 0
        while at < len(rest):
            if texts[at] in clauses:
                stop = next((n for n in range(at + 1, len(rest)) if texts[n] in (";", "+", "\\;")), len(rest))
                inner = rest[at + 1 : stop]
                at = stop
                if not inner:
                    continue
                for root in roots:
                    whole = not narrowed and any(re.match(r"-\w*[rR]|--rec", word.text) for word in inner)
                    bare = not narrowed and base_name(inner[0].text) in _DELETERS
                    if bare:
                        self.unit("find", [root, Word("-exec-delete", start, end)], start, end, None)
                    leaf = named if named is not None and root.text != "/" else "{}"
                    target = root.text if whole or root.text == "/" else f"{root.text.rstrip('/')}/{leaf}"
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
        kinds = {"secret"} if sensitive and "-exec" in texts else {"sought"} if sensitive else set()
        if any(paths.classes(root.text, self.state.cwd, "") & SENSITIVE for root in roots):
            kinds.add("sought")
        if not narrowed and any(
            (found := paths.classes(root.text, "", "")) & _WHOLE and "temp" not in found for root in roots
        ):
            kinds.add("everything")
        return Flow(None, frozenset(kinds))


def _narrows(texts: list[str]) -> bool:
    """Whether a search is for some names or times only, and not for all but these."""
    return any(
        text in _FILTERS and before not in ("!", "-not") and not (text in _NAMES and _EVERY.fullmatch(follows))
        for before, text, follows in zip(["", *texts], texts, [*texts[1:], ""], strict=False)
    )


def _fits_some(given: list[Word], texts: list[str]) -> bool:
    """Whether `fd` looks for some names, kinds or times only, and not for every file."""
    if given and given[0].text not in ("", ".", ".*", "*", "^"):
        return True
    return any(
        text.startswith(("-e", "-g", "-S", "--ext", "--glob", "--size", "--chang", "--newer", "--older"))
        for text in texts
    )


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
