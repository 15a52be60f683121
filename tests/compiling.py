"""Compiles each law once a process: the same files make the same law, and compiling takes longer than most tests.

Only what succeeds is kept, and what a policy gate remembers of its rulings is each law's own. Where compiling is what is
tested, `guardhouse.bundle.load` is called, which keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from guardhouse.bundle import Bundle, load, versions
from guardhouse.gates import policy
from guardhouse.operations import policy as policies

_KEPT = 16


class Once:
    """A way to compile files, which keeps the last few laws by all that they were made from."""

    def __init__(self, compile_files: Callable[..., Bundle]) -> None:
        self._compile = compile_files
        self._known: dict[Any, Bundle] = {}

    def __call__(self, files: Mapping[str, bytes], actions: Mapping[str, load.ActionDecl] | None = None) -> Bundle:
        made_from = (frozenset(files.items()), None if actions is None else frozenset(actions.items()))
        law = self._known.get(made_from)
        if law is None:
            law = self._compile(files) if actions is None else self._compile(files, actions)
            self._known[made_from] = law
            for oldest in list(self._known)[:-_KEPT]:
                self._known.pop(oldest, None)
        return replace(law, rules={**law.rules, policy.NAME: replace(law.rules[policy.NAME])})


_uploaded = Once(load.load_files)


def compile_once() -> None:
    """From now on, whenever a stored or an uploaded law is compiled in this process."""
    versions.load_stored = Once(load.load_stored)
    policies.load_files = _uploaded


@contextmanager
def founding() -> Iterator[None]:
    """While homes are founded, compile their law once, too."""
    anew = load.load_directory

    def known(path: Path | str, actions: Mapping[str, load.ActionDecl]) -> Bundle:
        return _uploaded(load.read_directory(Path(path)), actions)

    load.load_directory = known
    try:
        yield
    finally:
        load.load_directory = anew
