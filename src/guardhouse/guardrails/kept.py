"""Whether a change to a client's configuration leaves Guardhouse's entries in it as they were."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from typing import Any, Literal

Kept = Literal["same", "changed", ""]
"""`same`, `changed`, or empty where that cannot be seen."""

_OURS = re.compile(r"(?i)guardhouse|/v1/hooks/")
_SWITCHES = frozenset(
    ["disableallhooks", "allowmanagedhooksonly", "hooksconfig", "enablehooks", "hooks_enabled", "bypass_hook_trust", "allowedhttphookurls", "httphookallowedenvvars"]
)  # fmt: skip
_COMMENTS = re.compile(r'("(?:\\.|[^"\\])*")|/\*.*?\*/|//[^\n]*', re.S)
_COMMAS = re.compile(r'("(?:\\.|[^"\\])*")|,(\s*[}\]])', re.S)
MOST = 1024 * 1024


def kept(name: str, before: str | None, after: str | None) -> Kept:
    """Compare a file before and after a change; None is a file that is not there. `name` tells the format.

    Our entries are those that name Guardhouse or its hook route; they are the same when each stands where it stood, as
    it was, and no switch for hooks was set. A file with none of our entries may become anything but switched off.
    """
    if after is None:
        return "changed" if before is not None and _OURS.search(before) else "same"
    if before == after:
        return "same"
    if not name.endswith((".json", ".jsonc", ".toml")):
        return "changed" if before is not None and _OURS.search(before) else ""
    new = _entries(name, after)
    old = _entries(name, before if before is not None else "")
    if old is None:
        return ""
    if new is None:
        # What the client cannot read, it does not follow.
        return "changed" if old else ""
    return "same" if old == new else "changed"


def _entries(name: str, text: str) -> Counter[str] | None:
    """Our entries and every switch for hooks, each with where it stands; None when the text cannot be read."""
    if len(text) > MOST:
        return None
    if not text.strip():
        return Counter()
    try:
        value = tomllib.loads(text) if name.endswith(".toml") else _json(text)
    except (ValueError, RecursionError):
        return None
    found: Counter[str] = Counter()
    work: list[tuple[tuple[str, ...], Any, Any]] = [((), value, None)]
    while work:
        place, item, matcher = work.pop()
        if isinstance(item, dict):
            told = item.get("matcher", matcher)
            for key, part in item.items():
                if str(key).casefold() in _SWITCHES or (key in ("hooks", "codex_hooks") and isinstance(part, bool)):
                    found[json.dumps([*place, key, part], sort_keys=True, default=str)] += 1
                work.append(((*place, str(key)), part, told))
            if any(isinstance(part, str) and _OURS.search(part) for part in item.values()):
                found[json.dumps([place, matcher, item], sort_keys=True, default=str)] += 1
        elif isinstance(item, list):
            work.extend((place, part, matcher) for part in item)
        elif isinstance(item, str) and _OURS.search(item):
            found[json.dumps([place, item])] += 1
    return found


def _json(text: str) -> Any:
    """JSON as clients read it: with comments and trailing commas. A name given twice cannot be judged."""
    plain = _COMMENTS.sub(lambda match: match[1] or " ", text.removeprefix("\ufeff"))
    plain = _COMMAS.sub(lambda match: match[1] or match[2], plain)
    return json.loads(plain, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands twice")
    return made


def applied(text: str | None, edits: tuple[tuple[str, str, bool], ...]) -> str | None:
    """A file's text after an edit tool's replacements, or None when one of them does not apply as it would there."""
    made = text or ""
    for old, new, everywhere in edits:
        if not old:
            if made:
                return None
            made = new
        elif old not in made or (made.count(old) > 1 and not everywhere):
            return None
        else:
            made = made.replace(old, new)
    return made
