"""The Builder's tools, each used by a recorded conversation over a real worktree."""

import asyncio
import errno
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from dbos import error as engine
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, ModelRetry
from pydantic_ai.models.test import TestModel
from pydantic_ai.tools import RunContext
from pydantic_ai.usage import RunUsage

from app.agents.builder import build
from app.agents.conversation import AgentDeps
from app.agents.tools import MAX_CHARACTERS, MAX_HITS, MAX_LINES, answering
from app.domain.budget import Role, RunStopped
from app.replay import ModelServer
from app.workspace.trees import delete_tree
from app.workspace.workspace_errors import GitError
from app.workspace.worktree import Worktree
from tests.agents.support import (
    AZURE,
    CLAUDE,
    DONE,
    FILES,
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
    answer = await build(builder_task(), deps)
    patch = await worktree.patch()
    assert [(change.path, change.kind) for change in patch.changes] == [
        ("docs/slug.md", "added"),
        ("slug.py", "modified"),
        ("test_slug.py", "deleted"),
    ]
    assert answer.summary == "Digits are kept."
    assert len(ledger.settled) == 4


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


PLACES = ("/data/", "worktrees", "/tmp", ".autopack")
LONG = 200_000


@pytest.mark.parametrize(
    "mistake",
    [
        call("list_files", glob="../*"),
        call("list_files", glob="../../**"),
        call("list_files", glob="src/../../*"),
        call("list_files", glob="x" * LONG),
        call("list_files", glob="{a,b}" * 12),
        call("search", regex="x" * LONG),
        call("search", regex="x", glob="../*"),
        call("search", regex="x", glob="y" * LONG),
        call("search", regex="(?<=a+)b"),
        call("read_file", path="n" * 300),
        call("read_file", path="d/" * 3_000 + "x"),
        call("read_file", path="binary"),
        call("write_file", path="slug.py/x", content=""),
        call("run_command", command="x" * LONG),
        call("run_command", command=r"""printf x > "$(printf 'caf\351.txt')"; echo y > slug.py"""),
        call("run_command", command="echo '* working-tree-encoding=nonsense' > .gitattributes; echo y > slug.py"),
    ],
    ids=lambda mistake: f"{mistake['name']}-{str(list(mistake['args'].values()))[:24]}",
)
async def test_whatever_a_tool_raises_is_answered(
    server: ModelServer, ledger: MemoryLedger, worktree: Worktree, mistake: dict[str, Any]
) -> None:
    (worktree.path / "latin.txt").write_bytes(b"caf\xe9")
    before = await worktree.patch()
    play(
        server,
        [mistake],
        [call("write_file", path="next.txt", content="next\n"), call("run_command", command="rm next.txt")],
    )
    await build(builder_task(), deps_of(Role.BUILDER, ledger, worktree=worktree, commands_allowed=True))
    answer, *following = results(server)
    assert answer.startswith("error: ")
    assert len(answer) < 2_500
    assert not [place for place in PLACES if place in answer], answer
    assert following == ["written", "exit code 0\n"]
    assert await worktree.patch() == before


@pytest.mark.parametrize("glob", [".", "./", "/", "././"])
async def test_globs_of_the_root_list_all_files(
    server: ModelServer, ledger: MemoryLedger, worktree: Worktree, glob: str
) -> None:
    play(server, [call("write_file", path="new.txt", content="x"), call("list_files", glob=glob)])
    await build(builder_task(), deps_of(Role.BUILDER, ledger, worktree=worktree))
    assert results(server)[1].splitlines() == ["new.txt", *sorted(FILES)]


async def test_deep_folders_of_a_command_are_survived(
    server: ModelServer, ledger: MemoryLedger, worktree: Worktree
) -> None:
    deep = "import os\nfor _ in range(5_000):\n    os.mkdir('d')\n    os.chdir('d')\nopen('leaf', 'w').close()\n"
    await worktree.write_file("deep.py", deep)
    play(server, [call("run_command", command="python3 deep.py")], [call("run_command", command="echo x > x.txt; ls")])
    await build(builder_task(), deps_of(Role.BUILDER, ledger, worktree=worktree, commands_allowed=True))
    assert len(results(server)) == 2
    assert "x.txt" in (await worktree.patch()).paths
    delete_tree(worktree.path)  # pytest, which clears old folders, cannot


@pytest.mark.parametrize(
    "raised",
    [
        OSError(errno.ENOSPC, "No space left on device", "/data/.autopack/worktrees/run-1/a.txt"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        ValueError("empty pattern"),
        RecursionError("maximum recursion depth exceeded"),
        GitError(("grep",), 128, "fatal: cannot use it"),
        ExceptionGroup("unhandled errors in a TaskGroup", [KeyError("x")]),
    ],
    ids=lambda raised: type(raised).__name__,
)
async def test_errors_of_all_kinds_are_answered(
    worktree: Worktree, raised: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    context = context_of(worktree)
    answer = await answering(raising(raised))(context)
    assert answer.startswith("error: ")
    assert "/data" not in answer
    foreseen = isinstance(raised, OSError | UnicodeError | GitError)
    assert ("Traceback" in caplog.text) is not foreseen


@pytest.mark.parametrize(
    "raised",
    [
        RunStopped("cancelled"),
        asyncio.CancelledError(),
        engine.DBOSWorkflowCancelledError("cancelled"),
        engine.DBOSException("the step does not fit"),
        ModelRetry("try again"),
        CallDeferred(),
        ApprovalRequired(),
    ],
    ids=lambda raised: type(raised).__name__,
)
async def test_what_governs_the_run_is_not_answered(worktree: Worktree, raised: BaseException) -> None:
    with pytest.raises(type(raised)):
        await answering(raising(raised))(context_of(worktree))


async def test_answers_name_no_place_of_this_machine(worktree: Worktree) -> None:
    text = f"cannot open {worktree.path}/a.txt, {worktree.mirror.path} or https://user:secret@github.com/x"
    answer = await answering(raising(GitError(("add",), 128, text)))(context_of(worktree))
    assert answer == "error: git could not do this: cannot open ./a.txt, (git) or https://***@github.com/x"


def raising(error: BaseException) -> Callable[[RunContext[AgentDeps]], Awaitable[str]]:
    async def tool(ctx: RunContext[AgentDeps]) -> str:
        raise error

    return tool


def context_of(worktree: Worktree) -> RunContext[AgentDeps]:
    deps = deps_of(Role.BUILDER, MemoryLedger(), worktree=worktree)
    return RunContext(deps=deps, model=TestModel(), usage=RunUsage())


async def test_broken_unicode_does_not_end_the_attempt(
    server: ModelServer, ledger: MemoryLedger, worktree: Worktree
) -> None:
    answer = {"status": "done", "summary": "half a pair: \ud800"}
    turn = {"text": "\udfff", "tool_calls": [call("write_file", path="a.txt", content="x\ud800y")]}
    server.play(REPOSITORY, {"builder": {"P1": {1: [turn, {"answer": answer}]}}})
    answer = await build(builder_task(), deps_of(Role.BUILDER, ledger, worktree=worktree))
    assert answer.summary == "half a pair: ?"
    assert (await worktree.read_file("a.txt")).text == "x?y"


async def test_calls_without_a_tool_are_repeated(server: ModelServer, ledger: MemoryLedger, worktree: Worktree) -> None:
    play(server, [call("read_file")], [call("read_file", file="slug.py")], [call("no_such_tool")])
    answer = await build(builder_task(), deps_of(Role.BUILDER, ledger, worktree=worktree))
    assert answer.status == "done"


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
    assert first.startswith("[lines 1 to 400 of 1000; go on with start=401]\nline 1\n")
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


async def test_forbidden_commands_are_not_offered(
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
