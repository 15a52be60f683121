"""Clients' files as they lie on disk: read whole, refused when they should not be written, replaced whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from guardhouse.errors import InvalidInput

MOST = 4 * 1024 * 1024
MARK = "\ufeff"
"""The byte order mark that some editors put first; it stays where it is."""


@dataclass(frozen=True, slots=True)
class Lying:
    """A file as found. `path` is its name, `real` what it leads to; `data` is None where there is none."""

    path: Path
    real: Path
    data: bytes | None
    mode: int = 0o644

    @property
    def text(self) -> str:
        """Its text without the byte order mark."""
        return (self.data or b"").decode("utf-8").removeprefix(MARK)

    def with_text(self, text: str) -> bytes:
        """The bytes of another text, with the mark that the file had."""
        marked = (self.data or b"").startswith(MARK.encode())
        return ((MARK if marked else "") + text).encode("utf-8")


def read(path: Path) -> Lying:
    """The file at a path. InvalidInput, with the place and what to do, where it is none that we may change."""
    real = Path(os.path.realpath(path))
    try:
        state = real.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise InvalidInput(
                f"{path}: a link to `{real}`, which is not there: make the file or remove the link"
            ) from None
        return Lying(path, real, None)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(state.st_mode):
        raise InvalidInput(f"{path}: not a file")
    if not state.st_mode & stat.S_IWUSR:
        raise InvalidInput(f"{path}: read-only: run `chmod u+w {real}` if it is yours to change")
    if state.st_size > MOST:
        raise InvalidInput(f"{path}: larger than 4 MiB, so it is not changed")
    try:
        data = real.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror})") from None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"{path}:{line}: not UTF-8: save the file in that encoding") from None
    return Lying(path, real, data, stat.S_IMODE(state.st_mode))


def write(lying: Lying, data: bytes) -> list[Path]:
    """Put bytes in a file's place, unless it was changed since it was read; the folders that had to be made."""
    if _now(lying.real) != lying.data:
        raise InvalidInput(f"{lying.path}: was changed by somebody else just now: run this again")
    try:
        made = _folders(lying.real.parent)
        if lying.data is not None and lying.real.stat().st_nlink > 1:
            # Other names of the same file must go on to show what this one shows.
            _in_place(lying.real, data, lying.data)
            return made
        beside = lying.real.with_name(f".{lying.real.name}.{secrets.token_hex(4)}")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), lying.mode)
                if lying.data is not None:
                    state = lying.real.stat()
                    with contextlib.suppress(PermissionError):
                        os.fchown(file.fileno(), state.st_uid, state.st_gid)
                os.fsync(file.fileno())
            beside.replace(lying.real)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InvalidInput(f"{lying.path}: cannot be written ({error.strerror})") from None
    return made


def _in_place(path: Path, data: bytes, before: bytes) -> None:
    """Write over a file where it lies; its old bytes come back where the new ones do not fit."""
    with path.open("r+b", buffering=0) as file:
        try:
            _all(file, data)
        except OSError:
            _all(file, before)
            raise


def _all(file: FileIO, data: bytes) -> None:
    file.seek(0)
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
    file.truncate()
    os.fsync(file.fileno())


def remove(lying: Lying, folders: list[Path]) -> None:
    """Take a file away that we had made, and those folders that we had made for it and that are empty."""
    if _now(lying.real) != lying.data:
        raise InvalidInput(f"{lying.path}: was changed by somebody else just now: run this again")
    try:
        lying.real.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidInput(f"{lying.path}: cannot be removed ({error.strerror})") from None
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _now(real: Path) -> bytes | None:
    try:
        return real.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidInput(f"{real}: cannot be read ({error.strerror})") from None


def _folders(wanted: Path) -> list[Path]:
    """Make a folder with those above it; the ones that were not there, the outermost first."""
    missing = []
    while not wanted.exists():
        missing.append(wanted)
        wanted = wanted.parent
    for one in reversed(missing):
        one.mkdir()
    return missing[::-1]
