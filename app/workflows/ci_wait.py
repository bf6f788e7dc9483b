"""The Verifier: the repository's own CI judges every pushed commit, and its word is final.

Level-triggered: an event, a timer or a restart only wakes it; it reads everything about the commit again and decides.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

from dbos import DBOS

from app.agents.tasks import Feedback
from app.db import run_rows
from app.domain.budget import RunStopped
from app.domain.ci import (
    CheckFact,
    CiFacts,
    CiState,
    CiVerdict,
    CiWait,
    decide,
    what_ci_waits_for,
    workflow_runs_to_rerun,
)
from app.domain.ci_log import trim_log
from app.domain.findings import Finding, Severity, Source, issue_key
from app.domain.frozen import Frozen
from app.domain.ruleset import CiRules
from app.domain.states import RunState
from app.domain.status_view import Headline
from app.domain.strategy import Strategy
from app.github import ci_facts, ci_jobs
from app.workflows import db_steps, github_status
from app.workflows.repositories import mirror_at
from app.workflows.run_context import RunContext, RunEnded
from app.workflows.services import call_db, repo_of
from app.workflows.steps import effect, now, utcnow
from app.workflows.waiting import wait_for_wake

POLL_SECONDS = 60
"""Without any event, CI is read again this often."""
LOG_CHARACTERS = 6_000
MAX_CANCELLED_NAMES = 1_000


class _CiReading(Frozen):
    verdict: CiVerdict
    run_again: dict[int, int]
    left_seconds: float
    stopped: str | None


async def await_verdict(
    context: RunContext, head_sha: str, rules: CiRules, superseded: Callable[[], Awaitable[bool]] | None = None
) -> CiVerdict:
    """Wait until CI has judged `head_sha`, or the deadline.

    Raises `RunStopped` when the run is asked to end, and `RunEnded` at the deadline.

    Once the step `superseded` says that the verdict is obsolete, it stays at WAITING.
    """
    since, reruns = await now(), 0
    attempts: dict[int, int] = {}  # of workflow runs that were requested again: the attempt seen to fail
    workflows = await _expects_ci(context, head_sha)
    while True:
        reading = await _read_ci_state(context, head_sha, rules, since, workflows, attempts)
        if reading.stopped is not None:
            raise RunStopped(reading.stopped)
        again = reading.run_again if reruns < rules.reruns else {}
        if reading.verdict.settled and not again:
            if reading.verdict.state is CiState.NEVER_CAME:
                why = f"CI did not judge {head_sha[:7]} in time: {reading.verdict.reason}"
                raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, why)
            return reading.verdict
        if superseded is not None and await superseded():
            return reading.verdict
        if again:
            await DBOS.sleep_async(rules.rerun_backoff_seconds * 2**reruns)
            await _rerun_failed_jobs(context, again)
            attempts, reruns = attempts | again, reruns + 1
            continue
        await wait_for_wake(min(POLL_SECONDS, reading.left_seconds))


async def require_verdict(
    context: RunContext, strategy: Strategy, head_sha: str, superseded: Callable[[], Awaitable[bool]] | None = None
) -> CiVerdict:
    """Say that CI judges the commit, and wait for the verdict; a run without one ends. Raises `RunEnded`."""
    await github_status.set_headline(
        context.run_id, Headline.WAITING_FOR_CI, f"CI judges {head_sha[:7]}; the run goes on by itself when it has."
    )
    verdict = await await_verdict(context, head_sha, strategy.ci, superseded)
    if verdict.state is CiState.ABSENT:
        if strategy.ci.when_absent == "fail":
            raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, f"no CI to judge {head_sha[:7]}: {verdict.reason}")
        await db_steps.add_notice(
            context.run_id,
            f"No CI judged the commits: {verdict.reason}.",
            ci_absent=strategy.ci.when_absent == "report",
        )
    return verdict


@effect
async def _rerun_failed_jobs(context: RunContext, workflow_runs: dict[int, int]) -> None:
    """Run the failed jobs of these workflow runs again, unless the attempt that failed is not the newest any more."""
    repo = await repo_of(context.repository, context.installation_id)
    for workflow_run, attempt in workflow_runs.items():
        await ci_jobs.rerun_failed(repo, workflow_run, attempt)


@effect
async def _expects_ci(context: RunContext, head_sha: str) -> bool:
    mirror = await mirror_at(context.repository, context.installation_id, head_sha)
    return any(
        entry.path.startswith(".github/workflows/") and entry.path.endswith((".yml", ".yaml"))
        for entry in await mirror.list_files(head_sha)
    )


@effect
async def _read_ci_state(
    context: RunContext,
    head_sha: str,
    rules: CiRules,
    since: datetime,
    workflows_present: bool,
    attempts: dict[int, int],
) -> _CiReading:
    repo = await repo_of(context.repository, context.installation_id)
    facts = what_ci_waits_for(await ci_facts.read_ci(repo, head_sha, context.base_branch), attempts)
    deadline, waited = rules.deadline_minutes * 60, (utcnow() - since).total_seconds()
    wait = CiWait(
        waited_seconds=waited,
        grace_seconds=rules.grace_seconds,
        deadline_seconds=deadline,
        workflows_present=workflows_present,
    )
    nearest = [limit - waited for limit in (rules.grace_seconds, deadline) if limit > waited]
    run = await call_db(run_rows.get, context.run_id)
    verdict = decide(facts, wait)
    return _CiReading(
        verdict=verdict,
        run_again=workflow_runs_to_rerun(facts, verdict),
        left_seconds=min(nearest, default=0) + 0.05,
        stopped=run.stop_reason if run.stop_state is not None else run.state if run.state.terminal else None,
    )


@effect
async def failure_feedback(context: RunContext, head_sha: str, verdict: CiVerdict) -> Feedback:
    """The failed jobs' logs, trimmed to the failure, for the Builder's next try."""
    repo = await repo_of(context.repository, context.installation_id)
    logs = await ci_jobs.failed_job_logs(repo, CiFacts(head_sha=head_sha, checks=verdict.failed))
    telling = [log for log in logs if not log.cancelled]
    share = LOG_CHARACTERS // max(1, len(telling))
    texts = [f"Job {log.name}:\n{trim_log(log.text, limit=share)}" for log in telling]
    if cancelled := [log.name for log in logs if log.cancelled]:
        texts.append(f"Cancelled as another job failed: {', '.join(cancelled)[:MAX_CANCELLED_NAMES]}")
    await call_db(run_rows.update, context.run_id, {"last_log": "\n\n".join(texts)})
    return Feedback(
        title=f"CI is red on your last commit ({verdict.reason})", text="\n\n".join(texts) or verdict.reason
    )


def as_findings(failed: tuple[CheckFact, ...]) -> tuple[Finding, ...]:
    """One finding for each failed check."""
    return tuple(
        Finding(
            issue_key=issue_key("ci", check.name, "failed"),
            severity=Severity.MAJOR,
            source=Source.CI,
            category="ci",
            problem=f"{check.name}: {check.conclusion}",
        )
        for check in {check.name: check for check in failed}.values()
    )
