"""Parsing law from callers where a crash of the parser is not ours: in a child process with limits."""

from __future__ import annotations

import base64
import json
import resource
import subprocess
import sys
from collections.abc import Mapping

from guardhouse.bundle.load import MAX_BYTES
from guardhouse.errors import LawFault, LawProblem
from guardhouse.gates.policy import cedar

_SECONDS = 10
_MEMORY = 1_500_000_000
_UNTYPED = "untyped"


def parse_untrusted(files: Mapping[str, bytes], *, typed: bool = True) -> tuple[LawProblem, ...]:
    """Every problem of a schema and Cedar files; a child that crashes, hangs or runs out of memory is one too.

    `typed`: check the policies against the schema; without it, only that they can be read.
    """
    if sum(len(data) for data in files.values()) > MAX_BYTES:
        return (LawProblem("policies", 0, f"larger than {MAX_BYTES} bytes"),)
    given = json.dumps({name: base64.b64encode(data).decode() for name, data in files.items()}).encode()
    try:
        done = subprocess.run(  # noqa: S603  # our own interpreter and module, no shell
            [sys.executable, "-m", "guardhouse.bundle.child", *(() if typed else (_UNTYPED,))],
            input=given,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode:
            return (LawProblem("policies", 0, "the parser crashed on this text", "simplify it"),)
        return tuple(LawProblem(*item) for item in json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        return (LawProblem("policies", 0, f"not parsed within {_SECONDS} seconds", "simplify it"),)


def main() -> None:
    """The child: files as JSON on standard input, problems as JSON on standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    files = {name: base64.b64decode(data) for name, data in json.load(sys.stdin).items()}
    problems: tuple[LawProblem, ...] = ()
    try:
        cedar.compile_policies(files, typed=_UNTYPED not in sys.argv[1:])
    except LawFault as fault:
        problems = fault.problems
    json.dump([(item.file, item.line, item.message, item.remedy) for item in problems], sys.stdout)


if __name__ == "__main__":
    main()
