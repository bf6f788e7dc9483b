"""Whatever arguments a model gives, and whatever tree it has made: a tool answers, and the next one works."""

import asyncio
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.agents import tools
from app.agents.conversation import MergeSides
from app.domain.budget import Role
from app.workspace.worktree import Worktree
from tests.agents.support import MemoryLedger, deps_of, make_repository, open_worktree

NAMES = st.sampled_from(
    [
        *("slug.py", "loop", "out", "dir", "dir/deep", "fifo", "binary", "wide.txt", "nested/a.txt", "[id]/{x}.py"),
        *("", ".", "..", "../x", "/etc/passwd", ".git/config", "a\0b", "~/x", "C:\\x", "n" * 300, "d/" * 3_000 + "x"),
        *("caf\udce9.txt", "\u202e.py", "*", "**/*.py", "[", "{a,b}", "{" * 50, ":(top)x", "!(a)", "-x", "--help"),
    ]
)
TEXTS = st.one_of(
    NAMES, st.text(max_size=80), st.sampled_from(["x" * 200_000, "(a+)+$", "(?<=a+)b", "\\", "[[:alpha:]]", "\ud83d"])
)
NUMBERS = st.one_of(st.integers(-5, 5), st.sampled_from([10**9, -(10**12), 400]))
CALLS = st.one_of(
    st.fixed_dictionaries({"tool": st.just("list_files"), "glob": TEXTS}),
    st.fixed_dictionaries({"tool": st.just("search"), "regex": TEXTS, "glob": NAMES}),
    st.fixed_dictionaries({"tool": st.just("read_file"), "path": NAMES, "start": NUMBERS, "lines": NUMBERS}),
    st.fixed_dictionaries({"tool": st.just("edit_file"), "path": NAMES, "old": TEXTS, "new": TEXTS}),
    st.fixed_dictionaries(
        {"tool": st.just("edit_file"), "path": NAMES, "old": TEXTS, "new": TEXTS, "more": st.lists(st.lists(TEXTS))}
    ),
    st.fixed_dictionaries(
        {"tool": st.just("edit_file"), "path": NAMES, "old": TEXTS, "new": TEXTS, "insert_at": NUMBERS}
    ),
    st.fixed_dictionaries({"tool": st.just("write_file"), "path": NAMES, "content": TEXTS}),
    st.fixed_dictionaries({"tool": st.just("delete_file"), "path": NAMES}),
    st.fixed_dictionaries({"tool": st.just("take_side"), "path": NAMES, "side": st.sampled_from(["branch", "base"])}),
)


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Worktree:
    """A work tree with all that commands leave behind."""
    folder = tmp_path_factory.mktemp("strange")
    tree = asyncio.run(open_worktree(folder, make_repository(folder)))
    root = tree.path
    (root / "dir" / "deep").mkdir(parents=True)
    (root / "loop").symlink_to("loop")
    (root / "out").symlink_to("/etc")
    os.mkfifo(root / "fifo")
    (root / "binary").write_bytes(bytes(range(256)))
    (root / "wide.txt").write_text("x" * 100_000)
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.txt")).write_bytes(b"\xe9\n")
    (root / ".gitattributes").write_text("*.txt working-tree-encoding=UTF-16\n*.py filter=none\n")
    make_nested(root / "nested")
    (root / "nested" / "a.txt").write_text("a\n")
    deep = root
    for _ in range(200):
        deep /= "d"
        deep.mkdir()
    return tree


def make_nested(path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(path)], check=True)


async def use(tree: Worktree, tool: str, **arguments: Any) -> object:
    more: dict[str, Any] = {
        "worktree": tree,
        "commands_allowed": True,
        "sides": MergeSides(tree.base_sha, tree.base_sha),
    }
    context: Any = SimpleNamespace(deps=deps_of(Role.BUILDER, MemoryLedger(), **more))
    return await getattr(tools, tool)(context, **arguments)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(calls=st.lists(CALLS, min_size=1, max_size=3))
def test_every_call_is_answered(strange: Worktree, calls: list[dict[str, Any]]) -> None:
    async def all_calls() -> None:
        for call in calls:
            answer = await use(strange, call["tool"], **{key: value for key, value in call.items() if key != "tool"})
            assert isinstance(answer, str)
            assert len(answer) < 40_000
        assert await use(strange, "write_file", path="slug.py", content="a = 1\n") == "written"
        assert await use(strange, "read_file", path="slug.py") == "a = 1\n"

    asyncio.run(all_calls())


async def test_scaffolded_repository_is_told(tmp_path: Path) -> None:
    tree = await open_worktree(tmp_path, make_repository(tmp_path))
    make_nested(tree.path / "lib")
    answer = str(await use(tree, "run_command", command="echo 'a = 1' > lib/a.py; echo made"))
    first = "exit code 0 (nested git repositories, whose files are not in your patch while they have a .git: lib)"
    assert answer.splitlines() == [first, "made"]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("mkdir many; i=0; while [ $i -lt 5100 ]; do : > many/$i; i=$((i+1)); done", "5,100 files are new, and 5,000"),
        ("head -c 70000000 /dev/zero > big", "70,000,000 bytes are new, and 67,108,864"),
        ("truncate -s 70000000 slug.py", "70,000,000 bytes are in one file, and 67,108,864"),
        ("p=.; i=0; while [ $i -lt 150 ]; do p=$p/d; i=$((i+1)); done; mkdir -p $p; : > $p/f", "150 folders deep"),
    ],
)
async def test_more_than_can_be_recorded_is_undone(tmp_path: Path, command: str, told: str) -> None:
    tree = await open_worktree(tmp_path, make_repository(tmp_path))
    answer = str(await use(tree, "run_command", command=command))
    assert answer.startswith("error: What the command left cannot be recorded, so it is undone: ")
    assert told in answer
    assert (await tree.patch()).empty


async def test_commands_together_have_a_quota(tmp_path: Path) -> None:
    """Each of them is small enough; what the first one left stays."""
    tree = await open_worktree(tmp_path, make_repository(tmp_path))
    answers = [str(await use(tree, "run_command", command=f"head -c 40000000 /dev/zero > {n}")) for n in ("a", "b")]
    assert answers[0].startswith("exit code 0")
    assert "80,000,000 bytes are new, and 67,108,864" in answers[1]
    assert [change.path for change in (await tree.patch()).changes] == ["a"]


async def test_failing_part_of_a_pipeline_is_told(tmp_path: Path) -> None:
    tree = await open_worktree(tmp_path, make_repository(tmp_path))
    answer = str(await use(tree, "run_command", command="(echo 2 failed; exit 1) | tail -5"))
    assert answer.splitlines() == ["exit code 0 (but a part of the last pipeline failed: 1 | 0)", "2 failed"]
    assert str(await use(tree, "run_command", command="yes | head -1")) == "exit code 0\ny\n"
    assert str(await use(tree, "run_command", command="false || exit 3")).startswith("exit code 3\n")
