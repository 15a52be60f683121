"""`python -m tests.durability.tracing LOG COMMAND…`: run a command and write down, from outside, when it syncs and talks.

A small system call tracer over ptrace(2), for where strace is not installed. It attaches once the gateway's
`endpoint.json` stands, so starting is not slowed. LOG gets one JSON array a line, in the order in which the
kernel saw them: ["attached"], ["received", fd, text], ["wrote", path], ["synced", path], ["answers", fd, text].
A sync is written down when it has returned without error, an answer before it leaves.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

_SEIZE, _INTERRUPT, _LISTEN, _SYSCALL, _SYSCALL_INFO = 0x4206, 0x4207, 0x4208, 24, 0x420E
_TRACESYSGOOD, _TRACECLONE = 1, 8
_EVENT_STOP = 128
_WALL = 0x40000000
_NUMBERS = {
    "x86_64": {0: "read", 45: "read", 1: "write", 44: "write", 20: "writev", 46: "sendmsg", 18: "pwrite", 74: "sync", 75: "sync"},
    "aarch64": {63: "read", 207: "read", 64: "write", 206: "write", 66: "writev", 211: "sendmsg", 68: "pwrite", 82: "sync", 83: "sync"},
}  # fmt: skip

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def calls_here() -> dict[int, str]:
    """The system calls that matter by their numbers on this machine; none where they are not known."""
    return _NUMBERS.get(platform.machine(), {}) if sys.platform == "linux" else {}


def _ptrace(what: int, task: int, address: int = 0, data: int = 0) -> int:
    done = int(_libc.ptrace(what, task, address, data))
    if done < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return done


def may_trace() -> bool:
    """Whether a process may trace its child here."""
    if not calls_here():
        return False
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            _ptrace(_SEIZE, child.pid)
        except OSError:
            return False
        finally:
            child.kill()
    return True


class _Tracer:
    """Follows every thread of one process."""

    def __init__(self, pid: int, log: TextIO) -> None:
        self.pid = pid
        self.log = log
        self.calls = calls_here()
        self.inside: dict[int, tuple[str, tuple[int, ...]]] = {}
        self.memory = -1

    def attach(self) -> None:
        for task in os.listdir(f"/proc/{self.pid}/task"):
            _ptrace(_SEIZE, int(task), 0, _TRACESYSGOOD | _TRACECLONE)
            _ptrace(_INTERRUPT, int(task))
        self.memory = os.open(f"/proc/{self.pid}/mem", os.O_RDONLY)
        self.note("attached")

    def note(self, *event: object) -> None:
        self.log.write(json.dumps(event) + "\n")
        self.log.flush()

    def follow(self) -> None:
        """Until the process has ended."""
        while True:
            try:
                task, status = os.waitpid(-1, _WALL)
            except ChildProcessError:
                return
            if not os.WIFSTOPPED(status):
                if task == self.pid:
                    return
                continue
            number, event = os.WSTOPSIG(status), status >> 16
            try:
                if number == signal.SIGTRAP | 0x80:
                    self._at_call(task)
                    _ptrace(_SYSCALL, task)
                elif event == _EVENT_STOP and number in (signal.SIGSTOP, signal.SIGTSTP):
                    _ptrace(_LISTEN, task)
                else:
                    _ptrace(_SYSCALL, task, 0, 0 if event else number)
            except ProcessLookupError:
                continue

    def _at_call(self, task: int) -> None:
        buffer = ctypes.create_string_buffer(128)
        _ptrace(_SYSCALL_INFO, task, 128, ctypes.addressof(buffer))
        if buffer.raw[0] == 1:
            number, *arguments = struct.unpack_from("<7Q", buffer.raw, 24)
            name = self.calls.get(number, "")
            self.inside[task] = name, tuple(arguments)
            if name in ("write", "writev", "sendmsg"):
                self._leaves(name, arguments)
        elif buffer.raw[0] == 2 and task in self.inside:
            name, arguments = self.inside.pop(task)
            returned = struct.unpack_from("<q", buffer.raw, 24)[0]
            if name == "read" and returned > 0 and self._path(arguments[0]).startswith("socket:"):
                self.note("received", arguments[0], self._text(arguments[1], returned))
            elif name == "pwrite" and returned > 0:
                self.note("wrote", self._path(arguments[0]))
            elif name == "sync" and returned == 0:
                self.note("synced", self._path(arguments[0]))

    def _leaves(self, name: str, arguments: list[int]) -> None:
        where, length = arguments[1], arguments[2]
        if name == "sendmsg":
            where = struct.unpack("<Q", self._bytes(where + 16, 8))[0]
        if name != "write":
            where, length = struct.unpack("<2Q", self._bytes(where, 16))
        if self._path(arguments[0]).startswith("socket:"):
            self.note("answers", arguments[0], self._text(where, length))

    def _bytes(self, where: int, length: int) -> bytes:
        return os.pread(self.memory, length, where)

    def _text(self, where: int, length: int) -> str:
        return self._bytes(where, min(length, 64)).decode("latin-1")

    def _path(self, fd: int) -> str:
        try:
            return os.readlink(f"/proc/{self.pid}/fd/{fd}")
        except OSError:
            return ""


def main(log: Path, command: list[str]) -> None:
    endpoint = Path(os.environ["GUARDHOUSE_HOME"]) / "endpoint.json"
    with subprocess.Popen(command) as child, log.open("w") as sink:
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        while not endpoint.exists():
            if child.poll() is not None:
                return
            time.sleep(0.01)
        tracer = _Tracer(child.pid, sink)
        tracer.attach()
        tracer.follow()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
