"""Where a policy stands in a Cedar text, and what to do about what Cedar says of it: cedarpy tells neither. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

import cedarpy

from guardhouse.errors import LawProblem
from guardhouse.gates.reading import nearest

TOKEN = re.compile(r'//[^\n]*|"(?:[^"\\]|\\.)*"?|[A-Za-z_][A-Za-z0-9_]*|[0-9]+|\s+|.', re.DOTALL)
_WORDS = re.compile(r"==|!=|<=|>=|&&|\|\||::|" + TOKEN.pattern, re.DOTALL)
_UNFINISHED = "unexpected end of input"
_UNREADABLE = ("unexpected ", "invalid token")
_NUMBERED = re.compile(r"^for policy `policy(\d+)`, (.*)$", re.DOTALL)
_QUOTED = re.compile(r"`([^`]*)`")
_NAMES = r"([A-Za-z_][\w\s,]*?)(?=\s+(?:in|appliesTo|=)|[;{=])"
_DECLARED = {
    "action": re.compile(rf"\baction\s+{_NAMES}"),
    "entity": re.compile(rf"\bentity\s+{_NAMES}"),
    "attribute": re.compile(r"\b(\w+)\s*\??\s*:(?!:)"),
}
"""What a schema declares, by the word with which Cedar complains that something is not declared."""
_FOLLOWS = "unable to find an applicable action"
"""What Cedar says besides when a scope names something unknown; told alone only."""


def policies(text: str) -> Iterator[tuple[int, str]]:
    """Each policy's text and the 1-based line of its first word, in the order of Cedar's own numbering."""
    start, line = 0, 1
    for found in TOKEN.finditer(text):
        if found.group() != ";" and found.end() != len(text):
            continue
        policy = text[start : found.end()]
        words = (word for word in TOKEN.finditer(policy) if not word.group().isspace() and word.group()[:2] != "//")
        begin = next(words, None)
        if begin is not None:
            yield line + policy[: begin.start()].count("\n"), policy
        line += policy.count("\n")
        start = found.end()


def lines(text: str) -> dict[str, int]:
    """The first line of each policy of a text that parses, by Cedar's own numbering (`policy0`, `policy1`, …)."""
    return {f"policy{number}": line for number, (line, _) in enumerate(policies(text))}


def first_line(error: Exception) -> str:
    """What an error says, cut to one line of at most 300 characters."""
    return (str(error).splitlines() or ["not valid"])[0][:300]


def syntax(file: str, text: str, error: ValueError) -> LawProblem:
    """Where a file stops being Cedar: its policies are parsed one by one, and the first that fails is named.

    What cannot be read at all is told with the line of the word at which reading stops; what can be read and means
    nothing, with the first line of its policy.
    """
    for line, policy in policies(text):
        said = _fault(policy)
        if said:
            at = line + _stop(policy) if said.startswith(_UNREADABLE) else line
            rest = "that begins here" if at == line else f"that begins at line {line}"
            return LawProblem(file, at, said, f"mend the policy {rest}")
    return LawProblem(file, 0, first_line(error), "mend the syntax")


def _fault(policy: str) -> str:
    """What Cedar says against a text, in one line; empty when it parses."""
    try:
        cedarpy.policies_to_json_str(policy)
    except ValueError as error:
        return first_line(error)
    return ""


def _stop(policy: str) -> int:
    """How many lines below its first word a policy stops being readable: at its end, when it is not finished.

    A text cut off before the fault is only unfinished; so the first word with which it is more than that is found by
    halving, in as many parses as the number of words has binary digits.
    """
    words = [word for word in _WORDS.finditer(policy) if not word.group().isspace() and word.group()[:2] != "//"]
    sound, faulty = -1, len(words)
    while faulty - sound > 1:
        middle = (sound + faulty) // 2
        if _fault(policy[: words[middle].end()]) in ("", _UNFINISHED):
            sound = middle
        else:
            faulty = middle
    return policy.count("\n", words[0].start(), words[min(faulty, len(words) - 1)].start())


def misfits(file: str, text: str, schema: str) -> list[LawProblem]:
    """What in a text that parses does not fit the schema, each with its policy's line and what to do."""
    at = lines(text)
    said: dict[str, list[str]] = {}
    for wrong in cedarpy.validate_policies(text, schema).errors:
        numbered = _NUMBERED.match(wrong.error)
        said.setdefault(wrong.policy_id or "", []).append(numbered.group(2) if numbered else wrong.error)
    problems: list[LawProblem] = []
    for policy, messages in said.items():
        causes = [message for message in messages if not message.startswith(_FOLLOWS)] or messages
        problems.extend(
            LawProblem(file, at.get(policy, 0), message, remedy(message, schema)) for message in sorted(set(causes))
        )
    return problems


def remedy(message: str, schema: str) -> str:
    """What to write instead of the name that Cedar does not know; where to look it up when nothing is near."""
    wrong = next(iter(_QUOTED.findall(message)), "")
    path, _, name = wrong.rpartition("::")
    name = name.strip('"')
    kind = next((kind for kind in _DECLARED if kind in message.partition("`")[0]), "")
    if not name or not kind:
        return ""
    known = declared(kind, schema)
    if path and name in known:
        namespace = path.removesuffix("Action").rstrip(":")
        return f"this schema has no namespace: leave `{namespace}::` out" if namespace else ""
    return nearest(name, known) or "schema.cedarschema lists what there is"


def declared(kind: str, schema: str) -> frozenset[str]:
    """The names a schema declares: its actions, entity types or attributes."""
    text = re.sub(r"//[^\n]*", "", schema)
    return frozenset(one.strip() for found in _DECLARED[kind].finditer(text) for one in found.group(1).split(","))
