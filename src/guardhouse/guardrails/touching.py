"""What a file tool's act on a path does to Guardhouse's own: its state, its program, the hooks by which clients ask it.

Pure, and the same for every client's tools and every MCP server's: whatever an act is called there, it comes here as
one of `ACTS`, and its paths as the tool was given them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from guardhouse.guardrails import meddling
from guardhouse.guardrails.spelling import spelled
from guardhouse.guardrails.surroundings import Reach, Surroundings, absolute, reach

STATE, PROGRAM, HOOKS, UNSEEN = "guard.state", "guard.program", "guard.hooks", "guard.hooks.unseen"
SWEEP = "guard.sweep"

ACTS = frozenset({"read", "search", "fetch", "write", "edit", "patch", "delete", "run", ""})
"""`search` looks through a folder; `run` is a text that a tool runs; empty is an act that is not known."""
_LOOKS = frozenset({"read", "search", "fetch"})
_PATTERN = re.compile(r"([^*?\[]*)/(?!\*\*(?:/|$))([^/*?\[]*)[*?\[](?:[^/]*[*?\]])?([^/*?\]]*)(/.*|)", re.S)
"""The folder of a path's first part that is a pattern, how that part begins and ends, and what comes after it.

What looks below a folder at any depth (`**`) follows no links.
"""
MOST_LINKS = 32
"""Links that a pattern is held against, and that are told of folders without being named."""


def touched(path: str, act: str, kept: str, cwd: str, around: Surroundings, links: Mapping[str, str]) -> str:
    """The event of an act on a path; empty when none.

    `kept` says of a change to a client's configuration whether our entries stay as they were: `same`, `changed`, or
    empty where that cannot be seen.
    """
    found = {*_reaches(path, act, cwd, around, links)}
    if "state" in found:
        return STATE
    if "above" in found and act == "search":
        return SWEEP
    if act in _LOOKS:
        return ""
    if "program" in found:
        return PROGRAM
    if "above" in found and act == "delete":
        return STATE
    if "holds" in found and act == "delete":
        return HOOKS
    if "hooks" in found:
        if act == "delete" or kept == "changed":
            return HOOKS
        return "" if kept == "same" else UNSEEN
    return ""


def swept(words: Sequence[str], cwd: str, around: Surroundings) -> bool:
    """Whether git, run with these words, takes what it ignores out of a tree in which `install` wrote a client's hook."""
    found = meddling.sweeps_ignored(words) if around.told else None
    if found is None:
        return False
    verb, folder, named = found
    place = absolute(folder or ".", cwd, around)
    if verb == "clean":
        return any(reach(one, place, around) in ("holds", "hooks") for one in named or ["."])
    while place.startswith("/") and place not in ("/", around.user_home.casefold()):
        if reach(place, "", around) in ("holds", "hooks"):
            return True
        # A stash is of the whole working tree, from wherever in it.
        place = place.rpartition("/")[0]
    return False


def _reaches(path: str, act: str, cwd: str, around: Surroundings, links: Mapping[str, str]) -> Iterator[Reach]:
    for one in spelled(path, cwd, around):
        found = reached(one, cwd, around, links)
        if found:
            yield found
        if "**" in one and act in _LOOKS:
            # Below this folder it goes to any depth.
            above = reached(
                one[: one.index("**")].rpartition("/")[0] or ("/" if one[:1] == "/" else "."), cwd, around, links
            )
            if above in ("state", "above"):
                yield above


def reached(text: str, cwd: str, around: Surroundings, links: Mapping[str, str]) -> Reach:
    """What a path reaches as written or, where the gateway saw it lead elsewhere, there."""
    found = reach(text, cwd, around)
    if links and found in ("", "above", "hooks", "holds"):
        named = absolute(spelled(text, cwd, around)[0] if text[:6] == "/proc/" else text, cwd, around)
        # What the gateway sees there is itself, not the agent.
        real = "" if named.startswith(("/proc/self/", "/proc/thread-self/")) else _led(named, links)
        if real:
            return reach(real, "", around) or found
    return found


def _led(path: str, links: Mapping[str, str]) -> str:
    """Where a path leads through one of the links, or empty. A pattern counts as what it could be."""
    place = path
    while place:
        real = links.get(place)
        if real is not None:
            return real + path[len(place) :]
        place = place.rpartition("/")[0]
    pattern = _PATTERN.fullmatch(path)
    if pattern is None:
        return ""
    folder, head, tail, rest = pattern.groups()
    for link, real in islice(links.items(), MOST_LINKS):
        above, _, name = link.rpartition("/")
        if above == folder and name.startswith(head) and name.endswith(tail):
            return f"{real}{rest}"
    return ""
