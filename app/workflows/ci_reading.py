"""What is read of a commit's CI, each look a step: GitHub's facts, what is expected of the workflow files, the logs."""

from collections.abc import Mapping
from datetime import datetime

from pydantic import Field

from app.agents.tasks import Feedback
from app.db import run_rows
from app.domain.ci import (
    CheckFact,
    CiFacts,
    CiState,
    CiVerdict,
    CiWait,
    RequiredCheck,
    decide,
    failed_on_base,
    failed_workflow_runs,
    fingerprint,
    what_ci_waits_for,
    workflow_runs_to_rerun,
)
from app.domain.ci_log import trim_log
from app.domain.findings import Finding, Severity, Source, issue_key
from app.domain.frozen import Frozen
from app.domain.ruleset import CiRules
from app.domain.workflow_triggers import ExpectedWorkflows, Push, expected_workflows
from app.github import ci_facts, ci_jobs, commits, pulls
from app.github.github_errors import GitHubRefused
from app.github.request_budget import RequestsSpent
from app.runs.failed_jobs import record_failed_jobs
from app.workflows.repositories import mirror_at
from app.workflows.run_context import RunContext
from app.workflows.services import call_db, repo_of_run
from app.workflows.steps import effect, utcnow
from app.workspace.reading_process import Unreadable, read_apart

LOG_CHARACTERS = 6_000
MAX_CANCELLED_NAMES = 1_000
EVIDENCE_CHARACTERS = 300
_WORKFLOWS = ".github/workflows/"
_SOON = 0.05


class CiWatch(Frozen):
    """What a wait knows between two looks."""

    since: datetime
    """The newest of the push and the pull request's event."""
    expected: ExpectedWorkflows
    required: tuple[RequiredCheck, ...]
    """The checks without which GitHub merges nothing into the base."""
    progress: tuple[str, ...] = ()
    """What the last look saw; a change is progress."""
    progress_at: datetime
    attempts: dict[int, int] = Field(default_factory=dict[int, int])
    """Of workflow runs that were requested again: the attempt seen to fail."""


class CiReading(Frozen):
    """One look at CI."""

    verdict: CiVerdict
    watch: CiWatch
    run_again: dict[int, int]
    failed_runs: dict[int, int]
    """The workflow runs of what failed, with the attempt that failed."""
    left_seconds: float
    """Until time alone can change the verdict."""
    stopped: str | None


@effect
async def begin_watch(context: RunContext, head_sha: str) -> CiWatch:
    """What to expect of the commit's workflow files, and what its base requires."""
    run = await call_db(run_rows.get, context.run_id)
    mirror = await mirror_at(context.run_id, head_sha, context.base_sha)
    before = await mirror.first_parent(head_sha) or context.base_sha
    paths = [
        entry.path
        for entry in await mirror.list_files(head_sha)
        if entry.path.startswith(_WORKFLOWS) and "/" not in entry.path.removeprefix(_WORKFLOWS)
        if entry.path.endswith((".yml", ".yaml"))
    ]
    push = Push(
        branch=context.branch,
        base=run.base_branch,
        pushed_paths=await mirror.changed_paths(before, head_sha),
        pull_paths=await mirror.changed_paths(context.base_sha, head_sha),
        has_pull=run.pull_number is not None,
    )
    now = utcnow()
    expected = await _expected_workflows(await mirror.read_texts(head_sha, paths), push)
    required = await ci_facts.required_checks(await repo_of_run(context.run_id), run.base_branch)
    return CiWatch(since=now, progress_at=now, expected=expected, required=required)


async def _expected_workflows(texts: Mapping[str, str | None], push: Push) -> ExpectedWorkflows:
    try:
        return await read_apart(expected_workflows, texts, push)
    except Unreadable:  # GitHub may read them: all are waited for
        return expected_workflows(dict.fromkeys(texts), push)


@effect
async def read_ci(context: RunContext, head_sha: str, rules: CiRules, watch: CiWatch) -> CiReading:
    """Read everything about the commit again, and decide."""
    run = await call_db(run_rows.get, context.run_id)
    stopped = run.stop_reason if run.stop_state is not None else run.state if run.state.terminal else None
    if stopped is not None:
        return _unread(watch, stopped=stopped)
    repo = await repo_of_run(context.run_id)
    try:
        read = await ci_facts.read_ci(repo, head_sha, watch.required)
    except RequestsSpent as spent:
        return _unread(watch, spent.reason, spent.retry_after or 0.0)
    facts = what_ci_waits_for(read, watch.attempts)
    now, seen = utcnow(), fingerprint(facts)
    if run.paused_since is not None:  # nothing is late while the run waits for a person
        watch = watch.model_copy(update={"since": now, "progress_at": now})
    if seen != watch.progress:
        watch = watch.model_copy(update={"progress": seen, "progress_at": now})
    waited = (now - watch.since).total_seconds()
    conflict = False
    if not facts.checks and waited >= rules.grace_seconds and run.pull_number is not None:
        conflict = (await pulls.read_pull(repo, run.pull_number)).conflicts
    wait = CiWait(
        waited_seconds=waited,
        grace_seconds=rules.grace_seconds,
        deadline_seconds=rules.deadline_minutes * 60,
        workflows_present=bool(watch.expected.applying),
        expected=frozenset(watch.expected.applying),
        idle_seconds=(now - watch.progress_at).total_seconds(),
        conflict=conflict,
        person_seconds=rules.person_minutes * 60,
        why_none=", ".join(watch.expected.reasons),
    )
    limits = (wait.grace_seconds, wait.deadline_seconds, wait.person_seconds)
    ahead = [limit - passed for limit in limits for passed in (wait.waited_seconds, wait.idle) if limit > passed]
    verdict = decide(facts, wait, rules.policy)
    return CiReading(
        verdict=verdict,
        watch=watch,
        run_again=workflow_runs_to_rerun(facts, verdict),
        failed_runs=failed_workflow_runs(facts, verdict),
        left_seconds=min(ahead, default=0) + _SOON,
        stopped=None,
    )


def _unread(watch: CiWatch, why: str = "", seconds: float = 0.0, stopped: str | None = None) -> CiReading:
    """Nothing is known for so long; CI may go on, unseen."""
    return CiReading(
        verdict=CiVerdict(state=CiState.WAITING, reason=why),
        watch=watch.model_copy(update={"progress_at": utcnow()}),
        run_again={},
        failed_runs={},
        left_seconds=seconds,
        stopped=stopped,
    )


@effect
async def read_red_on_base(context: RunContext, verdict: CiVerdict) -> str:
    """Which checks are red on the base too, where all that failed are; empty otherwise.

    The run's base commit is looked at, and the base as it is now: `pull_request` workflows judge the merge with that.
    """
    repo = await repo_of_run(context.run_id)
    run = await call_db(run_rows.get, context.run_id)
    newest = await commits.branch_head(repo, run.base_branch)
    for sha in dict.fromkeys((context.base_sha, newest or context.base_sha)):
        names = failed_on_base(verdict, await ci_facts.read_ci(repo, sha, ()))
        if names:
            return f"{', '.join(names)} is red, as it is on {run.base_branch} ({sha[:7]})"
    return ""


@effect
async def rerun_failed_jobs(context: RunContext, workflow_runs: dict[int, int]) -> str:
    """Run the failed jobs of these workflow runs again, unless the attempt that failed is not the newest any more.

    Why GitHub refused it; empty when it did not.
    """
    repo = await repo_of_run(context.run_id)
    for workflow_run, attempt in workflow_runs.items():
        try:
            await ci_jobs.rerun_failed(repo, workflow_run, attempt)
        except GitHubRefused as refusal:
            return refusal.words
    return ""


@effect
async def read_evidence(context: RunContext, head_sha: str, verdict: CiVerdict) -> tuple[str, ...]:
    """What the failed jobs say, a line for each."""
    repo = await repo_of_run(context.run_id)
    logs = await ci_jobs.failed_job_logs(repo, CiFacts(head_sha=head_sha, checks=verdict.failed))
    return tuple(
        f"{log.name}: {' '.join(trim_log(log.text, limit=EVIDENCE_CHARACTERS, before=0, after=1).split())}"
        for log in logs
        if not log.cancelled
    )


@effect
async def failure_feedback(
    context: RunContext, head_sha: str, verdict: CiVerdict, phase_id: str | None = None
) -> Feedback:
    """The failed jobs' logs, trimmed to the failure, for the Builder's next try; kept for the run and its phase."""
    repo = await repo_of_run(context.run_id)
    logs = await ci_jobs.failed_job_logs(repo, CiFacts(head_sha=head_sha, checks=verdict.failed))
    telling = [log for log in logs if not log.cancelled]
    share = LOG_CHARACTERS // max(1, len(telling))
    texts = [f"Job {log.name}:\n{trim_log(log.text, limit=share)}" for log in telling]
    if cancelled := [log.name for log in logs if log.cancelled]:
        texts.append(f"Cancelled as another job failed: {', '.join(cancelled)[:MAX_CANCELLED_NAMES]}")
    url = next((log.url for log in telling if log.url), "")
    await call_db(record_failed_jobs, context.run_id, phase_id, "\n\n".join(texts), url)
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
