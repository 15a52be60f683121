"""PowerShell said as shell commands: its .NET calls, its pipelines of items, and the names of events seen in it."""

from __future__ import annotations

import re
import shlex

_RUNS = re.compile(
    r"(?i)\b(?:iex|invoke-expression)\b|\.invoke\(|\bstart-process\b|\[scriptblock\]::create|invokescript\s*\(|\[(?:system\.)?diagnostics\.process\]::start|&\s*\(|\badd-type\b"
)
_FETCHES = re.compile(
    r"(?i)\b(?:iwr|irm|curl|wget|invoke-webrequest|invoke-restmethod|start-bitstransfer|downloadstring|downloadfile|downloaddata|net\.webclient|httpclient|getstringasync)\b"
)
_DECODES = re.compile(r"(?i)frombase64string|-enc(?:odedcommand)?\b|\bgzipstream\b")
_RUNS_VARIABLE = re.compile(r"(?i)(?:iex|invoke-expression|\[scriptblock\]::create)\s*\(?\s*\$")
_LITERAL = r"""(?:'((?:''|[^'\n]){0,1000})'|"((?:`.|[^"`\n]){0,1000})"|(\$[\w:.]+))"""
_STATIC = re.compile(
    r"(?i)\[(?:system\.)?io\.(file|directory|path)\]::(\w+)\s*\(\s*(?:\[?[\w.]+\]?\s*\()?"
    + _LITERAL
    + r"(?:\s*,\s*"
    + _LITERAL
    + ")?"
)
_INSTANCE = re.compile(
    r"(?i)(?:\[(?:system\.)?io\.(?:file|directory)info\](?:::new\s*\(|\s*)|new-object\s+(?:system\.)?io\.(?:file|directory)info\s*\(?\s*|\(\s*(?:get-item|gi|get-childitem|gci|ls|dir)\s+(?:-\w+\s+)*)"
    r"""['"]?([^'"()\s|;]{1,1000})['"]?[^;|\n]{0,80}?\)\s*\.\s*(delete|moveto)\s*\("""
)
_PROCESS = re.compile(
    r"(?i)\[(?:system\.)?diagnostics\.process\]::start\s*\(\s*" + _LITERAL + r"(?:\s*,\s*" + _LITERAL + ")?"
)
_ITEMS = re.compile(
    r"(?i)(?:^|[;(&\n{])[^\S\n]*+(?:get-childitem|gci|get-item|gi|ls|dir)\b([^|;\n]{0,500})\|(?:[^;\n]{0,500}\|)?\s*(?:(?:%|foreach(?:-object)?)\s*\{\s*)?(?:remove-item|ri|rm|del|erase|rd|rmdir)\b"
)
_ENVIRONMENT = re.compile(
    r"(?i)\[(?:system\.)?environment\]::setenvironmentvariable\s*\([^()\n]{0,500},\s*[\['\"(\w.:]*?(machine|user)\b"
)
_DELETES = frozenset({"delete"})
_WRITES = ("write", "create", "open", "append", "set", "replace", "copy", "move", "encrypt")
_WORD = re.compile(r"""'([^']*)'|"([^"]*)"|(\S+)""")


def read(text: str) -> tuple[list[str], list[str]]:
    """Shell commands with the same effects as what is no plain command in a text, and the names of events seen in it."""
    made: list[str] = []
    events: list[str] = []
    runs = _RUNS.search(text) is not None
    if runs and _FETCHES.search(text):
        events.append("fetched")
    elif _DECODES.search(text) and (runs or "-enc" in text.lower()):
        events.append("decoded")
    elif runs and _RUNS_VARIABLE.search(text):
        events.append("code")
    for match in _STATIC.finditer(text):
        made += _called(match[1].lower(), match[2].lower(), _said(match, 3), _said(match, 6))
    for match in _INSTANCE.finditer(text):
        made.append(f"rm -rf {_path(match[1])}")
    for match in _PROCESS.finditer(text):
        made.append(f"{_said(match, 1)} {_said(match, 4)}".replace("\\", "/"))
    for match in _ITEMS.finditer(text):
        made.append(_each(match[1]))
    for match in _ENVIRONMENT.finditer(text):
        made.append("setx /M NAME value" if match[1].lower() == "machine" else "setx NAME value")
    return made, events


def _said(match: re.Match[str], first: int) -> str:
    single, double, variable = match[first], match[first + 1], match[first + 2]
    if single is not None:
        return single.replace("''", "'")
    return double if double is not None else variable or ""


def _path(text: str) -> str:
    plain = text.replace("\\", "/")
    return f'"{plain}"' if "$" in plain else shlex.quote(plain)


def _called(kind: str, method: str, first: str, second: str) -> list[str]:
    """A call of a static method of the file system's classes."""
    if not first:
        return []
    path = _path(first)
    if method in _DELETES:
        return [f"rm -rf {path}" if kind == "directory" else f"rm {path}"]
    if method == "move" and second:
        return [f"mv {path} {_path(second)}"]
    if method == "copy" and second:
        return [f"cp {path} {_path(second)}"]
    if kind == "file" and method.startswith("append"):
        return [f": >> {path}"]
    if kind == "file" and method.startswith(_WRITES) and method != "opentext":
        return [f": > {path}"]
    if kind == "file" and method.startswith(("read", "opentext", "openread")):
        return [f"cat {path}"]
    return []


def _each(said: str) -> str:
    """What removes each item that a folder holds removes them all; named by a filter, those of a kind."""
    named: list[str] = []
    filters = recurses = False
    takes = False
    for match in _WORD.finditer(said):
        word = next(part for part in match.groups() if part is not None)
        if word.startswith("-") and match[3] is not None:
            option = word.lower()
            recurses = recurses or option.startswith(("-r", "-s", "-de"))
            takes = option.startswith(("-fi", "-i", "-e", "-n"))
            filters = filters or takes
        elif takes:
            takes = False
        else:
            named.append(word)
    where = " ".join(_path(one) for one in named) or "."
    if filters:
        return f"find {where} -name x -delete"
    return f"rm -rf {where}" if recurses or named else "rm -rf *"
