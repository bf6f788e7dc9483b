"""What a sandboxed command can see, as bubblewrap's options."""

from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Final

from app.workspace.sandbox_user import INSIDE, privileges_for

WORKSPACE: Final = "/workspace"
_MIB = 1024 * 1024
_TMP = "/tmp"  # noqa: S108 - a private one inside the sandbox
_SHM = "/dev/shm"  # noqa: S108 - likewise
# What programs need of /etc; names, hosts and resolvers are stubs that tell nothing about this machine.
_ETC = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "ssl/certs")
_STUBS: Final = {
    "/etc/passwd": "builder:x:{user}:{user}::/tmp:/bin/sh\n",
    "/etc/group": "builder:x:{user}:\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
    "HOME": _TMP,
    "TMPDIR": _TMP,
    "LANG": "C.UTF-8",
    "CI": "true",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def stubs(user: int | None) -> dict[str, str]:
    """Files of /etc by their path, for commands that this user runs."""
    return {path: text.format(user=user or INSIDE) for path, text in _STUBS.items()}


def isolation_options(tmp_mib: int, user: int | None = None, *, network: bool = False) -> list[str]:
    """No network, no capabilities; temporary folders in memory of at most `tmp_mib` each.

    `user` runs the command; None is the service's own.
    """
    options = ["--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try", *privileges_for(user)]
    options += [] if network else ["--unshare-net"]
    options += ["--hostname", "sandbox", "--new-session", "--die-with-parent"]
    size = str(tmp_mib * _MIB)
    # Read-only: settings of the kernel ask for the user's id alone, so root could write them without any capability.
    options += ["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]
    for folder in (_SHM, _TMP):
        options += ["--perms", "1777", "--size", size, "--tmpfs", folder]
    return options


def environment_options() -> list[str]:
    """Nothing of the service's environment; what programs need."""
    options = ["--clearenv"]
    for name, value in _ENVIRONMENT.items():
        options += ["--setenv", name, value]
    return options


def command_options(tmp_mib: int, user: int | None) -> list[str]:
    """What every sandboxed command has."""
    return [*isolation_options(tmp_mib, user), *environment_options(), *system_options()]


def stub_options(files: Mapping[str, FileIO]) -> list[str]:
    """Open files, by the paths at which they are read."""
    options: list[str] = []
    for path, file in files.items():
        options += ["--perms", "0444", "--ro-bind-data", str(file.fileno()), path]
    return options


def sealed(calls: int) -> list[str]:
    """The last options: system calls are filtered by the open file `calls`, and what was mounted stays as it is."""
    return ["--seccomp", str(calls), "--remount-ro", "/dev", "--remount-ro", "/"]


def system_options() -> list[str]:
    """Programs and libraries, read-only. Distributions have /bin and /lib as links into /usr, or as directories."""
    options = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        place = Path("/", name)
        if place.is_symlink():
            options += ["--symlink", str(place.readlink()), str(place)]
        elif place.is_dir():
            options += ["--ro-bind", str(place), str(place)]
    for folder in ("/etc", "/etc/ssl"):  # made on the way to a file they would be their owner's alone
        options += ["--perms", "0755", "--dir", folder]
    for name in _ETC:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return options


def workspace_options(worktree: Path) -> list[str]:
    """The worktree is the only place that lasts. Its `.git` file, which names places outside, is covered."""
    bound = ["--bind", str(worktree), WORKSPACE, "--ro-bind", "/dev/null", f"{WORKSPACE}/.git"]
    return [*bound, "--chdir", WORKSPACE]
