"""What the sandbox must deny, tried from inside: at the first command, and by the tests as root and as a user."""

import contextlib
import socket
from collections.abc import Generator, Sequence
from pathlib import Path

_SCRIPT = r"""
works() { printf '%s\n' "$1"; }
status() { sed -n "s/^$1:[[:space:]]*//p" /proc/self/status; }
for file in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/vm/drop_caches \
  /proc/sys/fs/suid_dumpable /proc/sysrq-trigger /proc/sys/kernel/yama/ptrace_scope; do
  (: >> "$file") 2>/dev/null && works "it can write $file"
done
[ -d /sys/kernel ] && works "it sees /sys"
admin=root
for file in /etc/shadow "/$admin/.ssh" "/proc/1/$admin/etc/shadow" /run/docker.sock /var/run/docker.sock /var/lib; do
  [ -r "$file" ] && works "it can read $file"
done
for place in "$@"; do [ -e "$place" ] && works "it sees $place"; done
[ "$(id -u)" != 0 ] || works "it runs as root"
[ "$(status CapEff)" = 0000000000000000 ] || works "it has capabilities ($(status CapEff))"
[ "$(status CapBnd)" = 0000000000000000 ] || works "it may gain capabilities ($(status CapBnd))"
[ "$(status NoNewPrivs)" = 1 ] || works "it may gain rights by programs (setuid)"
[ "$(status Seccomp)" = 2 ] || works "its system calls are not filtered"
[ "$(sed -n '3,$p' /proc/net/dev | grep -c -v '^ *lo:')" = 0 ] || works "it sees network interfaces"
if command -v bash >/dev/null; then
  bash -c "exec 3<>/dev/tcp/127.0.0.1/$PROBE_PORT" 2>/dev/null && works "it reaches the machine's ports"
fi
command -v mount >/dev/null && mount -t tmpfs none /tmp 2>/dev/null && works "it can mount"
command -v unshare >/dev/null && unshare -U true 2>/dev/null && works "it can make user namespaces"
for device in /dev/mem /dev/kmem /dev/kmsg /dev/kvm /dev/fuse /dev/sda /dev/vda /dev/nvme0n1 /dev/net/tun; do
  [ -e "$device" ] && works "it sees $device"
done
(: >> /usr/probe) 2>/dev/null && works "it can write /usr"
(: >> /probe) 2>/dev/null && works "it can write /"
[ "$(find /proc -maxdepth 1 -name '[0-9]*' | wc -l)" -lt 20 ] || works "it sees other processes"
exit 0
"""


@contextlib.contextmanager
def probe_command() -> Generator[tuple[Sequence[str], dict[str, str]]]:
    """The command that tries what is forbidden, and its environment; it prints a line for each thing that works.

    While it runs, a port of the machine listens, which it must not reach.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        places = [place for place in (Path.home(), Path.cwd()) if len(place.parts) > 1]
        home = [str(place) for place in places if not place.is_relative_to("/usr")]
        yield ("/bin/sh", "-c", _SCRIPT, "probe", *dict.fromkeys(home)), {"PROBE_PORT": port}
