"""All processes of one sandbox: counted from outside through /proc, ended and waited for together."""

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """Threads of all processes, and their resident private memory in bytes."""

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
        threads = memory = 0
        for pid in (entry.name for entry in os.scandir("/proc") if entry.name.isdigit()):
            if _namespace_of(pid) == self._identity:
                used = _usage_of(pid)
                threads += used.threads
                memory += used.memory
        return ProcessUsage(threads, memory)

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


def _usage_of(pid: str) -> ProcessUsage:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ProcessUsage(0, 0)  # it ended in between
    return ProcessUsage(int(fields[17]), (int(pages[1]) - int(pages[2])) * _PAGE)
