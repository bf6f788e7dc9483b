"""Replies that arrive in parts: a thought of any length is no timeout, and what a stream does wrong costs a try."""

from typing import Any

import pytest

from app.agents import planner
from app.agents.models import RequestLimits, configure
from app.domain.budget import ModelFailed, Role
from app.replay import ModelServer
from tests.agents.support import (
    CLAUDE,
    GPT,
    LOCAL,
    PLAN_ANSWER,
    REPOSITORY,
    MemoryLedger,
    access_to,
    deps_of,
    plan_of,
    planner_task,
)

UNVERIFIED = (
    '{"error": {"message": "Your organization must be verified to stream this model.", '
    '"type": "invalid_request_error", "param": "stream", "code": "unsupported_value"}}'
)
"""OpenAI's words, from lobehub/lobehub#9385."""


def play(server: ModelServer, **turn: Any) -> None:
    server.play(REPOSITORY, {"planner": {"1": [{"answer": PLAN_ANSWER} | turn]}})


@pytest.mark.parametrize("model", [CLAUDE, GPT])
async def test_long_thought_is_no_timeout(server: ModelServer, ledger: MemoryLedger, model: str) -> None:
    configure(access_to(server), RequestLimits(timeout_seconds=0.5, max_retries=0))
    play(server, thinks_seconds=1.2)
    await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(model)))
    assert len(server.requests()) == 1


async def test_thought_that_sends_nothing_is_timeout(server: ModelServer, ledger: MemoryLedger) -> None:
    configure(access_to(server), RequestLimits(timeout_seconds=0.5, max_retries=0))
    play(server, thinks_seconds=1.2)
    with pytest.raises(ModelFailed, match=r"no complete reply|timed out"):
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(LOCAL)))


async def test_thought_without_end_is_timeout(server: ModelServer, ledger: MemoryLedger) -> None:
    configure(access_to(server), RequestLimits(timeout_seconds=0.2, max_retries=0))
    play(server, thinks_seconds=30)
    with pytest.raises(ModelFailed, match="no complete reply in 2 s"):
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(CLAUDE)))


async def test_refused_stream_is_not_asked_for_again(server: ModelServer, ledger: MemoryLedger) -> None:
    server.refuse = lambda body: UNVERIFIED if body.get("stream") else None
    play(server)
    for expected in (2, 3):
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(GPT)))
        assert len(server.requests()) == expected


@pytest.mark.parametrize("model", [CLAUDE, GPT])
async def test_streamed_reply_reports_its_usage(server: ModelServer, ledger: MemoryLedger, model: str) -> None:
    play(server, text="Ünïcödé \ud83d", usage={"input": 1_000, "cached": 400, "output": 77})
    await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(model)))
    assert server.requests()[-1].body.endswith(b',"stream":true}')
    [settled] = ledger.settled
    assert (settled.input, settled.cached, settled.output) == (1_000, 400, 77)
