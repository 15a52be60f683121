"""What an installation would change, file by file, and what taking it out leaves: nothing is written here."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from guardhouse.errors import InvalidInput
from guardhouse.surfaces.install import clients, editing, files, records, whole
from guardhouse.surfaces.install.clients import Place
from guardhouse.surfaces.install.editing import Edit, Splice
from guardhouse.surfaces.install.files import Lying
from guardhouse.surfaces.install.jsonc import Unreadable, parse
from guardhouse.surfaces.install.records import Record
from guardhouse.surfaces.install.whole import Without


@dataclass(frozen=True, slots=True)
class Change:
    """One file as it lies, as it shall be (None: away), and what is to be recorded of it.

    `base` is the file without anything of ours: what comes back when all is taken out. `beside` is what has to be kept
    in a file beside it before it is changed, and `note` what a person is told of it.
    """

    lying: Lying
    base: bytes | None
    after: bytes | None
    record: Record | None
    beside: tuple[Path, bytes] | None = None
    note: str = ""

    @property
    def nothing(self) -> bool:
        return self.lying.data == self.after

    def diff(self) -> str:
        """The change as a unified diff."""
        old = (self.lying.data or b"").decode("utf-8", "replace").splitlines(keepends=True)
        new = (self.after or b"").decode("utf-8", "replace").splitlines(keepends=True)
        name = str(self.lying.path)
        lines = difflib.unified_diff(
            old,
            new,
            name if self.lying.data is not None else "/dev/null",
            name if self.after is not None else "/dev/null",
        )
        return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def put_in(client: str, scope: str, place: Place, line: str, posture: str, home: Path, text: str = "") -> Change:
    """The change that puts our entry into a file, in the place of any older one of ours; or our `text`, as the whole of it."""
    lying = files.read(place.path)
    old = _recorded(home, lying.real, client)
    alone = whole.without(home, lying, old) if place.kind == "whole" else None
    base = _base(home, lying, old, place.kind) if alone is None else alone.base
    under = replace(lying, data=base)
    try:
        if place.kind == "whole":
            edit = Edit(text, (Splice("", text, ""),))
        elif place.kind == "toml":
            edit = _in_toml(under, client, line)
        else:
            edit = _in_json(under.text, client, clients.entry(client, line, posture))
    except Unreadable as fault:
        raise InvalidInput(f"{lying.path}:{fault}: repair the file, then run this again; it was not changed") from None
    after = under.with_text(edit.text) if alone is None else text.encode()
    made = Record(
        client,
        scope,
        str(lying.real),
        place.kind,
        records.digest(base),
        records.digest(after),
        edit.splices,
        old.folders if old else (),
        posture,
    )
    return Change(lying, base, after, made) if alone is None else _whole(lying, alone, after, made)


def _whole(lying: Lying, alone: Without, after: bytes | None, made: Record | None) -> Change:
    """The change of a file that is ours whole. What stood there before is kept in the home while ours stands there."""
    if alone.beside is None or alone.beside == after:
        return Change(lying, alone.base, after, made, note="" if alone.beside is not None else alone.note)
    place = whole.beside(lying.real, alone.beside)
    return Change(lying, alone.base, after, made, (place, alone.beside), f"{alone.note}: {place}")


def add_line(client: str, scope: str, path: Path, line: str, home: Path) -> Change:
    """The change that adds one line to the end of a text file, such as git's list of what to ignore."""
    lying = files.read(path)
    old = _recorded(home, lying.real, client, "line")
    base = _base(home, lying, old, "line")
    text = replace(lying, data=base).text
    # Who undoes the line end that we had to add is whoever is taken out last.
    ended = [Splice("", "\n", "")] if text and not text.endswith("\n") else _line_ends(home, lying.real)
    made = ("" if not text or text.endswith("\n") else "\n") + line + "\n"
    after = replace(lying, data=base).with_text(text + made)
    splices = (*ended, Splice("", line + "\n", ""))
    before, folders = records.digest(base), old.folders if old else ()
    record = Record(client, scope, str(lying.real), "line", before, records.digest(after), splices, folders)
    return Change(lying, base, after, record)


def take_out(record: Record, home: Path) -> Change:
    """The change that takes out what a record says we put in, and leaves what anybody else did since."""
    lying = files.read(Path(record.path))
    if record.kind == "whole":
        alone = whole.without(home, lying, record)
        return _whole(lying, alone, alone.base, None)
    base = _base(home, lying, record, record.kind)
    if not record.before and base is not None and lying.real.name == clients.OWN and _empty(base):
        base = None
    return Change(lying, base, base, None)


def found(place: Place) -> bool:
    """Whether a file holds an entry of ours. Raises InvalidInput where it cannot be read."""
    lying = files.read(place.path)
    if lying.data is None:
        return False
    if place.kind == "json":
        try:
            return bool(_ours_in(lying.text))
        except Unreadable as fault:
            raise InvalidInput(f"{lying.path}:{fault}: repair the file") from None
    if place.kind == "toml":
        return _in_tables(lying.text)
    return whole.ours(lying.text)


def take_out_unrecorded(place: Place, home: Path) -> Change:
    """The same where no record is left: what is ours is known by what it runs."""
    lying = files.read(place.path)
    if place.kind == "whole":
        alone = whole.without(home, lying, None)
        return _whole(lying, alone, alone.base, None)
    base = _base(home, lying, None, place.kind)
    if base is not None and lying.real.name == clients.OWN and _empty(base):
        base = None
    return Change(lying, base, base, None)


def _empty(base: bytes) -> bool:
    """Whether nothing but our own `version` is left in a JSON file."""
    try:
        root = parse(base.decode("utf-8-sig"))
    except Unreadable:
        return False
    return root is None or editing.theirs(root.plain(), editing.marked) in ({}, {"version": 1})


def _line_ends(home: Path, real: Path, but: str = "") -> list[Splice]:
    """The line end that another client's record of the same file still owes."""
    others = [one for one in records.read(home) if one.path == str(real) and one.kind == "line" and one.client != but]
    return next(([one.splices[0]] for one in others if len(one.splices) > 1), [])


def _without_line(text: str, record: Record, home: Path) -> str:
    line = record.splices[-1].text
    parts = text.splitlines(keepends=True)
    if line in parts:
        parts.remove(line)
    left = "".join(parts)
    owed = len(record.splices) > 1 and not _line_ends(home, Path(record.path), record.client)
    return left.removesuffix("\n") if owed else left


def _recorded(home: Path, real: Path, client: str, kind: str = "") -> Record | None:
    for one in records.read(home):
        if one.path == str(real) and one.client == client and (not kind or one.kind == kind):
            return one
    return None


def _base(home: Path, lying: Lying, record: Record | None, kind: str) -> bytes | None:
    """The file without what is ours: the bytes of before where nobody touched it since, else by the splices, else by
    reading it. None where it was ours from the start and nothing of anybody else's is in it.
    """
    if lying.data is None or (record is not None and records.digest(lying.data) == record.before):
        return lying.data
    if record is not None and records.digest(lying.data) == record.after:
        if not record.before:
            return None
        before = records.kept(home, record.before)
        if before is not None:
            return before
    text = lying.text
    if kind == "line":
        left = _without_line(text, record, home) if record is not None else text
        return lying.with_text(left) if left or record is None or record.before else None
    splices = record.splices if record is not None else ()
    undone = editing.undo(text, splices) if splices else None
    if kind == "json":
        left = _json_without(lying, text, undone)
    else:
        if undone is None:
            # What stands around ours was changed since, so ours is looked for by itself.
            undone = editing.undo(text, [Splice("", one.text, "") for one in splices]) if splices else None
        left = undone if undone is not None else _TABLES.sub("", text) if kind == "toml" else text
        if kind == "toml" and undone is None and _in_tables(left):
            line = text[: text.index("hooks/run")].count("\n") + 1
            raise InvalidInput(
                f"{lying.path}:{line}: Guardhouse's tables were changed by hand: take them out by hand, from `[[hooks` on"
            )
    if record is not None and not record.before and not left.strip():
        return None
    return lying.with_text(left)


_TABLES = re.compile(
    r'(?:\r?\n)?\[\[hooks\.PreToolUse\]\]\r?\nmatcher = "\*"\r?\n\r?\n\[\[hooks\.PreToolUse\.hooks\]\]\r?\n'
    r'type = "command"\r?\ncommand = "[^\r\n]*hooks/run[^\r\n]*guardhouse[^\r\n]*"\r?\ntimeout = \d+(?:\r?\n|\Z)'
)
"""Our entry as `clients.toml` writes it, wherever it stands."""


def _in_tables(text: str) -> bool:
    """Whether TOML has a hook of ours; of a text that is none, whether it looks so."""
    try:
        held = tomllib.loads(text).get("hooks")
    except ValueError:
        return "guardhouse" in text.casefold() and "hooks/run" in text
    groups = (
        [one for event in held.values() if isinstance(event, list) for one in event] if isinstance(held, dict) else []
    )
    handlers = [one for group in groups if isinstance(group, dict) for one in _listed(group.get("hooks"))]
    return any(editing.marked(one) for one in handlers)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _json_without(lying: Lying, text: str, undone: str | None) -> str:
    try:
        root = parse(text)
        if undone is not None:
            after = parse(undone)
            clean = after is None or not _ours_in(undone)
            if clean and _same(root.plain() if root else None, after.plain() if after else None):
                return undone
        return editing.remove(text, editing.marked, "hooks")
    except Unreadable as fault:
        if undone is not None:
            return undone
        if "hooks/run" not in text and "hooks/shim.py" not in text:
            return text
        raise InvalidInput(
            f"{lying.path}:{fault}: so Guardhouse's entry cannot be taken out: repair the file, then run this again"
        ) from None


def _same(old: object, new: object) -> bool:
    """Whether only what is ours is gone; `version` came with it where the file was made by us."""
    left, right = editing.theirs(old, editing.marked), editing.theirs(new, editing.marked)
    for one in (left, right):
        if isinstance(one, dict) and one.get("version") == 1:
            one.pop("version")
    return (left or None) == (right or None)


def _ours_in(text: str) -> list[object]:
    root = parse(text)
    held = root.plain().get("hooks") if root is not None and root.kind == "object" else None
    found: list[object] = []
    work: list[object] = [held]
    while work:
        item = work.pop()
        if isinstance(item, dict):
            work.extend(item.values())
        elif isinstance(item, list):
            found.extend(one for one in item if editing.marked(one))
            work.extend(item)
    return found


def _in_json(text: str, client: str, entry: object) -> Edit:
    first = Edit(text)
    if client in clients.VERSIONED and not text.strip():
        # One paste for a new file, so that it reads as the client's own pages show it.
        return editing.fresh(text, {"version": 1, "hooks": {clients.EVENT[client]: [entry]}})
    if client in clients.VERSIONED:
        first = editing.add(text, ("version",), 1, last=False)
    second = editing.add(first.text, ("hooks", clients.EVENT[client]), entry)
    # The later paste is undone first: its contexts are those of the final text.
    again = [_later(one, second) for one in first.splices]
    return Edit(second.text, (*second.splices, *again))


def _later(splice: Splice, edit: Edit) -> Splice:
    """A splice made before another edit, with the contexts that it has after it."""
    whole = splice.before + splice.text
    at = edit.text.find(whole)
    if at < 0:
        return splice
    start = at + len(splice.before)
    end = start + len(splice.text)
    return Splice(splice.before, splice.text, edit.text[end : end + editing.CONTEXT])


def _in_toml(under: Lying, client: str, line: str) -> Edit:
    text = under.text
    try:
        tomllib.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{under.path}: not TOML ({error}): repair the file; it was not changed") from None
    made = ("" if not text or text.endswith("\n") else "\n") + ("\n" if text else "") + clients.toml(client, line)
    if "\r\n" in text:
        made = made.replace("\n", "\r\n")
    try:
        tomllib.loads(text + made)
    except ValueError as error:
        told = f"its hooks are written as one value, which cannot be added to ({error})"
        raise InvalidInput(
            f"{under.path}: {told}: write them as `[[hooks…]]` tables, or move them to hooks.json"
        ) from None
    return Edit(text + made, (Splice(text[-editing.CONTEXT :], made, ""),))


def merged(changes: Iterable[Change], home: Path) -> list[Record]:
    """The records after these changes: theirs in the place of older ones of the same file and client."""
    listed = list(changes)
    gone = {(str(one.lying.real), one.record.client) for one in listed if one.record is not None}
    kept = [one for one in records.read(home) if (one.path, one.client) not in gone]
    return kept + [one.record for one in listed if one.record is not None]
