"""The Builder's tools, each used by a recorded conversation over a real worktree."""

import json
from typing import Any

import pytest

from app.agents.builder import build
from app.agents.tools import MAX_CHARACTERS, MAX_HITS, MAX_LINES
from app.domain.budget import Role
from app.replay import ModelServer
from app.workspace.worktree import Worktree
from tests.agents.support import (
    AZURE,
    CLAUDE,
    DONE,
    GPT,
    LOCAL,
    REPOSITORY,
    MemoryLedger,
    builder_task,
    deps_of,
    plan_of,
)


def call(name: str, **args: Any) -> dict[str, Any]:
    return {"name": name, "args": args}


def play(server: ModelServer, *turns: list[dict[str, Any]]) -> None:
    """Record one attempt: the tool calls of each turn, then the answer."""
    recorded: list[dict[str, Any]] = [{"tool_calls": calls} for calls in turns]
    server.play(REPOSITORY, {"builder": {"P1": {1: [*recorded, {"answer": DONE}]}}})


def results(server: ModelServer) -> list[str]:
    """What the tools returned over the conversation, in order, as the last Anthropic request carries it."""
    body: dict[str, Any] = json.loads(server.requests()[-1].body)
    blocks = [block for message in body["messages"] if message["role"] == "user" for block in message["content"]]
    return [_text(block["content"]) for block in blocks if block["type"] == "tool_result"]


def _text(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


@pytest.mark.parametrize("model", [CLAUDE, GPT, AZURE, LOCAL])
async def test_edits_end_up_in_the_patch(
    server: ModelServer, ledger: MemoryLedger, worktree: Worktree, model: str
) -> None:
    play(
        server,
        [call("list_files"), call("read_file", path="slug.py")],
        [call("edit_file", path="slug.py", old="[^a-z]+", new="[^a-z0-9]+")],
        [call("write_file", path="docs/slug.md", content="# Slugs\n"), call("delete_file", path="test_slug.py")],
    )
    deps = deps_of(Role.BUILDER, ledger, plan_of(model), worktree=worktree)
    outcome = await build(builder_task(), deps)
    patch = await worktree.patch()
    assert [(change.path, change.kind) for change in patch.changes] == [
        ("docs/slug.md", "added"),
        ("slug.py", "modified"),
        ("test_slug.py", "deleted"),
    ]
    assert outcome.answer.summary == "Digits are kept."
    assert (outcome.requests, outcome.model) == (4, model)
    assert outcome.usage.total == sum(usage.total for usage in ledger.settled)


async def test_mistakes_are_answered_not_fatal(server: ModelServer, ledger: MemoryLedger, worktree: Worktree) -> None:
    mistakes = [
        call("read_file", path="../etc/passwd"),
        call("read_file", path="missing.py"),
        call("edit_file", path="slug.py", old="no such text", new="x"),
        call("write_file", path=".git/config", content="x"),
        call("search", regex="("),
        call("search", regex="a\0b"),
        call("list_files", glob="\0"),
    ]
    play(server, *[[mistake] for mistake in mistakes])
    await build(builder_task(), deps_of(Role.BUILDER, ledger, worktree=worktree))
    assert [text.startswith("error: ") for text in results(server)] == [True] * len(mistakes)
    assert (await worktree.patch()).empty


async def test_broken_unicode_does_not_end_the_attempt(
    server: ModelServer, ledger: MemoryLedger, worktree: Worktree
) -> None:
    answer = {"status": "done", "summary": "half a pair: \ud800"}
    turn = {"text": "\udfff", "tool_calls": [call("write_file", path="a.txt", content="x\ud800y")]}
    server.play(REPOSITORY, {"builder": {"P1": {1: [turn, {"answer": answer}]}}})
    outcome = await build(builder_task(), deps_of(Role.BUILDER, ledger, worktree=worktree))
    assert outcome.answer.summary == "half a pair: ?"
    assert (await worktree.read_file("a.txt")).text == "x?y"


async def test_calls_that_fit_no_tool_are_asked_for_again(
    server: ModelServer, ledger: MemoryLedger, worktree: Worktree
) -> None:
    play(server, [call("read_file")], [call("read_file", file="slug.py")], [call("no_such_tool")])
    outcome = await build(builder_task(), deps_of(Role.BUILDER, ledger, worktree=worktree))
    assert outcome.answer.status == "done"


async def test_outputs_are_bounded(server: ModelServer, ledger: MemoryLedger, worktree: Worktree) -> None:
    await worktree.write_file("long.txt", "".join(f"line {n}\n" for n in range(1, 1_001)))
    await worktree.write_file("more.txt", "line\n" * 100)
    await worktree.write_file("wide.txt", "x" * 100_000)
    play(
        server,
        [call("read_file", path="long.txt"), call("read_file", path="long.txt", start=990)],
        [call("read_file", path="wide.txt"), call("search", regex="line")],
    )
    await build(builder_task(), deps_of(Role.BUILDER, ledger, worktree=worktree))
    first, tail, wide, hits = results(server)
    assert first.startswith("[lines 1 to 400 of 1000]\nline 1\n")
    assert len(first.splitlines()) == MAX_LINES + 1
    assert tail.splitlines()[0] == "[lines 990 to 1000 of 1000]"
    assert len(wide) < MAX_CHARACTERS + 100
    assert len(hits.splitlines()) <= MAX_HITS + 1
    assert "more" in hits.splitlines()[-1]


async def test_commands_run_in_the_sandbox(server: ModelServer, ledger: MemoryLedger, worktree: Worktree) -> None:
    play(server, [call("run_command", command="echo made > made.txt; cat slug.py | head -1; exit 3")])
    deps = deps_of(Role.BUILDER, ledger, worktree=worktree, commands_allowed=True)
    await build(builder_task(), deps)
    assert results(server) == ["exit code 3\nimport re\n"]
    assert (await worktree.patch()).paths == ("made.txt",)


async def test_commands_are_not_offered_where_they_are_not_allowed(
    server: ModelServer, ledger: MemoryLedger, worktree: Worktree
) -> None:
    play(server)
    await build(builder_task(), deps_of(Role.BUILDER, ledger, worktree=worktree))
    await build(builder_task(), deps_of(Role.BUILDER, ledger, worktree=worktree, commands_allowed=True))
    without, with_commands = server.requests()
    assert "run_command" not in without.tools
    assert "run_command" not in without.system
    assert "run_command" in with_commands.tools
    assert "run_command" in with_commands.system


async def test_fixed_part_of_the_prompt_is_small(server: ModelServer, ledger: MemoryLedger, worktree: Worktree) -> None:
    play(server)
    deps = deps_of(Role.BUILDER, ledger, worktree=worktree, commands_allowed=True)
    await build(builder_task(), deps)
    body: dict[str, Any] = json.loads(server.requests()[0].body)
    system = sum(len(block["text"]) for block in body["system"])
    tools = len(json.dumps(body["tools"], separators=(",", ":")))
    assert system < 2_000
    assert system + tools < 4_000
