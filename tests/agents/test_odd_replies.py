"""Replies that no vendor should give, to every role: once they cost one request more, for ever they end clearly."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.agents import auditor, builder, planner
from app.agents.conversation import AgentDeps
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
    audit_task,
    builder_task,
    deps_of,
    make_repository,
    open_worktree,
    plan_of,
    planner_task,
)

ODD: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "support" / "odd_replies.yaml").read_text()
)
MODELS = {"local": LOCAL, "anthropic": CLAUDE, "openai": GPT}
ENDS = {ModelFailure.MALFORMED, ModelFailure.REFUSED, ModelFailure.UNAVAILABLE}
SOUND: dict[str, Any] = {
    "planner": {"answer": PLAN_ANSWER},
    "builder": {
        "tool_calls": [{"name": "write_file", "args": {"path": "digits.py", "content": "x = 1\n"}}],
        "answer": DONE,
    },
    "auditor": {"answer": {"recommendation": "approve", "summary": "Nothing blocks it.", "findings": []}},
}
ROLES = sorted(SOUND)
MOST_REQUESTS = 5
"""Of one model: four replies in a row that cannot be used, and one that cannot be read is asked for again at once."""


def play(server: ModelServer, role: str, turns: list[dict[str, Any]]) -> None:
    server.play(REPOSITORY, {role: {"1": turns} if role == "planner" else {"P1": {"1": turns}}})


def ask(role: str, deps: AgentDeps) -> Coroutine[Any, Any, Any]:
    asking: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "planner": lambda: planner.plan(planner_task(), deps),
        "builder": lambda: builder.build(builder_task(), deps),
        "auditor": lambda: auditor.audit(audit_task(diff="--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"), deps),
    }
    return asking[role]()


@pytest.fixture(scope="module")
def worktree(tmp_path_factory: pytest.TempPathFactory) -> Worktree:
    """One work tree for all of them: each conversation writes the same file."""
    folder = tmp_path_factory.mktemp("odd")
    return asyncio.run(open_worktree(folder, make_repository(folder)))


@pytest.mark.parametrize("vendor", sorted(ODD))
async def test_odd_reply_costs_one_more_at_most(server: ModelServer, worktree: Worktree, vendor: str) -> None:
    other = CLAUDE if vendor != "anthropic" else GPT
    for name, role in itertools.product(ODD[vendor], ROLES):
        odd = SOUND[role] | {"odd": ODD[vendor][name], "times": 1}
        play(server, role, [odd, *[SOUND[role]] * 3])
        before, ledger = len(server.requests()), MemoryLedger()
        (worktree.path / "digits.py").unlink(missing_ok=True)
        await ask(role, deps_of(Role(role), ledger, plan_of(MODELS[vendor], other), worktree=worktree))
        assert len(server.requests()) - before <= 2, (name, role)
        assert (worktree.path / "digits.py").exists() == (role == "builder"), (name, role)
        assert ledger.open == {}, (name, role)


@pytest.mark.parametrize("vendor", sorted(ODD))
async def test_odd_replies_for_ever_end_clearly(server: ModelServer, worktree: Worktree, vendor: str) -> None:
    model = MODELS[vendor]
    for name, role in itertools.product(ODD[vendor], ROLES):
        play(server, role, [SOUND[role] | {"odd": ODD[vendor][name]}] * MOST_REQUESTS)
        before, ledger = len(server.requests()), MemoryLedger()
        with contextlib.suppress(ModelFailed):  # of those that are repaired every one can be used
            await ask(role, deps_of(Role(role), ledger, plan_of(model), worktree=worktree))
        for failed in ledger.failures:
            assert failed.reason.startswith(f"{model}: "), (name, role, "the model is named")
            assert "\n" not in failed.reason, (name, role, "in one sentence")
            assert failed.failure in ENDS, (name, role)
        assert len(server.requests()) - before <= MOST_REQUESTS, (name, role)
        assert ledger.open == {}, (name, role)
