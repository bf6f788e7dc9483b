"""What a command does to a run: the same for a comment, the REST API and the command line."""

from app.db import run_rows
from app.db.run_rows import RunRow
from app.domain.commands import CommandName
from app.domain.outcome import promotion_answer
from app.domain.steer_request import SteerAnswer, SteerRequest, done, refused
from app.github import commits, pulls
from app.runs import retry, steering
from app.workflows import github_status, promote, requested_changes
from app.workflows.services import call_db, repo_of_run
from app.workflows.steps import utcnow


async def steer(run_id: str, asked: SteerRequest) -> SteerAnswer:
    """Do what is asked of the run, and show it. The caller wakes the run, and starts one that begins by it."""
    answer = await _act(run_id, asked)
    if answer.done and not answer.starts:
        await github_status.show_run.at_once(run_id)
    return answer


async def _act(run_id: str, asked: SteerRequest) -> SteerAnswer:
    match asked.command:
        case CommandName.PAUSE:
            return await call_db(steering.pause, run_id, asked, utcnow())
        case CommandName.RESUME:
            return await call_db(steering.resume, run_id, asked, utcnow())
        case CommandName.CANCEL:
            return await call_db(steering.cancel, run_id, asked, utcnow())
        case CommandName.SKIP:
            return await call_db(steering.skip, run_id, asked, utcnow())
        case CommandName.RETRY:
            return await _go_on(run_id, asked)
        case CommandName.FIX:
            run = await call_db(run_rows.get, run_id)
            open_run = run.completed_at is None
            return await (call_db(steering.fix, run_id, asked) if open_run else _go_on(run_id, asked))
        case CommandName.PROMOTE:
            return await _promote(run_id)
        case _:
            return refused(f"`{asked.command}` is not about one run")


async def _go_on(run_id: str, asked: SteerRequest) -> SteerAnswer:
    """Make the run that goes on with an ended one, on its branch as it is now."""
    run = await call_db(run_rows.get, run_id)
    head_sha = None
    if run.completed_at is not None and run.repository and run.head_sha is not None and run.promoted_at is None:
        head_sha, problem = await _branch_now(run)
        if problem:
            return refused(problem)
    return await call_db(retry.go_on, run_id, asked, head_sha, utcnow())


async def _branch_now(run: RunRow) -> tuple[str | None, str]:
    """The head of the run's branch; or why nothing can be built on it."""
    repo = await repo_of_run(run.run_id)
    head_sha = await commits.branch_head(repo, run.branch)
    if head_sha is None:
        return None, f"The branch {run.branch} is deleted: `/autopack run` starts another run."
    if run.pull_number is not None and not (await pulls.read_pull(repo, run.pull_number)).open:
        return (
            None,
            f"The pull request #{run.pull_number} is closed: reopen it, or start another run with `/autopack run`.",
        )
    return head_sha, ""


async def _promote(run_id: str) -> SteerAnswer:
    """Read reviews, CI and branch again, and say what prevents promotion."""
    run = await call_db(run_rows.get, run_id)
    moved_to = ""
    if run.completed_at is not None and run.repository:
        await requested_changes.note_requested(run_id)
        await promote.note_late_verdict(run_id)
        moved_to = await promote.foreign_head(run_id)
        await promote.reconsider.at_once(run_id)
    return done(promotion_answer(await github_status.read_view(run_id), moved_to))
