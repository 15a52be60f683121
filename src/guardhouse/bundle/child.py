"""Parsing law from callers where a crash of the parser is not ours: in a child process with limits."""

from __future__ import annotations

import base64
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from guardhouse.bundle.load import MAX_BYTES, MAX_FILES, ActionDecl, load_files
from guardhouse.errors import LawFault, LawProblem
from guardhouse.gates.policy import cedar
from guardhouse.model.call import Category


@dataclass(frozen=True, slots=True)
class Limits:
    """What the child may use: seconds of processor time, seconds by the clock, and bytes of address space.

    Work is bounded by processor time, so that a machine under load refuses no policy that a quiet one takes.
    The clock only ends a child that waits for something; it is far above what a shared processor costs.
    """

    seconds: int = 10
    patience: int = 60
    memory: int = 1_500_000_000


_LIMITS = Limits()
PATIENCE_SECONDS = _LIMITS.patience
"""The longest that reading somebody's law may take by the clock."""


def command() -> list[str]:
    """What starts the child: our own interpreter and module. Its limits follow, in seconds and bytes."""
    return [sys.executable, "-P", "-m", "guardhouse.bundle.child"]


def parse_untrusted(
    files: Mapping[str, bytes],
    *,
    typed: bool = True,
    actions: Mapping[str, ActionDecl] | None = None,
    limits: Limits = _LIMITS,
) -> tuple[LawProblem, ...]:
    """Every problem of a caller's files; a child that crashes, hangs or runs out of memory is one too. Never raises.

    With `actions` the files are a whole bundle and are loaded as one. Without, they are Cedar policies and
    a schema; `typed=False` only asks whether they can be read.
    """
    if sum(len(data) for data in files.values()) > MAX_BYTES or len(files) > MAX_FILES:
        return (LawProblem("policies", 0, f"larger than {MAX_BYTES} bytes or {MAX_FILES} files", "split it"),)
    asked = {
        "files": {name: base64.b64encode(data).decode() for name, data in files.items()},
        "typed": typed,
        "actions": None if actions is None else [[name, item.category, item.governs] for name, item in actions.items()],
    }
    try:
        done = subprocess.run(  # noqa: S603  # our own interpreter and module, no shell
            [*command(), str(limits.seconds), str(limits.memory)],
            input=json.dumps(asked).encode(),
            capture_output=True,
            timeout=limits.patience,
            check=False,
        )
    except subprocess.TimeoutExpired:
        late = f"not parsed within {limits.patience} seconds by the clock"
        return (LawProblem("policies", 0, late, "try again when the machine is less busy, or simplify it"),)
    except OSError as error:
        return (LawProblem("policies", 0, f"no parser could be started ({type(error).__name__})", "try again"),)
    if done.returncode == -signal.SIGXCPU:
        spent = f"not parsed within {limits.seconds} seconds of processor time"
        return (LawProblem("policies", 0, spent, "simplify it"),)
    if done.returncode:
        return (LawProblem("policies", 0, "the parser crashed on this text", "simplify it"),)
    try:
        return tuple(
            LawProblem(str(file), int(line), str(says), str(remedy))
            for file, line, says, remedy in json.loads(done.stdout)
        )
    except (ValueError, TypeError):
        return (LawProblem("policies", 0, "the parser gave no answer to this text", "simplify it"),)


def main() -> None:
    """The child: what is asked as JSON on standard input, problems as JSON on standard output."""
    seconds, memory = (int(argument) for argument in sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # The soft limit says by its own signal what ended us; the hard one is for whatever blocks that signal.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asked = json.load(sys.stdin)
    files = {name: base64.b64decode(data) for name, data in asked["files"].items()}
    problems: tuple[LawProblem, ...] = ()
    try:
        if asked["actions"] is None:
            cedar.compile_policies(files, typed=asked["typed"])
        else:
            load_files(
                files, {name: ActionDecl(Category(category), governs) for name, category, governs in asked["actions"]}
            )
    except LawFault as fault:
        problems = fault.problems
    json.dump([(item.file, item.line, item.message, item.remedy) for item in problems], sys.stdout)


if __name__ == "__main__":
    main()
