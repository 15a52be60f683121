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
import sqlite3
import sys
from pathlib import Path
from typing import Any

from guardhouse.services import recalling
from guardhouse.storage import framing, sqlite_file

MOST_ASKED = 1 << 18
"""Bytes of one question: a thousand characters, 32 tags and a few names, at four bytes each."""
MOST_TOLD = 1 << 25
"""Bytes of one answer: fifty memories of at most 61,000 characters, escaped."""
_GENTLER = 5
"""How much further back this process stands in the queue for a processor (`nice`) than the server."""


def answer(connection: sqlite3.Connection, question: dict[str, Any]) -> dict[str, Any]:
    """What a question is answered with: `found`, or `late`, or the kind of `fault`. No text of it stands in a fault."""
    number = question["number"]
    try:
        with sqlite_file.reading(connection, question["seconds"]) as snapshot:
            found = recalling.recall(snapshot, rest=_go_on, **question["asked"])
        return {"number": number, "found": recalling.packed(found)}
    except Exception as error:  # noqa: BLE001  # whatever it is, the server reads it itself and says so
        return {"number": number, "late" if sqlite_file.interrupted(error) else "fault": type(error).__name__}


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
        connection = sqlite_file.opened(Path(framing.receive(line, MOST_ASKED)["file"]))
        framing.send(line, {"ready": True})
        while True:
            framing.send(line, answer(connection, framing.receive(line, MOST_ASKED)))
    except sqlite3.Error as error:
        sys.exit(f"the database cannot be read ({getattr(error, 'sqlite_errorname', type(error).__name__)})")
    except (EOFError, OSError):
        # The parent has ended. Nothing is closed in order: who closes a file last would begin to tidy it.
        os._exit(0)


if __name__ == "__main__":
    main()
