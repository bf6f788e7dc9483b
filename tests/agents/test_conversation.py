"""Every role through the real vendor clients, against a server that plays recorded answers."""

import base64
import json
import time
from typing import Any

import pytest

from app.agents import auditor, planner
from app.agents.models import configure
from app.domain.audit_window import WINDOW
from app.domain.budget import BudgetExhausted, ModelFailed, ModelFailure, Role, RunStopped, Usage
from app.replay import ModelServer
from tests.agents.support import (
    AZURE,
    CLAUDE,
    GPT,
    LIMITS,
    LOCAL,
    PLAN_ANSWER,
    REPOSITORY,
    MemoryLedger,
    access_to,
    audit_task,
    deps_of,
    plan_of,
    planner_task,
)


@pytest.mark.parametrize("model", [CLAUDE, GPT, AZURE, LOCAL])
async def test_structured_answer_arrives(server: ModelServer, ledger: MemoryLedger, model: str) -> None:
    server.play(REPOSITORY, {"planner": {1: [{"answer": PLAN_ANSWER}]}})
    answer = await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(model)))
    assert answer.as_plan().phases[0].phase_id == "P1"
    assert [call.model for call in ledger.reserved] == [model]


async def test_usage_and_price_are_settled(server: ModelServer, ledger: MemoryLedger) -> None:
    usage = {"input": 10_000, "cached": 8_000, "output": 500}
    server.play(REPOSITORY, {"planner": {1: [{"answer": PLAN_ANSWER, "usage": usage}]}})
    await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger))
    await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(GPT)))
    await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(LOCAL)))
    assert [(one.input, one.cached, one.output) for one in ledger.settled] == [(10_000, 8_000, 500)] * 3
    claude, gpt, local = (one.cost_usd for one in ledger.settled)
    assert claude is not None
    assert gpt is not None
    assert 0 < claude < 1
    assert 0 < gpt < 1
    assert local is None
    assert ledger.open == {}


async def test_estimate_is_near_what_is_sent(server: ModelServer, ledger: MemoryLedger) -> None:
    server.play(REPOSITORY, {"planner": {1: [{"answer": PLAN_ANSWER}]}})
    await planner.plan(planner_task(outline="a/b.py\n" * 1_000), deps_of(Role.PLANNER, ledger))
    sent = server.requests()[0].body_characters / 3.5
    assert sent * 0.9 < ledger.reserved[0].input_tokens_estimate < sent * 1.05


@pytest.mark.parametrize("model", [CLAUDE, GPT])
async def test_refusal_moves_to_the_next_model(server: ModelServer, ledger: MemoryLedger, model: str) -> None:
    vendor = model.split(":", maxsplit=1)[0]
    server.play(REPOSITORY, {"planner": {1: [{"refusal": True, "only_for": vendor, "answer": PLAN_ANSWER}]}})
    other = GPT if model == CLAUDE else CLAUDE
    await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(model, other)))
    assert [call.model for call in ledger.reserved] == [model, other]
    assert all(usage.input > 0 for usage in ledger.settled), "a refusal is billed"


async def test_refusal_without_another_model_is_reported(server: ModelServer, ledger: MemoryLedger) -> None:
    server.play(REPOSITORY, {"planner": {1: [{"refusal": True}]}})
    with pytest.raises(ModelFailed) as failed:
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger))
    assert failed.value.failure is ModelFailure.REFUSED
    assert ledger.open == {}


async def test_overload_falls_back_and_the_conversation_stays_there(server: ModelServer, ledger: MemoryLedger) -> None:
    turns = [{"status": 529, "only_for": "anthropic", "text": "Let me think."}, {"answer": PLAN_ANSWER}]
    server.play(REPOSITORY, {"planner": {1: turns}})
    await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(CLAUDE, GPT)))
    assert [(seen.vendor, seen.turn) for seen in server.requests()] == [("anthropic", 0), ("openai", 0), ("openai", 1)]
    assert ledger.settled[0] == Usage(), "a request that was turned away costs nothing"


async def test_all_models_down_is_unavailable(server: ModelServer, ledger: MemoryLedger) -> None:
    server.play(REPOSITORY, {"planner": {1: [{"status": 529}]}})
    with pytest.raises(ModelFailed) as failed:
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(CLAUDE, GPT)))
    assert failed.value.failure is ModelFailure.UNAVAILABLE
    assert len(server.requests()) == 2


async def test_sdk_repeats_a_short_overload(server: ModelServer, ledger: MemoryLedger) -> None:
    configure(access_to(server), LIMITS.model_copy(update={"max_retries": 1}))
    server.play(REPOSITORY, {"planner": {1: [{"status": 503, "times": 1, "answer": PLAN_ANSWER}]}})
    await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger))
    assert len(server.requests()) == 2
    assert len(ledger.reserved) == 1


@pytest.mark.parametrize("model", [CLAUDE, GPT])
async def test_timeout_is_bounded(server: ModelServer, ledger: MemoryLedger, model: str) -> None:
    configure(access_to(server), LIMITS.model_copy(update={"timeout_seconds": 0.3}))
    server.play(REPOSITORY, {"planner": {1: [{"hang_seconds": 30, "answer": PLAN_ANSWER}]}})
    began = time.monotonic()
    with pytest.raises(ModelFailed) as failed:
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(model)))
    assert failed.value.failure is ModelFailure.TIMEOUT
    assert time.monotonic() - began < 10
    (asked,) = ledger.reserved
    whole = Usage(
        input=asked.input_tokens_estimate,
        output=asked.max_output_tokens,
        cost_usd=asked.cost_usd,
        estimated=True,
    )
    assert ledger.settled == [whole], "it may have been billed in full"


async def test_retries_count_against_the_time_of_a_request(server: ModelServer, ledger: MemoryLedger) -> None:
    configure(access_to(server), LIMITS.model_copy(update={"max_retries": 5}))
    server.play(REPOSITORY, {"planner": {1: [{"status": 529}]}})
    plan = plan_of(CLAUDE).model_copy(update={"timeout_seconds": 0.2})
    began = time.monotonic()
    with pytest.raises(ModelFailed, match=r"no complete reply in 2 s") as failed:
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan))
    assert failed.value.failure is ModelFailure.TIMEOUT
    assert time.monotonic() - began < 5


REJECTIONS = [400, 401, 403, 404]


@pytest.mark.parametrize("status", REJECTIONS)
async def test_model_that_rejects_gives_way(server: ModelServer, ledger: MemoryLedger, status: int) -> None:
    turns = [{"text": "Let me think."}, {"status": status, "only_for": "anthropic", "answer": PLAN_ANSWER}]
    server.play(REPOSITORY, {"planner": {1: turns}})
    await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(CLAUDE, GPT)))
    seen = [(one.vendor, one.turn) for one in server.requests()]
    assert seen == [("anthropic", 0), ("anthropic", 1), ("openai", 1)], "the next model goes on where the first stopped"
    assert ledger.settled[1] == Usage(), "a request that was turned away costs nothing"


@pytest.mark.parametrize("status", REJECTIONS)
async def test_rejection_by_every_model_is_reported(server: ModelServer, ledger: MemoryLedger, status: int) -> None:
    server.play(REPOSITORY, {"planner": {1: [{"status": status}]}})
    with pytest.raises(ModelFailed, match=str(status)) as failed:
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(CLAUDE, GPT)))
    assert failed.value.failure is ModelFailure.REJECTED
    assert [one.vendor for one in server.requests()] == ["anthropic", "openai"]
    assert ledger.open == {}


@pytest.mark.parametrize("unusable", ["acme:model", "azure:deployment"])
async def test_model_without_access_gives_way(server: ModelServer, ledger: MemoryLedger, unusable: str) -> None:
    """A vendor that does not exist, and one without a key."""
    no_azure(server)
    server.play(REPOSITORY, {"planner": {1: [{"answer": PLAN_ANSWER}]}})
    await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(unusable, CLAUDE)))
    assert [one.vendor for one in server.requests()] == ["anthropic"]


def no_azure(server: ModelServer) -> None:
    configure(access_to(server).model_copy(update={"azure_openai_api_key": None}), LIMITS)


async def test_malformed_answer_is_asked_for_again(server: ModelServer, ledger: MemoryLedger) -> None:
    server.play(REPOSITORY, {"planner": {1: [{"malformed": True}, {"answer": PLAN_ANSWER}]}})
    answer = await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger))
    assert answer.summary == "one phase"


@pytest.mark.parametrize("model", [CLAUDE, GPT])
async def test_malformed_answers_fail_and_are_paid(server: ModelServer, ledger: MemoryLedger, model: str) -> None:
    server.play(REPOSITORY, {"planner": {1: [{"malformed": True}] * 4}})
    with pytest.raises(ModelFailed, match="summary") as failed:
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(model)))
    assert failed.value.failure is ModelFailure.MALFORMED
    assert len(ledger.settled) == 4
    assert all(usage.input > 0 for usage in ledger.settled)


async def test_system_prompt_stays_the_same_at_retries(server: ModelServer, ledger: MemoryLedger) -> None:
    server.play(REPOSITORY, {"planner": {1: [{"text": "Here is my plan."}, {"answer": PLAN_ANSWER}]}})
    await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger))
    first, second = server.requests()
    assert first.system == second.system
    assert first.system.startswith("You are the Planner.")


async def test_requests_of_an_attempt_are_limited(server: ModelServer, ledger: MemoryLedger) -> None:
    server.play(REPOSITORY, {"planner": {1: [{"text": "Thinking."}] * 5}})
    with pytest.raises(ModelFailed, match="within 2 requests"):
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(CLAUDE, request_limit=2)))
    assert len(server.requests()) == 2


async def test_nothing_is_sent_over_the_budget(server: ModelServer, ledger: MemoryLedger) -> None:
    ledger.limit = 6_500
    server.play(REPOSITORY, {"planner": {1: [{"answer": PLAN_ANSWER}]}})
    with pytest.raises(BudgetExhausted, match="run r1: 0 of 6,500 tokens used"):
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger))
    assert server.requests() == []


async def test_budget_stops_a_conversation_between_requests(server: ModelServer, ledger: MemoryLedger) -> None:
    ledger.limit = 10_000
    spent = {"input": 4_000, "output": 100}
    server.play(REPOSITORY, {"planner": {1: [{"malformed": True, "usage": spent}, {"answer": PLAN_ANSWER}]}})
    with pytest.raises(BudgetExhausted):
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger))
    assert len(server.requests()) == 1


async def test_stopped_run_sends_nothing(server: ModelServer, ledger: MemoryLedger) -> None:
    ledger.stopped = True
    with pytest.raises(RunStopped):
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger))
    assert server.requests() == []


async def test_missing_key_names_its_variable(server: ModelServer, ledger: MemoryLedger) -> None:
    no_azure(server)
    with pytest.raises(ModelFailed, match="AZURE_OPENAI_API_KEY") as failed:
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of("azure:deployment")))
    assert failed.value.failure is ModelFailure.UNAVAILABLE, "setting it may fix the run while it waits"


async def test_prompt_cache_is_marked_on_the_wire(server: ModelServer, ledger: MemoryLedger) -> None:
    server.play(REPOSITORY, {"planner": {1: [{"answer": PLAN_ANSWER}]}})
    await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger))
    body: dict[str, Any] = json.loads(server.requests()[0].body)
    assert body["max_tokens"] == 6_000
    assert body["system"][-1]["cache_control"]["type"] == "ephemeral"
    assert body["tools"][-1]["cache_control"]["type"] == "ephemeral"
    assert body["cache_control"]["type"] == "ephemeral", "the growing conversation is cached too"


@pytest.mark.parametrize("model", [GPT, AZURE])
async def test_thinking_goes_back_and_nothing_is_stored(server: ModelServer, ledger: MemoryLedger, model: str) -> None:
    turns = [{"reasoning": "Which phase?", "text": "Let me think."}, {"answer": PLAN_ANSWER}]
    server.play(REPOSITORY, {"planner": {1: turns}})
    await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(model)))
    bodies: list[dict[str, Any]] = [json.loads(one.body) for one in server.requests()]
    assert [body["store"] for body in bodies] == [False, False]
    (sealed,) = (item for item in bodies[1]["input"] if item.get("type") == "reasoning")
    assert base64.b64decode(sealed["encrypted_content"]) == b"Which phase?"
    assert [one.vendor for one in server.requests()] == [model.partition(":")[0]] * 2


async def test_azure_version_without_responses_is_rejected(server: ModelServer, ledger: MemoryLedger) -> None:
    configure(access_to(server).model_copy(update={"azure_openai_api_version": "2024-10-21"}), LIMITS)
    server.play(REPOSITORY, {"planner": {1: [{"answer": PLAN_ANSWER}]}})
    with pytest.raises(ModelFailed, match="2025-03-01-preview and later") as failed:
        await planner.plan(planner_task(), deps_of(Role.PLANNER, ledger, plan_of(AZURE)))
    assert failed.value.failure is ModelFailure.REJECTED


async def test_auditor_reports_findings(server: ModelServer, ledger: MemoryLedger) -> None:
    finding = {
        "path": "slug.py",
        "line": 5,
        "severity": "major",
        "category": "correctness",
        "component": "slug",
        "problem": "Digits are dropped.",
        "slug": "drops digits",
        "replacement": "    return text",
    }
    report = {"recommendation": "revise", "summary": "One defect.", "findings": [finding], "fixed": []}
    server.play(REPOSITORY, {"auditor": {"P1": {1: [{"answer": report}]}}})
    diff = "--- a/slug.py\n+++ b/slug.py\n@@ -4,2 +4,2 @@\n def slug(text):\n-    return 1\n+    return 2\n"
    answer = await auditor.audit(audit_task(diff=diff), deps_of(Role.AUDITOR, ledger))
    assert answer.findings[0].as_finding().issue_key == "correctness__slug__drops_digits"
    sent = json.loads(server.requests()[0].body)["messages"][0]["content"][0]["text"]
    assert "R4  def slug(text):\nL5 -    return 1\nR5 +    return 2" in sent


async def test_diff_over_the_window_is_not_sent(server: ModelServer, ledger: MemoryLedger) -> None:
    server.play(REPOSITORY, {"auditor": {"P1": {1: [{"answer": {"recommendation": "approve", "summary": "Fine."}}]}}})
    fits = "x" * (WINDOW - 1)
    assert (await auditor.audit(audit_task(diff=fits), deps_of(Role.AUDITOR, ledger))).recommendation == "approve"
    assert fits in json.loads(server.requests()[0].body)["messages"][0]["content"][0]["text"], "the window is whole"
    report = await auditor.audit(audit_task(diff="x" * (WINDOW + 1)), deps_of(Role.AUDITOR, ledger))
    assert (report.recommendation, len(report.findings)) == ("revise", 1)
    assert "200,001 characters" in report.summary
    assert len(server.requests()) == len(ledger.reserved) == 1, "nothing is paid for it"
