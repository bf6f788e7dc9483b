"""What a sandboxed command can see, as bubblewrap's options."""

from pathlib import Path
from typing import Final

WORKSPACE: Final = "/workspace"
_MIB = 1024 * 1024
_TMP = "/tmp"  # noqa: S108 - a private one inside the sandbox
_SHM = "/dev/shm"  # noqa: S108 - likewise
# What programs need of /etc; names, hosts and resolvers are stubs that tell nothing about this machine.
_ETC = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "ssl/certs")
STUBS: Final = {
    "/etc/passwd": "builder:x:1000:1000::/tmp:/bin/sh\n",
    "/etc/group": "builder:x:1000:\n",
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


def isolation_options(tmp_mib: int) -> list[str]:
    """No network, no capabilities, no environment; temporary folders in memory of at most `tmp_mib` each."""
    options = ["--unshare-all", "--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000"]
    options += ["--cap-drop", "ALL", "--hostname", "sandbox", "--new-session", "--die-with-parent", "--clearenv"]
    for name, value in _ENVIRONMENT.items():
        options += ["--setenv", name, value]
    size = str(tmp_mib * _MIB)
    # Read-only: settings of the kernel ask for the user's id alone, so root could write them without any capability.
    options += [
        "--proc",
        "/proc",
        "--remount-ro",
        "/proc",
        "--dev",
        "/dev",
        "--size",
        size,
        "--tmpfs",
        _SHM,
        "--size",
        size,
    ]
    return [*options, "--tmpfs", _TMP]


def system_options() -> list[str]:
    """Programs and libraries, read-only. Distributions have /bin and /lib as links into /usr, or as directories."""
    options = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        place = Path("/", name)
        if place.is_symlink():
            options += ["--symlink", str(place.readlink()), str(place)]
        elif place.is_dir():
            options += ["--ro-bind", str(place), str(place)]
    for name in _ETC:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return options


def workspace_options(worktree: Path) -> list[str]:
    """The worktree is the only place that lasts. Its `.git` file, which names places outside, is covered."""
    bound = ["--bind", str(worktree), WORKSPACE, "--ro-bind", "/dev/null", f"{WORKSPACE}/.git"]
    return [*bound, "--chdir", WORKSPACE]
