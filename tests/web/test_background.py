"""A task that dies is started again, and no one can overlook it."""

import asyncio
from typing import Any

import pytest

from app.web import background
from app.web.background import Background


async def endless() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("trouble", [ValueError("a defect"), None])
async def test_a_dead_task_is_told_and_begun_anew(
    trouble: Exception | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "PAUSE_SECONDS", 0.01)
    begun = 0
    anew = asyncio.Event()

    async def dies_once() -> None:
        nonlocal begun
        begun += 1
        if begun > 1:
            anew.set()
            await endless()
        if trouble is not None:
            raise trouble

    tasks = Background({"mortal": dies_once, "other": endless})
    tasks.start()
    try:
        assert tasks.failing() == []
        async with asyncio.timeout(10):
            await anew.wait()
        assert tasks.failing() == ["mortal"]
        assert "the task mortal" in caplog.text
        monkeypatch.setattr(background, "HEALTHY_AFTER_SECONDS", -1.0)
        assert tasks.failing() == [], "it has held"
    finally:
        await tasks.stop()


async def test_stopping_ends_all() -> None:
    ended: list[str] = []

    def work(name: str) -> Any:
        async def run() -> None:
            try:
                await endless()
            finally:
                ended.append(name)

        return run

    tasks = Background({"one": work("one"), "two": work("two")})
    tasks.start()
    await asyncio.sleep(0)
    await tasks.stop()
    assert sorted(ended) == ["one", "two"]
