"""`python -I -S tests/relay.py SOCKET MODULE ARGUMENTS…`: has a nursery start a process with these streams, and ends as it ends.

For whoever can start a program only by its command line. SIGINT, SIGTERM and SIGHUP are passed on; SIGKILL cannot be.
Imports little, since it is started often.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Mapping, Sequence

_NUMBER = struct.Struct("!q")
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def ask(
    place: str, module: str, arguments: Sequence[str], env: Mapping[str, str], streams: Sequence[int]
) -> socket.socket:
    """Have a nursery start a process in this folder. It tells two numbers: the process's id and, at its end, its status."""
    data = json.dumps({"module": module, "arguments": list(arguments), "env": dict(env), "cwd": os.getcwd()}).encode()
    line = socket.socket(socket.AF_UNIX)
    try:
        line.connect(place)
        socket.send_fds(line, [_NUMBER.pack(len(data))], streams)
        line.sendall(data)
    except BaseException:
        line.close()
        raise
    return line


def asked(line: socket.socket) -> tuple[bytes, list[int]]:
    """What somebody asks for, and their streams."""
    head, streams, _flags, _address = socket.recv_fds(line, _NUMBER.size, 3)
    return line.recv(_NUMBER.unpack(head)[0], socket.MSG_WAITALL), streams


def tell(line: socket.socket, number: int) -> None:
    """Tell whoever asked a number."""
    line.sendall(_NUMBER.pack(number))


def told(line: socket.socket) -> int:
    """The next number of a nursery."""
    data = line.recv(_NUMBER.size, socket.MSG_WAITALL)
    if len(data) < _NUMBER.size:
        raise RuntimeError("the nursery ended")
    return int(_NUMBER.unpack(data)[0])


def main() -> None:
    place, module, *arguments = sys.argv[1:]
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    line = ask(place, module, arguments, os.environ, (0, 1, 2))
    os.close(0)
    os.close(1)
    program = told(line)
    for number in _PASSED_ON:
        signal.signal(number, lambda given, _frame: os.kill(program, given))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    status = told(line)
    if status < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


if __name__ == "__main__":
    main()
