from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.agents.models import ModelAccess, close, configure
from app.replay import ModelServer
from app.workspace.worktree import Worktree
from tests.agents.support import MemoryLedger, make_repository, open_worktree


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    """A model server that this process's agents talk to, as Anthropic, OpenAI, Azure and a local server."""
    with ModelServer() as running:
        configure(access_to(running))
        yield running
        await close()
    configure(ModelAccess())


def access_to(server: ModelServer) -> ModelAccess:
    return ModelAccess(
        anthropic_api_key=SecretStr("test-key"),
        anthropic_base_url=server.anthropic_base_url,
        openai_api_key=SecretStr("test-key"),
        openai_base_url=server.openai_base_url,
        azure_api_key=SecretStr("test-key"),
        azure_endpoint=server.azure_endpoint,
        local_base_url=server.openai_base_url,
        request_timeout_seconds=20,
        max_retries=0,
    )


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
async def worktree(tmp_path: Path) -> Worktree:
    return await open_worktree(tmp_path, make_repository(tmp_path))
