"""The process that reads recalls: one question after another from its parent, each answered from a state of the file.

`python -P -m guardhouse.services.recaller`, started by `gateway/apart.py` with one end of a pair of sockets as its standard
input. It imports what a recall needs and nothing else, reads a SQLite file and writes none, knows nobody's token and no
law, and ends when its parent does. What it is asked, it is asked by value; nothing of it is kept.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from guardhouse.services import recalling
from guardhouse.storage import framing
from guardhouse.storage.searching import Source

MOST_ASKED = 1 << 18
"""Bytes of one question: a thousand characters, 32 tags and a few names, at four bytes each."""
MOST_TOLD = 1 << 25
"""Bytes of one answer: fifty memories of at most 61,000 characters, escaped."""
_GENTLER = 5
"""How much further back this process stands in the queue for a processor (`nice`) than the server."""


def answer(source: Source, question: dict[str, Any]) -> dict[str, Any]:
    """What a question is answered with: `found`, or `late`, or the kind of `fault`. No text of it stands in a fault."""
    number = question["number"]
    try:
        with source.reading(question["seconds"]) as asking:
            found = recalling.recall(asking, rest=_go_on, **question["asked"])
        return {"number": number, "found": recalling.packed(found)}
    except Exception as error:  # noqa: BLE001  # whatever it is, the server reads it itself and says so
        return {"number": number, "late" if source.late(error) else "fault": type(error).__name__}


def opened(told: dict[str, Any]) -> Source:
    """The database, as a store's `for_readers` describes it."""
    if "sqlite" in told:
        from guardhouse.storage.sqlite_file import File

        return File(Path(told["sqlite"]))
    from guardhouse.storage.postgres_reading import Server

    return Server(told["postgresql"])


def _go_on() -> None:
    """Nobody waits for this process's interpreter."""


def main() -> None:
    """Read where the file lies, say that it is open, and answer until nobody asks any more."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):  # the server's end is what ends it
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # what agents said stays out of files
    os.nice(_GENTLER)
    line = socket.socket(fileno=os.dup(0))
    try:
        told = framing.receive(line, MOST_ASKED)
        try:
            source = opened(told)
        except Exception as error:  # noqa: BLE001  # its message may tell more of the address than belongs into a log
            sys.exit(f"the database cannot be read ({type(error).__name__})")
        framing.send(line, {"ready": True})
        while not source.lost:
            framing.send(line, answer(source, framing.receive(line, MOST_ASKED)))
        sys.exit("the database is gone")
    except (EOFError, OSError):
        # The parent has ended. Nothing is closed in order: who closes a file last would begin to tidy it.
        os._exit(0)


if __name__ == "__main__":
    main()
