"""What the guard of Guardhouse says of a use of a tool beyond the commands in it: its files, addresses and foreign code."""

from __future__ import annotations

from collections.abc import Iterator

from guardhouse.guardrails import governing, meddling
from guardhouse.guardrails.text import Examined
from guardhouse.guardrails.touching import touched
from guardhouse.guardrails.watch import ENVIRONMENT, GOVERN, watch

_MOST_CODE = 512 * 1024
_LEAVES_NOTHING = frozenset({"read", "search", "fetch", "delete"})
LIKENESS = frozenset({"read", "write", "edit", "delete"})
"""Acts of a file tool that are also put as a command: the guard judges those by their paths, not by that likeness."""


def uses(text: Examined, kind: str) -> Iterator[str]:
    """The events of one text by its paths, act and kind; commands in it are `watch`'s part."""
    if not (text.act or text.file_paths or kind == "sql"):
        return
    links = dict(text.links)
    if (text.act == "run" or kind == "sql") and len(text.text) <= _MOST_CODE:
        for seen in watch((), ((text.text, 0, 0, ()),), text.around, links):
            yield seen.event
    if text.act == "fetch" and governing.governs_address(text.text):
        yield GOVERN
    told = (text.text, *(new for _old, new, _everywhere in text.edits))
    for path in text.file_paths:
        event = touched(path, text.act, text.kept, text.cwd, text.around, links)
        if event:
            yield event
        if text.kind == "file" and text.act not in _LEAVES_NOTHING and meddling.sets_later(path, told):
            yield ENVIRONMENT
