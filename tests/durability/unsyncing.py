"""`python -m tests.durability.unsyncing …`: guardhouse, on a disk that fails every sync with EIO from SIGUSR1 on.

A seccomp filter over all threads answers fsync(2) and fdatasync(2); what is written still reaches the files. There is
no way back: the process is to be killed. When the filter stands, the file `unsyncing` is in the home.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

_NUMBERS = {"x86_64": (317, 74, 75), "aarch64": (277, 82, 83)}
"""seccomp, fsync and fdatasync by their numbers."""
_NO_NEW_PRIVS, _SET_FILTER, _ALL_THREADS = 38, 1, 1
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _EIO = 0x7FFF0000, 0x00050005


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("then", ctypes.c_uint8),
        ("otherwise", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("first", ctypes.POINTER(_Instruction)))


@functools.cache
def may_unsync() -> bool:
    """Whether a process may have its syncs fail here: the numbers are known, and the system allows such a filter."""
    if sys.platform != "linux" or platform.machine() not in _NUMBERS:
        return False
    tried = [sys.executable, "-c", "from tests.durability.unsyncing import fail_syncs; fail_syncs()"]
    return subprocess.run(tried, capture_output=True, timeout=60).returncode == 0


def fail_syncs(*, everywhere: bool = True) -> None:
    """From now on every sync of this process fails, or of this thread alone. OSError where the system forbids that."""
    seccomp, fsync, fdatasync = _NUMBERS[platform.machine()]
    steps = (
        (_LOAD, 0, 0, 0),
        (_EQUAL, 1, 0, fsync),
        (_EQUAL, 0, 1, fdatasync),
        (_RETURN, 0, 0, _EIO),
        (_RETURN, 0, 0, _ALLOW),
    )
    program = _Program(len(steps), (_Instruction * len(steps))(*steps))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.syscall(
        seccomp, _SET_FILTER, _ALL_THREADS if everywhere else 0, ctypes.byref(program)
    ):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _begin(*_: object) -> None:
    fail_syncs()
    (Path(os.environ["GUARDHOUSE_HOME"]) / "unsyncing").touch()


if __name__ == "__main__":
    from guardhouse.__main__ import main

    signal.signal(signal.SIGUSR1, _begin)
    main()
