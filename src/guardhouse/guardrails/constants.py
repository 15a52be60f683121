"""Code with its constants and its other names filled in, as text: what `e('…')` calls, and what stands in `cmd`.

For languages whose grammar is not read here. It is a likeness: what it fills in too much is judged once more than needed.
"""

from __future__ import annotations

import re

_CALLED = r"exec(?:Sync|File|FileSync)?|spawn(?:Sync)?|rmSync|rm|unlinkSync|unlink|rmdirSync|system|rmtree|readFileSync"
_RENAMED = re.compile(rf"\b({_CALLED})\s*(?::|\bas\b)\s*([A-Za-z_$][\w$]*)")
_TAKEN = re.compile(rf"(?<![\w$])([A-Za-z_$][\w$]*+)\s*=\s*(?:require\s*\([^()\n]*\)|[\w$.]+)\.({_CALLED})\b(?!\s*\()")
_JOINED = re.compile(r"""(['"])\s*[+.]\s*\1""")
_HELD = re.compile(
    r"""(?:^|[;{}(\n]|\b(?:const|let|var|my|our|local))\s*([$@]?[A-Za-z_]\w*)\s*=\s*(['"`])((?:(?!\2)[^\\\n]){1,2000})\2"""
)
MOST_NAMES, MOST_FILLED = 20, 16 * 1024
"""Names filled in, and the length to which that may bring the code; beyond them the caller is told that there is more."""


def filled(code: str) -> tuple[str, bool]:
    """The code with constants and other names filled in (itself where it has none), and whether all of them were."""
    text = _JOINED.sub("", code) if "+" in code or "." in code else code
    if "=" not in text and ":" not in text and " as " not in text:
        return text, True
    names = {match[2]: match[1] for match in _RENAMED.finditer(text)}
    names.update({match[1]: match[2] for match in _TAKEN.finditer(text)})
    held = {match[1]: match[2] + match[3] + match[2] for match in _HELD.finditer(text)}
    complete = len(names) <= MOST_NAMES and len(held) <= MOST_NAMES
    for name, called in list(names.items())[:MOST_NAMES]:
        text = re.sub(rf"(?<![\w.$]){re.escape(name)}\s*\(", f"{called}(", text)
    for name, literal in list(held.items())[:MOST_NAMES]:
        if len(text) > MOST_FILLED:
            return code, False
        text = re.sub(rf"(?<=[(,+\s|\[.]){re.escape(name)}(?=\s*(?:[),+\].;|}}]|$))", literal, text)
    return _JOINED.sub("", text), complete
