"""What the machine has left for everyone: a command that takes the last of it is ended before the service suffers."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_KIB = 1024
_GROUPS: Final = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
"""Limit, use, and what of the use the kernel gives back, for control groups of version 2 and 1:
https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/memory.html"""


@dataclass(frozen=True, slots=True)
class Left:
    """Bytes that are left on the disk of a folder, and of memory."""

    disk: int
    memory: int


def left(folder: Path, groups: Path = Path("/sys/fs/cgroup"), meminfo: Path = Path("/proc/meminfo")) -> Left:
    """Measure it. Memory: of the machine, or of the container where that has less."""
    usage = shutil.disk_usage(folder)
    in_groups = [_left_in_group(groups, names) for names in _GROUPS]
    return Left(usage.free, min([_available(meminfo), *(size for size in in_groups if size is not None)]))


def _available(meminfo: Path) -> int:
    try:
        return _field(meminfo, "MemAvailable:") * _KIB
    except (OSError, StopIteration):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left_in_group(groups: Path, names: tuple[str, str, str, str]) -> int | None:
    """None where the container's memory has no bound, or its control group cannot be read."""
    limit, used, statistics, reclaimable = names
    try:
        bound = (groups / limit).read_text(encoding="ascii").strip()
        return int(bound) - int((groups / used).read_text(encoding="ascii")) + _field(groups / statistics, reclaimable)
    except (OSError, ValueError, StopIteration):  # "max" is no number
        return None


def _field(file: Path, name: str) -> int:
    lines = (line.split() for line in file.read_text(encoding="ascii").splitlines())
    return next(int(fields[1]) for fields in lines if fields and fields[0] == name)
