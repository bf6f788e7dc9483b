"""Which user of the machine runs a sandboxed command: the service's own, or another one where that is root."""

import os
import shutil
import zlib
from pathlib import Path
from typing import Final

FIRST_USER: Final = 61_184
USERS: Final = 4_096
"""No account of the machine has these numbers: systemd gives them to services for a while, https://systemd.io/UIDS-GIDS.
Each work tree has its own, so that its processes are counted apart from those of others."""
INSIDE: Final = 1000
"""What an ordinary service's user is called inside the sandbox."""
_SYSTEM_PATH: Final = "/usr/bin:/bin:/usr/sbin:/sbin"
_NEEDED: Final = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
}
"""What root needs to become another user in a sandbox and to count and end its processes (linux/capability.h)."""


def command_user(worktree: Path) -> int | None:
    """The user and group who run the commands of a work tree; None: the service's own user, which is not root.

    Settings of the kernel and files of the machine ask for the number of a user alone, so root keeps power over them
    in any sandbox.
    """
    return FIRST_USER + zlib.crc32(os.fsencode(worktree.absolute())) % USERS if os.geteuid() == 0 else None


def process_limit(processes: int, user: int | None) -> int:
    """The kernel's own limit. Of another user it counts every process on the machine, should two trees share one."""
    return processes if user is None else 4 * processes


def why_not_another_user() -> str | None:
    """Return None where root can run commands as another user, else what it lacks."""
    if _setpriv() is None:
        return "the service runs as root, and there is no setpriv to become another user: run it as another user"
    held = _capabilities()
    missing = [name for name, bit in _NEEDED.items() if not held >> bit & 1]
    if missing:
        return f"the service runs as root, but without {', '.join(missing)}: run it as another user"
    return None


def privileges_for(user: int | None) -> list[str]:
    """bubblewrap's options: root makes the sandbox itself and keeps what it needs to become another user."""
    if user is None:
        return ["--unshare-user", "--disable-userns", "--uid", str(INSIDE), "--gid", str(INSIDE), "--cap-drop", "ALL"]
    kept = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_DAC_READ_SEARCH")  # the last one: it enters the work tree
    return ["--cap-drop", "ALL", *(part for name in kept for part in ("--cap-add", name))]


def as_user(user: int | None, command: tuple[str, ...]) -> tuple[str, ...]:
    """The command, run as that user without any capability."""
    if user is None:
        return command
    who = (f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all")
    return (_setpriv() or "setpriv", *who, "--no-new-privs", "--", *command)


def _setpriv() -> str | None:
    return shutil.which("setpriv", path=_SYSTEM_PATH)


def _capabilities() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1], 16)
