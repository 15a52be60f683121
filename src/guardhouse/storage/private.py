"""Private files and folders: closed to everybody but their owner, whatever umask the process was started with."""

from __future__ import annotations

import os
from pathlib import Path

FILE = 0o600
FOLDER = 0o700


def folder(path: Path) -> Path:
    """Make a folder and what is missing above it, each closed to others; one that stands already is left as it is."""
    for missing in reversed([part for part in (path, *path.parents) if not part.exists()]):
        try:
            missing.mkdir(mode=FOLDER)
        except FileExistsError:
            continue
        missing.chmod(FOLDER)
    return path


def opened(path: Path, flags: int) -> int:
    """Open a file, closed to others from its first moment if this makes it; the descriptor, not inherited.

    `flags` as for `os.open`. A umask can only take rights away, so the owner's own are given back.
    """
    before = path.exists()
    handle = os.open(path, flags | os.O_CLOEXEC, FILE)
    if not before:
        os.fchmod(handle, FILE)
    return handle


def made(path: Path) -> None:
    """Have a file stand, empty if it is new, before somebody else's code opens it with rights of its own choosing."""
    os.close(opened(path, os.O_RDWR | os.O_CREAT))


def written(path: Path, data: bytes) -> None:
    """Write a whole new private file; FileExistsError where one stands."""
    with os.fdopen(opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
        file.write(data)
