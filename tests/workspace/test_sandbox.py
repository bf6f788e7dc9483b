"""Commands see the worktree and the system's programs, nothing else; limits end all their processes."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.domain.shown_text import HeadAndTail
from app.workspace import sandbox
from app.workspace.mirror import Mirror
from app.workspace.sandbox import OUT_OF_TIME, TIMEOUT_EXIT_CODE, Limits, run_command, sandbox_available
from app.workspace.workspace_errors import SandboxError
from app.workspace.worktree import Worktree
from tests.workspace.remote import Remote


def processes_with(word: str) -> list[bytes]:
    """Command lines of this machine's processes that contain a word."""
    found: list[bytes] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in arguments:
            found.append(arguments)
    return found


def test_the_sandbox_works_here() -> None:
    assert sandbox_available() is None


async def test_a_command_works_in_the_worktree(worktree: Worktree) -> None:
    result = await run_command(worktree, "pwd; id -un; echo $CI $HOME; echo problem >&2; cat README.md; exit 3")
    assert result.exit_code == 3
    assert result.output == "/workspace\nbuilder\ntrue /tmp\nproblem\n# Demo\n"
    assert (result.ended_because, result.changes) == (None, ())


async def test_recorded_changes_are_restored_without_rerun(worktree: Worktree, mirror: Mirror, base: str) -> None:
    await worktree.write_file("before.txt", "by an edit\n")
    command = (
        "echo made > src/made.txt; echo more >> README.md; rm src/deep/data.bin; chmod +x src/app.py; "
        "ln -s README.md link; rm -r src/deep; echo 1 > src/deep; mkdir -p __pycache__ build; touch __pycache__/x.pyc "
        "build/out x.log; mkfifo pipe; printf '\\000\\377' > bytes"
    )
    result = await run_command(worktree, command)
    assert result.exit_code == 0, result.output
    assert [(change.path, change.kind.value, change.mode) for change in result.changes] == [
        ("README.md", "modified", "100644"),
        ("bytes", "added", "100644"),
        ("link", "added", "120000"),
        ("src/app.py", "modified", "100755"),
        ("src/deep", "added", "100644"),
        ("src/deep/data.bin", "deleted", "100644"),
        ("src/made.txt", "added", "100644"),
    ]
    replayed = await Worktree.open(mirror, "run-2", base)
    await replayed.write_file("before.txt", "by an edit\n")
    await replayed.apply_changes(result.changes)
    assert await replayed.patch() == await worktree.patch()
    await replayed.apply_changes(result.changes)
    assert await replayed.patch() == await worktree.patch()
    unchanged = await run_command(worktree, "touch README.md; cat link")
    assert unchanged.changes == ()


async def test_there_is_no_network(worktree: Worktree) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = (
            "import socket\n"
            f"for address in (('127.0.0.1', {port}), ('1.1.1.1', 53)):\n"
            "    try: socket.create_connection(address, 3); print('connected')\n"
            "    except OSError as error: print('no')\n"
        )
        await worktree.write_file("connect.py", program)
        result = await run_command(worktree, "python3 connect.py; tail -n +3 /proc/net/dev | cut -d: -f1")
    assert result.output.split() == ["no", "no", "lo"]


async def test_secrets_and_other_runs_are_invisible(
    worktree: Worktree, mirror: Mirror, base: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GITHUB_PRIVATE_KEY", "averysecretkey")
    (tmp_path / "secret").write_text("averysecretfile")
    other = await Worktree.open(mirror, "other-run", base)
    await other.write_file("other.txt", "averysecretwork")
    places = [tmp_path, other.path, mirror.path, Path.home(), Path(__file__), Path("/etc/shadow"), Path("/root")]
    looks = "; ".join(f"ls -d '{place}' && echo VIS''IBLE" for place in places)
    result = await run_command(
        worktree,
        f"env; cat /proc/*/environ; {looks}; ls -a ..; cat .git; ls /proc | grep -c '^[0-9]'; "
        "tr '\\0' ' ' < /proc/1/cmdline; grep -r 'averysecre[t]' / --include=secret --include=other.txt -s",
    )
    assert "averysecret" not in result.output
    assert "VISIBLE" not in result.output
    assert "gitdir" not in result.output
    assert "--bind" not in result.output


async def test_only_the_worktree_and_temporary_folders_are_writable(worktree: Worktree) -> None:
    places = "/ /etc /usr /usr/local /bin /dev /proc /workspace/.git /home"
    command = (
        f"for place in {places}; do touch $place/x 2>/dev/null && echo wrote $place; done; echo x > .git && echo git"
    )
    result = await run_command(
        worktree, f"{command}; rm -f .git && echo removed; touch /tmp/x /dev/shm/x x && echo fine"
    )
    assert result.output.splitlines()[-1] == "fine"
    assert "wrote" not in result.output
    assert "removed" not in result.output
    assert (worktree.path / ".git").read_text().startswith("gitdir: ")
    gone = await run_command(worktree, "ls /tmp /dev/shm")
    assert gone.output.split() == ["/dev/shm:", "/tmp:"]


async def test_privileges_cannot_be_had(worktree: Worktree) -> None:
    result = await run_command(
        worktree, "grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status; unshare -U true"
    )
    assert result.output.split()[:4] == ["CapEff:", "0000000000000000", "NoNewPrivs:", "1"]
    assert result.exit_code != 0


PROBE = """
import os
for top in ("/proc", "/sys"):
    for folder, folders, files in os.walk(top):
        if folder == "/proc":
            folders[:] = [name for name in folders if not name.isdigit()]
        for path in (os.path.join(folder, name) for name in files):
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW))
                print("writable", path)
            except OSError:
                pass
print("probed", len(os.listdir("/proc/sys/kernel")) > 10)
"""


async def test_no_setting_of_the_kernel_can_be_written(worktree: Worktree) -> None:
    """As root all of /proc/sys could be, by the user's id alone."""
    (worktree.path / "probe.py").write_text(PROBE)
    probed = await run_command(worktree, "python3 probe.py")
    assert probed.output == "probed True\n"


async def test_what_a_command_leaves_is_its_owners(worktree: Worktree, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("x")
    outside.chmod(0o666)
    await run_command(
        worktree,
        f"mkdir -p build/deep; cp /bin/sh build/deep/sh; chmod 6755 build/deep/sh; mkdir -m 2777 build/shared; "
        f"cp /bin/sh build/locked; chmod 4755 build/locked; chmod 000 build/shared; ln -s {outside} link; "
        "umask > umask; mkfifo -m 666 pipe; chmod +x src/app.py",
    )
    modes = {path.name: path.lstat().st_mode & 0o7777 for path in worktree.path.rglob("*") if not path.is_symlink()}
    assert (modes["sh"], modes["locked"], modes["shared"], modes["pipe"], modes["deep"]) == (
        *(0o700, 0o700, 0o700, 0o600),
        0o700,
    )
    assert {name for name, mode in modes.items() if mode & 0o7077} <= {".git"}
    assert (worktree.path / "umask").read_text() == "0022\n"
    assert outside.stat().st_mode & 0o777 == 0o666
    patch = await worktree.patch()
    assert [(change.path, change.mode) for change in patch.changes] == [
        ("link", "120000"),
        ("src/app.py", "100755"),
        ("umask", "100644"),
    ]


async def test_private_umask_changes_no_git_mode(mirror: Mirror, remote: Remote) -> None:
    before = os.umask(0o077)
    try:
        (remote.work / "run.sh").touch(0o755)
        remote.commit({"run.sh": "#!/bin/sh\necho ran\n"})
        await mirror.fetch(None, "main")
        base = await mirror.resolve("main")
        await mirror.hydrate(None, base)
        worktree = await Worktree.open(mirror, "run-1", base)
        await worktree.write_file("run.sh", "#!/bin/sh\necho ran well\n")
        result = await run_command(worktree, "./run.sh; cat README.md")
        assert result.output == "ran well\n# Demo\n"
        assert [(change.path, change.mode) for change in (await worktree.patch()).changes] == [("run.sh", "100755")]
        assert not [path for path in worktree.path.rglob("*") if path.stat().st_mode & 0o7077]
    finally:
        os.umask(before)


async def test_a_timeout_ends_all_processes(worktree: Worktree) -> None:
    command = "setsid sleep 4711.25 & (trap '' TERM; sleep 4711.25) & echo started; sleep 4711.25"
    started = time.monotonic()
    result = await run_command(worktree, command, limits=Limits(wall_seconds=0.7))
    assert result.ended_because == OUT_OF_TIME
    assert result.exit_code == TIMEOUT_EXIT_CODE
    assert result.output == "started\n"
    assert time.monotonic() - started < 20
    assert processes_with("4711.25") == []


async def test_nothing_goes_on_after_the_command(worktree: Worktree) -> None:
    result = await run_command(
        worktree, "(while :; do echo x >> grows; done) & setsid sleep 4712.25 & sleep 0.1; exit 0"
    )
    assert result.exit_code == 0
    assert processes_with("4712.25") == []
    recorded = next(change.content for change in result.changes if change.path == "grows")
    assert (worktree.path / "grows").read_bytes() == recorded


async def test_too_many_processes_end_the_command(worktree: Worktree) -> None:
    started = time.monotonic()
    command = "i=0; while [ $i -lt 200 ]; do sleep 4713.25 & i=$((i+1)); done; wait"
    result = await run_command(worktree, command, limits=Limits(processes=40, wall_seconds=60))
    assert result.exit_code != 0
    assert result.ended_because == "more than 40 processes" or "fork" in result.output.lower()
    assert time.monotonic() - started < 50
    assert processes_with("4713.25") == []


async def test_memory_is_capped_for_all_processes(worktree: Worktree) -> None:
    one = "python3 -c 'x = bytearray(400_000_000)'"
    single = await run_command(worktree, one, limits=Limits(memory_mib=200))
    assert "MemoryError" in single.output
    many = (
        "for i in 1 2 3 4; do python3 -c 'import time; x = bytearray(b\"x\") * 80_000_000; time.sleep(60)' & done; wait"
    )
    together = await run_command(worktree, many, limits=Limits(memory_mib=200, wall_seconds=50))
    assert together.ended_because == "more than 200 MiB of memory"


async def test_files_and_processor_time_are_bounded(worktree: Worktree) -> None:
    large = await run_command(worktree, "head -c 5000000 /dev/zero > large", limits=Limits(file_mib=1))
    assert large.exit_code != 0
    assert (worktree.path / "large").stat().st_size == 1024 * 1024
    busy = await run_command(worktree, "while :; do :; done", limits=Limits(cpu_seconds=1, wall_seconds=60))
    assert busy.exit_code == 128 + 9
    temporary = await run_command(worktree, "head -c 9000000 /dev/zero > /tmp/large", limits=Limits(tmp_mib=1))
    assert "No space left" in temporary.output


async def test_long_output_keeps_head_and_tail(worktree: Worktree) -> None:
    result = await run_command(
        worktree, "echo first; yes | head -c 5000000; echo last", limits=Limits(output_characters=600)
    )
    assert result.output.startswith("first\ny\n")
    assert result.output.endswith("y\nlast\n")
    assert "[… 4,999,411 characters left out here" in result.output
    assert len(result.output) < 700


@pytest.mark.parametrize("cut", [1, 2, 3, 5])
def test_characters_split_between_chunks_stay_whole(cut: int) -> None:
    kept = HeadAndTail(100)
    data = "aäé€x😀".encode()
    for start in range(0, len(data), cut):
        kept.write(data[start : start + cut])
    kept.write(b"", final=True)
    assert kept.text() == "aäé€x😀"


@pytest.fixture
def broken_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Put another program in the place of the bundled bubblewrap."""

    def use(program: Path) -> None:
        sandbox_available.cache_clear()
        monkeypatch.setattr(sandbox, "bwrap_path", lambda: program)

    yield use
    sandbox_available.cache_clear()


async def test_without_a_sandbox_nothing_is_run(
    worktree: Worktree, tmp_path: Path, broken_bubblewrap: Callable[[Path], None]
) -> None:
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    refusing.chmod(0o755)
    for program, reason in ((refusing, "user namespaces"), (tmp_path / "missing", "cannot be started")):
        broken_bubblewrap(program)
        with pytest.raises(SandboxError, match=reason):
            await run_command(worktree, "touch ran")
    assert not (worktree.path / "ran").exists()


async def test_a_command_with_nul_is_refused(worktree: Worktree) -> None:
    with pytest.raises(SandboxError, match="NUL"):
        await run_command(worktree, "echo \0")
