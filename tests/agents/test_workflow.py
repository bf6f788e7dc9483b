"""The same conversations inside a durable workflow, where each request is a step."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dbos import DBOS, DBOSConfig, WorkflowHandleAsync

from app.agents import auditor, planner
from app.agents.conversation import AgentDeps
from app.agents.models import close, configure
from app.domain.budget import BudgetExhausted, ModelFailed, ModelFailure, Role
from app.domain.findings import AuditReport
from app.domain.plan import PlannerAnswer
from app.replay import ModelServer
from tests.agents.support import (
    CLAUDE,
    GPT,
    LIMITS,
    PLAN_ANSWER,
    REPOSITORY,
    MemoryLedger,
    access_to,
    audit_task,
    deps_of,
    plan_of,
    planner_task,
)

_DEPS: dict[str, AgentDeps] = {}
"""Handed to the workflow past its arguments, which are stored."""


@DBOS.workflow(name="test_plan")
async def plan_workflow(attempt: int) -> PlannerAnswer:
    return await planner.plan(planner_task(attempt), _DEPS["planner"])


@DBOS.workflow(name="test_audit")
async def audit_workflow() -> AuditReport:
    return await auditor.audit(audit_task(diff="+x"), _DEPS["auditor"])


@pytest.fixture(autouse=True)
async def engine(tmp_path: Path, server: ModelServer) -> AsyncIterator[None]:
    config: DBOSConfig = {
        "name": "agents-test",
        "system_database_url": f"sqlite:///{tmp_path / 'dbos.sqlite'}",
        "log_level": "CRITICAL",
    }
    DBOS(config=config)
    DBOS.launch()
    yield
    await close()
    DBOS.destroy()


async def test_each_request_is_a_step(server: ModelServer, ledger: MemoryLedger) -> None:
    server.play(REPOSITORY, {"planner": {1: [{"malformed": True}, {"answer": PLAN_ANSWER}]}})
    _DEPS["planner"] = deps_of(Role.PLANNER, ledger)
    handle = await DBOS.start_workflow_async(plan_workflow, 1)
    assert (await handle.get_result()).summary == "one phase"
    steps = [step["function_name"] for step in await DBOS.list_workflow_steps_async(handle.workflow_id)]
    assert sum(name.endswith("model.request") for name in steps) == 2


async def test_report_survives_its_storage(server: ModelServer, ledger: MemoryLedger) -> None:
    finding = {"severity": "major", "category": "a", "component": "b", "problem": "c", "slug": "d", "side": "LEFT"}
    report = {"recommendation": "revise", "summary": "s", "findings": [finding], "fixed": ["0123456789abcdef"]}
    server.play(REPOSITORY, {"auditor": {"P1": {1: [{"answer": report}]}}})
    _DEPS["auditor"] = deps_of(Role.AUDITOR, ledger)
    handle = await DBOS.start_workflow_async(audit_workflow)
    answered = await handle.get_result()
    again: WorkflowHandleAsync[AuditReport] = await DBOS.retrieve_workflow_async(handle.workflow_id)
    stored = await again.get_result()
    assert stored == answered == AuditReport.model_validate(report)


@pytest.mark.parametrize(("first", "second"), [(CLAUDE, GPT), (GPT, CLAUDE)])
async def test_next_model_is_built_inside_the_step(
    server: ModelServer, ledger: MemoryLedger, first: str, second: str
) -> None:
    vendor = first.split(":", maxsplit=1)[0]
    turns = [{"status": 529, "only_for": vendor, "text": "Let me think."}, {"answer": PLAN_ANSWER}]
    server.play(REPOSITORY, {"planner": {1: turns}})
    _DEPS["planner"] = deps_of(Role.PLANNER, ledger, plan_of(first, second))
    await plan_workflow(1)
    assert [(f"{seen.vendor}:{seen.model}", seen.turn) for seen in server.requests()] == [
        (first, 0),
        (second, 0),
        (second, 1),
    ]


async def test_timeout_is_recorded_in_its_step(server: ModelServer, ledger: MemoryLedger) -> None:
    configure(access_to(server), LIMITS.model_copy(update={"max_retries": 5}))
    turn = {"status": 529, "only_for": "anthropic", "answer": PLAN_ANSWER}
    server.play(REPOSITORY, {"planner": {1: [turn]}})
    plan = plan_of(CLAUDE, GPT).model_copy(update={"timeout_seconds": 0.2})
    _DEPS["planner"] = deps_of(Role.PLANNER, ledger, plan)
    handle = await DBOS.start_workflow_async(plan_workflow, 1)
    await handle.get_result()
    steps = await DBOS.list_workflow_steps_async(handle.workflow_id)
    requests = [step for step in steps if step["function_name"].endswith("model.request")]
    assert [step["error"] is not None for step in requests] == [True, False]


async def test_limits_and_failures_leave_the_workflow_unchanged(server: ModelServer, ledger: MemoryLedger) -> None:
    server.play(REPOSITORY, {"planner": {1: [{"status": 403}], 2: [{"malformed": True}] * 4}})
    _DEPS["planner"] = deps_of(Role.PLANNER, ledger)
    with pytest.raises(ModelFailed) as rejected:
        await plan_workflow(1)
    assert rejected.value.failure is ModelFailure.REJECTED
    with pytest.raises(ModelFailed) as malformed:
        await plan_workflow(2)
    assert malformed.value.failure is ModelFailure.MALFORMED
    ledger.limit = 100
    with pytest.raises(BudgetExhausted):
        await plan_workflow(1)
