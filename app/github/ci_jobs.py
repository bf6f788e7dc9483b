"""Jobs of a failed CI: their logs, and running them again."""

from app.domain.ci import PASSING, CiFacts
from app.github.api_calls import AnyResponse, ApiModel, parse_response
from app.github.checks import CheckRun
from app.github.ci_facts import WorkflowRun
from app.github.client import Repo
from app.github.github_errors import GitHubRefused

LOG_TAIL_BYTES = 200_000
LOG_READ_BYTES = 100_000_000
"""A log is read no further than this; the rest is lost."""


class JobLog(ApiModel):
    """The end (at most 200 kB) of a failed job's log, or what a failed check of another App says. Untrusted."""

    name: str
    text: str
    url: str = ""
    cancelled: bool = False
    """It was not read: another job of the same run says what failed."""


class _Job(ApiModel):
    id: int
    name: str
    status: str
    conclusion: str | None = None
    html_url: str | None = None


async def failed_job_logs(repo: Repo, facts: CiFacts) -> list[JobLog]:
    """The logs of the failed jobs of failed workflow runs, and the reports of other Apps' failed check runs."""
    failed = [check for check in facts.checks if check.status == "completed" and check.conclusion not in PASSING]
    logs: list[JobLog] = []
    for run_id in sorted({check.workflow_run_id for check in failed if check.workflow_run_id is not None}):
        jobs = await repo.pages(
            lambda page, run_id=run_id: repo.rest.actions.async_list_jobs_for_workflow_run(
                repo.owner, repo.name, run_id, filter_="latest", per_page=100, page=page
            ),
            _Job,
            key="jobs",
        )
        red = [job for job in jobs if job.status == "completed" and job.conclusion not in PASSING]
        # Where a job failed, its cancelled siblings (fail-fast of a matrix) tell nothing of the cause.
        telling = [job for job in red if job.conclusion != "cancelled"] or red
        logs += [JobLog(name=job.name, text=await _job_log(repo, job.id), url=job.html_url or "") for job in telling]
        logs += [JobLog(name=job.name, text="", cancelled=True) for job in red if job not in telling]
    for check in failed:
        if check.source == "check_run" and check.workflow_run_id is None:
            logs.append(JobLog(name=check.name, text=await _check_report(repo, check.id), url=check.url))
        elif check.source == "status":
            logs.append(JobLog(name=check.name, text=f"commit status: {check.conclusion}", url=check.url))
    return logs


async def rerun_failed(repo: Repo, workflow_run_id: int, attempt: int | None = None) -> int:
    """Run the failed jobs again and return the number of that attempt; nothing happens while the run is not complete.

    With `attempt`, the attempt seen to fail, a second call for the same failure does nothing.
    """
    run = await _workflow_run(repo, workflow_run_id)
    if run.status != "completed" or (attempt is not None and run.run_attempt > attempt):
        return run.run_attempt
    seen = run.run_attempt

    async def look() -> int | None:
        now = await _workflow_run(repo, workflow_run_id)
        return now.run_attempt if now.run_attempt > seen or now.status != "completed" else None

    async def make() -> int:
        await repo.rest.actions.async_re_run_workflow_failed_jobs(repo.owner, repo.name, workflow_run_id)
        return seen + 1

    try:
        return await repo.create(look, make)
    except GitHubRefused as refusal:
        # GitHub's words while a run is still being completed, or someone else's click came first (metabase#70916).
        if refusal.status == 403 and "already running" in refusal.message:
            return seen + 1
        raise


async def _workflow_run(repo: Repo, run_id: int) -> WorkflowRun:
    response = await repo.call(lambda: repo.rest.actions.async_get_workflow_run(repo.owner, repo.name, run_id))
    return parse_response(response, WorkflowRun)


async def _job_log(repo: Repo, job_id: int) -> str:
    async def call() -> bytes:
        response = await repo.rest.actions.async_download_job_logs_for_workflow_run(
            repo.owner, repo.name, job_id, stream=True
        )
        return await _tail(response)

    try:
        return (await repo.call(call)).decode(errors="replace")
    except GitHubRefused as refusal:
        if refusal.status not in {404, 410}:
            raise
        return f"(GitHub no longer has this job's log: {refusal.status})"


async def _tail(response: AnyResponse) -> bytes:
    kept = bytearray()
    total = 0
    try:
        async for chunk in response.aiter_bytes():
            total += len(chunk)
            kept += chunk
            if len(kept) > 2 * LOG_TAIL_BYTES:
                del kept[:-LOG_TAIL_BYTES]
            if total > LOG_READ_BYTES:
                break
    finally:
        await response.raw_response.aclose()
    return bytes(kept[-LOG_TAIL_BYTES:])


async def _check_report(repo: Repo, check_id: int) -> str:
    response = await repo.call(lambda: repo.rest.checks.async_get(repo.owner, repo.name, check_id))
    output = parse_response(response, CheckRun).output
    return "\n\n".join(part for part in (output.title, output.summary, output.text) if part)[-LOG_TAIL_BYTES:]
