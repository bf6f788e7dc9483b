"""Write locks: one holder at a time, over all event loops of the process, in the order of the calls."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.github import write_locks
from app.github.client import Repo
from app.github.github_errors import GitHubUnavailable
from app.github.write_locks import write_lock


class Witness:
    """Counts who is inside a lock at once."""

    def __init__(self) -> None:
        self.inside = self.most = self.times = 0

    async def visit(self, repo: Repo) -> None:
        async with write_lock(repo, "comment", "1"):
            self.inside += 1
            self.most = max(self.most, self.inside)
            await asyncio.sleep(0.001)
            self.inside -= 1
            self.times += 1


async def many(visit: Callable[[], Awaitable[None]]) -> None:
    await asyncio.gather(*(visit() for _ in range(20)))


async def test_two_event_loops_share_a_lock(repo: Repo) -> None:
    witness = Witness()
    other = asyncio.to_thread(lambda: asyncio.run(many(lambda: witness.visit(repo))))
    await asyncio.gather(other, many(lambda: witness.visit(repo)))
    assert (witness.most, witness.times) == (1, 40)


async def test_a_canceled_wait_passes_the_lock_on(repo: Repo) -> None:
    witness = Witness()
    async with write_lock(repo, "comment", "1"):
        canceled, patient = (asyncio.create_task(witness.visit(repo)) for _ in range(2))
        await asyncio.sleep(0)
        canceled.cancel()
        await asyncio.gather(canceled, return_exceptions=True)
    await patient
    assert witness.times == 1


async def test_waiting_too_long_names_the_lock(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_locks, "DEADLINE_SECONDS", 0.01)
    witness = Witness()
    async with write_lock(repo, "comment", "1"):
        with pytest.raises(GitHubUnavailable, match="another write of comment 1 takes too long"):
            await witness.visit(repo)
    await witness.visit(repo)
    assert witness.times == 1


async def test_other_keys_do_not_wait(repo: Repo) -> None:
    async with write_lock(repo, "comment", "2"):
        await Witness().visit(repo)
