"""A remote repository and a mirror of it, for all tests of the workspace."""

from pathlib import Path

import pytest

from app.workspace.mirror import Mirror
from app.workspace.worktree import Worktree
from tests.workspace.remote import NAME, OWNER, Remote

FILES = {
    "README.md": "# Demo\n",
    "src/app.py": "import os\n\n\ndef main() -> None:\n    print(os.name)\n",
    "src/deep/data.bin": b"\x00\x01\x02",
    ".gitignore": "*.log\nbuild/\n",
}


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    remote = Remote(tmp_path)
    remote.commit(FILES)
    return remote


@pytest.fixture
def mirror(remote: Remote, tmp_path: Path) -> Mirror:
    return Mirror(tmp_path / "data", OWNER, NAME, remote.url)


@pytest.fixture
async def base(mirror: Mirror) -> str:
    """The head of main, ready to be checked out."""
    await mirror.fetch(None, "main")
    sha = await mirror.resolve("main")
    await mirror.hydrate(None, sha)
    return sha


@pytest.fixture
async def worktree(mirror: Mirror, base: str) -> Worktree:
    return await Worktree.open(mirror, "run-1", base)
