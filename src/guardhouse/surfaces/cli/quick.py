"""The short way for the plainest command lines: `check`, `call` and `status` without loading the whole command.

An agent's hook may run one of these before every command of the agent's. Most of their time went into
loading a command line that knows every noun. A line that is anything but plain (help, an unknown or
repeated option, a value that begins with a dash) is not taken here, so that there is one parser of record.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from guardhouse.errors import GuardhouseError

if TYPE_CHECKING:
    from guardhouse.surfaces.cli.composition import Composition

_VALUED = {"check": ("kind", "cwd", "approval"), "call": ("approval", "idempotency-key"), "status": ()}
_FLAGS = {"check": ("explain", "json"), "call": ("json",), "status": ("json",)}


def run(composition: Composition, words: Sequence[str]) -> int | None:
    """Run a plain command line and give its exit status; None when it is for the whole command to read."""
    act = _act(composition, words)
    if act is None:
        return None
    try:
        status = act()
        sys.stdout.flush()
    except GuardhouseError as error:
        from guardhouse.surfaces.cli import faults

        return faults.told(error, json="--json" in words)
    except KeyboardInterrupt:
        from guardhouse.surfaces.cli import render

        render.say("stopped", stderr=True)
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        from guardhouse.surfaces.cli import faults

        return faults.told(faults.of_system(error), json="--json" in words)
    return status


def _act(composition: Composition, words: Sequence[str]) -> Callable[[], int] | None:
    noun = words[0] if words else ""
    read = _read(noun, words[1:])
    if read is None:
        return None
    given, values, flags = read
    from guardhouse.surfaces.cli import asking

    json = "json" in flags
    approval = values.get("approval", "")
    if noun == "status":
        return (lambda: asking.status(json=json)) if not given else None
    if noun == "call":
        key = values.get("idempotency-key", "")
        if not given:
            return None
        return lambda: asking.call(composition, given[0], given[1:], approval=approval, idempotency_key=key, json=json)
    kind, cwd = values.get("kind", "auto"), values.get("cwd", "")
    if len(given) != 1 or not given[0].strip() or kind not in asking.KINDS:
        return None
    return lambda: asking.check(
        composition, given[0], kind=kind, cwd=cwd, explain="explain" in flags, approval=approval, json=json
    )


def _read(noun: str, words: Sequence[str]) -> tuple[list[str], dict[str, str], set[str]] | None:
    """Arguments, valued options and flags of a plain line; None when there is anything else in it."""
    if noun not in _VALUED:
        return None
    given: list[str] = []
    values: dict[str, str] = {}
    flags: set[str] = set()
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            given.append(word)
            continue
        name, joined, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name in values or name in flags:
            return None
        if name in _FLAGS[noun] and not joined:
            flags.add(name)
        elif name in _VALUED[noun]:
            value = value if joined else next(rest, "-")
            if value.startswith("-"):
                return None
            values[name] = value
        else:
            return None
    return given, values, flags
