"""Values between two processes of ours on one machine: each a JSON text behind its length, on a pair of sockets.

What comes in is believed no more than its length and its form: whoever reads says how much it takes, and looks at the
value itself.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

from guardhouse.model import canonical

_LENGTH = struct.Struct("!I")


def send(line: socket.socket, value: Any, deadline: float | None = None) -> None:
    """Send a plain value. `deadline` is an instant of `time.monotonic`; TimeoutError behind it, OSError where nobody hears."""
    data = canonical.encode(value)
    _wait_until(line, deadline)
    line.sendall(_LENGTH.pack(len(data)) + data)


def receive(line: socket.socket, most: int, deadline: float | None = None) -> Any:
    """The next value; EOFError when the other side has ended, ValueError for more than `most` bytes or no JSON.

    TimeoutError behind the deadline.
    """
    (length,) = _LENGTH.unpack(_bytes(line, _LENGTH.size, deadline))
    if length > most:
        raise ValueError(f"a value of {length} bytes, more than {most}")
    return canonical.decode(bytes(_bytes(line, length, deadline)))


def _bytes(line: socket.socket, count: int, deadline: float | None) -> bytearray:
    """So many bytes; no more is held than has come."""
    held = bytearray()
    while len(held) < count:
        _wait_until(line, deadline)
        part = line.recv(min(count - len(held), 1 << 20))
        if not part:
            raise EOFError("the other side has ended")
        held += part
    return held


def _wait_until(line: socket.socket, deadline: float | None) -> None:
    if deadline is None:
        return
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    line.settimeout(left)
