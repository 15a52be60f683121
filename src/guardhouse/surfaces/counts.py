"""Counts of suppressed calls in a file that outlives the process: each is written before its call is answered.

Appended and not synced: what the process has written stays when it is killed, and is lost only with the
machine. A line is `<key> <change>`, or `<key> <key>` where the first, a token, is counted under the
second. Keys are 64 hexadecimal digits.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
from pathlib import Path

from guardhouse.storage import private

_log = logging.getLogger("guardhouse.silences")

_LINE = re.compile(rb"([0-9a-f]{64}) (?:([0-9a-f]{64})|(-?[1-9][0-9]{0,17}))\Z")
_SHORT = 1_000
"""Up to so many lines a file is left as it is."""


class Counts:
    """Sums by key, and which tokens are counted under which key. Whoever uses it lets one thread in at a time.

    `file` None keeps nothing. A file that cannot be written is told in the log, and counting goes on in memory.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._handle = -1
        self._lines = 0
        self.sums: dict[bytes, int] = {}
        self.owners: dict[bytes, bytes] = {}
        if file is not None and self._take(file):
            self._write_anew()

    def add(self, key: bytes, change: int) -> None:
        """Count up what was suppressed, and down what an entry has reported."""
        left = self.sums.get(key, 0) + change
        if left > 0:
            self.sums[key] = left
        else:
            self.sums.pop(key, None)
        self._append(f"{key.hex()} {change}\n")

    def own(self, token: bytes, key: bytes) -> None:
        """Count a token under another key from now on; under its own where that is the key."""
        if token == key:
            self.owners.pop(token, None)
        else:
            self.owners[token] = key
        self._append(f"{token.hex()} {key.hex()}\n")

    def tidy(self) -> None:
        """Write the file anew where most of it is past."""
        if self._handle >= 0 and self._lines > _SHORT + 4 * (len(self.sums) + len(self.owners)):
            self._write_anew()

    def _append(self, line: str) -> None:
        if self._handle < 0:
            return
        try:
            os.write(self._handle, line.encode())
            self._lines += 1
        except OSError as error:
            _log.error("counts of suppressed calls cannot be written (%s); they stay in memory", error.strerror)

    def _take(self, file: Path) -> bool:
        """Read the file and keep others out of it; False where another process of this home has it, or nobody can."""
        try:
            while True:
                handle = private.opened(file, os.O_RDWR | os.O_CREAT | os.O_APPEND)
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.close()
                self._handle = handle
                if os.fstat(handle).st_ino == file.stat().st_ino:  # else it was written anew just now
                    break
            self._read(file.read_bytes())
        except BlockingIOError:
            os.close(handle)
            _log.warning("another process of this home has the counts of suppressed calls; ours stay in memory")
        except OSError as error:
            _log.error("counts of suppressed calls cannot be read (%s); they stay in memory", error.strerror)
        return self._handle >= 0

    def _read(self, data: bytes) -> None:
        """What a file says; a damaged line says nothing, since a door must open all the same."""
        for line in data.split(b"\n"):
            found = _LINE.match(line)
            if found is None:
                continue
            key = bytes.fromhex(found[1].decode())
            if found[2]:
                self.owners[key] = bytes.fromhex(found[2].decode())
            else:
                self.sums[key] = self.sums.get(key, 0) + int(found[3])
        self.sums = {key: count for key, count in self.sums.items() if count > 0}
        self.owners = {token: key for token, key in self.owners.items() if key in self.sums}

    def _write_anew(self) -> None:
        """Put a file of only what stands in the place of the old one, whole or not at all."""
        assert self._file is not None
        lines = [f"{key.hex()} {count}\n" for key, count in self.sums.items()]
        lines += [f"{token.hex()} {key.hex()}\n" for token, key in self.owners.items()]
        beside = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        try:
            beside.unlink(missing_ok=True)
            private.written(beside, "".join(lines).encode())
            handle = os.open(beside, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            fcntl.flock(handle, fcntl.LOCK_EX)
            beside.replace(self._file)
        except OSError as error:
            _log.error("counts of suppressed calls cannot be written anew (%s)", error.strerror)
            return
        self.close()
        self._handle, self._lines = handle, len(lines)

    def close(self) -> None:
        """Let go of the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __del__(self) -> None:
        self.close()
