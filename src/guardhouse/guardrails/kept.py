"""Whether a change to a client's configuration leaves Guardhouse's entries in it as they were."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from typing import Any, Literal

from guardhouse.guardrails.turns import turn

Kept = Literal["same", "changed", ""]
"""`same`, `changed`, or empty where that cannot be seen."""

_OURS = re.compile(r"(?i)guardhouse|/v1/hooks/")
_SWITCHES = frozenset(
    ["disableallhooks", "allowmanagedhooksonly", "allow_managed_hooks_only", "enablehooks", "hooks_enabled", "usehooks", "bypass_hook_trust", "allowedhttphookurls", "httphookallowedenvvars", "strictpluginonlycustomization", "project_root_markers"]
)  # fmt: skip
"""What says of all hooks, wherever it stands, whether they run."""
_HOOK_TABLES = frozenset({"hooks", "hooksconfig", "codex_hooks"})
_TURNING_OFF = ("disable", "allow", "bypass", "strict")
_ALL_OF_THEM = frozenset({"enabled", "disabled", "state"})
"""What says so within a table of hooks: for all, by name, or (Codex) by what a person has trusted."""
_REDIRECTS = re.compile(
    r"(?i)GUARDHOUSE_\w+|HOME|USERPROFILE|XDG_(?:CONFIG|DATA)_HOME|CLAUDE_CONFIG_DIR|CLAUDE_CODE_(?:SIMPLE|SAFE_MODE|SHELL\w*)|CODEX_\w*HOME"
    r"|COPILOT_HOME|CURSOR_CONFIG_DIR|GEMINI_CLI_(?:HOME|SYSTEM_SETTINGS_PATH)|OPENCODE_CONFIG\w*|LD_(?:PRELOAD|AUDIT)|PYTHON(?:PATH|HOME|STARTUP|USERBASE)|DYLD_\w+|BASH_ENV|ENV|SHELL"
)
"""Variables by which a hook would be another program, ask another gateway, or not be found."""
_MAY_REDIRECT = frozenset({"path", "ld_library_path"})
_SERVERS = frozenset({"mcpservers", "mcp_servers", "mcp", "servers", "shell_environment_policy"})
"""Tables whose `env` is for other programs than hooks."""
_SPEAKING = frozenset(
    {"permissions", "permission", "env", "projects", "sandbox", "additionaldirectories", "context", "instructions"}
)
_COMMENTS = re.compile(r'("(?:\\.|[^"\\])*+"?)|/\*(?:[^*]|\*(?!/))*+(?:\*/)?|//[^\n]*', re.S)
_COMMAS = re.compile(r'("(?:\\.|[^"\\])*+"?)|,(\s*+[}\]])', re.S)
"""A text or comment that does not end goes to the end of all, so that nothing is read twice."""
MOST = 256 * 1024
_MOST_SIGNS = 4_000
_MOST_DEPTH = 64
_MOST_OURS = 200
MOST_REPLACED = 4 * 1024 * 1024
"""Characters of a configuration; marks between its values, tables within tables, and entries of ours in it; and characters
that all edits together are looked for in. Beyond them nobody can tell what is left of our entries."""


class _Entries:
    """What a configuration holds that is ours or switches hooks. Each is told with where it stands, as JSON.

    `fixed` must be the same before and after; of `least` nothing may go; where `unsure` differs nobody can tell.
    """

    def __init__(self) -> None:
        self.fixed: Counter[str] = Counter()
        self.least: Counter[str] = Counter()
        self.unsure: Counter[str] = Counter()
        self.ours = 0


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
        return "changed" if old.fixed else ""
    if old.fixed != new.fixed or old.least - new.least:
        return "changed"
    return "same" if old.unsure == new.unsure else ""


def _entries(name: str, text: str) -> _Entries | None:
    """Our entries and every switch for hooks, each with where it stands; None when the text cannot be read."""
    if len(text) > MOST or sum(text.count(sign) for sign in ",:={[\n.") > _MOST_SIGNS:
        return None
    found = _Entries()
    if not text.strip():
        return found
    try:
        value = tomllib.loads(text) if name.endswith(".toml") else _json(text)
    except (ValueError, RecursionError):
        return None
    work: list[tuple[tuple[str, ...], Any, Any]] = [((), value, None)]
    while work:
        place, item, around = work.pop()
        if len(place) > _MOST_DEPTH or found.ours > _MOST_OURS:
            return None
        turn()
        if isinstance(item, dict):
            plain = {key: part for key, part in item.items() if not isinstance(part, dict | list)}
            for key, part in item.items():
                _note(found, place, str(key), part)
                work.append(((*place, str(key)), part, plain if place else None))
            if (
                place
                and not _speaks(place)
                and any(isinstance(one, str) and _OURS.search(one) for one in plain.values())
            ):
                found.ours += 1
                found.fixed[_told(place, around, item)] += 1
        elif isinstance(item, list):
            work.extend((place, part, around) for part in item)
        elif isinstance(item, str) and _OURS.search(item) and not _speaks(place):
            found.ours += 1
            found.fixed[_told(place, item)] += 1
    return found


def _speaks(place: tuple[str, ...]) -> bool:
    """Whether a string here only names folders, rules or variables: naming Guardhouse does not make it an entry of ours."""
    return not _SPEAKING.isdisjoint(one.casefold() for one in place)


def _note(found: _Entries, place: tuple[str, ...], key: str, part: Any) -> None:
    """One key of a table: a switch, a variable for hooks, or neither. What switches hooks on may come, never go."""
    folded, table = key.casefold(), place[-1].casefold() if place else ""
    switches = folded in _SWITCHES or (folded in _HOOK_TABLES and isinstance(part, bool))
    if switches or (table in _HOOK_TABLES and folded in _ALL_OF_THEM):
        turns_off = folded.startswith(_TURNING_OFF)
        if part is not turns_off and isinstance(part, bool):
            found.least.update([_told(place, key, part)] if part else [])
        elif part or isinstance(part, bool):
            found.fixed[_told(place, key, part)] += 1
    elif table == "env" and not _SERVERS & {one.casefold() for one in place}:
        if _REDIRECTS.fullmatch(key):
            found.fixed[_told(place, key, part)] += 1
        elif folded in _MAY_REDIRECT:
            found.unsure[_told(place, key, part)] += 1
    elif folded == "trust_level" and place[:1] == ("projects",):
        # What is not trusted keeps its hooks to itself.
        (found.least if part == "trusted" else found.fixed)[_told(place, key, part)] += 1


def _told(*parts: Any) -> str:
    return json.dumps(parts, sort_keys=True, default=str)


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
    made, looked = text or "", 0
    for old, new, everywhere in edits:
        turn()
        looked += len(made)
        if not old:
            if made:
                return None
            made = new
            continue
        times = made.count(old)
        left = len(made) + times * (len(new) - len(old))
        if not times or (times > 1 and not everywhere) or left > MOST or looked > MOST_REPLACED:
            return None
        made = made.replace(old, new)
    return made
