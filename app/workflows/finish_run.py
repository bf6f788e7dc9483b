"""The end of a run: its terminal state, and everything a person needs to go on from there."""

from dbos import DBOS

from app.db import run_rows
from app.domain.outcome import after_success
from app.domain.run_end import after_failure, final_headline
from app.domain.states import RunState
from app.domain.status_view import RunView
from app.github import comments, pulls, text
from app.runs import retry
from app.workflows import audit_reviews, db_steps, github_status, promote
from app.workflows.repositories import mirror_at
from app.workflows.run_context import RunContext, RunEnded
from app.workflows.run_telling import Telling
from app.workflows.services import call_db, repo_of_run


@DBOS.workflow(name="end_stranded")
async def end_orphaned_run(run_id: str, reason: str = "internal error: the run was cut off") -> None:
    """End a run that no workflow leads, so that no one waits for it and its issue is free.

    It ends as a person requested it, else for this reason; one that has ended is shown.
    """
    requested = await db_steps.get_stop_request(run_id)
    await finish_run(run_id, None, RunEnded(*(requested or (RunState.DONE_FAILED_ENVIRONMENT, reason))))


async def finish_run(run_id: str, context: RunContext | None, end: RunEnded) -> str | None:
    """Put the run into its terminal state and say so on GitHub.

    The id of the run that goes on, which is not started yet: with the plan's next part, or with what people requested
    while this one was ending. None when there is none.
    """
    state, reason = await db_steps.end_run(run_id, end.state, end.reason, end.exhausted)
    following = await db_steps.create_next(run_id) or await db_steps.go_on_with_late_requests(run_id)
    if following is None:
        await db_steps.note_not_taken(run_id)
    await _show_final_headline(run_id, state, reason)
    if context is not None:
        await audit_reviews.show_posted_audits(run_id)
        await promote.offer_promotion(run_id)
    if state.failed:
        await _post_incident(run_id)
    elif state is RunState.DONE_SUCCESS and context is not None and context.intent == "build":
        await _post_summary(run_id)
        await _close_superseded(run_id)
    await db_steps.mark_announced(run_id)
    return following


@DBOS.workflow(name="reconsider_promotion")
async def recheck_promotion(run_id: str) -> None:
    """After a late audit or issue: the audit is shown, and the promotion check says what is known now."""
    await audit_reviews.show_posted_audits(run_id)
    await github_status.show_promotion(run_id)


def next_action_of(view: RunView) -> str:
    """What a person does next with a run that has ended."""
    if view.state is RunState.DONE_SUCCESS:
        return after_success(view)
    if view.exhausted is not None:
        return text.how_to_raise(view, view.exhausted)
    return after_failure(view.state, view.reason)


async def _show_final_headline(run_id: str, state: RunState, reason: str) -> None:
    view = await db_steps.read_view(run_id)
    headline = final_headline(state, plan_only=view.plan_only)
    await github_status.set_headline(run_id, headline, next_action_of(view), reason)


@Telling
async def _post_summary(run_id: str) -> list[object]:
    """The final summary, on the pull request."""
    run = await call_db(run_rows.get, run_id)
    if run.pull_number is None:
        return []
    repo = await repo_of_run(run.run_id)
    body = text.final_summary(await github_status.read_view(run_id))
    return [await comments.post_once(repo, run.pull_number, f"summary:{run_id}", body)]


@Telling
async def _close_superseded(run_id: str) -> list[object]:
    """Close what earlier runs of the issue left open, with a link: one issue has one pull request."""
    run = await call_db(run_rows.get, run_id)
    came_to: list[object] = []
    for number in await call_db(retry.list_superseded_pulls, run_id):
        repo = await repo_of_run(run_id)
        pull = await pulls.read_pull(repo, number)
        if pull.open:
            said = text.superseded_pull(run.pull_number or 0)
            came_to += [
                await comments.post_once(repo, number, f"superseded:{run_id}", said),
                await pulls.close(repo, pull),
            ]
    return came_to


@Telling
async def _post_incident(run_id: str) -> list[object]:
    """What failed, the size of the last diff, findings, budgets and how to retry, on the issue."""
    run = await call_db(run_rows.get, run_id)
    if not run.issue_number:
        return []
    repo = await repo_of_run(run.run_id)
    last_diff = ""
    if run.head_sha is not None and run.base_sha is not None:
        mirror = await mirror_at(run.run_id, run.base_sha, run.head_sha)
        last_diff = await mirror.diff(run.base_sha, run.head_sha)
    body = text.incident(await github_status.read_view(run_id), excerpt=run.last_log, last_diff_stat=last_diff)
    return [await comments.post_once(repo, run.issue_number, f"incident:{run_id}", body)]
