"""What people and programs see: JSON on request, else Rich tables; colours only on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

_UNBOUNDED = 10_000
"""Columns where no terminal reads: a row stays one line, however long."""

_COPIED = ("_id", "digest")
"""Columns that people copy out of: the first one of a table is never broken."""

_NARROWEST = 8

VERDICT_STYLE = {"allow": "green", "warn": "yellow", "ask": "bold yellow", "block": "bold red"}


def console(*, stderr: bool = False) -> Console:
    """A console that colours only a terminal and wraps nothing when a program reads."""
    from rich.console import Console

    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(
        stderr=stderr, highlight=False, soft_wrap=not terminal, emoji=False, width=None if terminal else _UNBOUNDED
    )


def plain(value: Any) -> str:
    """A value as one line of text. Control characters are made visible: names and reasons come from agents."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(item) for item in value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def print_json(value: Any) -> None:
    """One JSON value on standard output, indented, in the order given."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def say(text: str, style: str = "", *, stderr: bool = False) -> None:
    """A line of our own words, with nothing in it read as markup."""
    if _unadorned(text, stderr=stderr):
        (sys.stderr if stderr else sys.stdout).write(text + "\n")
        return
    from rich.text import Text

    console(stderr=stderr).print(Text(text, style=style))


_TERMINALS = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "JUPYTER_COLUMNS", "JUPYTER_LINES")
"""Variables by which Rich takes for a terminal what is none."""


def _unadorned(*texts: str, stderr: bool = False) -> bool:
    """Whether a program reads, and Rich would only pass these lines on: then loading it is not worth its time."""
    file = sys.stderr if stderr else sys.stdout
    if file.isatty() or any(name in os.environ for name in _TERMINALS):
        return False
    return all(line.isprintable() for text in texts for line in text.split("\n"))


def table(title: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], empty: str) -> None:
    """Rows as a table without its empty columns, or the sentence `empty` when there are none."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    listed = list(rows)
    if not listed:
        say(empty)
        return
    shown = Table(title=title, box=SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    columns = [column for column in columns if any(plain(row.get(column)) for row in listed)]
    copied = next((column for column in columns if column.endswith(_COPIED)), "")
    for column in columns:
        whole = column == copied
        least = None if whole else min(_NARROWEST, max(len(plain(row.get(column))) for row in listed))
        shown.add_column(column.replace("_", " "), overflow="fold", no_wrap=whole, min_width=least)
    for row in listed:
        shown.add_row(*(Text(plain(row.get(column))) for column in columns))
    console().print(shown)


def record(title: str, value: Mapping[str, Any], *, skip: Sequence[str] = ()) -> None:
    """One value, a field a line; empty fields are left out."""
    width = max((len(name) for name in value if name not in skip), default=0)
    if title:
        say(title, "bold")
    shown = [
        (f"  {name.replace('_', ' '):<{width}}  ", plain(item))
        for name, item in value.items()
        if name not in skip and item not in (None, "", [], ())
    ]
    if _unadorned(*(part for line in shown for part in line)):
        sys.stdout.writelines(f"{label}{text}\n" for label, text in shown)
        return
    from rich.text import Text

    screen = console()
    for label, text in shown:
        screen.print(Text(label, style="dim") + Text(text))


@contextmanager
def working(words: str, total: int | None = None, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Show progress on a terminal's standard error while something takes long; yields `advance(steps)`.

    Not `shown`, or where no terminal reads: nothing. What is soon done shows none beside JSON.
    """
    if not (shown and sys.stderr.isatty()):
        yield lambda _steps: None
        return
    screen = console(stderr=True)
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    counted = [BarColumn(), MofNCompleteColumn()] if total is not None else []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), *counted, TimeElapsedColumn())
    # What counts nothing tells nothing once it is over, so it takes itself away.
    bar = Progress(*columns, console=screen, transient=total is None)
    with bar:
        task = bar.add_task(words, total=total)
        yield lambda steps: bar.advance(task, steps)
