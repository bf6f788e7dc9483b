"""What goes wrong in a conversation costs the smallest thing: the call, the reply, the model; and it is told."""

import json
from typing import Any

import pytest

from app.agents import planner
from app.agents.builder import build
from app.agents.conversation import ConversationFailed
from app.agents.models import list_refused_keys
from app.domain.budget import ModelFailed, ModelFailure, Role
from app.replay import ModelServer
from app.workspace.worktree import Worktree
from tests.agents.support import (
    CLAUDE,
    DONE,
    GPT,
    LOCAL,
    PLAN_ANSWER,
    REPOSITORY,
    MemoryLedger,
    builder_task,
    deps_of,
    plan_of,
    planner_task,
)

ANSWER = {"answer": DONE}


def call(name: str, **args: Any) -> dict[str, Any]:
    return {"name": name, "args": args}


def play_builder(server: ModelServer, *turns: dict[str, Any]) -> None:
    server.play(REPOSITORY, {"builder": {"P1": {1: list(turns)}}})


def said(server: ModelServer) -> str:
    """All of the last request."""
    return json.dumps(json.loads(server.requests()[-1].body), ensure_ascii=False)


async def test_reply_that_was_cut_is_not_carried_out(
    server: ModelServer, ledger: MemoryLedger, worktree: Worktree
) -> None:
    cut = {
        "odd": {"set": {"stop_reason": "max_tokens"}},
        "tool_calls": [call("write_file", path="slug.py", content="x")],
    }
    play_builder(server, cut, ANSWER)
    await build(builder_task(), deps_of(Role.BUILDER, ledger, worktree=worktree))
    assert (worktree.path / "slug.py").read_text() != "x"
    assert "Your reply was cut at 6,000 tokens" in said(server)
    assert [call.max_output_tokens for call in ledger.reserved] == [6_000, 12_000], "the next may be longer"


async def test_thinking_over_the_limit_gets_longer_one(server: ModelServer, ledger: MemoryLedger) -> None:
    for model in (CLAUDE, GPT, LOCAL):
        thinks = {"answer": PLAN_ANSWER, "thinks": 7_000}
        server.play(REPOSITORY, {"planner": {1: [thinks, thinks]}})
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(model)))


async def test_done_beside_a_failed_call_does_not_count(
    server: ModelServer, ledger: MemoryLedger, worktree: Worktree
) -> None:
    failing = {"tool_calls": [call("edit_file", path="slug.py", old="no such text", new="x")], "answer": DONE}
    play_builder(server, failing, ANSWER)
    await build(builder_task(), deps_of(Role.BUILDER, ledger, worktree=worktree))
    assert len(server.requests()) == 2
    assert "A call in the same reply failed" in said(server)


async def test_edit_shows_the_lines_that_it_changed(
    server: ModelServer, ledger: MemoryLedger, worktree: Worktree
) -> None:
    edit = call("edit_file", path="slug.py", old="[^a-z]+", new="[^a-z0-9]+")
    play_builder(server, {"tool_calls": [edit]}, ANSWER)
    await build(builder_task(), deps_of(Role.BUILDER, ledger, worktree=worktree))
    assert "edited\\n4: def slug(text: str) -> str:\\n5:     return re.sub" in said(server)


async def test_equal_calls_are_told_then_end(server: ModelServer, ledger: MemoryLedger, worktree: Worktree) -> None:
    play_builder(server, *[{"tool_calls": [call("read_file", path="slug.py")]}] * 9)
    with pytest.raises(ModelFailed, match="it repeats itself: it called read_file 5 times with the same arguments"):
        await build(builder_task(), deps_of(Role.BUILDER, ledger, worktree=worktree))
    assert len(server.requests()) == 5
    assert "You have made this call 4 times" in said(server)


async def test_calls_between_changes_are_no_repetition(
    server: ModelServer, ledger: MemoryLedger, worktree: Worktree
) -> None:
    turns = [
        {"tool_calls": [call("read_file", path="slug.py"), call("write_file", path="n.txt", content=str(n))]}
        for n in range(7)
    ]
    play_builder(server, *turns, ANSWER)
    await build(builder_task(), deps_of(Role.BUILDER, ledger, worktree=worktree))


async def test_model_learns_what_it_has_left(server: ModelServer, ledger: MemoryLedger, worktree: Worktree) -> None:
    async def left() -> int:
        return 12_345

    reads = [{"tool_calls": [call("list_files", glob=f"{n}*")]} for n in range(9)]
    play_builder(server, *reads, ANSWER)
    deps = deps_of(Role.BUILDER, ledger, plan_of(CLAUDE, request_limit=10), worktree=worktree, read_tokens_left=left)
    await build(builder_task(), deps)
    assert "Of your 10 requests 5 are left, and of tokens about 12,345" in said(server)
    assert "This is your last request" in said(server)


async def test_full_window_is_made_room_in(server: ModelServer, ledger: MemoryLedger, worktree: Worktree) -> None:
    await worktree.write_file("long.txt", "".join(f"line {n} of many\n" for n in range(1_200)))
    reads = [{"tool_calls": [call("read_file", path="long.txt", start=start)]} for start in range(1, 1_100, 60)]
    play_builder(server, *reads, ANSWER)
    server.window_tokens = 20_000
    deps = deps_of(Role.BUILDER, ledger, plan_of(LOCAL, request_limit=40), worktree=worktree)
    await build(builder_task(), deps)
    assert len(server.requests()) > len(reads) + 1, "it was refused, and asked again with less"
    assert any("characters left out; call again" in one.body.decode() for one in server.requests())


async def test_conversation_goes_on_where_it_stood(
    server: ModelServer, ledger: MemoryLedger, worktree: Worktree
) -> None:
    write = {"tool_calls": [call("write_file", path="new.txt", content="x")]}
    play_builder(server, write, ANSWER | {"status": 503, "times": 1})
    deps = deps_of(Role.BUILDER, ledger, worktree=worktree)
    with pytest.raises(ConversationFailed) as failed:
        await build(builder_task(), deps)
    await build(builder_task(), deps, failed.value.said)
    assert [one.turn for one in server.requests()] == [0, 1, 1], "nothing was asked twice"


async def test_refused_key_is_remembered(server: ModelServer, ledger: MemoryLedger) -> None:
    refusing = {"answer": PLAN_ANSWER, "status": 401, "only_for": "anthropic"}
    server.play(REPOSITORY, {"planner": {1: [refusing]}})
    for _ in range(3):
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(CLAUDE, GPT)))
    assert [one.vendor for one in server.requests()] == ["anthropic", "openai"] * 2 + ["openai"]
    assert list_refused_keys() == ["anthropic"]
    assert {failed.reason for failed in ledger.failures} == {
        f"{CLAUDE}: the provider refused the key (401)",
        f"{CLAUDE}: the provider refused the key (401), so it was not asked again",
    }


@pytest.mark.parametrize(
    ("refusal", "field"),
    [
        ("Thinking mode does not support this tool_choice", "tool_choice"),
        ("max_tokens: unknown field", "max_tokens"),
    ],
)
async def test_local_server_is_asked_differently(
    server: ModelServer, ledger: MemoryLedger, refusal: str, field: str
) -> None:
    body = json.dumps({"error": {"message": refusal}})
    server.refuse = lambda sent: body if sent.get(field) not in {None, "auto"} else None
    server.play(REPOSITORY, {"planner": {1: [{"answer": PLAN_ANSWER}]}})
    await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(LOCAL)))


async def test_failure_names_model_and_cause(server: ModelServer, ledger: MemoryLedger) -> None:
    server.play(REPOSITORY, {"planner": {1: [{"text": "Let me think."}] * 4}})
    with pytest.raises(ModelFailed) as failed:
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger))
    assert failed.value.failure is ModelFailure.MALFORMED
    reason = "4 replies in a row could not be used; of the last one: it called no tool"
    assert failed.value.reason == f"{CLAUDE}: {reason}"


async def test_forty_cached_requests_fit_a_default_cap(
    server: ModelServer, ledger: MemoryLedger, worktree: Worktree
) -> None:
    """6,000 tokens at first, 2,000 more each, nine tenths of them cached: under the cap of a phase of medium size."""
    ledger.limit = 500_000
    used = [{"input": 6_000 + 2_000 * n, "cached": int(0.9 * (6_000 + 2_000 * n)), "output": 300} for n in range(40)]
    reads = [{"tool_calls": [call("list_files", glob=f"{n}*")], "usage": used[n]} for n in range(39)]
    play_builder(server, *reads, ANSWER | {"usage": used[39]})
    plan = plan_of(CLAUDE, request_limit=40).model_copy(update={"max_output_tokens": 16_000})
    await build(builder_task(), deps_of(Role.BUILDER, ledger, plan, worktree=worktree))
    assert len(server.requests()) == 40
