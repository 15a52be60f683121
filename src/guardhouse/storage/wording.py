"""The terms of full text: one tokenisation of our own, the same on both databases.

Tokens are ASCII; a word that is not is spelled as `u:` and the hexadecimal of its UTF-8 form. Marks (`mark("tag", "api")`)
are tokens that no word can make, for exact matches.
"""

from __future__ import annotations

import re
import unicodedata

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W_]+")
_IDEOGRAPHS = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+")
_MARK = re.compile(r"[^a-z0-9_.-]")
_LONGEST = 60
_STOP = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "did",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "of",
        "on",
        "or",
        "our",
        "so",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "to",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "why",
        "will",
        "with",
        "you",
        "your",
    ]
)


def tokens(prose: str) -> list[str]:
    """The tokens of a text in order: folded, `camelCase` and `snake_case` taken apart, plurals and singulars made one."""
    found: list[str] = []
    for word in _WORD.findall(_CAMEL.sub(" ", unicodedata.normalize("NFKC", prose))):
        folded = unicodedata.normalize("NFKC", word.casefold())
        if folded.isascii():
            if folded not in _STOP:
                found.append(_singular(folded)[:_LONGEST])
        else:
            found.extend(_spelled(part) for part in _pieces(folded))
    return found


def _pieces(word: str) -> list[str]:
    """Scripts without spaces are cut into overlapping pairs; other words stay whole."""
    if not _IDEOGRAPHS.fullmatch(word) or len(word) < 3:
        return [word]
    return [word[start : start + 2] for start in range(len(word) - 1)]


def _spelled(word: str) -> str:
    return "u:" + word.encode().hex()[:_LONGEST]


def _singular(word: str) -> str:
    """One form for singular and plural: `policy` and `policies`, `cookie` and `cookies`. Not always a word."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-2]
    if len(word) > 4 and word.endswith("ie"):
        return word[:-1]
    if len(word) > 3 and word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "i"
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def mark(kind: str, value: str) -> str:
    """A token that stands for an exact value: `tag:api-v2`."""
    folded = value.casefold()
    return f"{kind}:{folded if not _MARK.search(folded) else 'x' + folded.encode().hex()}"


def marks_of(workspace_id: str, row_id: str) -> list[str]:
    """The two marks that every row's terms begin with: where it lies and which it is."""
    return [mark("ws", workspace_id), mark("id", row_id)]
