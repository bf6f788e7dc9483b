"""Hostile text is read in a process of its own: what it does there costs that process alone."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from app.domain.patch import ChangeKind, FileChange
from app.workspace import integrity_scan, reading_process
from app.workspace.reading_process import ReadingProcess, Unreadable
from tests.support import hostile_reading

SECONDS = 20.0
DEADLINE = 0.5


@pytest.fixture
async def reading() -> AsyncGenerator[ReadingProcess]:
    process = ReadingProcess()
    yield process
    await process.close()


async def test_answer_comes_back(reading: ReadingProcess) -> None:
    assert await reading.call(SECONDS, hostile_reading.echo, "ä\x00\n") == "ä\x00\n"


@pytest.mark.parametrize(
    ("function", "seconds", "words"),
    [
        (hostile_reading.spin, DEADLINE, "not read within 0.5 s"),
        (hostile_reading.crash, SECONDS, "ends the process"),
        (hostile_reading.eat, SECONDS, "MemoryError"),
    ],
    ids=["slow", "crash", "memory"],
)
async def test_hostile_text_costs_its_call_only(
    reading: ReadingProcess, function: Callable[[str], str], seconds: float, words: str
) -> None:
    await reading.call(SECONDS, hostile_reading.echo, "started")
    ended = asyncio.gather(reading.call(seconds, function, "x"), return_exceptions=True)
    after = await reading.call(SECONDS, hostile_reading.echo, "next")
    assert [words in str(one) for one in await ended] == [True]
    assert after == "next"


async def test_what_killed_it_is_not_tried_again(reading: ReadingProcess) -> None:
    with pytest.raises(Unreadable):
        await reading.call(DEADLINE, hostile_reading.spin, "x")
    start = time.monotonic()
    with pytest.raises(Unreadable, match="not read within"):
        await reading.call(DEADLINE, hostile_reading.spin, "x")
    assert time.monotonic() - start < DEADLINE


@pytest.mark.parametrize("function", [hostile_reading.leave, hostile_reading.lie])
async def test_false_answer_is_none(reading: ReadingProcess, function: Callable[[], Any]) -> None:
    with pytest.raises(Unreadable):
        await reading.call(SECONDS, function)
    assert await reading.call(SECONDS, hostile_reading.echo, "next") == "next"


async def test_stop_of_the_service_disturbs_no_call(reading: ReadingProcess) -> None:
    """A terminal, or the init system, sends its signal to all processes of the service."""
    pid = await reading.call(SECONDS, hostile_reading.get_pid)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    assert await reading.call(SECONDS, hostile_reading.get_pid) == pid


async def test_process_knows_no_secret(reading: ReadingProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WEBHOOK_SECRET", "hidden")
    seen = await reading.call(SECONDS, hostile_reading.look_around)
    assert "hidden" not in seen.values()


async def test_others_of_the_change_are_read() -> None:
    """A text that takes its parser's memory is refused by itself."""
    hostile = FileChange(path="src/test/java/ATest.java", kind=ChangeKind.ADDED, content=b"a<b<" * 90_000)
    honest = FileChange(path=".gitlab-ci.yml", kind=ChangeKind.ADDED, content=b"x: 1\n")
    try:
        flags = await integrity_scan.scan_apart([hostile, honest], {}, (), ())
    finally:
        await reading_process.close()
    assert [(flag.rule, flag.path) for flag in flags] == [("unread", hostile.path), ("ci_file", honest.path)]
