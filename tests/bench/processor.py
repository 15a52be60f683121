"""What processes take of the processor, as Linux counts it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def _stat(process: int) -> list[str]:
    """The fields of a process behind its name, which may hold blanks; none where it has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def spent(roots: Iterable[int]) -> float:
    """Seconds of the processor that these processes and all their children have taken so far."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))):
            parents[int(name)] = int(fields[1])
    family = set(roots)
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    # utime, stime, and the same of children that have ended: proc(5), fields 14 to 17.
    return sum(sum(map(int, fields[11:15])) for one in family if (fields := _stat(one))) / _TICKS


def postmaster(directory: Path) -> int:
    """The process of the PostgreSQL that serves this data directory."""
    return int((directory / "postmaster.pid").read_text().split()[0])
