"""A process killed in the middle of the agent loop repeats at most the request that was under way."""

import asyncio
import json
import os
import time
from collections import Counter
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from app.replay import ModelServer
from tests.agents.support import DONE, REPOSITORY, make_repository
from tests.support import processes

PROGRAM = "tests.agents.crash_program"
HELD_TURN = 3
TURNS: list[dict[str, Any]] = [
    {"tool_calls": [{"name": "read_file", "args": {"path": "slug.py"}}]},
    {"tool_calls": [{"name": "edit_file", "args": {"path": "slug.py", "old": "[^a-z]+", "new": "[^a-z0-9]+"}}]},
    # What this command prints and writes differs each time it runs.
    {"tool_calls": [{"name": "run_command", "args": {"command": "cat /proc/sys/kernel/random/uuid | tee stamp.txt"}}]},
    {"tool_calls": [{"name": "write_file", "args": {"path": "notes.md", "content": "Digits are kept.\n"}}]},
    {"answer": DONE},
]


def start(folder: Path, sha: str, url: str) -> ForkServerProcess:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder)}
    return processes.start(
        PROGRAM, str(folder), sha, url, folder=folder, log=folder / "log.txt", environment=environment
    )


async def until_held(server: ModelServer, process: ForkServerProcess, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not any(seen.turn == HELD_TURN for seen in server.requests()):
        assert process.is_alive(), "the process ended before the request that should be held"
        assert time.monotonic() < deadline, f"only {len(server.requests())} requests arrived"
        await asyncio.sleep(0.02)


async def test_killed_builder_repeats_only_one_request(tmp_path: Path) -> None:
    sha = make_repository(tmp_path)
    with ModelServer() as server:
        server.play(REPOSITORY, {"builder": {"P1": {1: TURNS}}})
        server.hold(turn=HELD_TURN)
        killed = start(tmp_path, sha, server.url)
        await until_held(server, killed)
        killed.kill()
        killed.join()
        (tmp_path / "work" / "worktrees" / "issue-7-ab12cd" / "slug.py").write_text("half an edit")

        server.release()
        resumed = start(tmp_path, sha, server.url)
        resumed.join(90)
        requests = server.requests()

    output = (tmp_path / "log.txt").read_text()
    assert resumed.exitcode == 0, output
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    assert Counter(seen.turn for seen in requests) == {0: 1, 1: 1, 2: 1, HELD_TURN: 2, 4: 1}
    held, repeated = (seen.body for seen in requests if seen.turn == HELD_TURN)
    assert held == repeated, "the repeated request says what the first one said"
    stamp = _tool_results(repeated)[-1].removeprefix("exit code 0\n").strip()
    assert f"+{stamp}" in result["diff"], "the recorded command was put back, not run again"
    assert "+Digits are kept." in result["diff"]
    assert "[^a-z0-9]+" in result["diff"]
    assert result["answer"]["status"] == "done"
    ledger = (tmp_path / "ledger.txt").read_text().splitlines()
    assert Counter(line.split()[0] for line in ledger) == {"reserve": 5, "settle": 5}


def _tool_results(body: bytes) -> list[str]:
    blocks = [block for message in json.loads(body)["messages"] for block in message["content"]]
    contents = [block["content"] for block in blocks if block["type"] == "tool_result"]
    return [content if isinstance(content, str) else content[0]["text"] for content in contents]
