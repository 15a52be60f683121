"""Private files and folders: closed to everybody but their owner, whatever umask the process was started with."""

from __future__ import annotations

import errno
import os
import pwd
import secrets
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


def replaced(path: Path, text: str) -> None:
    """Write a private file in the place of whatever stands there: whole and synced, or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = opened(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def refused(error: OSError, path: Path | None = None) -> str:
    """What keeps a file from us, and what to do about it: the end of a message that has named the file before.

    `path` where the error itself does not say which file it was.
    """
    told = error.strerror or type(error).__name__
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{told}: make room there"
    if error.errno not in (errno.EACCES, errno.EPERM):
        return told
    named = error.filename if isinstance(error.filename, str) else None
    place, keeper = _nearest(path or Path(named or "."))
    if keeper == os.geteuid():
        return f"{told}: it is your own, so `chmod u+rwX {place}` opens it to you"
    owner, us = _user(keeper), _user(os.geteuid())
    return (
        f"{told}: `{place}` belongs to `{owner}` and this runs as `{us}`; run it as `{owner}`, "
        "or set GUARDHOUSE_HOME to a folder of your own"
    )


def _nearest(path: Path) -> tuple[Path, int]:
    """The file, or the nearest folder above it that can be looked at, and whose that is."""
    for place in (path, *path.absolute().parents):
        try:
            return place, place.stat().st_uid
        except OSError:
            continue
    return path, 0


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
