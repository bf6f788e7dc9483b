"""The filter of system calls in the sandbox, as a program for the kernel.

What a build or a test needs stays allowed; refused is what reaches around the sandbox or has a history of holes: other
processes' memory, mounts and namespaces, the kernel's keyrings, modules and tracing, io_uring. It follows the default
profile of container engines: https://docs.docker.com/engine/security/seccomp/
The program's form: https://www.kernel.org/doc/html/latest/userspace-api/seccomp_filter.html
"""

import errno
import os
import struct
from io import FileIO
from typing import Final

from app.workspace.workspace_errors import SandboxError

_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""By what `uname` says: the value that the kernel gives the filter (linux/audit.h)."""
_X32_CALLS: Final = 0x40000000
"""Calls of the x32 interface begin here, on x86_64."""
_REFUSED: Final = {  # by name: the numbers on x86_64 and aarch64 (the kernel's tables of system calls)
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
}
_NOT_THERE: Final = (425, 426, 427)
"""io_uring, the same everywhere: programs that find it missing do without."""

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERROR, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4


def filter_program(machine: str = "") -> bytes | None:
    """The filter for this machine, or the one that `uname` names; None where its calls are not known here."""
    machine = machine or os.uname().machine
    architecture = _ARCHITECTURES.get(machine)
    if architecture is None:
        return None
    column = list(_ARCHITECTURES).index(machine)
    program = [
        _step(_LOAD, _ARCHITECTURE_AT),
        _step(_EQUAL, architecture, 1, 0),
        _step(_RETURN, _KILL),  # another interface of the same processor, whose numbers mean other calls
        _step(_LOAD, _NUMBER_AT),
    ]
    if machine == "x86_64":
        program += [_step(_AT_LEAST, _X32_CALLS, 0, 1), _step(_RETURN, _ERROR | errno.ENOSYS)]
    refused = {numbers[column]: errno.EPERM for numbers in _REFUSED.values()} | dict.fromkeys(_NOT_THERE, errno.ENOSYS)
    for number, error in refused.items():
        program += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _ERROR | error)]
    return b"".join([*program, _step(_RETURN, _ALLOW)])


def memory_file(content: bytes) -> FileIO:
    """An open file without a name that holds this, to be read from its beginning."""
    file = FileIO(os.memfd_create("content"), "r+")
    file.write(content)
    file.seek(0)
    return file


def filter_file() -> FileIO:
    """The filter as an open file. Raises `SandboxError` where there is none for this processor."""
    program = filter_program()
    if program is None:
        raise SandboxError(f"there is no filter of system calls for {os.uname().machine}")
    return memory_file(program)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
