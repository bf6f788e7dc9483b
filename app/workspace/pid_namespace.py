"""All processes of one sandbox: counted from outside through /proc, ended and waited for together."""

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from app.workspace.trees import BLOCK_BYTES

_KIB = 1024


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """Threads of all processes, and their resident memory in bytes: private, and shared, which counts once."""

    threads: int
    memory: int


class PidNamespace:
    """A pid namespace by its first process: when that ends, the kernel ends all others first. Close it by `with`."""

    def __init__(self, identity: str, pid: int, init: int) -> None:
        self._identity: str = identity
        self._pid: int = pid
        self._init: int = init  # a pid file descriptor: it never names another process, as a number might

    @classmethod
    def of(cls, pid: int) -> "PidNamespace":
        """Raises ProcessLookupError or FileNotFoundError when the process has ended."""
        return cls(str(Path(f"/proc/{pid}/ns/pid").readlink()), pid, os.pidfd_open(pid))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._init)

    def usage(self) -> ProcessUsage:
        """Add up the processes that are in the namespace now."""
        threads = private = shared = 0
        unnamed: dict[tuple[int, int], int] = {}
        for pid in (entry.name for entry in os.scandir("/proc") if entry.name.isdigit()):
            if _namespace_of(pid) == self._identity:
                fields = _status_of(pid)
                threads += fields.get("Threads", 0)
                private += fields.get("RssAnon", 0) * _KIB
                shared += _share_of(pid) if fields.get("RssShmem") else 0
                unnamed |= _unnamed_files(pid)
        return ProcessUsage(threads, private + max(shared, sum(unnamed.values())))

    def kill(self) -> None:
        """End all processes; nothing happens when they have ended."""
        # PermissionError: not root, for whom the kernel itself limits the number of processes
        with suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(self._init, signal.SIGKILL)
            os.setpriority(os.PRIO_PROCESS, self._pid, 0)  # else it would queue for a processor behind a fork bomb

    async def gone(self) -> None:
        """Wait until the last process has ended. Bound it with a timeout."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        loop.add_reader(self._init, lambda: ended.done() or ended.set_result(None))
        try:
            await ended
        finally:
            loop.remove_reader(self._init)


def _namespace_of(pid: str) -> str | None:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:  # ended, or another user's: not one of ours
        return None


def _status_of(pid: str) -> dict[str, int]:
    """The numbers in a process's status: kibibytes, or counts. Empty when it ended in between."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    parts = (line.partition(":") for line in lines)
    return {name: int(words[0]) for name, _, rest in parts if (words := rest.split()) and words[0].isdigit()}


def _share_of(pid: str) -> int:
    """Bytes of the memory that a process shares, divided by those who share it."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0  # it ended in between
    return sum(int(line.split()[1]) * _KIB for line in lines if line.startswith("Pss_Shmem:"))


def _unnamed_files(pid: str) -> dict[tuple[int, int], int]:
    """Bytes of the files in memory (memfd) that a process has open, by their identity: no map need show them."""
    found: dict[tuple[int, int], int] = {}
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                if os.readlink(entry.path).startswith("/memfd:"):  # noqa: PTH115 - many, many times
                    status = entry.stat()
                    found[status.st_dev, status.st_ino] = status.st_blocks * BLOCK_BYTES
    except OSError:
        pass  # it ended in between
    return found
