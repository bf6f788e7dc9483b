from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.agents.models import close, configure
from app.replay import ModelServer
from app.workspace.worktree import Worktree
from tests.agents.support import LIMITS, MemoryLedger, access_to, make_repository, open_worktree


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    """A model server that this process's agents talk to, as Anthropic, OpenAI, Azure and a local server."""
    with ModelServer() as running:
        configure(access_to(running), LIMITS)
        yield running
        await close()
    configure(None)


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
async def worktree(tmp_path: Path) -> Worktree:
    return await open_worktree(tmp_path, make_repository(tmp_path))
